"""Pixels by Pillow, from files whose structure `scan` has passed.

Pillow is given a file of the critical chunks and tRNS alone: its parsers for text, profiles, EXIF and animation never see bytes
from outside, and nothing is left that it warns about. Its PNG class is used directly, which is `Image.open(formats=["PNG"])`
without the process-wide pixel limit; ours was applied to the header. No warning filter is set here: filters belong to the whole
process, so setting one during a decode would change them for every thread.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops
from PIL.PngImagePlugin import PngImageFile

from service.errors import BadImage
from service.png.structure import GRAY, GRAY_ALPHA, PALETTE, SIGNATURE, Layout

_IEND = b"\0\0\0\0IEND\xaeB`\x82"
_HEAD_BYTES = len(SIGNATURE) + 25
_UNFILTERED_BYTES = 64 * 1024

# Everything that Pillow is known to raise on PNG files, however odd; UnidentifiedImageError is an OSError.
_DECODER_ERRORS = (OSError, ValueError, SyntaxError, MemoryError, EOFError, IndexError, OverflowError, struct.error)

Samples = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def decode_image(layout: Layout) -> Image.Image:
    """Decode to an 8-bit Pillow image of mode L, LA, RGB or RGBA: as many channels as `layout.channels`.

    Palettes are resolved, samples of fewer than 8 bits scaled to 0-255, of 16 bits cut to their high byte, tRNS turned into an
    alpha channel. Raises BadImage with the reason `decode`.
    """
    with _decoder_errors():
        image = _load(layout)
        return _plain_mode(image, layout)


def decode_array(layout: Layout) -> Samples:
    """Decode to an array (height, width, channels) as `decode_image` does, but 16-bit grayscale keeps its 16 bits."""
    if (plain := _unfiltered(layout)) is not None:
        return plain
    with _decoder_errors():
        image = _load(layout)
        if image.mode == "I;16":
            gray = np.asarray(image).astype(np.uint16, copy=False)
            color = _transparent_color(layout)
            if color is None:
                return gray[:, :, None]
            return np.stack((gray, np.where(gray == color[0], 0, 65535).astype(np.uint16)), axis=2)
        pixels = np.asarray(_plain_mode(image, layout))
        return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _unfiltered(layout: Layout) -> npt.NDArray[np.uint8] | None:
    """Decode a small 8-bit picture whose rows carry no filter, as `encode_gray` writes them; None for any other.

    That is a memory copy, and three times as fast as Pillow for a digit of 28 x 28.
    """
    header = layout.header
    if header.bit_depth != 8 or header.color_type == PALETTE or header.interlaced or layout.transparency or len(layout.idat) > 1:
        return None
    row_bytes = 1 + header.width * layout.channels
    size = header.height * row_bytes
    if size > _UNFILTERED_BYTES:
        return None
    try:
        rows = zlib.decompressobj().decompress(layout.body(layout.idat[0]), size + 1)
    except zlib.error:
        return None
    if len(rows) != size or any(rows[::row_bytes]):
        return None
    pixels = np.frombuffer(rows, np.uint8).reshape(header.height, row_bytes)[:, 1:]
    return pixels.reshape(header.height, header.width, layout.channels)


@contextmanager
def _decoder_errors() -> Iterator[None]:
    try:
        yield
    except _DECODER_ERRORS as error:
        raise BadImage("decode", "The pixels cannot be decoded, although the file's structure is valid.") from error


def _load(layout: Layout) -> Image.Image:
    image = PngImageFile(io.BytesIO(_critical_bytes(layout)))
    image.load()
    return image


def _critical_bytes(layout: Layout) -> bytes | memoryview:
    if not layout.ancillary:
        return layout.data
    parts = [layout.data[:_HEAD_BYTES]]
    for chunk in (layout.palette, layout.transparency, *layout.idat):
        if chunk:
            parts.append(layout.data[chunk.offset : chunk.stop + 4])
    return b"".join((*parts, _IEND))


def _transparent_color(layout: Layout) -> tuple[int, ...] | None:
    """Return the colour that tRNS makes transparent, as samples of the file; None without tRNS."""
    chunk = layout.transparency
    return struct.unpack_from(f">{chunk.length // 2}H", layout.data, chunk.start) if chunk else None


def _plain_mode(image: Image.Image, layout: Layout) -> Image.Image:
    header = layout.header
    if header.color_type == PALETTE:
        return image.convert("RGBA" if layout.transparency else "RGB")
    if header.color_type == GRAY_ALPHA and header.bit_depth == 16:
        # Pillow has no 16-bit LA and repeats gray in three channels.
        return Image.merge("LA", (image.getchannel(0), image.getchannel(3)))
    if image.mode == "1":
        image = image.convert("L")
    color = _transparent_color(layout)
    if color is None:
        return _high_byte(image) if image.mode == "I;16" else image
    # Pillow's own conversion compares scaled pixels with unscaled tRNS samples, so it is right for 8 bits alone.
    if image.mode == "I;16":
        alpha = Image.fromarray(np.where(np.asarray(image) == color[0], 0, 255).astype(np.uint8))
        return Image.merge("LA", (_high_byte(image), alpha))
    if header.color_type == GRAY:
        return Image.merge("LA", (image, _differs(image, color[0] * 255 // (2**header.bit_depth - 1))))
    bands = image.split()
    red, green, blue = (_differs(band, sample >> (header.bit_depth - 8)) for band, sample in zip(bands, color, strict=True))
    return Image.merge("RGBA", (*bands, ImageChops.lighter(ImageChops.lighter(red, green), blue)))


def _differs(band: Image.Image, sample: int) -> Image.Image:
    return band.point([0 if value == sample else 255 for value in range(256)])


def _high_byte(image: Image.Image) -> Image.Image:
    # Pillow's own conversion from I;16 to L clips at 255 instead of scaling.
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
