"""PNG files as arrays. Pillow decodes them; what it gets wrong or leaves open is settled here, as the service settles it for its models:

- Samples of 16 bits are cut to their high byte, samples of 1, 2 and 4 bits are scaled to 0-255, palettes become their colours.
- tRNS is transparency like any alpha channel. The modes L and RGB lay transparent pixels over a grey level, so that hidden colours stay hidden.
- Gray of a colour is ITU-R 601 luma: 0.299 R + 0.587 G + 0.114 B.
- The pixels lie as stored: EXIF orientation, gamma and colour profiles are not applied.
"""

import io
import struct
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

if TYPE_CHECKING:
    import numpy
    import numpy.typing
    from PIL import Image

Mode: TypeAlias = Literal["L", "LA", "RGB", "RGBA"]
Pixels: TypeAlias = "numpy.typing.NDArray[numpy.uint8]"

_GRAY, _PALETTE, _GRAY_ALPHA = 0, 3, 4
_NEEDED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_HEAD = 8


def check(mode: str, size: tuple[int, int] | None, background: int) -> None:
    """Raise `ValueError` for what `decode` does not know, and `ImportError` without NumPy and Pillow."""
    if mode not in get_args(Mode):
        raise ValueError(f"mode is {mode!r}: use one of {', '.join(get_args(Mode))}")
    if size is not None and not (len(size) == 2 and all(isinstance(side, int) and side > 0 for side in size)):
        raise ValueError(f"size is {size!r}: give (width, height) in pixels, or None")
    if not 0 <= background <= 255:
        raise ValueError(f"background is {background!r}: a grey level from 0 to 255")
    try:
        import numpy
        from PIL import Image  # noqa: F401
    except ImportError as exc:
        raise ImportError(f"arrays need NumPy and Pillow ({exc}): pip install numpy pillow") from None
    del numpy


def decode(data: bytes, *, mode: Mode, size: tuple[int, int] | None = None, background: int = 255) -> Pixels:
    """Return the pixels of a whole PNG as uint8: (height, width) in mode L, (height, width, channels) in the others.

    `size` is (width, height): the picture is stretched to it, shrinking averages over all source pixels. Raises what Pillow raises.
    """
    import numpy

    colours, alpha = _parts(data)
    if alpha is not None and mode in ("L", "RGB"):
        from PIL import Image

        colours = Image.composite(colours, Image.new(colours.mode, colours.size, (background,) * len(colours.getbands())), alpha)
    target = colours.convert(mode[:-1] if mode.endswith("A") else mode)
    if mode.endswith("A"):
        target.putalpha(255 if alpha is None else alpha)
    if size is not None and size != target.size:
        from PIL import Image

        target = target.resize(size, Image.Resampling.BILINEAR)
    return numpy.array(target, dtype=numpy.uint8)


def _parts(data: bytes) -> "tuple[Image.Image, Image.Image | None]":
    """Return the colours, L or RGB, and what is opaque, L; None where everything is."""
    from PIL import Image

    with Image.open(io.BytesIO(_pixels_alone(data)), formats=["PNG"]) as opened:
        opened.load()
        image: Image.Image = opened.copy()
    depth, kind = data[24], data[25]
    transparent = image.info.get("transparency")
    if kind == _PALETTE:
        image = image.convert("RGB" if transparent is None else "RGBA")
    elif kind == _GRAY_ALPHA and depth == 16:
        # Pillow repeats the gray in three channels.
        return image.getchannel(0), image.getchannel(3)
    elif kind == _GRAY:
        return _gray(image, depth, transparent)
    if image.mode in ("LA", "RGBA"):
        return image.convert(image.mode[:-1]), image.getchannel("A")
    if transparent is None:
        return image, None
    from PIL import ImageChops

    red, green, blue = (_differs(band, sample >> (depth - 8)) for band, sample in zip(image.split(), transparent, strict=True))
    return image, ImageChops.lighter(ImageChops.lighter(red, green), blue)


def _gray(image: "Image.Image", depth: int, transparent: int | None) -> "tuple[Image.Image, Image.Image | None]":
    if depth == 16:
        import numpy
        from PIL import Image

        samples = numpy.asarray(image)
        opaque = None if transparent is None else Image.fromarray(((samples != transparent) * 255).astype(numpy.uint8))
        return Image.fromarray((samples >> 8).astype(numpy.uint8)), opaque
    image = image.convert("L")
    if transparent is None:
        return image, None
    # Of one bit Pillow scales the transparent sample itself.
    return image, _differs(image, transparent if depth == 1 else transparent * 255 // (2**depth - 1))


def _differs(band: "Image.Image", sample: int) -> "Image.Image":
    return band.point([0 if value == sample else 255 for value in range(256)])


def _pixels_alone(data: bytes) -> bytes:
    """Return the file without the chunks that say nothing of its pixels: Pillow warns of some, and refuses long texts."""
    parts, place = [data[:_HEAD]], _HEAD
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        if data[place + 4 : place + 8] in _NEEDED:
            parts.append(data[place : place + 12 + length])
        place += 12 + length
    return b"".join(parts)
