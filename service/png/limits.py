"""What a picture may cost before it is refused."""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PngLimits:
    """Bound the bytes, pixels and chunks of one picture. Every bound is inclusive."""

    max_bytes: int = 20 * MIB
    """The whole file."""
    max_pixels: int = 50_000_000
    """Width times height, taken from the header before anything is decoded."""
    max_chunks: int = 65_536
    """Chunks of any type: 20 MiB in the 8 KiB pieces that libpng writes are 2,560."""
    max_ancillary_bytes: int = 8 * MIB
    """Everything but pixels and palette (text, profiles, EXIF), except the further frames of an animation."""
    max_text_bytes: int = 16 * 1024
    """UTF-8 bytes of text chunks that are kept as facts; longer text is cut, not refused."""
    max_pixels_in_process: int = 4_000_000
    """Larger pictures are decoded in a limited child process: they take some 0.1 s longer, but no memory of this one."""


DEFAULT_LIMITS = PngLimits()
