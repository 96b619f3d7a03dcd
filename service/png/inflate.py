"""The pixel data of a PNG: one zlib stream over all IDAT chunks that must give exactly the rows the header announces.

It is inflated once, by zlib itself: faster inflaters, ISA-L among them, accept streams that zlib, and so every browser, refuses.
"""

import zlib
from collections.abc import Iterator

from service.errors import BadImage
from service.png.structure import SAMPLES, Header, Layout

PIECE_BYTES = 65_535
"""Rows are handed on in pieces of at most so many bytes: what one stored deflate block holds."""

# zlib copies the input that a bounded call did not use, so the input is cut too, or a large chunk would cost quadratic time.
_INPUT_BYTES = 16 * 1024

# Deflate's longest match is 258 bytes, and takes at least two bits.
_BEST_RATIO = 258 * 4

_FILTER_TYPES = bytes(range(5))
# Adam7: first column, first row, column step, row step of each pass.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def pixel_rows(layout: Layout) -> Iterator[bytes]:
    """Inflate all IDAT chunks in bounded memory; yield the filtered rows, each with its filter byte, in pieces.

    The count of bytes and every row's filter type are checked, a piece before it is handed on and the end of the stream after the
    last one: only who takes all pieces has checked the picture. Raises BadImage with `idat_inflate`, `idat_size`, `idat_trailing`
    or `filter_type`; the offset is that of an IDAT chunk.
    """
    passes = scanlines(layout.header)
    expected = expected_bytes(layout)
    filters = _FilterCheck(passes)
    inflater = zlib.decompressobj()
    produced = 0
    for chunk in layout.idat:
        for position in range(chunk.start, chunk.stop, _INPUT_BYTES):
            if inflater.eof:
                detail = f"Bytes follow the compressed pixels in the IDAT chunk at byte {chunk.offset}."
                raise BadImage("idat_trailing", detail, offset=chunk.offset)
            pending: bytes | memoryview = layout.data[position : min(position + _INPUT_BYTES, chunk.stop)]
            while True:
                # One byte of room beyond the end tells a stream that is too long from one that fits.
                room = min(PIECE_BYTES, expected - produced + 1)
                try:
                    rows = inflater.decompress(pending, room)
                except zlib.error as error:
                    detail = f"The pixel data in the IDAT chunk at byte {chunk.offset} cannot be decompressed."
                    raise BadImage("idat_inflate", detail, offset=chunk.offset) from error
                produced += len(rows)
                if produced > expected:
                    detail = (
                        f"The pixel data is longer than the {expected:,} bytes that the header announces; "
                        f"it goes beyond them in the IDAT chunk at byte {chunk.offset}."
                    )
                    raise BadImage("idat_size", detail, offset=chunk.offset)
                if rows:
                    filters.feed(rows, chunk.offset)
                    yield rows
                if inflater.eof or len(rows) < room:
                    break
                pending = inflater.unconsumed_tail
            if inflater.unused_data:
                detail = f"Bytes follow the compressed pixels in the IDAT chunk at byte {chunk.offset}."
                raise BadImage("idat_trailing", detail, offset=chunk.offset)
    last = layout.idat[-1].offset
    if produced < expected:
        detail = (
            f"The pixel data, which ends in the IDAT chunk at byte {last}, "
            f"has {produced:,} of the {expected:,} bytes that the header announces."
        )
        raise BadImage("idat_size", detail, offset=last)
    if not inflater.eof:
        detail = f"The compressed pixel data has no end or no checksum in the last IDAT chunk, at byte {last}."
        raise BadImage("idat_inflate", detail, offset=last)


def expected_bytes(layout: Layout) -> int:
    """Return how many bytes the pixel data must inflate to.

    Raises BadImage with `idat_size` where so few are compressed that they cannot: a header that promises a huge picture costs
    nothing then.
    """
    expected = sum(rows * row_bytes for rows, row_bytes in scanlines(layout.header))
    compressed = sum(chunk.length for chunk in layout.idat)
    if expected > compressed * _BEST_RATIO:
        first = layout.idat[0].offset
        detail = (
            f"The IDAT chunks from byte {first} on have {compressed:,} bytes, "
            f"too few to hold the {expected:,} bytes of pixels that the header announces."
        )
        raise BadImage("idat_size", detail, offset=first)
    return expected


def scanlines(header: Header) -> list[tuple[int, int]]:
    """List (rows, bytes per row with the filter byte) for each non-empty pass; a picture without interlace is one pass."""
    bits = SAMPLES[header.color_type] * header.bit_depth
    if not header.interlaced:
        return [(header.height, 1 + (header.width * bits + 7) // 8)]
    passes = []
    for left, top, step_x, step_y in _ADAM7:
        columns = (header.width - left + step_x - 1) // step_x
        rows = (header.height - top + step_y - 1) // step_y
        if columns > 0 and rows > 0:
            passes.append((rows, 1 + (columns * bits + 7) // 8))
    return passes


class _FilterCheck:
    """Look at the first byte of every row as the inflated stream goes by."""

    def __init__(self, passes: list[tuple[int, int]]) -> None:
        self._passes: Iterator[tuple[int, int]] = iter(passes)
        self._position = 0
        self._next_row = 0
        self._pass_end = 0
        self._row_bytes = 0

    def feed(self, piece: bytes, offset: int) -> None:
        end = self._position + len(piece)
        while self._next_row < end:
            if self._next_row == self._pass_end:
                rows, self._row_bytes = next(self._passes)
                self._pass_end += rows * self._row_bytes
            stop = min(end, self._pass_end)
            types = piece[self._next_row - self._position : stop - self._position : self._row_bytes]
            unknown = types.translate(None, _FILTER_TYPES)
            if unknown:
                detail = f"A row of pixels in the IDAT chunk at byte {offset} has filter type {unknown[0]}; PNG has 0 to 4."
                raise BadImage("filter_type", detail, offset=offset)
            self._next_row += len(types) * self._row_bytes
        self._position = end
