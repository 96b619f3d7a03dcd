"""Jobs as rows, for those who ask for one and look at it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.sql import Select

from schema.session import Sessions
from schema.tables import Account, Job
from service.accounts.actor import Actor
from service.errors import Conflict, NotFound

State = Literal["queued", "running", "succeeded", "failed", "cancelled"]
STATES: tuple[State, ...] = ("queued", "running", "succeeded", "failed", "cancelled")
UNFINISHED: tuple[State, ...] = ("queued", "running")
_BIGINT_MAX = 2**63 - 1


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job as people see it. `progress` is 0 to 1, None while nobody knows how much there is to do; `error` has `code` and `detail`."""

    id: int
    task: str
    state: State
    progress: float | None
    total: int | None
    done: int
    failed: int
    message: str | None
    error: dict[str, str] | None
    parameters: dict[str, Any]
    result: dict[str, Any] | None
    cancelling: bool
    created_by: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def ended(self) -> bool:
        return self.state not in UNFINISHED


@dataclass(frozen=True, slots=True)
class JobPage:
    """Jobs, newest first; `next` is the id to ask for jobs before, None at the end."""

    items: list[JobInfo]
    next: int | None


def _query() -> Select[Job, str]:
    return select(Job, Account.name).outerjoin(Account, Account.id == Job.created_by)


def _info(row: Row[Job, str]) -> JobInfo:
    job, name = row
    progress = None if job.total is None else min(1.0, job.done / job.total) if job.total else 1.0
    return JobInfo(
        id=job.id,
        task=job.task,
        state=cast(State, job.state),
        progress=1.0 if job.state == "succeeded" else progress,
        total=job.total,
        done=job.done,
        failed=job.failed,
        message=job.message,
        error=job.error,
        parameters=job.parameters,
        result=job.result,
        cancelling=job.cancel_requested_at is not None and job.state in UNFINISHED,
        created_by=name,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )


def create_job(sessions: Sessions, task: str, parameters: Mapping[str, Any], *, actor: Actor) -> int:
    """Write down that this is to be done; returns the job's id. A worker finds it within a minute, at once where it is woken."""
    with sessions() as session, session.begin():
        values = {"task": task, "parameters": dict(parameters), "created_by": actor.account_id}
        return session.scalars(insert(Job).values(values).returning(Job.id)).one()


def find_job(sessions: Sessions, job_id: int) -> JobInfo:
    """Return a job. Raises `NotFound`."""
    with sessions() as session:
        row = session.execute(_query().where(Job.id == job_id)).one_or_none() if 0 < job_id <= _BIGINT_MAX else None
    if row is None:
        raise NotFound(f"there is no job {job_id}", field="id")
    return _info(row)


def list_jobs(
    sessions: Sessions, *, task: str | None = None, state: State | None = None, limit: int = 50, before: int | None = None
) -> JobPage:
    """Return jobs, newest first, those with an id below `before`."""
    query = _query().order_by(Job.id.desc()).limit(limit + 1)
    if task is not None:
        query = query.where(Job.task == task)
    if state is not None:
        query = query.where(Job.state == state)
    if before is not None:
        query = query.where(Job.id < before)
    with sessions() as session:
        items = [_info(row) for row in session.execute(query)]
    return JobPage(items[:limit], items[limit - 1].id if len(items) > limit else None)


def cancel_job(sessions: Sessions, job_id: int) -> JobInfo:
    """Cancel a job: at once while it waits, else when its runner next looks, within seconds. Raises `NotFound`, `Conflict` when it has ended."""
    with sessions() as session, session.begin():
        if not 0 < job_id <= _BIGINT_MAX:
            raise NotFound(f"there is no job {job_id}", field="id")
        state = session.scalar(select(Job.state).where(Job.id == job_id).with_for_update())
        if state is None:
            raise NotFound(f"there is no job {job_id}", field="id")
        if state not in UNFINISHED:
            raise Conflict(f"job {job_id} has ended already: it is {state}")
        asked: dict[str, Any] = {"cancel_requested_at": func.coalesce(Job.cancel_requested_at, func.now())}
        if state == "queued":
            asked |= {"state": "cancelled", "finished_at": func.now()}
        session.execute(update(Job).where(Job.id == job_id).values(asked))
    return find_job(sessions, job_id)
