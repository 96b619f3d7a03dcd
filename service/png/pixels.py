"""Pixels for models, and the encoder for bulk loading."""

import struct
import zlib
from functools import lru_cache
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.png.arrays import Samples, decode_array
from service.png.limits import DEFAULT_LIMITS, PngLimits
from service.png.structure import IEND, SIGNATURE, scan, written_chunk

Resample = Literal["nearest", "bilinear", "lanczos", "box"]
Real = TypeVar("Real", np.uint8, np.float32)

_FILTERS: dict[Resample, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
}


def decode_stored(data: bytes | memoryview) -> Samples:
    """Return the pixels of a picture that was checked when it was kept, whatever the limits are now; as `decode` does."""
    return decode(data, PngLimits(max_bytes=len(data), max_pixels=2**62))


def decode(data: bytes | memoryview, limits: PngLimits = DEFAULT_LIMITS) -> Samples:
    """Return the pixels as an array (height, width, channels), channels being gray, gray + alpha, RGB or RGBA.

    Palettes are resolved and tRNS becomes alpha. Samples are uint8, or uint16 for 16-bit grayscale (0-65535, also with tRNS);
    16-bit RGB, RGBA and gray + alpha come as uint8, their high byte. The pixels lie as stored: EXIF orientation is not applied.

    The file is checked as strictly as by `inspect`, but always decoded in this process. Raises BadImage, TooLarge or
    TooManyPixels. The array may be read-only.
    """
    return decode_array(scan(data, limits))


def resize(array: npt.NDArray[Real], height: int, width: int, resample: Resample) -> npt.NDArray[Real]:
    """Resize (H, W, C) to (height, width, C), each channel by itself, in the array's own type.

    Shrinking averages over all source pixels (antialiasing) except with `nearest`. An array that has the size already is returned
    as it is.
    """
    if array.shape[:2] == (height, width):
        return array
    mode = "F" if array.dtype == np.float32 else "L"
    filter_ = _FILTERS[resample]
    if mode == "L" and array.shape[2] == 3:
        return np.asarray(Image.fromarray(array).resize((width, height), filter_), dtype=array.dtype)
    # Pillow would weigh RGBA by its alpha, and has no float modes of several channels.
    bands = [
        np.asarray(Image.fromarray(np.ascontiguousarray(array[:, :, index])).resize((width, height), filter_))
        for index in range(array.shape[2])
    ]
    return np.stack(bands, axis=2)


def encode_gray(array: npt.NDArray[np.uint8]) -> bytes:
    """Encode (height, width) as an 8-bit grayscale PNG without row filters, which suits drawings and digits and is fast."""
    height, width = array.shape
    rows = np.zeros((height, width + 1), np.uint8)
    rows[:, 1:] = array
    return _gray_head(width, height) + written_chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)) + IEND


@lru_cache(maxsize=64)
def _gray_head(width: int, height: int) -> bytes:
    return SIGNATURE + written_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
