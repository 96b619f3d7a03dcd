"""The recipe: JSON there and back, and pictures of any kind brought to the model's input."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.errors import Invalid, ModelInput
from service.models.preprocessing import to_model_input, to_model_inputs
from service.models.spec import InputSpec, Preprocessing, default_preprocessing

DIGIT = InputSpec(height=28, width=28, channels=1)
PHOTO = InputSpec(height=32, width=48, channels=3)
GRAY = default_preprocessing(DIGIT)
RGB = default_preprocessing(PHOTO)

recipes = st.builds(
    Preprocessing,
    color_mode=st.just("rgb"),
    resize=st.sampled_from(["pad", "stretch", "crop"]),
    interpolation=st.sampled_from(["nearest", "bilinear", "lanczos", "box"]),
    scale=st.floats(-10, 10),
    offset=st.floats(-10, 10),
    mean=st.none() | st.tuples(*[st.floats(-5, 5)] * 3),
    std=st.none() | st.tuples(*[st.floats(0.1, 5)] * 3),
    invert=st.sampled_from(["never", "always", "auto"]),
    background=st.integers(0, 255),
    pad_value=st.integers(0, 255),
)


@given(recipe=recipes)
def test_a_recipe_survives_json(recipe: Preprocessing) -> None:
    assert Preprocessing.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_an_input_spec_survives_json() -> None:
    assert InputSpec.from_json(json.loads(json.dumps(PHOTO.to_json()))) == PHOTO


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"color_mode": "cmyk"}, "preprocessing.color_mode"),
        ({"scale": "1"}, "preprocessing.scale"),
        ({"scale": float("nan")}, "preprocessing"),
        ({"background": 256}, "preprocessing.background"),
        ({"std": [0.0]}, "preprocessing.std"),
        ({"mean": [0.1, 0.2]}, "preprocessing.mean"),
        ({"version": 2}, "preprocessing.version"),
        ({"sharpen": True}, "preprocessing.sharpen"),
    ],
)
def test_a_wrong_recipe_is_refused_by_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        Preprocessing.from_json(GRAY.to_json() | change)
    assert (refused.value.field or "").startswith(field)


@pytest.mark.parametrize("change", [{"height": 0}, {"width": 4096}, {"channels": 2}, {"height": True}, {"dtype": "uint8"}])
def test_a_wrong_input_spec_is_refused_by_field(change: dict[str, object]) -> None:
    with pytest.raises(Invalid, match=f"input.{next(iter(change))}"):
        InputSpec.from_json(DIGIT.to_json() | change)


def test_something_that_is_no_object_is_refused() -> None:
    values: list[Any] = [[], "x", None, {"scale": object()}]
    for value in values:
        with pytest.raises(Invalid):
            Preprocessing.from_json(value)


def test_a_recipe_for_another_number_of_channels_does_not_fit() -> None:
    GRAY.require_fit(DIGIT)
    with pytest.raises(Invalid, match="grayscale"):
        GRAY.require_fit(PHOTO)
    with pytest.raises(ModelInput, match="makes 1 channels"):
        to_model_input(np.zeros((4, 4, 3), np.uint8), PHOTO, GRAY)


@given(
    pixels=st.integers(1, 4).flatmap(
        lambda channels: st.sampled_from([np.uint8, np.uint16]).flatmap(
            lambda dtype: st.tuples(st.integers(1, 90), st.integers(1, 90)).flatmap(
                lambda size: hnp.arrays(dtype, (*size, channels), elements=st.sampled_from([0, 1, 77, 200, 255]))
            )
        )
    ),
    recipe=recipes,
)
def test_any_picture_becomes_the_model_input(pixels: np.ndarray, recipe: Preprocessing) -> None:
    plain = dataclasses.replace(recipe, scale=1.0, offset=0.0, mean=None, std=None, interpolation="bilinear")
    for spec, one in ((PHOTO, plain), (DIGIT, dataclasses.replace(plain, color_mode="grayscale"))):
        values = to_model_input(pixels, spec, one)
        assert values.shape == spec.shape
        assert values.dtype == np.float32
        assert values.min() >= -1e-3
        assert values.max() <= 255.001


def test_a_picture_of_the_right_size_is_only_scaled() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28, 1), dtype=np.uint8)
    before = pixels.copy()
    values = to_model_input(pixels, DIGIT, GRAY)
    np.testing.assert_allclose(values, pixels / 255, rtol=1e-6)
    assert np.array_equal(pixels, before)


def test_mean_and_std_apply_by_channel_after_scale_and_offset() -> None:
    recipe = dataclasses.replace(RGB, scale=2.0, offset=1.0, mean=(1.0, 2.0, 3.0), std=(1.0, 2.0, 4.0))
    values = to_model_input(np.full((32, 48, 3), 10, np.uint8), PHOTO, recipe)
    np.testing.assert_allclose(values[0, 0], [20.0, 9.5, 4.5])


def test_sixteen_bits_keep_their_precision() -> None:
    pixels = np.linspace(0, 65535, 28 * 28).astype(np.uint16).reshape(28, 28, 1)
    np.testing.assert_allclose(to_model_input(pixels, DIGIT, GRAY), pixels / 65535, atol=1e-6)


def test_colour_becomes_luma_and_grey_becomes_colour() -> None:
    red = np.zeros((28, 28, 3), np.uint8)
    red[..., 0] = 255
    assert to_model_input(red, DIGIT, GRAY)[0, 0, 0] == pytest.approx(76 / 255)
    grey = to_model_input(np.full((32, 48, 1), 51, np.uint8), PHOTO, RGB)
    np.testing.assert_allclose(grey, 0.2, rtol=1e-6)


@pytest.mark.parametrize(("alpha", "expected"), [(0, 1.0), (255, 0.0), (51, 0.8)])
@pytest.mark.parametrize("channels", [2, 4])
def test_transparency_shows_the_background(alpha: int, expected: float, channels: int) -> None:
    pixels = np.zeros((28, 28, channels), np.uint8)
    pixels[..., -1] = alpha
    assert to_model_input(pixels, DIGIT, GRAY)[5, 5, 0] == pytest.approx(expected, abs=1 / 255)


def test_dark_on_light_is_inverted_by_its_border_and_light_on_dark_is_not() -> None:
    auto = dataclasses.replace(GRAY, invert="auto")
    digit = np.zeros((28, 28, 1), np.uint8)
    digit[8:20, 12:16] = 255
    light_on_dark = to_model_input(digit, DIGIT, auto)
    np.testing.assert_array_equal(to_model_input(255 - digit, DIGIT, auto), light_on_dark)
    np.testing.assert_array_equal(light_on_dark, digit / np.float32(255))
    np.testing.assert_array_equal(to_model_input(digit, DIGIT, dataclasses.replace(GRAY, invert="always")), 1 - light_on_dark)


def test_an_inverted_scan_of_any_kind_comes_close_to_the_original() -> None:
    digit = np.zeros((28, 28, 1), np.uint8)
    digit[8:20, 12:16] = 255
    scan = np.repeat(np.kron(255 - digit[..., 0], np.ones((6, 6), np.uint8))[..., None], 4, axis=2)
    scan[..., 3] = 255
    values = to_model_input(scan, DIGIT, dataclasses.replace(GRAY, invert="auto"))
    assert np.abs(values - digit / 255).mean() < 0.02


def test_pad_keeps_the_aspect_and_fills_the_rest() -> None:
    recipe = dataclasses.replace(GRAY, pad_value=51)
    values = to_model_input(np.full((100, 200, 1), 255, np.uint8), DIGIT, recipe)[..., 0]
    assert (values[:7] == np.float32(51) * np.float32(1 / 255)).all()
    assert (values[7:21] == 1).all()
    assert (values[21:] < 1).all()


def test_crop_takes_the_middle_and_stretch_takes_all() -> None:
    wide = np.zeros((50, 150, 1), np.uint8)
    wide[:, 50:100] = 255
    assert (to_model_input(wide, DIGIT, dataclasses.replace(GRAY, resize="crop")) == 1).all()
    stretched = to_model_input(wide, DIGIT, dataclasses.replace(GRAY, resize="stretch"))
    assert stretched.mean() == pytest.approx(1 / 3, abs=0.02)
    assert (stretched[:, 13] == 1).all()


@pytest.mark.parametrize("shape", [(1, 20000, 1), (20000, 1, 3), (1, 1, 4)])
@pytest.mark.parametrize("policy", ["pad", "crop", "stretch"])
def test_extreme_shapes_do_not_shrink_to_nothing(shape: tuple[int, int, int], policy: str) -> None:
    recipe = Preprocessing.from_json(GRAY.to_json() | {"resize": policy})
    values = to_model_input(np.full(shape, 255, np.uint8), DIGIT, recipe)
    assert values.max() == pytest.approx(1.0)


@pytest.mark.parametrize(
    "pixels", [np.zeros((28, 28), np.uint8), np.zeros((0, 5, 1), np.uint8), np.zeros((5, 5, 5), np.uint8), np.zeros((5, 5, 1))]
)
def test_what_is_no_picture_is_refused(pixels: np.ndarray) -> None:
    with pytest.raises(ModelInput):
        to_model_input(pixels, DIGIT, GRAY)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 5),
    st.sampled_from([1, 2, 3, 4]),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from(["never", "always", "auto"]),
    st.sampled_from(["grayscale", "rgb"]),
    st.sampled_from([(8, 8), (5, 9)]),
    st.booleans(),
)
@settings(deadline=None)
def test_many_at_once_are_as_one_by_one_to_the_bit(
    seed: int, count: int, channels: int, dtype: type, invert: Any, color_mode: Any, size: tuple[int, int], standardised: bool
) -> None:
    full = 256 if dtype is np.uint8 else 65536
    pixels = np.random.default_rng(seed).integers(0, full, (count, 8, 8, channels), dtype)
    wanted = 1 if color_mode == "grayscale" else 3
    recipe = Preprocessing(
        color_mode=color_mode,
        invert=invert,
        mean=(0.4,) * wanted if standardised else None,
        std=(0.3,) * wanted if standardised else None,
        offset=0.1 if standardised else 0.0,
    )
    spec = InputSpec(height=size[0], width=size[1], channels=wanted)  # type: ignore[arg-type]
    many = to_model_inputs(pixels, spec, recipe)
    assert many.shape == (count, *spec.shape)
    assert many.dtype == np.float32
    for one, each in zip(many, pixels, strict=True):
        assert one.tobytes() == to_model_input(each, spec, recipe).tobytes()
