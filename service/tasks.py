"""What a job can be: the name of each task and what does it. The one list; a job's body stands with its use case."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schema.session import Sessions
from service.learning import evaluating, training
from service.models import deposits, predicting
from service.sql.ask import Door
from service.work.running import Body, Running, Watch, run_job
from storage.base import ObjectStore


@dataclass(frozen=True, slots=True)
class Parts:
    """What jobs work with."""

    sessions: Sessions
    store: ObjectStore
    door: Door


def _predict(running: Running, parts: Parts) -> Mapping[str, Any]:
    return predicting.predict_selected(running, parts.sessions, parts.store, parts.door)


def _evaluate(running: Running, parts: Parts) -> Mapping[str, Any]:
    return evaluating.evaluate_selected(running, parts.sessions, parts.store, parts.door)


def _train(running: Running, parts: Parts) -> Mapping[str, Any]:
    return training.train_on_selected(running, parts.sessions, parts.store, parts.door)


def _register(running: Running, parts: Parts) -> Mapping[str, Any]:
    return deposits.register_deposited(running, parts.sessions, parts.store)


TASKS: Mapping[str, Body[Parts]] = {
    predicting.TASK: _predict,
    training.TASK: _train,
    evaluating.TASK: _evaluate,
    deposits.TASK: _register,
}


def do_job(parts: Parts, job_id: int, *, draining: threading.Event | None = None, watch: Watch | None = None) -> bool:
    """Do a job in this process, as `service.work.running.run_job` does."""
    return run_job(parts.sessions, job_id, TASKS, parts, draining=draining, watch=watch)
