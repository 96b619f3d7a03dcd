"""What a file says of itself, in its PNG chunks and its EXIF block, as people read it. Pure.

The keys are those of `service.png.metadata` and `service.png.exif`. Each is worded here, and one that is not is shown under its own name.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from service.web.pages.model_words import value_in_words

_NAMES = {
    "camera_make": "Camera by",
    "camera_model": "Camera",
    "lens_model": "Lens",
    "software": "Written by",
    "taken": "Taken",
    "digitized": "Digitized",
    "modified": "Changed",
    "iso": "ISO",
    "palette_size": "Palette",
    "gamma": "Gamma",
    "srgb": "sRGB",
    "icc_profile": "Colour profile",
    "frames": "Animation",
    "text_truncated": "More text",
    "text_private": "Private text",
}
_TURNS = {
    1: "as it is stored",
    2: "mirrored",
    3: "turned by 180°",
    4: "mirrored, turned by 180°",
    5: "mirrored, turned by 90° to the left",
    6: "turned by 90° to the right",
    7: "mirrored, turned by 90° to the right",
    8: "turned by 90° to the left",
}
_METRES_AN_INCH = 0.0254


def file_in_words(png: Mapping[str, Any], exif: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give name and value of each line: the camera's first, then the file's, then its texts by their keywords."""
    for key, value in (*exif.items(), *png.items()):
        if key != "text":
            yield _line(key, value)
    texts = png.get("text")
    if isinstance(texts, Mapping):
        for keyword, text in texts.items():
            yield f"“{keyword}”", value_in_words(text)


def _line(key: str, value: Any) -> tuple[str, str]:
    match key, value:
        case "orientation", int() if value in _TURNS:
            return "Shown", _TURNS[value]
        case "exposure_s", int() | float() if value > 0:
            return "Exposure", f"1/{1 / value:,.0f} s" if value < 0.3 else f"{value:g} s"
        case "f_number", int() | float():
            return "Aperture", f"f/{value:g}"
        case "focal_length_mm", int() | float():
            return "Focal length", f"{value:g} mm"
        case "pixels_per_metre", [int(x), int(y)]:
            across, down = (round(each * _METRES_AN_INCH) for each in (x, y))
            return "Resolution", f"{across:,} pixels an inch" if across == down else f"{across:,} by {down:,} pixels an inch"
        case "pixel_aspect", [int(x), int(y)]:
            return "Pixels", "square" if x == y else f"{x}:{y}"
        case "interlaced", True:
            return "Stored", "in passes (Adam7)"
        case "palette_size", int():
            return "Palette", f"{value} colours"
        case "frames", int():
            return "Animation", f"{value:,} frames, of which this is the first"
        case "text_truncated", True:
            return "More text", "was too much to keep"
        case "text_private", True:
            return "Private text", "such as XMP is in the file, and not here"
        case (("taken" | "digitized" | "modified"), str()):
            return _NAMES[key], value.replace("T", " ")
    return _NAMES.get(key, key.replace("_", " ").capitalize()), value_in_words(value)
