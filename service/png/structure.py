"""The chunks of a PNG file, checked by the letter of the specification (W3C PNG, third edition, sections 5 and 11).

Pillow does not do this: it skips the checksums of pixel data, accepts missing rows and stops at the first end it meets.
"""

import struct
from dataclasses import dataclass
from typing import NoReturn
from zlib import crc32

from service.errors import BadImage, TooLarge, TooManyPixels
from service.png.limits import PngLimits
from service.png.sniff import looks_like

SIGNATURE = b"\x89PNG\r\n\x1a\n"
IEND = b"\0\0\0\0IEND\xaeB`\x82"

GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
SAMPLES = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}
"""Samples per pixel in the file, by colour type."""

_DEPTHS = {GRAY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GRAY_ALPHA: (8, 16), RGBA: (8, 16)}
_MAX_LENGTH = 2**31 - 1
_CHUNK_OVERHEAD = 12
_IHDR_LENGTH = 13
_FRAME_DATA = b"fdAT"

_chunk_head = struct.Struct(">I4s").unpack_from
_uint32 = struct.Struct(">I").unpack_from
_ihdr = struct.Struct(">IIBBBBB").unpack_from


@dataclass(slots=True)
class Chunk:
    """One chunk's type, the offset of its first byte (the length field), and the span of its data."""

    kind: bytes
    offset: int
    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start


@dataclass(slots=True)
class Header:
    width: int
    height: int
    bit_depth: int
    color_type: int
    interlaced: bool


@dataclass(slots=True)
class Layout:
    """Where the parts of a file that passed `scan` lie. `data` is the whole file; spans index into it."""

    data: memoryview
    header: Header
    palette: Chunk | None
    transparency: Chunk | None
    idat: list[Chunk]
    ancillary: list[Chunk]
    """In file order, without tRNS."""

    def body(self, chunk: Chunk) -> memoryview:
        return self.data[chunk.start : chunk.stop]

    @property
    def channels(self) -> int:
        """Channels of the decoded picture: gray 1, gray + alpha 2, colour 3, colour + alpha 4; tRNS counts as alpha."""
        color_type = self.header.color_type
        opaque = 3 if color_type == PALETTE else SAMPLES[color_type]
        return opaque + (self.transparency is not None)


def scan(data: bytes | memoryview, limits: PngLimits) -> Layout:
    """Walk the chunks and check all but the pixel data itself.

    Limits on bytes and pixels are applied before anything else is read. Raises BadImage, TooLarge or TooManyPixels.
    """
    view = memoryview(data)
    size = len(view)
    if size > limits.max_bytes:
        raise TooLarge(f"The file has {size:,} bytes; the limit is {limits.max_bytes:,}.", field="file")
    _check_signature(view)
    header = _read_header(view, limits)

    palette: Chunk | None = None
    transparency: Chunk | None = None
    idat: list[Chunk] = []
    ancillary: list[Chunk] = []
    ancillary_bytes = 0
    pixels_ended = False
    position = len(SIGNATURE) + _CHUNK_OVERHEAD + _IHDR_LENGTH
    count = 1
    while True:
        chunk = _read_chunk(view, position)
        kind = chunk.kind
        count += 1
        if count > limits.max_chunks:
            _refuse("chunk_count", chunk, f"is one more than the limit of {limits.max_chunks:,} chunks")
        position = chunk.stop + 4
        if kind == b"IDAT":
            if pixels_ended:
                _refuse("idat_gap", chunk, "comes after another chunk interrupted the pixel data")
            idat.append(chunk)
            continue
        pixels_ended = bool(idat)
        if kind == b"IEND":
            if chunk.length:
                _refuse("iend", chunk, f"must be empty but has {chunk.length} bytes")
            if not idat:
                _refuse("idat_missing", chunk, "is reached without any IDAT chunk: the file has no pixel data")
            break
        if kind == b"PLTE":
            _check_palette(chunk, header, palette, transparency, idat)
            palette = chunk
        elif kind == b"tRNS":
            _check_transparency(view, chunk, header, palette, transparency, idat)
            transparency = chunk
        elif kind == b"IHDR":
            _refuse("chunk_order", chunk, "appears a second time")
        elif kind[:1].isupper():
            _refuse("chunk_unknown", chunk, "is critical and not part of the PNG standard, so the picture cannot be understood")
        else:
            if kind != _FRAME_DATA:
                ancillary_bytes += chunk.length
                if ancillary_bytes > limits.max_ancillary_bytes:
                    limit = f"{limits.max_ancillary_bytes:,} bytes of text, profiles and other metadata"
                    _refuse("ancillary_size", chunk, f"brings the file above the limit of {limit}")
            ancillary.append(chunk)

    if position != size:
        surplus = f"{size - position:,} bytes follow the IEND chunk, which must be the last; they begin at byte {position}."
        raise BadImage("trailing_data", surplus, offset=position)
    if header.color_type == PALETTE and palette is None:
        _refuse("plte", idat[0], "holds palette colours, but no PLTE chunk comes before it")
    return Layout(view, header, palette, transparency, idat, ancillary)


