"""Pictures by Pillow, from files whose structure `scan` has passed.

Pillow is given a file of the critical chunks and tRNS alone, with the rows in stored deflate blocks: its parsers for text, profiles,
EXIF and animation never see bytes from outside, nothing is left that it warns about, and the pixels are inflated once, by
`pixel_rows`, which checks them on their way. Pillow's PNG class is used directly, which is `Image.open(formats=["PNG"])` without the
process-wide pixel limit; ours was applied to the header. No warning filter is set here: filters belong to the whole process, so
setting one during a decode would change them for every thread.
"""

import io
import struct
from collections.abc import Iterable, Iterator
from typing import IO, cast
from zlib import adler32, crc32

from PIL import Image, ImageChops
from PIL.PngImagePlugin import PngImageFile

from service.errors import BadImage
from service.png.inflate import pixel_rows
from service.png.structure import GRAY, GRAY_ALPHA, IEND, PALETTE, SIGNATURE, Layout

_HEAD_BYTES = len(SIGNATURE) + 25
_ZLIB_HEADER = b"\x78\x01"

# Everything that Pillow is known to raise on PNG files, however odd; UnidentifiedImageError is an OSError.
_DECODER_ERRORS = (OSError, ValueError, SyntaxError, EOFError, IndexError, OverflowError, struct.error)


def decode_image(layout: Layout) -> Image.Image:
    """Check all pixel data and decode it to an 8-bit Pillow image of mode L, LA, RGB or RGBA: `layout.channels` channels.

    Palettes are resolved, samples of fewer than 8 bits scaled to 0-255, of 16 bits cut to their high byte, tRNS turned into an
    alpha channel. Raises BadImage: as `pixel_rows`, or `decode`, or `too_complex`.
    """
    return plain_mode(load_image(layout, pixel_rows(layout)), layout)


def load_image(layout: Layout, rows: Iterable[bytes]) -> Image.Image:
    """Let Pillow undo the filters and the interlace of the rows that `pixel_rows` gives; its mode is that of the file.

    All rows are taken, whatever Pillow needs of them. Raises BadImage as `decode_image`.
    """
    pieces = iter(rows)
    try:
        image = PngImageFile(cast("IO[bytes]", _PartsFile(_stored_png(layout, pieces))))
        image.load()
    except _DECODER_ERRORS as error:
        start = layout.idat[0].offset
        detail = f"The pixels from the IDAT chunk at byte {start} on cannot be decoded, although the file's structure is valid."
        raise BadImage("decode", detail, offset=start) from error
    except MemoryError as error:
        raise too_complex(layout) from error
    for _ in pieces:
        pass
    return image


def too_complex(layout: Layout) -> BadImage:
    """Return the refusal of a picture for which there is not enough memory or time."""
    header = layout.header
    detail = (
        f"Decoding took more memory or time than a picture of {header.width} x {header.height} pixels is given; "
        "a smaller copy of it may pass."
    )
    return BadImage("too_complex", detail)


def transparent_color(layout: Layout) -> tuple[int, ...] | None:
    """Return the colour that tRNS makes transparent, as samples of the file; None without tRNS."""
    chunk = layout.transparency
    return struct.unpack_from(f">{chunk.length // 2}H", layout.data, chunk.start) if chunk else None


def plain_mode(image: Image.Image, layout: Layout) -> Image.Image:
    """Convert what `load_image` gives, perhaps in place, to the mode that `decode_image` documents."""
    header = layout.header
    if header.color_type == PALETTE:
        return image.convert("RGBA" if layout.transparency else "RGB")
    if header.color_type == GRAY_ALPHA and header.bit_depth == 16:
        # Pillow has no 16-bit LA and repeats gray in three channels.
        return Image.merge("LA", (image.getchannel(0), image.getchannel(3)))
    if image.mode == "1":
        image = image.convert("L")
    color = transparent_color(layout)
    # Pillow's own conversion from I;16 to L clips at 255 instead of scaling, and it compares scaled pixels with unscaled tRNS
    # samples, which is right for 8 bits alone.
    if image.mode == "I;16":
        low, high = _bytes_of(image)
        if color is None:
            return high
        return Image.merge("LA", (high, ImageChops.lighter(_differs(high, color[0] >> 8), _differs(low, color[0] & 255))))
    if color is None:
        return image
    if header.color_type == GRAY:
        return Image.merge("LA", (image, _differs(image, color[0] * 255 // (2**header.bit_depth - 1))))
    alpha = _differs(image.getchannel(0), color[0] >> (header.bit_depth - 8))
    for index in (1, 2):
        alpha = ImageChops.lighter(alpha, _differs(image.getchannel(index), color[index] >> (header.bit_depth - 8)))
    # In place: Pillow keeps four bytes for each RGB pixel anyhow.
    image.putalpha(alpha)
    return image


def _differs(band: Image.Image, sample: int) -> Image.Image:
    return band.point([0 if value == sample else 255 for value in range(256)])


def _bytes_of(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Take 16-bit samples, which are little-endian on every machine, apart into their low and their high bytes."""
    samples = image.tobytes()
    low, high = (Image.frombytes("L", image.size, samples[place::2]) for place in (0, 1))
    return low, high


def _stored_png(layout: Layout, rows: Iterable[bytes]) -> Iterator[bytes]:
    """Write the picture anew, in parts: what decides on its pixels, and each piece of rows as an IDAT chunk of one stored block."""
    yield bytes(layout.data[:_HEAD_BYTES])
    for chunk in (layout.palette, layout.transparency):
        if chunk:
            yield bytes(layout.data[chunk.offset : chunk.stop + 4])
    yield _idat(_ZLIB_HEADER)
    checksum = 1
    for piece in rows:
        checksum = adler32(piece, checksum)
        yield _idat(struct.pack("<BHH", 0, len(piece), len(piece) ^ 0xFFFF), piece)
    yield _idat(struct.pack("<BHH", 1, 0, 0xFFFF), checksum.to_bytes(4))
    yield IEND


def _idat(head: bytes, body: bytes = b"") -> bytes:
    start = b"IDAT" + head
    return b"".join(((len(head) + len(body)).to_bytes(4), start, body, crc32(body, crc32(start)).to_bytes(4)))


class _PartsFile:
    """As much of a file as Pillow's PNG reader uses, over parts that are made while it reads."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._part = io.BytesIO()
        self._position = 0

    def read(self, size: int) -> bytes:
        data = self._part.read(size)
        while len(data) < size and (part := next(self._parts, None)) is not None:
            self._part = io.BytesIO(part)
            data += self._part.read(size - len(data))
        self._position += len(data)
        return data

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        if position != self._position:
            raise io.UnsupportedOperation("the file is read once, from its start to its end")
        return position
