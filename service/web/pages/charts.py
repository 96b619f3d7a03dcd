"""Lines and shades for pages: numbers in, what an SVG or a class needs out. Pure."""

from collections.abc import Sequence

SHADES = 10


def points(pairs: Sequence[tuple[float, float]], *, width: float, height: float) -> str:
    """Return pairs of 0 to 1 as the points of an SVG polyline: x to the right, y upwards, within `width` and `height`."""
    return " ".join(f"{x * width:.1f},{(1 - y) * height:.1f}" for x, y in pairs)


def curve(values: Sequence[float | None], *, highest: float) -> list[tuple[float, float]]:
    """Return values one after the other as pairs of 0 to 1, `highest` being 1; those that are missing are left out."""
    last = max(1, len(values) - 1)
    return [
        (place / last, min(1.0, value / highest) if highest else 0.0) for place, value in enumerate(values) if value is not None
    ]


def shade(share: float) -> int:
    """Return which of `SHADES` a share of 0 to 1 has: 0 for nothing alone, and the least one for anything above it."""
    return 0 if share <= 0 else max(1, min(SHADES, round(share * SHADES)))
