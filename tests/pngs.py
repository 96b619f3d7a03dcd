"""A small PNG writer for tests: any colour type, depth, interlace and chunk list, with deliberate faults.

`png(...)` gives a valid file; `chunk`, `join` and `chunks_of` take files apart and put them together wrongly on purpose.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterable

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
COMBINATIONS = [
    (color_type, depth)
    for color_type, depths in {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}.items()
    for depth in depths
]
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))

Chunk = tuple[bytes, bytes]
ExifEntry = tuple[int, int, bytes]
"""Type, count, data."""


def chunk(kind: bytes, body: bytes = b"", *, length: int | None = None, crc: int | None = None) -> bytes:
    """Serialize one chunk; `length` and `crc` replace the true values."""
    true_crc = zlib.crc32(kind + body)
    head = struct.pack(">I", len(body) if length is None else length)
    return head + kind + body + struct.pack(">I", true_crc if crc is None else crc)


def join(chunks: Iterable[Chunk], *, signature: bytes = SIGNATURE, tail: bytes = b"") -> bytes:
    return signature + b"".join(chunk(kind, body) for kind, body in chunks) + tail


def chunks_of(data: bytes) -> list[Chunk]:
    """Take a valid file apart."""
    chunks = []
    position = len(SIGNATURE)
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        chunks.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + length]))
        position += 12 + length
    return chunks


def ihdr(
    width: int, height: int, depth: int = 8, color_type: int = 0, compression: int = 0, filtering: int = 0, interlace: int = 0
) -> Chunk:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color_type, compression, filtering, interlace)


def row_layout(width: int, height: int, depth: int, color_type: int, interlace: int) -> list[tuple[int, int]]:
    """List (rows, bytes per row without the filter byte) of each non-empty pass."""
    bits = SAMPLES[color_type] * depth
    if not interlace:
        return [(height, (width * bits + 7) // 8)]
    sizes = [(len(range(left, width, dx)), len(range(top, height, dy))) for left, top, dx, dy in ADAM7]
    return [(rows, (columns * bits + 7) // 8) for columns, rows in sizes if columns and rows]


def raw_pixels(width: int, height: int, depth: int, color_type: int, interlace: int = 0, *, seed: int | None = None) -> bytes:
    """Make filtered rows: zeros, or noise under all five filter types if a seed is given.

    Palette rows carry no filter, so that every index lies in a full palette.
    """
    rows = []
    for count, size in row_layout(width, height, depth, color_type, interlace):
        noise = bytes(count * size) if seed is None else hashlib.shake_256(b"%d/%d/%d" % (seed, count, size)).digest(count * size)
        for row in range(count):
            filter_type = 0 if seed is None or color_type == 3 else (seed + row) % 5
            rows.append(bytes([filter_type]) + noise[row * size : (row + 1) * size])
    return b"".join(rows)


def palette(depth: int = 8) -> Chunk:
    """Make a full palette: entry i is (i, 255 - i, i // 2)."""
    return b"PLTE", b"".join(bytes((i, 255 - i, i // 2)) for i in range(2**depth))


def png(
    width: int = 28,
    height: int = 28,
    *,
    depth: int = 8,
    color_type: int = 0,
    interlace: int = 0,
    raw: bytes | None = None,
    seed: int | None = None,
    level: int = 6,
    before: Iterable[Chunk] = (),
    middle: Iterable[Chunk] = (),
    after: Iterable[Chunk] = (),
    idat_bytes: int | None = None,
) -> bytes:
    """Write a valid PNG; `before`, `middle` and `after` are chunks ahead of PLTE, between PLTE and IDAT, and behind IDAT."""
    stream = zlib.compress(raw_pixels(width, height, depth, color_type, interlace, seed=seed) if raw is None else raw, level)
    step = idat_bytes or max(1, len(stream))
    return join(
        [
            ihdr(width, height, depth, color_type, interlace=interlace),
            *before,
            *([palette(depth)] if color_type == 3 else []),
            *middle,
            *((b"IDAT", stream[i : i + step]) for i in range(0, len(stream), step)),
            *after,
            (b"IEND", b""),
        ]
    )


def exif_block(
    entries: dict[int, tuple[int, int, bytes]], *, order: str = "<", sub: dict[int, tuple[int, int, bytes]] | None = None
) -> bytes:
    """Write an eXIf body of tag -> entry; `sub` becomes the EXIF directory."""

    def directory(start: int, content: dict[int, ExifEntry]) -> bytes:
        place = start + 2 + 12 * len(content) + 4
        head, tail = struct.pack(order + "H", len(content)), b""
        for tag, (kind, count, data) in sorted(content.items()):
            value = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(order + "I", place + len(tail))
            head += struct.pack(order + "HHI", tag, kind, count) + value
            tail += data if len(data) > 4 else b""
        return head + struct.pack(order + "I", 0) + tail

    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    if sub is None:
        return head + directory(8, entries)
    pointer = {0x8769: (4, 1, bytes(4))}
    size = len(directory(8, entries | pointer))
    pointer[0x8769] = (4, 1, struct.pack(order + "I", 8 + size))
    return head + directory(8, entries | pointer) + directory(8 + size, sub)


def samples_of(data: bytes) -> list[list[tuple[int, ...]]]:
    """Decode a valid file to rows of pixels of file samples, slowly and by the letter of the specification."""
    chunks = chunks_of(data)
    width, height, depth, color_type, _, _, interlace = struct.unpack(">IIBBBBB", chunks[0][1])
    raw = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    samples = SAMPLES[color_type]
    picture: list[list[tuple[int, ...]]] = [[()] * width for _ in range(height)]
    position = 0
    for left, top, dx, dy in ADAM7 if interlace else ((0, 0, 1, 1),):
        columns, lines = range(left, width, dx), range(top, height, dy)
        if not columns or not lines:
            continue
        size = (len(columns) * samples * depth + 7) // 8
        previous = bytearray(size)
        for y in lines:
            previous = _unfilter(raw[position], raw[position + 1 : position + 1 + size], previous, max(1, samples * depth // 8))
            position += 1 + size
            bits = int.from_bytes(previous)
            values = [bits >> (8 * size - depth * (index + 1)) & (2**depth - 1) for index in range(len(columns) * samples)]
            for index, x in enumerate(columns):
                picture[y][x] = tuple(values[index * samples : (index + 1) * samples])
    return picture


def _unfilter(filter_type: int, row: bytes, above: bytearray, step: int) -> bytearray:
    result = bytearray(row)
    for i in range(len(row)):
        a, b, c = (result[i - step] if i >= step else 0), above[i], (above[i - step] if i >= step else 0)
        distances = [abs(b - c), abs(a - c), abs(a + b - 2 * c)]
        paeth = (a, b, c)[distances.index(min(distances))]
        result[i] = (row[i] + (0, a, b, (a + b) // 2, paeth)[filter_type]) & 255
    return result
