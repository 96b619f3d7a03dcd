"""Pictures decoded side by side: the same pixels as one by one, for every kind of PNG, and as Pillow has them."""

import io
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.png.batch import LARGEST_BYTES, decode_alike
from service.png.pixels import decode, encode_gray
from tests.pngs import COMBINATIONS, SAMPLES, png

PLAIN = {(color_type, 8) for color_type in (0, 2, 4, 6)}
MODES = {0: "L", 2: "RGB", 4: "LA", 6: "RGBA"}


@st.composite
def pictures(draw: st.DrawFn) -> tuple[int, bytes]:
    """A picture of a kind that is decoded side by side, with any filters, in any number of IDAT chunks; and its colour type."""
    color_type = draw(st.sampled_from([0, 2, 4, 6]))
    # Few sizes, so that many pictures are alike.
    width, height = draw(st.sampled_from([(1, 1), (3, 2), (5, 4), (1, 9), (28, 28)]))
    row = width * SAMPLES[color_type]
    noise = draw(st.integers(0, 2**32 - 1))
    pixels = np.random.default_rng(noise).integers(0, 256, (height, row), np.uint8)
    filters = draw(st.lists(st.integers(0, 4), min_size=height, max_size=height))
    raw = b"".join(bytes([kind]) + line.tobytes() for kind, line in zip(filters, pixels, strict=True))
    idat_bytes = draw(st.sampled_from([None, 1, 7]))
    between = draw(st.sampled_from([[], [(b"tEXt", b"Title\0x")], [(b"gAMA", b"\0\0\xb1\x8f")]]))
    return color_type, png(width, height, color_type=color_type, raw=raw, idat_bytes=idat_bytes, middle=between)


@given(st.lists(pictures(), max_size=12))
@settings(deadline=None)
def test_side_by_side_is_as_one_by_one_and_as_pillow(drawn: list[tuple[int, bytes]]) -> None:
    files = [data for _, data in drawn]
    found = decode_alike(files)
    assert sorted(place for alike in found for place in alike.places) == list(range(len(files)))
    for alike in found:
        assert alike.pixels.dtype == np.uint8
        for place, pixels in zip(alike.places, alike.pixels, strict=True):
            color_type, data = drawn[place]
            assert np.array_equal(pixels, decode(data))
            with Image.open(io.BytesIO(data)) as opened:
                assert opened.mode == MODES[color_type]
                pillow = np.asarray(opened)
            assert np.array_equal(pixels, pillow.reshape(pixels.shape))


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize(("color_type", "depth"), COMBINATIONS)
def test_other_kinds_are_left_to_be_decoded_one_by_one(color_type: int, depth: int, interlace: int) -> None:
    data = png(13, 11, depth=depth, color_type=color_type, interlace=interlace, seed=6)
    found = decode_alike([data])
    if (color_type, depth) in PLAIN and not interlace:
        assert np.array_equal(found[0].pixels[0], decode(data))
    else:
        assert found == []


def test_transparency_by_a_colour_is_left_alone() -> None:
    assert decode_alike([png(8, 8, seed=1, middle=[(b"tRNS", b"\0\x07")])]) == []


def test_large_pictures_are_left_alone() -> None:
    assert decode_alike([png(LARGEST_BYTES, 1)]) == []
    assert len(decode_alike([png(LARGEST_BYTES - 1, 1)])) == 1


def test_kinds_are_kept_apart_and_places_told() -> None:
    digit = np.arange(64, dtype=np.uint8).reshape(8, 8)
    files = [
        png(8, 8, seed=1),
        png(8, 9, seed=1),
        encode_gray(digit),
        png(8, 8, color_type=2, seed=1),
        png(8, 8, depth=4, seed=1),
    ]
    assert {tuple(alike.places): alike.pixels.shape[1:] for alike in decode_alike(files)} == {
        (0, 2): (8, 8, 1),
        (1,): (9, 8, 1),
        (3,): (8, 8, 3),
    }


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a",
        png(8, 8, seed=1)[:30],
        png(8, 8, seed=1)[:60],
        png(8, 8, raw=bytes(8 * 9 - 1)),  # a byte is missing
        png(8, 8, raw=bytes(8 * 9 + 1)),
        png(8, 8, raw=(b"\x05" + bytes(8)) * 8),  # no such filter
        png(8, 8, seed=1).replace(zlib.compress(b"")[:2], b"\xff\xff", 1),
        png(0, 8, raw=b""),
        png(8, 0, raw=b""),
    ],
)
def test_what_is_damaged_is_left_to_whoever_says_so(data: bytes) -> None:
    assert decode_alike([data, png(8, 8, seed=1)])[0].places == [1]


def test_thousands_of_filtered_pictures_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.png.batch._AT_ONCE_BYTES", 3 * 28 * 29)
    files = [png(28, 28, seed=seed) for seed in range(10)]
    (found,) = decode_alike(files)
    for data, pixels in zip(files, found.pixels, strict=True):
        assert np.array_equal(pixels, decode(data))
