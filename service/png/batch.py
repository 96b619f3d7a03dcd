"""Many small pictures decoded side by side: what Pillow needs to set up for each file is, for a digit of 28 x 28, most of the time.

For files whose bytes are proven to be those that `inspect` has checked, and for the common kinds alone; whoever calls decodes the others one by
one. The pixels are those that `service.png.pixels.decode` gives.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.png.arrays import decode_array
from service.png.limits import PngLimits
from service.png.structure import IEND, PALETTE, SAMPLES, SIGNATURE, scan, written_chunk

LARGEST_BYTES = 64 * 1024
"""Of the pixels of one picture. The larger a picture, the less there is to gain."""
_AT_ONCE_BYTES = 8 * 1024 * 1024

_head = struct.Struct(">8sI4sIIBBBBB").unpack_from
_chunk_head = struct.Struct(">I4s").unpack_from
_FIRST_CHUNK = 33

Bytes = npt.NDArray[np.uint8]
Kind = tuple[int, int, int]
"""Height, width, colour type."""


@dataclass(frozen=True, slots=True)
class Alike:
    """Pictures of one size and kind: `pixels` is (n, height, width, channels), in the order of `places` in what was given."""

    places: list[int]
    pixels: Bytes


def decode_alike(files: Sequence[bytes]) -> list[Alike]:
    """Decode those that can be decoded side by side: 8 bits a sample, gray or RGB with or without alpha, not interlaced, no tRNS, small.

    Files that are in no answer are of other kinds, or damaged: `decode` says which.
    """
    kinds: dict[Kind, tuple[list[int], list[bytes]]] = {}
    for place, data in enumerate(files):
        try:
            found = _rows(data)
        except (struct.error, zlib.error):
            continue
        if found is not None:
            kind, rows = found
            places, contents = kinds.setdefault(kind, ([], []))
            places.append(place)
            contents.append(rows)
    return [Alike(places, _pixels(kind, rows)) for kind, (places, rows) in kinds.items()]


def _rows(data: bytes) -> tuple[Kind, bytes] | None:
    """Return the filtered rows of a picture, None for one that is not to be decoded here."""
    signature, _, first, width, height, depth, color_type, _, _, interlace = _head(data)
    if signature != SIGNATURE or first != b"IHDR" or depth != 8 or interlace or color_type == PALETTE:
        return None
    size = height * (1 + width * SAMPLES.get(color_type, 0))
    if not 0 < size <= LARGEST_BYTES:
        return None
    parts = []
    position = _FIRST_CHUNK
    while True:
        length, kind = _chunk_head(data, position)
        if kind == b"IDAT":
            parts.append(data[position + 8 : position + 8 + length])
        elif kind == b"IEND":
            break
        elif kind == b"tRNS":
            return None
        position += 12 + length
    inflater = zlib.decompressobj()
    rows = inflater.decompress(parts[0] if len(parts) == 1 else b"".join(parts), size + 1)
    if len(rows) != size or not inflater.eof or max(rows[:: size // height]) > 4:
        return None
    return (height, width, color_type), rows


def _pixels(kind: Kind, pictures: list[bytes]) -> Bytes:
    height, width, color_type = kind
    channels = SAMPLES[color_type]
    rows = np.frombuffer(b"".join(pictures), np.uint8).reshape(len(pictures), height, 1 + width * channels)
    plain: Bytes = rows[:, :, 1:].reshape(len(pictures), height, width, channels)
    filtered = np.flatnonzero(rows[:, :, 0].any(axis=1))
    if filtered.size:
        plain = plain.copy()
    step = max(1, _AT_ONCE_BYTES // rows[0].size)
    for start in range(0, len(filtered), step):
        some = filtered[start : start + step]
        plain[some] = _unfiltered(kind, rows[some])
    return plain


def _unfiltered(kind: Kind, rows: Bytes) -> Bytes:
    """Undo the filters of several pictures as if they were one, each beneath the last.

    A filter refers to the row above, which for a picture's first is taken to be zeros: such a row lies between one picture and the next.
    """
    height, width, color_type = kind
    count, _, row_bytes = rows.shape
    tall = np.zeros((count, height + 1, row_bytes), np.uint8)
    tall[:, 1:] = rows
    header = struct.pack(">IIBBBBB", width, count * (height + 1), 8, color_type, 0, 0, 0)
    data = b"".join((SIGNATURE, written_chunk(b"IHDR", header), written_chunk(b"IDAT", zlib.compress(tall.tobytes(), 0)), IEND))
    pixels = decode_array(scan(data, PngLimits(max_bytes=len(data), max_pixels=2**62)))
    found: Bytes = pixels.reshape(count, height + 1, width, SAMPLES[color_type])[:, 1:].astype(np.uint8, copy=False)
    return found
