"""The job queue, Procrastinate in schema `jobs`, and the list of its tasks. Each task is a few lines around a use case."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import procrastinate
from procrastinate.contrib.sqlalchemy import SQLAlchemyPsycopg2Connector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from sqlalchemy import make_url

from schema.session import Sessions, open_engine
from service.upkeep.fixity import verify_due
from service.upkeep.fsck import fsck
from service.upkeep.model_files import verify_due_versions
from service.upkeep.sessions import end_overdue_sessions
from service.upkeep.sweep import sweep
from storage.base import ObjectStore

SCHEMA = "jobs"
QUEUE_UPKEEP = "upkeep"
SWEEP = "pixref:sweep"
VERIFY = "pixref:verify"
FSCK = "pixref:fsck"
END_OVERDUE = "pixref:end-overdue-sessions"

log = logging.getLogger(__name__)


def run_sweep(context: procrastinate.JobContext, timestamp: int | None = None) -> Mapping[str, int]:
    """Take abandoned uploads out and empty the outbox: every minute, and at once after a delete."""
    parts = context.additional_context
    done = sweep(parts["sessions"], parts["store"])
    return {"abandoned": done.abandoned, "deleted": done.deleted, "failed": done.failed}


def run_verify(context: procrastinate.JobContext, timestamp: int | None = None) -> Mapping[str, Any]:
    """Read back what has not been read for a month: every hour, a share of the store."""
    parts = context.additional_context
    pictures = verify_due(parts["sessions"], parts["store"])
    models = verify_due_versions(parts["sessions"], parts["store"])
    return {"pictures": asdict(pictures), "models": asdict(models)}


def run_fsck(context: procrastinate.JobContext, timestamp: int | None = None) -> Mapping[str, Any]:
    """Compare rows and bucket, and mark and quarantine within the guards: every night."""
    parts = context.additional_context
    return fsck(parts["sessions"], parts["store"], repair=True).to_json()


def run_end_overdue(context: procrastinate.JobContext, timestamp: int | None = None) -> Mapping[str, Any]:
    """End SQL clients' sessions that go on too long: every minute."""
    return {"ended": end_overdue_sessions(context.additional_context["sessions"])}


def worker_app(database_url: str) -> procrastinate.App:
    """Return the queue as the worker needs it."""
    connector = procrastinate.PsycopgConnector(
        conninfo=make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False),
        kwargs={"options": f"-c search_path={SCHEMA}", "application_name": "pixref jobs"},
    )
    return _app(connector)


def deferring_app(database_url: str) -> procrastinate.App:
    """Return the queue as one needs it who only puts jobs in."""
    connector = SQLAlchemyPsycopg2Connector()
    connector.open(open_engine(database_url, pool_size=2, application_name="pixref jobs", search_path=SCHEMA))
    return _app(connector)


def defer_sweep(app: procrastinate.App) -> None:
    """Ask the worker to sweep now. Never fails: the sweep of the next minute does the same."""
    try:
        app.configure_task(SWEEP, allow_unknown=False).defer()
    except AlreadyEnqueued:
        pass
    except ConnectorException:
        log.warning("a sweep could not be requested; the next minute's will do", exc_info=True)


def _app(connector: procrastinate.BaseConnector) -> procrastinate.App:
    app = procrastinate.App(connector=connector)
    # No lock: sweeps may run side by side, and the lock of a worker that was killed would hold back all sweeps after it.
    # Not by a blueprint of the module: an app that takes one over renames its tasks, so a second app would find none.
    sweep_task = app.task(name=SWEEP, queue=QUEUE_UPKEEP, queueing_lock=SWEEP, pass_context=True)(run_sweep)
    app.periodic(cron="* * * * *")(sweep_task)
    for name, cron, function in (
        (END_OVERDUE, "* * * * *", run_end_overdue),
        (VERIFY, "17 * * * *", run_verify),
        (FSCK, "43 3 * * *", run_fsck),
    ):
        task = app.task(name=name, queue=QUEUE_UPKEEP, queueing_lock=name, pass_context=True)(function)
        app.periodic(cron=cron)(task)
    return app


def parts(sessions: Sessions, store: ObjectStore) -> dict[str, Any]:
    """Return what tasks work with."""
    return {"sessions": sessions, "store": store}
