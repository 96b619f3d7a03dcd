"""What a file says of itself, in words."""

import pytest

from service.web.pages.file_words import file_in_words

EXIF = {
    "orientation": 6,
    "camera_make": "Ženit <b>",
    "exposure_s": 0.004,
    "f_number": 2.8,
    "focal_length_mm": 50.0,
    "iso": 400,
    "taken": "2026-06-01T12:30:00+02:00",
}
PNG = {
    "interlaced": True,
    "palette_size": 16,
    "gamma": 0.45455,
    "srgb": "perceptual",
    "icc_profile": "Display P3",
    "pixels_per_metre": [11811, 11811],
    "frames": 3,
    "text": {"Author": "somebody", "Comment": "a < b"},
    "text_private": True,
}


def test_a_photograph_reads_well() -> None:
    assert list(file_in_words(PNG, EXIF)) == [
        ("Shown", "turned by 90° to the right"),
        ("Camera by", "Ženit <b>"),
        ("Exposure", "1/250 s"),
        ("Aperture", "f/2.8"),
        ("Focal length", "50 mm"),
        ("ISO", "400"),
        ("Taken", "2026-06-01 12:30:00+02:00"),
        ("Stored", "in passes (Adam7)"),
        ("Palette", "16 colours"),
        ("Gamma", "0.4546"),
        ("sRGB", "perceptual"),
        ("Colour profile", "Display P3"),
        ("Resolution", "300 pixels an inch"),
        ("Animation", "3 frames, of which this is the first"),
        ("Private text", "such as XMP is in the file, and not here"),
        ("“Author”", "somebody"),
        ("“Comment”", "a < b"),
    ]


@pytest.mark.parametrize(
    ("png", "exif", "line"),
    [
        ({}, {"exposure_s": 2.5}, ("Exposure", "2.5 s")),
        ({}, {"exposure_s": 0}, ("Exposure s", "0")),
        ({}, {"orientation": 9}, ("Orientation", "9")),
        ({"pixels_per_metre": [3937, 2835]}, {}, ("Resolution", "100 by 72 pixels an inch")),
        ({"pixel_aspect": [4, 3]}, {}, ("Pixels", "4:3")),
        ({"something_new": {"a": 1}}, {}, ("Something new", '{"a": 1}')),
    ],
)
def test_one_line(png: dict[str, object], exif: dict[str, object], line: tuple[str, str]) -> None:
    assert list(file_in_words(png, exif)) == [line]


def test_nothing_is_said_of_a_plain_file() -> None:
    assert list(file_in_words({}, {})) == []
