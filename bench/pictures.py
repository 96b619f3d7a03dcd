"""The pictures of the measurements: MNIST from samples/, and as many more as wished by shifting them by a pixel or two."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from service.datasets.idx import load_split, write_idx
from service.png.pixels import encode_gray
from service.settings import PROJECT_DIR

SAMPLES = PROJECT_DIR / "samples"
_STEPS = (0, 1, -1, 2, -2, 3, -3, 4, -4)
# By the longer way, so that few copies are shifted by little.
_SHIFTS = sorted(((down, right) for down in _STEPS for right in _STEPS), key=lambda shift: max(map(abs, shift)))


@dataclass(frozen=True, slots=True)
class Digits:
    """Pictures as PNG, with what they show."""

    pngs: list[bytes]
    labels: list[str]


def test_digits() -> Digits:
    """Return the 200 pictures of the test split, which the model has not seen."""
    images, labels = load_split(SAMPLES, "test")
    return Digits([encode_gray(image) for image in images], [str(label) for label in labels])


def write_many(folder: Path, copies: int) -> Digits:
    """Write the 1,000 pictures of the training split as IDX, `copies` times, each time shifted otherwise, and return them."""
    images, labels = load_split(SAMPLES, "train")
    shifted = np.concatenate(list(_shifted(images, copies)))
    repeated = np.tile(labels, copies)
    folder.mkdir()
    write_idx(folder / "train-images-idx3-ubyte", shifted)
    write_idx(folder / "train-labels-idx1-ubyte", repeated)
    return Digits([encode_gray(image) for image in shifted], [str(label) for label in repeated])


def _shifted(images: npt.NDArray[np.uint8], copies: int) -> Iterator[npt.NDArray[np.uint8]]:
    for shift in _SHIFTS[:copies]:
        yield np.roll(images, shift, axis=(1, 2))
