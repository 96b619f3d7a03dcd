"""The job of predicting many stored pictures: walk, skip what is done, predict, report."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import StorageUnavailable
from service.failpoints import failpoint
from service.models.bulk import BATCH, Predicted, predict_batch, unpredicted
from service.models.registry import find_version
from service.models.selection import Selection, pages
from service.models.serving import BUILT_IN, Loaded, load
from service.sql.ask import Door
from service.work.ledger import create_job, find_job
from service.work.running import Running
from storage.base import ObjectStore, StoreBusy, StoreTimeout, StoreUnavailable

TASK = "predict"
# A store that is in trouble is asked again after these pauses; after that the job fails, and can be started again.
PAUSES_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to predict, by which version. `again` repeats what this version has predicted already."""

    model: str
    version: int
    selection: Selection
    again: bool = False

    def to_json(self) -> dict[str, Any]:
        """Give the parameters of a job."""
        return {"model": self.model, "version": self.version, "again": self.again, **self.selection.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read the parameters of a job."""
        return cls(data["model"], data["version"], Selection.from_json(data), bool(data["again"]))


def request_predictions(
    sessions: Sessions,
    selection: Selection,
    *,
    model: str = BUILT_IN,
    version: int | None = None,
    alias: str | None = None,
    again: bool = False,
    actor: Actor,
) -> int:
    """Make the job of predicting these pictures by the version that the name stands for now; returns its id. Raises `NotFound`, `Invalid`."""
    artifact = find_version(sessions, model, version=version, alias=alias)
    return create_job(sessions, TASK, Wanted(artifact.model, artifact.number, selection, again).to_json(), actor=actor)


def predict_selected(running: Running, sessions: Sessions, store: ObjectStore, door: Door) -> dict[str, Any]:
    """Predict what the job asks for, one row a picture, batch by batch; a picture that cannot be predicted gets a row that says why.

    Safe to stop and to begin again at any moment: what is done is skipped. Raises `NotFound`, `ModelUnavailable`, `StorageUnavailable`.
    """
    began = time.monotonic()
    wanted = Wanted.from_json(running.parameters)
    loaded = load(sessions, store, find_version(sessions, wanted.model, version=wanted.version))
    version_id = loaded.artifact.version_id
    since = find_job(sessions, running.job_id).started_at if wanted.again else None
    if "skipped" not in running.noted:
        running.note(**_count(running, sessions, door, wanted.selection, version_id, since))
    total = running.noted["selected"]
    seen = failed = 0
    for page in pages(sessions, door, wanted.selection, actor=running.actor):
        todo = unpredicted(sessions, version_id, page, since=since)
        before = seen + len(page) - len(todo)
        for start in range(0, len(todo), BATCH):
            running.check()
            batch = todo[start : start + BATCH]
            failed += _patiently(running, sessions, store, loaded, batch).failed
            failpoint("predict_many.batch")
            running.progress(before + start + len(batch), total, failed=failed)
        seen += len(page)
    running.progress(seen, seen, failed=failed)
    # By what is there now, so that a batch that was committed just before a runner died counts as well.
    done = max(0, seen - failed - running.noted["skipped"])
    seconds = round(time.monotonic() - began, 3)
    return {
        "model": wanted.model,
        "version": wanted.version,
        "selected": seen,
        "predicted": done,
        "failed": failed,
        "seconds": seconds,
    }


def _count(
    running: Running, sessions: Sessions, door: Door, selection: Selection, version_id: int, since: datetime | None
) -> dict[str, int]:
    """Count what is selected, and what of it is done already, before anything is begun."""
    selected = skipped = 0
    for page in pages(sessions, door, selection, actor=running.actor):
        running.check()
        selected += len(page)
        skipped += len(page) - len(unpredicted(sessions, version_id, page, since=since))
    return {"selected": selected, "skipped": skipped}


def _patiently(running: Running, sessions: Sessions, store: ObjectStore, loaded: Loaded, batch: list[int]) -> Predicted:
    """Predict a batch, and again while the store is in trouble: that is no picture's fault."""
    for pause_s in (*PAUSES_S, None):
        try:
            return predict_batch(sessions, store, loaded, batch, actor=running.actor)
        except (StoreUnavailable, StoreTimeout, StoreBusy) as exc:
            if pause_s is None:
                raise StorageUnavailable(f"the bucket cannot be reached ({exc.reason}): start the job again when it can") from exc
            until = time.monotonic() + pause_s
            while time.monotonic() < until:
                running.check()
                time.sleep(0.2)
    raise AssertionError("unreachable")
