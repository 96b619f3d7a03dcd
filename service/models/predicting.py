"""The job of predicting many stored pictures: walk, skip what is done, predict, report."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import ModelLoading, PredictorCrashed, StorageUnavailable
from service.failpoints import failpoint
from service.models.bulk import Predicted, batch_size, batches, is_predicted, predict_batch
from service.models.helpers import Done, Helpers
from service.models.registry import Artifact, find_version
from service.models.selection import Selection, count, pages
from service.models.serving import BUILT_IN, load
from service.sql.ask import Door
from service.work.ledger import create_job, find_job
from service.work.running import Running
from storage.base import ObjectStore, StoreBusy, StoreTimeout, StoreUnavailable

TASK = "predict"
# A store in trouble, or a model's process that broke down, is asked again after these pauses; then the job fails, and can be started again.
PAUSES_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
STORE_TROUBLE = (StoreUnavailable, StoreTimeout, StoreBusy)
MODEL_TROUBLE = (PredictorCrashed, ModelLoading)
TROUBLE = (*STORE_TROUBLE, *MODEL_TROUBLE)
# Fewer pictures than this are done before a helper, which takes a second or more to start, would be of use.
ALONE = 4_000
# Each takes some 100 MiB, and PostgreSQL needs processors too.
HELPERS_MAX = 3
# How soon a job that only waits for helpers notices that it is cancelled.
LOOK_S = 0.5

T = TypeVar("T")


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
    wanted = Wanted.from_json(running.parameters)
    artifact = find_version(sessions, wanted.model, version=wanted.version)
    return predict_by(running, sessions, store, door, artifact, wanted.selection, again=wanted.again)


def predict_by(
    running: Running, sessions: Sessions, store: ObjectStore, door: Door, artifact: Artifact, selection: Selection, *, again: bool
) -> dict[str, Any]:
    """Do the same as a part of a job."""
    began = time.monotonic()
    since = find_job(sessions, running.job_id).started_at if again else None
    done = is_predicted(artifact.version_id, since=since)
    if "skipped" not in running.noted:
        selected, skipped = count(sessions, door, selection, done, actor=running.actor)
        running.note(selected=selected, skipped=skipped)
    # Keras takes all processors by itself, and 600 MiB for each process.
    helpers = _helpers(running.noted["selected"] - running.noted["skipped"]) if artifact.litert is not None else 0
    loaded = patiently(running, lambda: load(sessions, store, artifact, threads=1 if helpers else 2))
    size = batch_size(artifact.spec)
    tally = _Tally(running, running.noted["selected"])

    def predict(batch: Sequence[int]) -> None:
        outcome = patiently(running, lambda: predict_batch(sessions, store, loaded, batch, actor=running.actor))
        tally.add(len(batch), outcome.failed)

    def settle(each: Done) -> None:
        if isinstance(each.outcome, Predicted):
            tally.add(len(each.image_ids), each.outcome.failed)
        elif isinstance(each.outcome, (*TROUBLE, BrokenProcessPool)):
            predict(each.image_ids)
        else:
            raise each.outcome

    with Helpers(sessions, store, artifact, actor=running.actor, count=helpers) as others:
        for page in pages(sessions, door, selection, done, actor=running.actor):
            tally.seen += page.seen - len(page.todo)
            for batch in batches(page.todo, size):
                running.check()
                if not others.take(batch):
                    predict(batch)
                for each in others.done():
                    settle(each)
        while others.busy:
            running.check()
            for each in others.done(wait_s=LOOK_S):
                settle(each)
    seen, failed = tally.seen, tally.failed
    running.progress(seen, seen, failed=failed)
    # By what is there now, so that a batch that was committed just before a runner died counts as well.
    predicted = max(0, seen - failed - running.noted["skipped"])
    seconds = round(time.monotonic() - began, 3)
    return {
        "model": artifact.model,
        "version": artifact.number,
        "selected": seen,
        "predicted": predicted,
        "failed": failed,
        "seconds": seconds,
    }


@dataclass(slots=True)
class _Tally:
    """How many pictures were looked at, done or passed over, and how many of them failed."""

    running: Running
    total: int
    seen: int = 0
    failed: int = 0

    def add(self, pictures: int, failed: int) -> None:
        failpoint("predict_many.batch")
        self.seen += pictures
        self.failed += failed
        self.running.progress(self.seen, self.total, failed=self.failed)


def _helpers(pictures: int) -> int:
    """Return how many processes help with so many pictures: one for each processor beside ours, and none where they would still be starting."""
    return min(HELPERS_MAX, processors() - 1) if pictures >= ALONE else 0


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def patiently(running: Running, work: Callable[[], T]) -> T:
    """Do something, and again while the store is in trouble, or the model's process: that is no picture's fault.

    Raises `StorageUnavailable` in the end, and what `Running.check` raises.
    """
    for pause_s in (*PAUSES_S, None):
        try:
            return work()
        except STORE_TROUBLE as exc:
            if pause_s is None:
                raise StorageUnavailable(f"the bucket cannot be reached ({exc.reason}): start the job again when it can") from exc
        except MODEL_TROUBLE:
            if pause_s is None:
                raise
        until = time.monotonic() + pause_s
        while time.monotonic() < until:
            running.check()
            time.sleep(0.2)
    raise AssertionError("unreachable")
