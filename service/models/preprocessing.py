"""Bring pictures of any size, colour or bit depth to a model's input, by the recipe that is stored with the model.

`service.models.spec.Preprocessing` describes the steps; this module is their only implementation, used for online
predictions, batch predictions and vetting alike. It takes decoded arrays; decoding belongs to `service.png`.
"""

import math
from functools import lru_cache
from typing import cast

import numpy as np
import numpy.typing as npt

from service.errors import ModelInput
from service.models.spec import InputSpec, Preprocessing
from service.png.pixels import resize

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Levels = Bytes | Floats

# Rows are converted in strips of about this many pixels: a strip's temporary arrays fit the cache, whatever the picture's size.
_STRIP_PIXELS = 1 << 18
_LUMA = np.array([[0.299], [0.587], [0.114]], np.float32)


def to_model_input(pixels: Pixels, spec: InputSpec, recipe: Preprocessing) -> Floats:
    """Prepare one picture: (H, W, C) of uint8 or uint16, C being gray, gray + alpha, RGB or RGBA, to float32 of `spec.shape`.

    A uint8 picture that already has the model's size and channels takes microseconds. Raises `ModelInput` when the array is
    not a picture, or when the recipe makes another number of channels than the model takes.
    """
    return scale_levels(to_levels(pixels, spec, recipe), recipe)


def to_levels(pixels: Pixels, spec: InputSpec, recipe: Preprocessing) -> Levels:
    """Do all steps of the recipe but the last: levels from 0 to 255 of `spec.shape`, uint8, or float32 of a 16-bit picture. Raises `ModelInput`."""
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or pixels.size == 0:
        raise ModelInput(f"A picture is an array of height, width and 1 to 4 channels, not {pixels.shape}.")
    if recipe.channels != spec.channels:
        raise ModelInput(f"The recipe makes {recipe.channels} channels, but the model takes {spec.channels}.")
    levels = _to_levels(pixels, recipe)
    if recipe.invert == "always" or (recipe.invert == "auto" and _border_means(levels[np.newaxis])[0] > 127.5):
        levels = 255 - levels
    if levels.shape[:2] != (spec.height, spec.width):
        levels = _fit(levels, spec, recipe)
    return levels


def to_model_inputs(pixels: Pixels, spec: InputSpec, recipe: Preprocessing) -> Floats:
    """Prepare pictures of one size: (n, H, W, C) to float32 of (n, *`spec.shape`), each as `to_model_input` does, to the bit.

    For uint8 pictures of the model's size and channels, all at once.
    """
    fits = pixels.dtype == np.uint8 and pixels.shape[1:] == spec.shape and recipe.channels == spec.channels
    if not fits or not len(pixels):
        prepared = [to_model_input(each, spec, recipe) for each in pixels]
        return np.stack(prepared) if prepared else np.empty((0, *spec.shape), np.float32)
    levels = cast(Bytes, pixels)
    if recipe.invert == "always":
        levels = 255 - levels
    elif recipe.invert == "auto" and (light := _border_means(levels) > 127.5).any():
        levels = np.where(light[:, np.newaxis, np.newaxis, np.newaxis], 255 - levels, levels)
    return scale_levels(levels, recipe)


def _to_levels(pixels: Pixels, recipe: Preprocessing) -> Levels:
    """Steps 1 to 3 of the recipe: 8-bit pictures stay uint8 (rounded), 16-bit ones become float32 from 0 to 255."""
    if pixels.dtype == np.uint8 and pixels.shape[2] == recipe.channels:
        return cast(Bytes, pixels)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ModelInput(f"A picture's samples are uint8 or uint16, not {pixels.dtype}.")
    height, width, _ = pixels.shape
    out = np.empty((height, width, recipe.channels), np.uint8 if pixels.dtype == np.uint8 else np.float32)
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = _strip_levels(pixels[top : top + rows], recipe)
        out[top : top + rows] = np.rint(strip) if out.dtype == np.uint8 else strip
    return out


def _strip_levels(strip: Pixels, recipe: Preprocessing) -> Floats:
    full = 255 if strip.dtype == np.uint8 else 65535
    levels = strip.astype(np.float32)
    levels *= 255 / full
    if levels.shape[2] in (2, 4):
        alpha = levels[:, :, -1:] / np.float32(255)
        levels = levels[:, :, :-1] * alpha + np.float32(recipe.background) * (np.float32(1) - alpha)
    if recipe.color_mode == "grayscale" and levels.shape[2] == 3:
        return levels @ _LUMA
    return levels


def _border_means(levels: Levels) -> npt.NDArray[np.float64]:
    """Return the mean level of the outermost ring of each picture of (n, H, W, C)."""
    count, height, width, channels = levels.shape
    ring = levels.reshape(count, -1, channels)[:, _ring(height, width)]
    return cast("npt.NDArray[np.float64]", ring.sum(axis=(1, 2), dtype=np.float64) / (ring.shape[1] * channels))


@lru_cache(maxsize=16)
def _ring(height: int, width: int) -> npt.NDArray[np.intp]:
    """Flat indices of the outermost ring of pixels. Cached, since finding them costs more than the rest of a small picture."""
    outermost = np.ones((height, width), bool)
    outermost[1:-1, 1:-1] = False
    return np.flatnonzero(outermost)


def _fit(levels: Levels, spec: InputSpec, recipe: Preprocessing) -> Levels:
    height, width, _ = levels.shape
    if recipe.resize == "stretch":
        return _resized(levels, spec.height, spec.width, recipe)
    if recipe.resize == "crop":
        zoom = max(spec.height / height, spec.width / width)
        kept_height, kept_width = _rounded(spec.height / zoom, height), _rounded(spec.width / zoom, width)
        top, left = (height - kept_height) // 2, (width - kept_width) // 2
        return _resized(levels[top : top + kept_height, left : left + kept_width], spec.height, spec.width, recipe)
    zoom = min(spec.height / height, spec.width / width)
    inner = _resized(levels, _rounded(height * zoom, spec.height), _rounded(width * zoom, spec.width), recipe)
    out = np.full(spec.shape, recipe.pad_value, levels.dtype)
    top, left = (spec.height - inner.shape[0]) // 2, (spec.width - inner.shape[1]) // 2
    out[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return cast(Levels, out)


def _rounded(length: float, limit: int) -> int:
    """A side in whole pixels; a picture of 1 x 20,000 must not shrink to none."""
    return min(max(1, math.floor(length + 0.5)), limit)


def _resized(levels: Levels, height: int, width: int, recipe: Preprocessing) -> Levels:
    if levels.dtype == np.uint8:
        return resize(cast(Bytes, levels), height, width, recipe.interpolation)
    return resize(cast(Floats, levels), height, width, recipe.interpolation)


def scale_levels(levels: Levels, recipe: Preprocessing) -> Floats:
    """Do the last step of the recipe, for one picture or many: (..., channels) of levels to float32 of the same shape."""
    values = levels * np.float32(recipe.scale)
    if recipe.offset:
        values += np.float32(recipe.offset)
    if recipe.mean is not None:
        values -= np.array(recipe.mean, np.float32)
    if recipe.std is not None:
        values /= np.array(recipe.std, np.float32)
    return cast(Floats, values)
