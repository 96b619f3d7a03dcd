"""Lay a training's pictures out for the training process: bytes from rows and bucket, compared with their SHA-256, decoded and brought to the
model's size, in arrays on disk that need no memory here."""

import errno
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from sqlalchemy import any_, select

from schema.session import Sessions
from schema.tables import Image
from service.errors import PixrefError, TrainingFailed
from service.learning.snapshots import Member
from service.models.bulk import batches
from service.models.preprocessing import to_levels
from service.models.spec import InputSpec, Preprocessing
from service.pictures.bulk_changes import ids_array
from service.png.batch import decode_alike
from service.png.pixels import decode_stored

# Pictures at once; of large ones as many as `service.models.bulk.batches` takes, so that memory and the time to a stop stay small.
BATCH = 500
UNREAD_SHOWN = 10

Levels: TypeAlias = npt.NDArray[np.uint8]
Read: TypeAlias = Callable[[Sequence[int]], Mapping[int, bytes | PixrefError]]
"""Gives pictures' bytes, or why there are none, as `service.pictures.reading.read_many` does."""


def lay_out(
    sessions: Sessions,
    read: Read,
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
    model learns from is exactly its snapshot, and where the folder has no room; and what `read` raises.
    """
    levels = _file_of(folder / f"{name}.npy", (len(members), *spec.shape))
    unread: list[str] = []
    done = 0
    for batch in _batches(sessions, members):
        for place, found in enumerate(_pictures(read, batch, spec, recipe), done):
            if isinstance(found, str):
                unread.append(found)
            else:
                levels[place] = found
        done += len(batch)
        report(done)
    levels.flush()
    if unread:
        shown = "; ".join(unread[:UNREAD_SHOWN]) + ("; ..." if len(unread) > UNREAD_SHOWN else "")
        raise TrainingFailed(
            f"{len(unread)} of the pictures to learn from cannot be read ({shown}): upload them again, or delete them, and train again"
        )
    np.save(folder / f"{name}-classes.npy", np.array([classes[member.label] for member in members], np.int32))


def _file_of(path: Path, shape: tuple[int, ...]) -> "np.memmap[Any, np.dtype[np.uint8]]":
    """Make an array on disk, with room for all of it: to write into a map of a file that finds none kills the process."""
    try:
        levels = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise TrainingFailed(
            f"the folder for temporary files has no room for the {math.ceil(math.prod(shape) / 1024**2):,} MiB that the prepared pictures take: "
            "choose fewer pictures or a smaller size, or set TMPDIR to a folder with more room"
        ) from exc
    return levels


def _batches(sessions: Sessions, members: Sequence[Member]) -> Iterator[Sequence[Member]]:
    """Cut pictures, in their order, into batches of at most `BATCH`, by the sizes of their files."""
    for start in range(0, len(members), BATCH):
        some = members[start : start + BATCH]
        ids = [member.image_id for member in some if member.image_id is not None]
        query = select(Image.id, Image.byte_size).where(Image.id == any_(ids_array(ids)))
        with sessions() as session:
            sizes = {row.id: row.byte_size for row in session.execute(query)}
        weighed = ((place, sizes.get(member.image_id or 0, 0)) for place, member in enumerate(some))
        for places in batches(weighed, BATCH):
            yield some[places[0] : places[-1] + 1]


def _pictures(read: Read, members: Sequence[Member], spec: InputSpec, recipe: Preprocessing) -> Iterator[Levels | str]:
    """Give each picture's levels, or why there are none."""
    files = read([member.image_id for member in members if member.image_id is not None])
    decoded = _decoded_alike({image_id: data for image_id, data in files.items() if isinstance(data, bytes)})
    for member in members:
        found = None if member.image_id is None else files.get(member.image_id)
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


def _decoded_alike(files: Mapping[int, bytes]) -> dict[int, Levels]:
    ids = list(files)
    found: dict[int, Levels] = {}
    for alike in decode_alike(list(files.values())):
        found.update(zip((ids[place] for place in alike.places), alike.pixels, strict=True))
    return found