def written_chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk as it stands in a file."""
    return b"%b%b%b%b" % (len(body).to_bytes(4), kind, body, crc32(body, crc32(kind)).to_bytes(4))


def _check_signature(view: memoryview) -> None:
    if not view:
        raise BadImage("empty", "The file is empty (0 bytes).", offset=0)
    head = bytes(view[:64])
    if head.startswith(SIGNATURE):
        return
    if SIGNATURE.startswith(head):
        raise BadImage("truncated", f"The file ends after {len(head)} bytes, inside the PNG signature.", offset=len(head))
    raise BadImage("not_png", f"The file does not begin with the PNG signature; it looks like {looks_like(head)}.", offset=0)


def _read_header(view: memoryview, limits: PngLimits) -> Header:
    offset = len(SIGNATURE)
    if len(view) - offset >= 8:
        length, kind = _chunk_head(view, offset)
        if kind != b"IHDR":
            raise BadImage("chunk_order", f"The chunk at byte {offset} is not IHDR, which must be the first.", offset=offset)
        if length != _IHDR_LENGTH:
            raise BadImage("ihdr", f"The IHDR chunk at byte {offset} has {length} bytes instead of 13.", offset=offset)
    chunk = _read_chunk(view, offset)
    width, height, bit_depth, color_type, compression, filtering, interlace = _ihdr(view, chunk.start)
    if not (0 < width <= _MAX_LENGTH and 0 < height <= _MAX_LENGTH):
        _refuse("ihdr", chunk, f"says {width} x {height} pixels; each side must be 1 to {_MAX_LENGTH}")
    if bit_depth not in _DEPTHS.get(color_type, ()):
        _refuse("ihdr", chunk, f"says colour type {color_type} with {bit_depth} bits, which PNG does not have")
    if compression or filtering or interlace > 1:
        detail = f"says compression {compression}, filter {filtering}, interlace {interlace}; PNG has 0, 0 and 0 or 1"
        _refuse("ihdr", chunk, detail)
    if width * height > limits.max_pixels:
        detail = f"The picture has {width} x {height} = {width * height:,} pixels; the limit is {limits.max_pixels:,}."
        raise TooManyPixels(detail, field="file")
    return Header(width, height, bit_depth, color_type, interlace == 1)


def _read_chunk(view: memoryview, offset: int) -> Chunk:
    rest = len(view) - offset
    if rest < _CHUNK_OVERHEAD:
        missing = (
            "where a chunk should begin: there is no IEND" if rest == 0 else f"inside the chunk that begins at byte {offset}"
        )
        raise BadImage("truncated", f"The file ends at byte {len(view)}, {missing}.", offset=offset)
    length, kind = _chunk_head(view, offset)
    if not kind.isalpha() or kind[2] & 0x20:
        raise BadImage("chunk_type", f"Bytes {kind.hex()} at {offset + 4} are not a chunk type.", offset=offset)
    start = offset + 8
    stop = start + length
    chunk = Chunk(kind, offset, start, stop)
    if length > _MAX_LENGTH:
        _refuse("chunk_length", chunk, f"says {length} bytes; PNG allows {_MAX_LENGTH}")
    if length > rest - _CHUNK_OVERHEAD:
        _refuse("truncated", chunk, f"says {length} bytes, but the file ends {rest - 8} bytes after its start")
    if crc32(view[offset + 4 : stop]) != _uint32(view, stop)[0]:
        _refuse("crc_mismatch", chunk, "does not match its checksum: the file is damaged")
    return chunk


def _check_palette(chunk: Chunk, header: Header, palette: Chunk | None, transparency: Chunk | None, idat: list[Chunk]) -> None:
    if header.color_type in (GRAY, GRAY_ALPHA):
        _refuse("plte", chunk, "is not allowed in a grayscale picture")
    if palette or transparency or idat:
        _refuse("plte", chunk, "must come once, before tRNS and IDAT")
    entries, remainder = divmod(chunk.length, 3)
    limit = 2**header.bit_depth if header.color_type == PALETTE else 256
    if remainder or not 1 <= entries <= limit:
        _refuse("plte", chunk, f"has {chunk.length} bytes; it must be 3 bytes for each of 1 to {limit} colours")


def _check_transparency(
    view: memoryview, chunk: Chunk, header: Header, palette: Chunk | None, transparency: Chunk | None, idat: list[Chunk]
) -> None:
    if header.color_type in (GRAY_ALPHA, RGBA):
        _refuse("trns", chunk, "is not allowed in a picture with an alpha channel")
    if transparency or idat:
        _refuse("trns", chunk, "must come once, before IDAT")
    if header.color_type == PALETTE:
        if palette is None:
            _refuse("trns", chunk, "must come after PLTE")
        entries = palette.length // 3
        if not 1 <= chunk.length <= entries:
            _refuse("trns", chunk, f"has {chunk.length} entries; the palette has {entries}")
        return
    samples = SAMPLES[header.color_type]
    if chunk.length != 2 * samples:
        _refuse("trns", chunk, f"has {chunk.length} bytes instead of {2 * samples}")
    if any(value >> header.bit_depth for value in struct.unpack_from(f">{samples}H", view, chunk.start)):
        _refuse("trns", chunk, f"names a colour that does not fit in {header.bit_depth} bits")


def _refuse(reason: str, chunk: Chunk, fault: str) -> NoReturn:
    raise BadImage(reason, f"The {chunk.kind.decode('ascii')} chunk at byte {chunk.offset} {fault}.", offset=chunk.offset)
