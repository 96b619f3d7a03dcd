"""The small picture that lies in the database beside each row."""

import io
from dataclasses import dataclass

from PIL import Image, WebPImagePlugin

from service.png.decoding import decode_image
from service.png.structure import Layout

MAX_BYTES = 16 * 1024
"""What the thumbnail table accepts."""
ORIGINAL_SIDE = 64
LONGEST_SIDE = 128
MEDIA_TYPE_WEBP = "image/webp"
RECIPE_ORIGINAL = "original"
RECIPE_WEBP = "webp-128-v1"
"""Changes whenever the same picture would give other thumbnail bytes, so that old thumbnails can be found and made again."""

_QUALITIES = (80, 60, 40, 20)
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture of an EXIF orientation upright."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """At most 16 KiB of PNG or WebP. Width and height are those of `data`."""

    media_type: str
    width: int
    height: int
    data: bytes
    recipe: str


def is_own_thumbnail(layout: Layout, orientation: int) -> bool:
    """Tell whether the file is so small, and upright, that it is its own thumbnail; `orientation` is EXIF's."""
    header = layout.header
    small = header.width <= ORIGINAL_SIDE and header.height <= ORIGINAL_SIDE and len(layout.data) <= MAX_BYTES
    return small and orientation not in _UPRIGHT


def own_thumbnail(layout: Layout) -> Thumbnail:
    """Decode the picture whole, and return the file itself, bit for bit. Raises BadImage as `decode_image`."""
    decode_image(layout)
    return Thumbnail("image/png", layout.header.width, layout.header.height, bytes(layout.data), RECIPE_ORIGINAL)


def make_thumbnail(layout: Layout, orientation: int) -> Thumbnail:
    """Decode the picture whole and shrink it to WebP: longest side at most 128 px, never enlarged, upright, alpha kept.

    `orientation` is EXIF's. Raises BadImage as `decode_image`.
    """
    image = decode_image(layout)
    longest = LONGEST_SIDE
    while True:
        small = _shrink(image, longest)
        if orientation in _UPRIGHT:
            small = small.transpose(_UPRIGHT[orientation])
        small = small.convert("RGBA" if small.mode in ("LA", "RGBA") else "RGB")
        for quality in _QUALITIES:
            data = _encode(small, quality)
            if len(data) <= MAX_BYTES:
                return Thumbnail(MEDIA_TYPE_WEBP, small.width, small.height, data, RECIPE_WEBP)
        longest //= 2


def _shrink(image: Image.Image, longest: int) -> Image.Image:
    scale = min(1.0, longest / max(image.size))
    width, height = (max(1, round(side * scale)) for side in image.size)
    # Large pictures are first reduced by a whole factor, which is faster; twice the final size is enough left for Lanczos.
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)


def _encode(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, WebPImagePlugin.WebPImageFile.format, quality=quality, alpha_quality=quality)
    return buffer.getvalue()
