"""Thumbnails: the file itself when it is small, else a small upright WebP that keeps aspect and transparency."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.png import Thumbnail, inspect
from tests.pngs import COMBINATIONS, exif_block, png

KIB = 1024


def picture_of(thumbnail: Thumbnail) -> Image.Image:
    with Image.open(io.BytesIO(thumbnail.data)) as image:
        image.load()
        assert image.size == (thumbnail.width, thumbnail.height)
        assert image.get_format_mimetype() == thumbnail.media_type
        return image


def saved(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (28, 28), (64, 64)])
def test_small_picture_is_its_own_thumbnail(width: int, height: int) -> None:
    data = png(width, height, seed=1)
    assert inspect(data).thumbnail == Thumbnail("image/png", width, height, data, "original")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_small_picture_that_lies_on_its_side_is_turned(orientation: int) -> None:
    """Few viewers know the orientation of a PNG, so the file itself would not be shown upright."""
    chunk = (b"eXIf", exif_block({0x0112: (3, 1, struct.pack("<H", orientation))}))
    thumbnail = inspect(png(30, 20, before=[chunk])).thumbnail
    assert (thumbnail.recipe == "original") is (orientation == 1)
    assert picture_of(thumbnail).size == ((20, 30) if orientation > 4 else (30, 20))


@pytest.mark.parametrize(
    ("width", "height", "comment", "size"), [(65, 10, 0, (65, 10)), (10, 65, 0, (10, 65)), (5, 4, 17 * KIB, (5, 4))]
)
def test_just_above_the_limits_gives_a_webp_that_is_not_enlarged(
    width: int, height: int, comment: int, size: tuple[int, int]
) -> None:
    """A WebP that is not enlarged."""
    thumbnail = inspect(png(width, height, before=[(b"tEXt", b"Comment\0" + b"x" * comment)])).thumbnail
    assert (thumbnail.media_type, thumbnail.recipe) == ("image/webp", "webp-128-v1")
    assert picture_of(thumbnail).size == size


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        (640, 480, (128, 96)),
        (480, 640, (96, 128)),
        (129, 129, (128, 128)),
        (1, 20_000, (1, 128)),
        (20_000, 1, (128, 1)),
        (3, 5000, (1, 128)),
        (128, 127, (128, 127)),
    ],
)
def test_size(width: int, height: int, size: tuple[int, int]) -> None:
    assert picture_of(inspect(png(width, height)).thumbnail).size == size


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from(COMBINATIONS), st.sampled_from([0, 1]), st.integers(0, 9))
def test_any_picture_has_a_small_thumbnail(width: int, height: int, kind: tuple[int, int], interlace: int, seed: int) -> None:
    facts = inspect(png(width, height, color_type=kind[0], depth=kind[1], interlace=interlace, seed=seed, level=1))
    thumbnail = facts.thumbnail
    assert 1 <= len(thumbnail.data) <= 16 * KIB
    shown = picture_of(thumbnail)
    assert 1 <= min(shown.size) <= max(shown.size) <= 128
    if thumbnail.recipe != "original":
        assert (shown.mode == "RGBA") is (facts.channels in (2, 4))


def corner_colors(image: Image.Image) -> list[str]:
    """Name the colours of the corners: top left, top right, bottom left, bottom right."""
    rgb = image.convert("RGB")
    right, bottom = rgb.width - 2, rgb.height - 2
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white"}
    corners = [rgb.getpixel(place) for place in ((1, 1), (right, 1), (1, bottom), (right, bottom))]
    return [names[tuple(int(value > 128) for value in corner)] for corner in corners if isinstance(corner, tuple)]  # type: ignore[index]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_by_exif_orientation(orientation: int) -> None:
    upright = Image.new("RGB", (200, 100), "white")
    upright.paste("red", (0, 0, 100, 50))
    upright.paste("lime", (100, 0, 200, 50))
    upright.paste("blue", (0, 50, 100, 100))
    turn = Image.Transpose
    stored_as = {2: turn.FLIP_LEFT_RIGHT, 3: turn.ROTATE_180, 4: turn.FLIP_TOP_BOTTOM, 5: turn.TRANSPOSE}
    stored_as |= {6: turn.ROTATE_90, 7: turn.TRANSVERSE, 8: turn.ROTATE_270}
    stored = upright.transpose(stored_as[orientation]) if orientation > 1 else upright
    exif = exif_block({0x0112: (3, 1, struct.pack("<H", orientation))})
    raw = b"".join(b"\0" + row.tobytes() for row in np.asarray(stored))
    facts = inspect(png(*stored.size, color_type=2, raw=raw, before=[(b"eXIf", exif)]))
    assert (facts.width, facts.height) == stored.size
    shown = picture_of(facts.thumbnail)
    assert shown.size == (128, 64)
    assert corner_colors(shown) == ["red", "green", "blue", "white"]


def test_sixteen_bit_gray_is_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 200).astype(">u2")
    raw = b"".join(b"\0" + ramp.tobytes() for _ in range(100))
    shown = np.asarray(picture_of(inspect(png(200, 100, depth=16, raw=raw)).thumbnail).convert("L")).astype(int)
    assert np.abs(shown.mean(axis=0) - np.linspace(0, 255, 128)).max() < 8


def test_transparency_is_kept_and_hidden_colour_does_not_bleed() -> None:
    image = Image.new("RGBA", (300, 300), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 150, 300))
    shown = np.asarray(picture_of(inspect(saved(image)).thumbnail))
    assert shown.shape == (128, 128, 4)
    assert shown[:, :60, 3].min() == 255
    assert shown[:, 68:, 3].max() == 0
    visible = shown[shown[:, :, 3] > 64]
    assert visible[:, 0].max() < 60


def test_noise_stays_below_the_limit() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (128, 128, 4), dtype=np.uint8)
    thumbnail = inspect(saved(Image.fromarray(noise))).thumbnail
    assert len(thumbnail.data) <= 16 * KIB
    assert picture_of(thumbnail).mode == "RGBA"
    assert picture_of(thumbnail).size == (128, 128)


def test_thumbnail_carries_no_metadata() -> None:
    chunks = [(b"eXIf", exif_block({0x0110: (2, 7, b"Camera\0")})), (b"tEXt", b"Comment\0secret")]
    data = inspect(png(200, 100, before=chunks)).thumbnail.data
    assert not any(mark in data for mark in (b"EXIF", b"XMP ", b"ICCP", b"Camera", b"secret"))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(20, 30), (200, 300)])
def test_pictures_written_by_pillow(mode: str, size: tuple[int, int]) -> None:
    values = np.random.default_rng(2).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    color = Image.fromarray(values)
    image = Image.fromarray(values[:, :, 0].astype(np.uint16) * 257) if mode == "I;16" else color.convert(mode)
    facts = inspect(saved(image))
    assert (facts.width, facts.height) == size
    assert facts.channels == {"1": 1, "L": 1, "LA": 2, "P": 3, "RGB": 3, "RGBA": 4, "I;16": 1}[mode]
    assert facts.bit_depth == {"1": 1, "I;16": 16}.get(mode, 8)
    assert min(facts.thumbnail.width, facts.thumbnail.height) >= 1
