"""Doing a job: claim it, give signs of life, notice that it is cancelled or that this process is to stop, write down what came of it.

Any number of processes may try to do the same job, by the queue, by hand, or because the one that was at it died: the claim is one UPDATE, and
only who holds it writes to the row. A runner that was thought dead and is not finds that out at its next beat, and stops.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from secrets import token_hex
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import and_, case, func, or_, select, update
from sqlalchemy.exc import SQLAlchemyError

from schema.session import Sessions
from schema.tables import Account, Job
from service.accounts.actor import Actor, Role
from service.accounts.tokens import local_actor
from service.errors import Conflict, DatabaseBusy, DatabaseTimeout, DatabaseUnavailable, PixrefError
from service.faults import translate
from service.work.ledger import UNFINISHED

BEAT_S = 5.0
# A runner without a sign of life for so long is taken for dead, by the database's clock.
DEAD_AFTER = timedelta(seconds=30)
# One that could not give a sign for so long stops by itself, before another begins.
_GIVE_UP_S = 20.0
MAX_DEATHS = 3
# Progress is written no more often than this.
_WRITE_S = 0.5

P = TypeVar("P")
log = logging.getLogger(__name__)


Watch: TypeAlias = Callable[[int, int | None, str | None], None]
"""Told at once of progress: done, total, message. For who does a job before somebody's eyes."""


class Stopped(Exception):
    """Raised by `Running.check` out of a job's body, which lets it pass: the work is not wanted any more, at least not here."""


class Cancelled(Stopped):
    """Somebody cancelled the job."""


class Draining(Stopped):
    """This process is to end: the job waits for another one."""


class Lost(Stopped):
    """Another runner has the job by now, or the database has not heard of this one for too long."""


class Running:
    """A job that this process is doing, as its body sees it. Thread-safe."""

    def __init__(
        self,
        job_id: int,
        task: str,
        parameters: Mapping[str, Any],
        noted: Mapping[str, Any],
        actor: Actor,
        draining: threading.Event,
        watch: Watch | None = None,
    ) -> None:
        self.job_id = job_id
        self.task = task
        self.parameters = parameters
        self.noted = dict(noted)
        self.actor = actor
        self._draining = draining
        self._watch = watch
        self._stop: type[Stopped] | None = None
        self._lock = threading.Lock()
        self._report: dict[str, Any] = {}
        self._changed = False
        self._write: Callable[[], None] = lambda: None

    def written_by(self, write: Callable[[], None]) -> None:
        """Have what cannot wait written down by this."""
        self._write = write

    def check(self) -> None:
        """Raise `Cancelled`, `Draining` or `Lost` when the work is to end. Call it between parts that are committed."""
        if self._stop is not None:
            raise self._stop
        if self._draining.is_set():
            raise Draining

    def progress(self, done: int, total: int | None = None, *, failed: int = 0, message: str | None = None) -> None:
        """Say how far it is; costs nothing, for it is written down now and then by another thread."""
        with self._lock:
            self._report |= {"done": done, "total": total, "failed": failed, "message": message}
            self._changed = True
        if self._watch is not None:
            self._watch(done, total, message)

    def note(self, **facts: Any) -> None:
        """Keep facts in `noted`, which a runner that takes the job up later finds there; they become part of its result. Written down at once."""
        with self._lock:
            self.noted |= facts
            self._report["result"] = dict(self.noted)
        self._write()

    def stop(self, reason: type[Stopped]) -> None:
        """Have the next `check` raise this."""
        self._stop = self._stop or reason

    def report(self) -> dict[str, Any]:
        """What was last said of progress."""
        with self._lock:
            self._changed = False
            return dict(self._report)

    @property
    def changed(self) -> bool:
        """Whether there is progress that was not read by `report`."""
        return self._changed


Body: TypeAlias = Callable[[Running, P], Mapping[str, Any]]
"""What does a job: returns what came of it, as JSON. Raises `PixrefError` for what people should know; lets `Stopped` pass."""


@dataclass(frozen=True, slots=True)
class _Claim:
    runner: str
    running: Running
    too_often: bool


def _claim(sessions: Sessions, job_id: int, draining: threading.Event, watch: Watch | None) -> _Claim | None:
    """Take a job that waits, or whose runner is dead; None when there is no such job to take."""
    runner = token_hex(16)
    orphaned = and_(Job.state == "running", Job.heartbeat_at < func.now() - DEAD_AFTER)
    taken = (
        update(Job)
        .where(Job.id == job_id, or_(Job.state == "queued", orphaned))
        .values(
            state="running",
            runner=runner,
            heartbeat_at=func.now(),
            started_at=func.coalesce(Job.started_at, func.now()),
            deaths=Job.deaths + case((Job.state == "running", 1), else_=0),
        )
        .returning(Job.task, Job.parameters, Job.result, Job.created_by, Job.deaths, Job.cancel_requested_at)
    )
    with sessions() as session, session.begin():
        row = session.execute(taken).one_or_none()
        if row is None:
            return None
        name = session.scalar(select(Account.name).where(Account.id == row.created_by))
    actor = Actor(row.created_by, name, Role.EDITOR) if name else local_actor(sessions, "worker")
    running = Running(job_id, row.task, row.parameters, row.result or {}, actor, draining, watch)
    if row.cancel_requested_at is not None:
        running.stop(Cancelled)
    claim = _Claim(runner, running, row.deaths >= MAX_DEATHS)
    running.written_by(lambda: _beat(sessions, claim))
    return claim


