"""Read and write IDX files, the format of MNIST: a big-endian header, then the array's bytes.

    00 00 | type | number of dimensions | one uint32 per dimension | data

Only unsigned bytes (type 0x08) are accepted, which is all that MNIST and its successors (Fashion-MNIST, EMNIST, KMNIST) use.
"""

import gzip
import math
import struct
import zlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Literal, cast

import numpy as np
import numpy.typing as npt

from service.errors import Invalid, NotFound

TYPE_UINT8 = 0x08
MAX_DIMENSIONS = 4
MAX_DATA_BYTES = 2 * 1024**3

Split = Literal["train", "test"]
SPLIT_PREFIXES: dict[Split, str] = {"train": "train", "test": "t10k"}

_GZIP_MAGIC = b"\x1f\x8b"
_TYPE_NAMES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}


def read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """Read one IDX file, plain or gzip, into an array of its declared shape.

    The content decides whether it is gzip, not the name. Raises `Invalid` naming the file and the fault when the magic
    number, the type, the dimensions or the length are not those of a complete IDX file of unsigned bytes, `NotFound` when
    there is no such file.
    """
    try:
        with _open(path) as stream:
            shape = _read_header(path, stream)
            expected = math.prod(shape)
            # One byte more than declared shows trailing data without reading all of it, however far it would inflate.
            data = stream.read(expected + 1)
    except FileNotFoundError as exc:
        raise NotFound(f"{path}: there is no such file.", field="file") from exc
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        raise _bad(path, "the gzip data is damaged or ends too early") from exc
    except OSError as exc:
        raise _bad(path, f"it cannot be read: {exc.strerror or exc}") from exc
    if len(data) < expected:
        raise _bad(path, f"it ends after {len(data)} of the {expected} data bytes that its header declares")
    if len(data) > expected:
        raise _bad(path, f"it has more than the {expected} data bytes that its header declares")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def write_idx(path: Path, array: npt.NDArray[np.uint8]) -> None:
    """Write an array of unsigned bytes as IDX, gzip when the name ends in `.gz`.

    The same array always gives the same bytes: the gzip header carries neither a time nor a name.
    """
    if array.dtype != np.uint8 or not 1 <= array.ndim <= MAX_DIMENSIONS:
        raise ValueError(f"an IDX file holds uint8 arrays of 1 to {MAX_DIMENSIONS} dimensions, not {array.dtype} of {array.ndim}")
    content = struct.pack(f">BBBB{array.ndim}I", 0, 0, TYPE_UINT8, array.ndim, *array.shape) + array.tobytes()
    if path.suffix == ".gz":
        content = gzip.compress(content, compresslevel=9, mtime=0)
    path.write_bytes(content)


def load_split(directory: Path, split: Split) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Load one half of an MNIST-like data set: images (N, H, W) and labels (N,), both uint8.

    Looks for the usual names (`train-images-idx3-ubyte` and so on; `t10k-` for the test half), with `-` or `.` before `idx`,
    with or without `.gz`. Raises `NotFound` naming what was looked for, `Invalid` when images and labels do not match.
    """
    prefix = SPLIT_PREFIXES[split]
    images_path = _find(directory, f"{prefix}-images", "idx3")
    labels_path = _find(directory, f"{prefix}-labels", "idx1")
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3:
        raise _bad(images_path, f"pictures need 3 dimensions (count, height, width), it has {images.ndim}")
    if labels.ndim != 1:
        raise _bad(labels_path, f"labels need 1 dimension, it has {labels.ndim}")
    if len(images) != len(labels):
        raise _bad(labels_path, f"it has {len(labels)} labels for the {len(images)} pictures of {images_path.name}")
    return images, labels


def _find(directory: Path, stem: str, kind: str) -> Path:
    names = [f"{stem}{separator}{kind}-ubyte{suffix}" for separator in "-." for suffix in (".gz", "")]
    for name in names:
        if (directory / name).is_file():
            return directory / name
    raise NotFound(f"{directory} holds no {stem} file; looked for {', '.join(names)}.", field="directory")


def _open(path: Path) -> AbstractContextManager[BinaryIO]:
    with path.open("rb") as stream:
        compressed = stream.read(2) == _GZIP_MAGIC
    return cast(BinaryIO, gzip.open(path, "rb")) if compressed else path.open("rb")


def _read_header(path: Path, stream: BinaryIO) -> tuple[int, ...]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise _bad(path, f"it does not begin with an IDX magic number (found {magic.hex(' ') or 'nothing'})")
    type_code, dimensions = magic[2], magic[3]
    if type_code != TYPE_UINT8:
        found = _TYPE_NAMES.get(type_code, f"unknown type 0x{type_code:02x}")
        raise _bad(path, f"its values are {found}; only uint8 is accepted")
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise _bad(path, f"it has {dimensions} dimensions; 1 to {MAX_DIMENSIONS} are accepted")
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise _bad(path, "it ends inside its header")
    shape: tuple[int, ...] = struct.unpack(f">{dimensions}I", sizes)
    if math.prod(shape) > MAX_DATA_BYTES:
        raise _bad(path, f"its header declares {math.prod(shape)} bytes; the limit is {MAX_DATA_BYTES}")
    return shape


def _bad(path: Path, fault: str) -> Invalid:
    return Invalid(f"{path} is not a usable IDX file: {fault}.", field="file")
