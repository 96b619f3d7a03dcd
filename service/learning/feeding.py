"""Lay a training's pictures out for the training process: bytes from rows and bucket, compared with their SHA-256, decoded and brought to the
model's size, in arrays on disk that need no memory here."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from schema.session import Sessions
from service.errors import PixrefError, TrainingFailed
from service.learning.snapshots import Member
from service.models.preprocessing import to_levels
from service.models.spec import InputSpec, Preprocessing
from service.pictures.reading import read_many
from service.png.batch import decode_alike
from service.png.pixels import decode_stored
from storage.base import ObjectStore

BATCH = 500
UNREAD_SHOWN = 10


def lay_out(
    sessions: Sessions,
    store: ObjectStore,
    members: Sequence[Member],
    classes: Mapping[str, int],
    spec: InputSpec,
    recipe: Preprocessing,
    folder: Path,
    name: str,
    *,
    report: Callable[[int], None],
) -> None:
    """Write `NAME.npy` (uint8 levels of (n, *`spec.shape`)) and `NAME-classes.npy` (int32 (n,)), in the members' order.

    `report` is told after each batch how many are done, and may raise. Raises `TrainingFailed` where a picture cannot be read, since what the
    model learns from is exactly its snapshot; and `StoreError`.
    """
    levels = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.uint8, (len(members), *spec.shape))
    unread: list[str] = []
    for start in range(0, len(members), BATCH):
        batch = members[start : start + BATCH]
        for place, found in enumerate(_pictures(sessions, store, batch, spec, recipe), start):
            if isinstance(found, str):
                unread.append(found)
            else:
                levels[place] = found
        report(start + len(batch))
    levels.flush()
    if unread:
        shown = "; ".join(unread[:UNREAD_SHOWN]) + ("; ..." if len(unread) > UNREAD_SHOWN else "")
        raise TrainingFailed(
            f"{len(unread)} of the pictures to learn from cannot be read ({shown}): upload them again, or delete them, and train again"
        )
    np.save(folder / f"{name}-classes.npy", np.array([classes[member.label] for member in members], np.int32))


def _pictures(
    sessions: Sessions, store: ObjectStore, members: Sequence[Member], spec: InputSpec, recipe: Preprocessing
) -> Iterator[npt.NDArray[np.uint8] | str]:
    """Give each picture's levels, or why there are none."""
    ids = [member.image_id for member in members if member.image_id is not None]
    read = read_many(sessions, store, ids)
    files = {image_id: data for image_id, data in read.items() if isinstance(data, bytes)}
    decoded = _decoded_alike(files)
    for member in members:
        found = None if member.image_id is None else read.get(member.image_id)
        if found is None or member.image_id is None:
            yield f"picture {member.image_id or member.sha256[:12]} was deleted"
        elif isinstance(found, PixrefError):
            yield f"picture {member.image_id}: {found.code}"
        else:
            try:
                pixels = decoded.get(member.image_id)
                prepared = to_levels(decode_stored(found) if pixels is None else pixels, spec, recipe)
                yield np.rint(prepared).astype(np.uint8, copy=False)
            except PixrefError as exc:
                yield f"picture {member.image_id}: {exc.detail}"


def _decoded_alike(files: Mapping[int, bytes]) -> dict[int, npt.NDArray[np.uint8]]:
    ids = list(files)
    found: dict[int, npt.NDArray[np.uint8]] = {}
    for alike in decode_alike(list(files.values())):
        found.update(zip((ids[place] for place in alike.places), alike.pixels, strict=True))
    return found
