"""Model files that wait for a job: registered once, refused with the reason, and never left behind."""

import io
from datetime import timedelta
from typing import Any

import pytest

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import BadModel, Invalid
from service.models.deposits import deposit
from service.models.registry import find_version
from service.settings import PROJECT_DIR
from service.sql.ask import Door, places
from service.tasks import Parts, do_job
from service.upkeep.fsck import fsck
from service.upkeep.sweep import sweep
from service.work.ledger import JobInfo, find_job
from storage.base import ObjectStore
from tests.factories import assert_in_step, execute, objects, one

KERAS = (PROJECT_DIR / "models" / "mnist.keras").read_bytes()
DIGITS = [str(digit) for digit in range(10)]


@pytest.fixture
def parts(sessions: Sessions, store: ObjectStore, door_url: str) -> Parts:
    return Parts(sessions, store, Door(door_url, places(1)))


def send(parts: Parts, actor: Actor, data: bytes = KERAS, **options: Any) -> int:
    wanted: dict[str, Any] = {"name": "digits", "labels": DIGITS, "preprocessing": None, **options}
    return deposit(parts.sessions, parts.store, io.BytesIO(data), actor=actor, **wanted)


def done(parts: Parts, job_id: int) -> JobInfo:
    do_job(parts, job_id)
    return find_job(parts.sessions, job_id)


def test_it_is_registered_by_the_job_and_nothing_waits_any_more(parts: Parts, actor: Actor) -> None:
    job_id = send(parts, actor)
    assert len(objects(parts.store)) == 1
    assert fsck(parts.sessions, parts.store, repair=True, grace=timedelta()).clean, "what waits is no stray"
    job = done(parts, job_id)
    assert job.state == "succeeded", job.error
    assert (job.result or {}).items() >= {"model": "digits", "version": 1}.items()
    assert "uploads/" not in str(job)
    assert find_version(parts.sessions, "digits").labels == tuple(DIGITS)
    sweep(parts.sessions, parts.store)
    assert_in_step(parts.sessions, parts.store)
    again = done(parts, send(parts, actor))
    assert (again.result or {})["version"] == 1, "the same file is registered once"


def test_a_runner_that_died_at_the_very_end_has_not_lost_the_version(parts: Parts, actor: Actor) -> None:
    job_id = send(parts, actor)
    first = done(parts, job_id)
    sweep(parts.sessions, parts.store)
    execute(parts.sessions, "UPDATE pixref.job SET state = 'queued', finished_at = NULL")
    again = done(parts, job_id)
    assert again.state == "succeeded", again.error
    assert again.result == first.result
    assert one(parts.sessions, "SELECT count(*) FROM pixref.model_version") == 1


def test_one_that_is_refused_says_why_and_is_let_go_of(parts: Parts, actor: Actor) -> None:
    job = done(parts, send(parts, actor, b"PK\x03\x04 no model"))
    assert job.state == "failed"
    assert (job.error or {})["code"] == "bad_model"
    execute(parts.sessions, "UPDATE pixref.object_deletion SET due_at = now()")
    sweep(parts.sessions, parts.store)
    assert objects(parts.store) == set()
    late = done(parts, send(parts, actor, b"PK\x03\x04 no model either"))
    assert late.state == "failed"


def test_one_that_waited_too_long_is_asked_for_again(parts: Parts, actor: Actor) -> None:
    job_id = send(parts, actor)
    execute(parts.sessions, "UPDATE pixref.object_deletion SET due_at = now()")
    sweep(parts.sessions, parts.store)
    job = done(parts, job_id)
    assert job.state == "failed"
    assert "send it again" in (job.error or {})["detail"]
    assert one(parts.sessions, "SELECT count(*) FROM pixref.model_version") == 0


@pytest.mark.parametrize(
    ("data", "options", "error"),
    [
        (b"", {}, Invalid),
        (b"no model", {}, Invalid),
        (KERAS, {"name": "No Name"}, Invalid),
        (KERAS, {"labels": ["a", " a"]}, BadModel),
        (KERAS, {"labels": ["a", ""]}, Invalid),
        (KERAS, {"preprocessing": {"color_mode": "blue"}}, Invalid),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_kept(
    parts: Parts, actor: Actor, data: bytes, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        send(parts, actor, data, **options)
    assert objects(parts.store) == set()
    assert one(parts.sessions, "SELECT (SELECT count(*) FROM pixref.job) + (SELECT count(*) FROM pixref.object_deletion)") == 0
