"""The job queue, Procrastinate in schema `jobs`, and the list of its tasks. Each task is a few lines around a use case."""

import logging
from collections.abc import Mapping
from typing import Any

import procrastinate
from procrastinate.contrib.sqlalchemy import SQLAlchemyPsycopg2Connector
from sqlalchemy import Engine

from schema.session import Sessions
from service.upkeep.sweep import sweep
from storage.base import ObjectStore

SEARCH_PATH = "-c search_path=jobs"
QUEUE_UPKEEP = "upkeep"
SWEEP = "sweep"

log = logging.getLogger(__name__)

tasks = procrastinate.Blueprint()


@tasks.periodic(cron="* * * * *")
@tasks.task(name=SWEEP, queue=QUEUE_UPKEEP, queueing_lock=SWEEP, lock=SWEEP, pass_context=True)
def run_sweep(context: procrastinate.JobContext, timestamp: int | None = None) -> Mapping[str, int]:
    """Take abandoned uploads out and empty the outbox: every minute, and at once after a delete."""
    parts = context.additional_context
    done = sweep(parts["sessions"], parts["store"])
    return {"abandoned": done.abandoned, "deleted": done.deleted, "failed": done.failed}


def worker_app(database_url: str) -> procrastinate.App:
    """Return the queue as the worker needs it."""
    connector = procrastinate.PsycopgConnector(
        conninfo=database_url, kwargs={"options": SEARCH_PATH, "application_name": "pixref jobs"}
    )
    return _app(connector)


def deferring_app(engine: Engine) -> procrastinate.App:
    """Return the queue as one needs it who only puts jobs into it."""
    connector = SQLAlchemyPsycopg2Connector()
    connector.open(engine)
    return _app(connector)


def _app(connector: procrastinate.BaseConnector) -> procrastinate.App:
    app = procrastinate.App(connector=connector)
    app.add_tasks_from(tasks, namespace="pixref")
    return app


def parts(sessions: Sessions, store: ObjectStore) -> dict[str, Any]:
    """Return what tasks work with."""
    return {"sessions": sessions, "store": store}
