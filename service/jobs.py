"""The job queue, Procrastinate in schema `jobs`, and the list of its tasks. Each task is a few lines around a use case.

Upkeep is all here: when it is due, and what does it. Work that somebody asked for is a row of `pixref.job` (`service.work`); the queue carries its id
and wakes a worker.
"""

import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import procrastinate
from procrastinate.contrib.sqlalchemy import SQLAlchemyPsycopg2Connector
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from schema.session import open_engine
from service.pictures.likeness import look_at_new
from service.tasks import Parts, do_job
from service.upkeep.fixity import verify_due
from service.upkeep.fsck import fsck
from service.upkeep.model_files import verify_due_versions
from service.upkeep.sessions import end_overdue_sessions
from service.upkeep.sweep import sweep
from service.work.running import due_jobs

SCHEMA = "jobs"
QUEUE_UPKEEP = "upkeep"
QUEUE_WORK = "work"
SWEEP = "pixref:sweep"
VERIFY = "pixref:verify"
FSCK = "pixref:fsck"
LIKENESS = "pixref:look-at-new"
END_OVERDUE = "pixref:end-overdue-sessions"
DO_JOB = "pixref:job"
REVIVE = "pixref:revive-jobs"

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


def run_look_at_new(context: procrastinate.JobContext, timestamp: int | None = None) -> Mapping[str, Any]:
    """Find out which of the new pictures look like others: every minute."""
    return asdict(look_at_new(context.additional_context["sessions"]))


def run_end_overdue(context: procrastinate.JobContext, timestamp: int | None = None) -> Mapping[str, Any]:
    """End SQL clients' sessions that go on too long: every minute."""
    return {"ended": end_overdue_sessions(context.additional_context["sessions"])}


def run_do_job(context: procrastinate.JobContext, job_id: int) -> None:
    """Do a job, unless it is done or somebody is at it."""
    parts = context.additional_context
    do_job(parts["work"], job_id, draining=parts["draining"])


def run_revive(context: procrastinate.JobContext, timestamp: int | None = None) -> Mapping[str, Any]:
    """Wake a worker for jobs that wait, and for those whose runner died: every minute."""
    due = due_jobs(context.additional_context["sessions"])
    for job_id in due:
        _wake(context.app, job_id)
    return {"due": len(due)}


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
        with suppress(AlreadyEnqueued):
            app.configure_task(SWEEP, allow_unknown=False).defer()
    except (ConnectorException, SQLAlchemyError):
        log.warning("a sweep could not be requested; the next minute's will do", exc_info=True)


def defer_job(app: procrastinate.App, job_id: int) -> None:
    """Wake a worker for a job. Never fails: within a minute one is woken anyway."""
    try:
        _wake(app, job_id)
    except (ConnectorException, SQLAlchemyError):
        log.warning("no worker could be woken for a job; it begins within a minute", exc_info=True, extra={"job_id": job_id})


def _wake(app: procrastinate.App, job_id: int) -> None:
    with suppress(AlreadyEnqueued):
        app.configure_task(DO_JOB, allow_unknown=False, queueing_lock=f"{DO_JOB}:{job_id}").defer(job_id=job_id)


def _app(connector: procrastinate.BaseConnector) -> procrastinate.App:
    app = procrastinate.App(connector=connector)
    # No lock: sweeps may run side by side, and the lock of a worker that was killed would hold back all sweeps after it.
    # Not by a blueprint of the module: an app that takes one over renames its tasks, so a second app would find none.
    sweep_task = app.task(name=SWEEP, queue=QUEUE_UPKEEP, queueing_lock=SWEEP, pass_context=True)(run_sweep)
    app.periodic(cron="* * * * *")(sweep_task)
    app.task(name=DO_JOB, queue=QUEUE_WORK, pass_context=True)(run_do_job)
    for name, cron, function in (
        (REVIVE, "* * * * *", run_revive),
        (END_OVERDUE, "* * * * *", run_end_overdue),
        (LIKENESS, "* * * * *", run_look_at_new),
        (VERIFY, "17 * * * *", run_verify),
        (FSCK, "43 3 * * *", run_fsck),
    ):
        task = app.task(name=name, queue=QUEUE_UPKEEP, queueing_lock=name, pass_context=True)(function)
        app.periodic(cron=cron)(task)
    return app


def parts(work: Parts, draining: threading.Event | None = None) -> dict[str, Any]:
    """Return what tasks work with. `draining` is set when the process is to end: long jobs come to a resting point then."""
    return {"sessions": work.sessions, "store": work.store, "work": work, "draining": draining or threading.Event()}