def _beat(sessions: Sessions, claim: _Claim) -> None:
    """Give a sign of life, write progress, and pass on what the row says."""
    running = claim.running
    report = running.report()
    said = (
        update(Job)
        .where(Job.id == running.job_id, Job.runner == claim.runner)
        .values(heartbeat_at=func.now(), **report)
        .returning(Job.cancel_requested_at)
    )
    with sessions() as session, session.begin():
        row = session.execute(said).one_or_none()
    if row is None:
        running.stop(Lost)
    elif row.cancel_requested_at is not None:
        running.stop(Cancelled)


@contextmanager
def _beating(sessions: Sessions, claim: _Claim) -> Iterator[None]:
    """Beat in another thread for as long as the work takes."""
    over = threading.Event()

    def run() -> None:
        last = time.monotonic()
        while not over.wait(_WRITE_S):
            silent_s = time.monotonic() - last
            if silent_s < BEAT_S and not claim.running.changed:
                continue
            try:
                _beat(sessions, claim)
                last = time.monotonic()
            except (SQLAlchemyError, PixrefError):
                if silent_s > _GIVE_UP_S:
                    claim.running.stop(Lost)

    thread = threading.Thread(target=run, name=f"job {claim.running.job_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _close(sessions: Sessions, claim: _Claim, **values: Any) -> bool:
    """Write down how it ended and let go of the job; False when another runner has it by now."""
    ended = values["state"] not in UNFINISHED
    closed = (
        update(Job)
        .where(Job.id == claim.running.job_id, Job.runner == claim.runner)
        .values(
            {"runner": None, "heartbeat_at": None, "finished_at": func.now() if ended else None} | claim.running.report() | values
        )
        .returning(Job.id)
    )
    with sessions() as session, session.begin():
        return session.scalar(closed) is not None


def run_job(
    sessions: Sessions,
    job_id: int,
    bodies: Mapping[str, Body[P]],
    parts: P,
    *,
    draining: threading.Event | None = None,
    watch: Watch | None = None,
) -> bool:
    """Do a job to its end, or until it or this process is to stop; False when it is not there to be taken.

    What goes wrong is written into its row. An interrupt (Ctrl-C) cancels it and is raised again.
    """
    claim = _claim(sessions, job_id, draining or threading.Event(), watch)
    if claim is None:
        return False
    running = claim.running
    if claim.too_often:
        detail = f"the process that did this job died {MAX_DEATHS} times over it: it may need more memory than there is"
        _close(sessions, claim, state="failed", error={"code": "job_died", "detail": detail})
        return True
    try:
        with _beating(sessions, claim):
            if (body := bodies.get(running.task)) is None:
                raise Conflict(f"no worker of this version knows the task {running.task!r}: upgrade the workers")
            running.check()
            result = running.noted | dict(body(running, parts))
    except Draining:
        _close(sessions, claim, state="queued", message="waits for another worker")
    except Cancelled:
        _close(sessions, claim, state="cancelled")
    except Lost:
        log.warning("a job was taken over by another runner", extra={"job_id": job_id})
    except Exception as exc:
        _failed(sessions, claim, exc)
    except BaseException:
        _close(sessions, claim, state="cancelled", message="interrupted")
        raise
    else:
        _close(sessions, claim, state="succeeded", result=result)
    return True


def _failed(sessions: Sessions, claim: _Claim, exc: Exception) -> None:
    job_id, known = claim.running.job_id, translate(exc)
    if isinstance(known, DatabaseUnavailable | DatabaseBusy | DatabaseTimeout):
        # Nothing can be written down. Without a sign of life the job is taken up again, here or elsewhere.
        log.warning("a job lost the database", extra={"job_id": job_id, "reason": known.detail})
        return
    if known is None:
        log.error("a job failed", exc_info=exc, extra={"job_id": job_id, "task": claim.running.task})
        known = PixrefError(f"something went wrong on our side; the log of the process that did job {job_id} says what")
    _close(sessions, claim, state="failed", error={"code": known.code, "detail": known.detail})


def due_jobs(sessions: Sessions) -> list[int]:
    """Return the jobs that wait, or whose runner is dead: oldest first."""
    due = or_(Job.state == "queued", and_(Job.state == "running", Job.heartbeat_at < func.now() - DEAD_AFTER))
    with sessions() as session:
        return list(session.scalars(select(Job.id).where(due).order_by(Job.id)))
