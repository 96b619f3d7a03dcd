"""What a picture looks like, in 64 bits: close for a picture and its smaller, recompressed or slightly changed copies.

The hash is the one known as pHash: the lowest frequencies of a small gray picture, each above their median or not (C. Zauner, "Implementation and
Benchmarking of Perceptual Image Hash Functions", 2010). Copies that are turned, mirrored or cropped are not close.
"""

import io
import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.errors import PixrefError
from service.png.pixels import decode_stored, resize

SIDE = 32
FREQUENCIES = 8
FLAT = 1.0
"""A picture whose levels differ by less than this (standard deviation, of 255) looks like nothing in particular, and has no hash."""

Levels = npt.NDArray[np.float32]
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_WHITE = np.float32(255)

_places = 2 * np.arange(SIDE) + 1
_COSINES: npt.NDArray[np.float32] = np.cos(np.pi / (2 * SIDE) * np.outer(np.arange(FREQUENCIES), _places)).astype(np.float32)


def gray_square(data: bytes, media_type: str) -> Levels | None:
    """Return a small PNG or WebP picture of ours as gray levels from 0 to 255 of (`SIDE`, `SIDE`), on white; None where it cannot be decoded."""
    try:
        if media_type == "image/png":
            pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] = decode_stored(data)
        else:
            with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
                warnings.simplefilter("error")
                pixels = np.asarray(image.convert("RGBA"))
    except (PixrefError, OSError, Warning):
        return None
    levels = pixels.astype(np.float32) * np.float32(255 / np.iinfo(pixels.dtype).max)
    if levels.shape[2] in (2, 4):
        alpha = levels[:, :, -1:] / _WHITE
        levels = levels[:, :, :-1] * alpha + _WHITE * (1 - alpha)
    gray = levels @ _LUMA if levels.shape[2] == 3 else levels[:, :, 0]
    square: Levels = resize(np.ascontiguousarray(gray)[:, :, np.newaxis], SIDE, SIDE, "box")[:, :, 0]
    return square


def perceptual_hashes(squares: Sequence[Levels]) -> list[int | None]:
    """Return the hash of each of `gray_square`'s pictures, as a signed integer of 64 bits; None for one that is flat."""
    if not squares:
        return []
    stacked = np.stack(squares)
    low = (_COSINES @ stacked @ _COSINES.T).reshape(len(stacked), -1)
    # The first is the mean level, which says nothing of what is seen.
    bits = low > np.median(low[:, 1:], axis=1, keepdims=True)
    bits[:, 0] = False
    hashes = np.packbits(bits, axis=1).view(">i8")[:, 0]
    flat = stacked.std(axis=(1, 2)) < FLAT
    return [None if is_flat else int(value) for value, is_flat in zip(hashes, flat, strict=True)]


def likeness(one: Levels, other: Levels) -> float:
    """Return the correlation of two pictures' levels, -1 to 1: what differs in brightness or contrast alone is alike."""
    first, second = one - one.mean(), other - other.mean()
    scale = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / scale if scale else 0.0
