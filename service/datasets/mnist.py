"""MNIST: IDX files to labelled pictures."""

from collections.abc import Iterator
from pathlib import Path

from service.datasets.idx import Split, load_split
from service.pictures.bulk import Candidate
from service.pictures.upload import Description
from service.png.pixels import encode_gray

SOURCE = "mnist"


def pictures(directory: Path, split: Split, *, count: int | None = None) -> Iterator[Candidate]:
    """Yield the first `count` digits (default: all) of a split as PNG, labelled "0" to "9" and tagged "mnist". Raises `Invalid`."""
    images, labels = load_split(directory, split)
    for index, (pixels, label) in enumerate(zip(images[:count], labels[:count], strict=True)):
        yield Candidate(
            encode_gray(pixels),
            Description(
                original_name=f"mnist-{split}-{index:05d}.png",
                label=str(label),
                tags=["mnist"],
                split=split,
                attributes={"mnist_index": index},
            ),
        )


def available(directory: Path, split: Split) -> int:
    """Return how many digits the split has in this folder. Raises `Invalid`."""
    return len(load_split(directory, split)[1])
