"""Check the HDF5 file of weights: numbers only, all inside the file, as large as they claim, and finite.

Runs in the vetting child alone, since reading HDF5 means running its C library on foreign bytes.
"""

import io
from collections.abc import Iterator

import h5py
import numpy as np

from service.errors import BadModel

MAX_OBJECTS = 20_000
MAX_DEPTH = 32
# A dataset may be compressed or sparse, so it can declare more than is stored; this is how much more we believe.
DECLARED_PER_STORED = 4
DECLARED_SLACK_BYTES = 64 * 1024**2

_SAFE_FILTERS = frozenset({h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32})


def check_weights(content: bytes) -> None:
    """Raise `BadModel` with the reason `weights` or `not_finite` unless every object of the file is a plain numeric array."""
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            datasets = list(_datasets(file))
            declared = sum(dataset.size * dataset.dtype.itemsize for dataset in datasets)
            if declared > DECLARED_PER_STORED * len(content) + DECLARED_SLACK_BYTES:
                raise _refused(f"its arrays declare {declared} bytes, the file has {len(content)}")
            for dataset in datasets:
                if dataset.dtype.kind == "f" and not np.isfinite(dataset[()]).all():
                    raise BadModel("not_finite", f"The weights {dataset.name} contain NaN or infinity.")
    except BadModel:
        raise
    except Exception as exc:  # h5py raises many kinds on damaged files, RuntimeError and KeyError among them
        raise _refused("it is not a readable HDF5 file") from exc


def _datasets(root: h5py.Group) -> Iterator[h5py.Dataset]:
    pending, seen = [(root, 0)], {_address(root)}
    while pending:
        group, depth = pending.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _refused(f"{name!r} is a link to another place")
            member = group[name]
            if _address(member) in seen:
                raise _refused(f"{name!r} is a second link to the same object")
            seen.add(_address(member))
            if len(seen) > MAX_OBJECTS or depth > MAX_DEPTH:
                raise _refused(f"it holds more than {MAX_OBJECTS} objects or {MAX_DEPTH} levels")
            if isinstance(member, h5py.Group):
                pending.append((member, depth + 1))
            else:
                yield _plain(member)


def _plain(member: object) -> h5py.Dataset:
    if not isinstance(member, h5py.Dataset):
        raise _refused("it holds something other than groups and arrays")
    if member.external or member.is_virtual:
        raise _refused(f"{member.name} keeps its data in another file")
    if member.shape is None or member.dtype.kind not in "biuf":
        raise _refused(f"{member.name} does not hold numbers")
    creation = member.id.get_create_plist()
    if any(creation.get_filter(index)[0] not in _SAFE_FILTERS for index in range(creation.get_nfilters())):
        raise _refused(f"{member.name} is packed by a filter other than deflate")
    return member


def _address(member: h5py.HLObject) -> int:
    address: int = h5py.h5o.get_info(member.id).addr
    return address


def _refused(fault: str) -> BadModel:
    return BadModel("weights", f"model.weights.h5 was refused: {fault}.")
