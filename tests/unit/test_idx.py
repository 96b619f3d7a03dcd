"""IDX files: what is written is read back, and anything else is refused by name and fault."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.datasets.idx import load_split, read_idx, write_idx
from service.errors import Invalid, NotFound

SAMPLES = Path(__file__).parents[2] / "samples"


@given(
    array=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)),
    suffix=st.sampled_from(["", ".gz"]),
)
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, suffix: str) -> None:
    path = tmp_path_factory.mktemp("idx") / f"a-idx-ubyte{suffix}"
    write_idx(path, array)
    got = read_idx(path)
    assert got.shape == array.shape
    assert np.array_equal(got, array)


def test_the_same_array_gives_the_same_bytes_under_any_name(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for name in ("one.gz", "two.gz"):
        write_idx(tmp_path / name, array)
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()
    assert (tmp_path / "one.gz").read_bytes()[4:8] == bytes(4)


def test_other_types_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="float64"):
        write_idx(tmp_path / "x", np.zeros((2, 2)))  # type: ignore[arg-type]


header = struct.pack(">BBBB2I", 0, 0, 8, 2, 2, 3)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "found nothing"),
        (b"\x89PNG\r\n", "magic number"),
        (b"\0\0\x0d\x01" + bytes(8), "float32"),
        (b"\0\0\x42\x01" + bytes(8), "unknown type 0x42"),
        (b"\0\0\x08\x00", "0 dimensions"),
        (b"\0\0\x08\x05" + bytes(20), "5 dimensions"),
        (header[:9], "ends inside its header"),
        (header + bytes(5), "after 5 of the 6"),
        (header + bytes(7), "more than the 6"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**31, 2), "the limit is"),
        (gzip.compress(header + bytes(6), mtime=0)[:-9], "gzip data is damaged"),
        (gzip.compress(header + bytes(2**20), mtime=0), "more than the 6"),
        (b"\x1f\x8b not gzip at all", "gzip data is damaged"),
    ],
)
def test_a_broken_file_is_refused_with_its_name_and_fault(tmp_path: Path, content: bytes, fault: str) -> None:
    path = tmp_path / "broken-idx"
    path.write_bytes(content)
    with pytest.raises(Invalid, match=fault) as refused:
        read_idx(path)
    assert "broken-idx" in refused.value.detail


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing-here"):
        read_idx(tmp_path / "nothing-here")
    with pytest.raises(Invalid, match="cannot be read"):
        read_idx(tmp_path)


@pytest.mark.parametrize("separator", ["-", "."])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_both_spellings_of_the_usual_names_load(tmp_path: Path, separator: str, suffix: str) -> None:
    images, labels = np.ones((3, 28, 28), np.uint8), np.array([1, 2, 3], np.uint8)
    write_idx(tmp_path / f"t10k-images{separator}idx3-ubyte{suffix}", images)
    write_idx(tmp_path / f"t10k-labels{separator}idx1-ubyte{suffix}", labels)
    got_images, got_labels = load_split(tmp_path, "test")
    assert np.array_equal(got_images, images)
    assert np.array_equal(got_labels, labels)
    with pytest.raises(NotFound, match=r"train-images-idx3-ubyte\.gz, .*train-images\.idx3-ubyte"):
        load_split(tmp_path, "train")


def test_images_and_labels_must_belong_together(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((3, 28, 28), np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(2, np.uint8))
    with pytest.raises(Invalid, match="2 labels for the 3 pictures"):
        load_split(tmp_path, "train")
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((3, 28), np.uint8))
    with pytest.raises(Invalid, match="3 dimensions"):
        load_split(tmp_path, "train")


def test_the_samples_are_the_beginning_of_mnist() -> None:
    images, labels = load_split(SAMPLES, "train")
    assert images.shape == (1000, 28, 28)
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    images, labels = load_split(SAMPLES, "test")
    assert images.shape == (200, 28, 28)
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert images.dtype == labels.dtype == np.uint8
