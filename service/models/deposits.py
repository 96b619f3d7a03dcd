"""Model files that come over HTTP: kept in the bucket until a job has vetted and registered them.

Vetting takes seconds and a process of its own, which is the worker's work, perhaps on another machine. The waiting file is in the outbox from the
beginning, due in a day: whatever becomes of the request, the job or the worker, nothing is left.
"""

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import func, select, update

from schema.queries.deletions import announce_objects
from schema.session import Sessions
from schema.tables import ObjectDeletion
from service.accounts.actor import Actor
from service.errors import Invalid, StorageUnavailable
from service.models.registration import check_name, clean_labels, register_model
from service.models.spec import Preprocessing
from service.work.ledger import create_job
from service.work.running import Running
from storage.base import ObjectNotFound, ObjectStore, ObjectTooLarge, StoreBusy, StoreTimeout, StoreUnavailable
from storage.keys import new_staging_key

TASK = "register"
KEPT = timedelta(days=1)
MEDIA_TYPE = "application/octet-stream"
ZIP = b"PK\x03\x04"


def deposit(
    sessions: Sessions,
    store: ObjectStore,
    file: BinaryIO,
    *,
    name: str,
    labels: Sequence[str],
    preprocessing: Mapping[str, Any] | None,
    actor: Actor,
) -> int:
    """Keep a `.keras` file, and make the job that registers it as the next version of `name`; returns the job's id.

    Raises `Invalid`, `StoreError`.
    """
    check_name(name)
    names = clean_labels(labels)
    if preprocessing is not None:
        Preprocessing.from_json(preprocessing)
    if file.read(len(ZIP)) != ZIP:
        raise Invalid("this is no .keras file: it does not begin as a zip archive does", field="file")
    file.seek(0)
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    key = new_staging_key(sha256)
    with sessions() as session, session.begin():
        announce_objects(session, [key], reason="a model file that waits to be registered", delay=KEPT)
        waiting = session.scalars(select(ObjectDeletion.id).where(ObjectDeletion.object_key == key)).one()
    store.put_object(key, file, size=size, sha256=sha256, media_type=MEDIA_TYPE)
    parameters = {
        "model": name,
        "labels": names,
        "preprocessing": None if preprocessing is None else dict(preprocessing),
        "sha256": sha256,
        "byte_size": size,
        "waiting": waiting,
    }
    return create_job(sessions, TASK, parameters, actor=actor)


def register_deposited(running: Running, sessions: Sessions, store: ObjectStore) -> dict[str, Any]:
    """Vet and register what waits, and let go of it. Begun again, it registers nothing twice.

    Raises `BadModel`, `Conflict`, `Invalid`, `StorageUnavailable`.
    """
    wanted = running.parameters
    if "version" not in running.noted:
        running.progress(0, 1, message="vetting")
        # Written down before the file goes: whoever takes the job up after that needs it no more.
        running.note(version=_register(running, sessions, store, wanted))
    with sessions() as session, session.begin():
        session.execute(update(ObjectDeletion).where(ObjectDeletion.id == wanted["waiting"]).values(due_at=func.now()))
    running.progress(1, 1)
    return {"model": wanted["model"], "version": running.noted["version"]}


def _register(running: Running, sessions: Sessions, store: ObjectStore, wanted: Mapping[str, Any]) -> int:
    recipe = wanted["preprocessing"]
    with tempfile.TemporaryDirectory(prefix="pixref-register-") as folder:
        path = Path(folder) / "deposited.keras"
        path.write_bytes(_fetch(sessions, store, wanted))
        running.check()
        return register_model(
            sessions,
            store,
            path,
            name=wanted["model"],
            labels=wanted["labels"],
            preprocessing=None if recipe is None else Preprocessing.from_json(recipe),
            metrics={},
            actor=running.actor,
            work_dir=Path(folder),
        )


def _fetch(sessions: Sessions, store: ObjectStore, wanted: Mapping[str, Any]) -> bytes:
    with sessions() as session:
        key = session.scalar(select(ObjectDeletion.object_key).where(ObjectDeletion.id == wanted["waiting"]))
    gone = Invalid("the file that was sent is not here any more: it waits for a day at most, so send it again", field="file")
    if key is None:
        raise gone
    try:
        data = store.get_object(key, max_size=wanted["byte_size"])
    except (ObjectNotFound, ObjectTooLarge):
        raise gone from None
    except (StoreUnavailable, StoreTimeout, StoreBusy) as exc:
        raise StorageUnavailable(f"the bucket cannot be reached ({exc.reason}): send the file again when it can") from exc
    if hashlib.sha256(data).hexdigest() != wanted["sha256"]:
        raise gone
    return data
