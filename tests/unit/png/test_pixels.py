"""Pixels as arrays: equal to a decoder written by the letter of the specification, for every kind of PNG."""

import io
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from service.errors import BadImage, TooManyPixels
from service.png import PngLimits, inspect
from service.png.pixels import decode, encode_gray, resize
from tests.pngs import COMBINATIONS, Chunk, png, samples_of

RESAMPLES: list[Literal["nearest", "bilinear", "lanczos", "box"]] = ["nearest", "bilinear", "lanczos", "box"]


def expected_pixels(data: bytes, depth: int, color_type: int, alpha: dict[tuple[int, ...], int] | None = None) -> list[object]:
    """Scale file samples as `decode` documents; `alpha` maps pixels (or palette indices) to 0-255, others are opaque."""
    full = 65535 if (color_type, depth) == (0, 16) else 255

    def pixel(samples: tuple[int, ...]) -> list[int]:
        if color_type == 3:
            index = samples[0]
            values = [index, 255 - index, index // 2]
        elif depth == 16:
            values = list(samples) if color_type == 0 else [sample >> 8 for sample in samples]
        else:
            values = [sample * 255 // (2**depth - 1) for sample in samples]
        return values if alpha is None else [*values, alpha.get(samples, 255) * full // 255]

    return [[pixel(samples) for samples in row] for row in samples_of(data)]


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize(("color_type", "depth"), COMBINATIONS)
def test_every_kind_of_picture(color_type: int, depth: int, interlace: int) -> None:
    data = png(13, 11, depth=depth, color_type=color_type, interlace=interlace, seed=6)
    pixels = decode(data)
    assert pixels.dtype == (np.uint16 if (color_type, depth) == (0, 16) else np.uint8)
    assert pixels.tolist() == expected_pixels(data, depth, color_type)
    assert inspect(data).channels == pixels.shape[2]


@pytest.mark.parametrize(("depth", "key"), [(1, 1), (1, 0), (2, 2), (4, 9), (8, 77), (16, 0)])
def test_transparent_gray(depth: int, key: int) -> None:
    trns: Chunk = (b"tRNS", key.to_bytes(2))
    data = png(40, 30, depth=depth, seed=8 if depth < 16 else None, middle=[trns])
    pixels = decode(data)
    assert pixels.shape == (30, 40, 2)
    assert pixels.tolist() == expected_pixels(data, depth, 0, {(key,): 0})
    assert 0 in pixels[:, :, 1]


@pytest.mark.parametrize("depth", [8, 16])
def test_transparent_color(depth: int) -> None:
    key = samples_of(png(9, 7, depth=depth, color_type=2, seed=8))[3][4]
    trns: Chunk = (b"tRNS", b"".join(sample.to_bytes(2) for sample in key))
    data = png(9, 7, depth=depth, color_type=2, seed=8, middle=[trns])
    pixels = decode(data)
    assert pixels.tolist() == expected_pixels(data, depth, 2, {key: 0})
    assert np.count_nonzero(pixels[:, :, 3] == 0) == 1


@pytest.mark.parametrize("alphas", [b"\0", b"\xff\0", bytes((0, 128, 255, 3)), b"\xff\xff"])
@pytest.mark.parametrize("depth", [2, 4, 8])
def test_transparent_palette(alphas: bytes, depth: int) -> None:
    data = png(30, 20, depth=depth, color_type=3, seed=5, middle=[(b"tRNS", alphas)])
    pixels = decode(data)
    assert pixels.tolist() == expected_pixels(data, depth, 3, {(index,): alpha for index, alpha in enumerate(alphas)})
    assert inspect(data).channels == 4


def test_metadata_changes_no_pixel() -> None:
    notes: list[Chunk] = [(b"gAMA", b"\0\0\xb1\x8f"), (b"tEXt", b"Title\0x")]
    trns: Chunk = (b"tRNS", bytes(range(100)))
    plain = png(30, 20, color_type=3, seed=5, middle=[trns], idat_bytes=50)
    noted = png(30, 20, color_type=3, seed=5, before=notes, middle=[trns, *notes], after=notes, idat_bytes=50)
    assert np.array_equal(decode(noted), decode(plain))
    assert decode(plain).shape == (20, 30, 4)


@pytest.mark.parametrize("color_type", [0, 2, 4, 6])
def test_rows_without_filter_and_filtered_rows_give_the_same_pixels(color_type: int) -> None:
    pixels = decode(png(21, 17, color_type=color_type, seed=2))
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)
    assert decode(png(21, 17, color_type=color_type, raw=raw)).tolist() == pixels.tolist()


def test_orientation_is_not_applied() -> None:
    data = png(5, 3, seed=1, before=[(b"eXIf", b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0")])
    assert inspect(data).exif == {"orientation": 6}
    assert decode(data).shape == (3, 5, 1)


def test_refusals() -> None:
    with pytest.raises(TooManyPixels):
        decode(png(20, 20), PngLimits(max_pixels=399))
    for data in (b"", b"GIF89a", png()[:-5]):
        with pytest.raises(BadImage):
            decode(data)
    with pytest.raises(BadImage) as caught:
        decode(png(300, 300, color_type=6, raw=b"\1" + bytes(20)))
    assert caught.value.reason == "idat_size"


@settings(deadline=None)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_encode_gray(array: npt.NDArray[np.uint8]) -> None:
    data = encode_gray(array)
    assert np.array_equal(decode(data)[:, :, 0], array)
    facts = inspect(data)
    assert (facts.height, facts.width, facts.channels, facts.bit_depth) == (*array.shape, 1, 8)
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        assert np.array_equal(np.asarray(image), array)


def test_encode_gray_of_a_view_with_strides() -> None:
    array = np.arange(200, dtype=np.uint8).reshape(10, 20)[::2, ::-3]
    assert np.array_equal(decode(encode_gray(array))[:, :, 0], array)


@pytest.mark.parametrize("resample", RESAMPLES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_resize_treats_each_channel_by_itself(channels: int, resample: Literal["nearest", "bilinear", "lanczos", "box"]) -> None:
    array = np.random.default_rng(3).integers(0, 256, (31, 23, channels), dtype=np.uint8)
    resized = resize(array, 7, 11, resample)
    assert resized.shape == (7, 11, channels)
    assert resized.dtype == np.uint8
    for index in range(channels):
        assert np.array_equal(resized[:, :, index : index + 1], resize(array[:, :, index : index + 1], 7, 11, resample))
    floats = resize(array.astype(np.float32), 7, 11, resample)
    assert floats.shape == (7, 11, channels)
    assert floats.dtype == np.float32
    assert np.abs(np.clip(floats, 0, 255) - resized).max() <= 1.01


def test_resize_averages_and_leaves_a_fitting_array_alone() -> None:
    board = (np.indices((8, 8)).sum(axis=0) % 2 * 255).astype(np.uint8)[:, :, None]
    assert set(resize(board, 2, 2, "box").ravel().tolist()) <= {127, 128}
    assert resize(board, 8, 8, "lanczos") is board


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.sampled_from(RESAMPLES))
def test_resize_to_any_size(
    height: int, width: int, to_height: int, to_width: int, resample: Literal["nearest", "bilinear", "lanczos", "box"]
) -> None:
    array = np.full((height, width, 4), 200, np.uint8)
    assert np.array_equal(resize(array, to_height, to_width, resample), np.full((to_height, to_width, 4), 200, np.uint8))
