"""Everything that Pixref writes down about a picture."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.png.isolation import thumbnail_by_child
from service.png.limits import DEFAULT_LIMITS, PngLimits
from service.png.metadata import read_metadata
from service.png.structure import Layout, scan
from service.png.thumbnail import Thumbnail, is_own_thumbnail, make_thumbnail, own_thumbnail


@dataclass(frozen=True, slots=True)
class PngFacts:
    """One picture. `png` and `exif` are JSON-safe and acceptable to PostgreSQL's jsonb."""

    width: int
    height: int
    """Of the pixels as stored; an EXIF orientation may show them turned."""
    channels: int
    """Of the decoded picture: gray 1, gray + alpha 2, colour 3, colour + alpha 4. Palettes count as colour, tRNS as alpha."""
    bit_depth: int
    """Bits per sample in the file, or per index of a palette picture."""
    color_type: int
    """As in the file: 0 gray, 2 RGB, 3 palette, 4 gray + alpha, 6 RGBA."""
    interlaced: bool
    animated: bool
    """An APNG; everything else here is about its default image."""
    byte_size: int
    sha256: str
    png: dict[str, Any]
    exif: dict[str, Any]
    taken_at: datetime | None
    thumbnail: Thumbnail


def inspect(data: bytes | memoryview, limits: PngLimits = DEFAULT_LIMITS) -> PngFacts:
    """Check a PNG strictly, decode it whole, and return its facts with a thumbnail.

    Limits are applied before anything is decoded, and pictures of more than `limits.max_pixels_in_process` are decoded in a child
    process. Raises BadImage (reasons in `service.png`), TooLarge or TooManyPixels, whatever the bytes; and Unavailable only where the
    system refuses a child process.
    """
    layout = scan(data, limits)
    png, exif, taken_at = read_metadata(layout, limits.max_text_bytes)
    header = layout.header
    return PngFacts(
        width=header.width,
        height=header.height,
        channels=layout.channels,
        bit_depth=header.bit_depth,
        color_type=header.color_type,
        interlaced=header.interlaced,
        animated=png.get("frames", 0) > 1,
        byte_size=len(layout.data),
        sha256=hashlib.sha256(layout.data).hexdigest(),
        png=png,
        exif=exif,
        taken_at=taken_at,
        thumbnail=_thumbnail(layout, exif.get("orientation", 1), limits),
    )


def _thumbnail(layout: Layout, orientation: int, limits: PngLimits) -> Thumbnail:
    if is_own_thumbnail(layout, orientation):
        return own_thumbnail(layout)
    if layout.header.width * layout.header.height > limits.max_pixels_in_process:
        return thumbnail_by_child(layout, orientation)
    return make_thumbnail(layout, orientation)
