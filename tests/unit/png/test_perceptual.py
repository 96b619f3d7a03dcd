"""Perceptual hashes: copies of a picture are close, other pictures are not."""

import io

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageEnhance

from service.png.perceptual import gray_square, likeness, perceptual_hashes
from tests.pngs import png


def photo(seed: int, side: int = 120) -> Image.Image:
    """Something with light and dark places of all sizes, as photographs have them."""
    chance = np.random.default_rng(seed)
    layers: npt.NDArray[np.float64] = np.zeros((side, side, 3))
    for cells in (3, 6, 12, 40):
        noise = Image.fromarray(chance.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        layers += np.asarray(noise.resize((side, side), Image.Resampling.BICUBIC), float) / cells
    layers -= layers.min()
    return Image.fromarray((layers * (255 / layers.max())).astype(np.uint8))


def saved(image: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def hash_of(data: bytes, media_type: str = "image/png") -> int | None:
    square = gray_square(data, media_type)
    assert square is not None
    assert square.shape == (32, 32)
    return perceptual_hashes([square])[0]


def distance(one: bytes, other: tuple[bytes, str]) -> int:
    first, second = hash_of(one), hash_of(*other)
    assert first is not None
    assert second is not None
    return ((first ^ second) & (2**64 - 1)).bit_count()


def test_copies_are_close_and_others_are_far() -> None:
    copied, others = [], []
    for seed in range(20):
        image = photo(seed)
        data = saved(image)
        copies = [
            (saved(image.resize((80, 80))), "image/png"),
            (saved(image.resize((60, 45))), "image/png"),
            (saved(image, "WEBP", quality=60), "image/webp"),
            (saved(ImageEnhance.Brightness(image).enhance(0.8)), "image/png"),
            (saved(image.convert("RGBA")), "image/png"),
        ]
        for copy in copies:
            copied.append(distance(data, copy))
            first, second = gray_square(data, "image/png"), gray_square(*copy)
            assert first is not None
            assert second is not None
            assert likeness(first, second) > 0.98
        others.append(distance(data, (saved(photo(seed + 100)), "image/png")))
        others.append(distance(data, (saved(image.transpose(Image.Transpose.ROTATE_90)), "image/png")))
    assert sum(each <= 3 for each in copied) >= 0.95 * len(copied)
    assert max(copied) < 10 < min(others)


@pytest.mark.parametrize("color_type", [0, 2, 3, 4, 6])
@pytest.mark.parametrize("depth", [1, 8, 16])
def test_every_kind_of_picture_has_one(color_type: int, depth: int) -> None:
    if (depth == 1 and color_type != 0) or (depth == 16 and color_type == 3):
        return
    assert hash_of(png(40, 30, depth=depth, color_type=color_type, seed=1)) is not None


def test_the_hash_fits_a_bigint_and_many_at_once_are_as_one_by_one() -> None:
    squares = [square for seed in range(30) if (square := gray_square(saved(photo(seed)), "image/png")) is not None]
    together = perceptual_hashes(squares)
    assert together == [perceptual_hashes([square])[0] for square in squares]
    assert len(set(together)) == 30
    assert all(value is not None and -(2**63) <= value < 2**63 for value in together)
    assert perceptual_hashes([]) == []


def test_a_picture_of_one_colour_has_none() -> None:
    for shade in (0, 128, 255):
        assert hash_of(saved(Image.new("L", (30, 20), shade))) is None
    assert hash_of(saved(Image.new("RGBA", (30, 20), (10, 200, 30, 0)))) is None


@pytest.mark.parametrize("media_type", ["image/png", "image/webp"])
def test_what_cannot_be_decoded_is_no_picture(media_type: str) -> None:
    whole = saved(photo(1), "PNG" if media_type == "image/png" else "WEBP")
    for data in (b"", b"x", whole[:100], whole[: len(whole) // 2]):
        assert gray_square(data, media_type) is None


def test_likeness_is_a_correlation() -> None:
    one, other = (square for seed in (1, 2) if (square := gray_square(saved(photo(seed)), "image/png")) is not None)
    assert likeness(one, one) == pytest.approx(1)
    assert likeness(one, 255 - one) == pytest.approx(-1)
    assert likeness(one, one * 0.5 + 20) == pytest.approx(1)
    assert abs(likeness(one, other)) < 0.8
    assert likeness(one, np.zeros_like(one)) == 0
