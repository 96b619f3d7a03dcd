"""What can be uploaded: a path, the bytes of a PNG, a binary file, or an array of pixels."""

import hashlib
import io
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, TypeGuard, Union

if TYPE_CHECKING:
    import numpy
    import numpy.typing

# NumPy is named by a text, since it is imported at first use alone; `|` does not take one.
Source: TypeAlias = Union[str, os.PathLike[str], bytes, bytearray, memoryview, IO[bytes], "numpy.typing.NDArray[Any]"]
"""A str is a path. An array is gray (H, W), or (H, W, C) with 1 to 4 channels, of uint8; or gray of uint16 or bool."""


@dataclass(frozen=True, slots=True)
class Content:
    """A file to send. `data` is None where it still lies at `path`."""

    sha256: str
    name: str | None
    data: bytes | None
    path: Path | None = None

    def read(self) -> bytes:
        """Return the bytes. Raises `OSError`."""
        if self.data is not None:
            return self.data
        assert self.path is not None
        return self.path.read_bytes()


def open_source(source: Source) -> Content:
    """Return what is to be sent, its SHA-256 and its own name; a path's bytes are not kept. Raises `OSError`, `TypeError`, `ValueError`."""
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        with path.open("rb") as file:
            # A name that is no UTF-8 is half surrogates in Python, which nobody keeps.
            name = os.fsencode(path.name).decode(errors="replace")
            return Content(hashlib.file_digest(file, "sha256").hexdigest(), name, None, path)
    own = None
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
    elif is_array(source):
        data = encode(source)
    elif hasattr(source, "read"):
        content = source.read()
        if not isinstance(content, bytes):
            raise TypeError("the file gives text: open it with mode 'rb'")
        data = content
        given = getattr(source, "name", None)
        own = Path(given).name if isinstance(given, str) else None
    else:
        raise TypeError(f"a {type(source).__name__} cannot be uploaded: give a path, bytes, a binary file or a NumPy array")
    return Content(hashlib.sha256(data).hexdigest(), own, data)


def encode(array: "numpy.typing.NDArray[Any]") -> bytes:
    """Encode pixels as a PNG, without loss. Raises `ValueError`, and `ImportError` without Pillow."""
    import numpy

    try:
        from PIL import Image
    except ImportError:
        raise ImportError("arrays are encoded by Pillow, which is not installed: pip install pillow") from None
    pixels = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    coloured = pixels.ndim == 3 and pixels.dtype == numpy.uint8 and 2 <= pixels.shape[2] <= 4
    gray = pixels.ndim == 2 and pixels.dtype in (numpy.uint8, numpy.uint16, numpy.bool_)
    if not (coloured or gray) or pixels.size == 0:
        raise ValueError(
            f"an array of shape {array.shape} and type {array.dtype} is no picture that a PNG holds without loss: give uint8 of (H, W) or "
            "(H, W, 1 to 4), or uint16 or bool of (H, W)"
        )
    file = io.BytesIO()
    Image.fromarray(numpy.ascontiguousarray(pixels)).save(file, "PNG")
    return file.getvalue()


def is_array(source: object) -> "TypeGuard[numpy.typing.NDArray[Any]]":
    """Say whether it is a NumPy array, without importing NumPy."""
    # Who has an array has imported NumPy; whoever has not need not wait for it.
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(source, numpy.ndarray)
