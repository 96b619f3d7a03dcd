"""Long work: claimed by one, taken up when its runner dies, cancelled, put down when the process is to end."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import Conflict, Invalid, NotFound
from service.work.ledger import cancel_job, create_job, find_job, list_jobs
from service.work.running import Body, Running, due_jobs, run_job
from tests.factories import execute, one

Do = Callable[[Running, None], Mapping[str, Any]]
DEAD = "UPDATE pixref.job SET heartbeat_at = now() - interval '31 s'"


def run(sessions: Sessions, job_id: int, body: Do, **options: Any) -> bool:
    bodies: Mapping[str, Body[None]] = {"count": body}
    return run_job(sessions, job_id, bodies, None, **options)


def until_stopped(running: Running, _: None) -> Mapping[str, Any]:
    for _second in range(600):
        running.check()
        time.sleep(0.05)
    raise AssertionError("nobody stopped it")


def test_a_job_is_done_and_what_came_of_it_is_kept(sessions: Sessions, actor: Actor) -> None:
    job_id = create_job(sessions, "count", {"to": 3}, actor=actor)
    waiting = find_job(sessions, job_id)
    assert (waiting.state, waiting.progress, waiting.created_by, waiting.ended) == ("queued", None, actor.name, False)
    seen = []

    def body(running: Running, _: None) -> Mapping[str, Any]:
        assert running.actor.account_id == actor.account_id
        assert find_job(sessions, job_id).state == "running"
        running.note(begun=True)
        running.progress(2, running.parameters["to"], failed=1, message="nearly")
        seen.append(find_job(sessions, job_id))
        return {"counted": 3}

    said: list[tuple[int, int | None, str | None]] = []
    assert run(sessions, job_id, body, watch=lambda *what: said.append(what))
    done = find_job(sessions, job_id)
    assert (done.state, done.result, done.progress, done.failed) == ("succeeded", {"begun": True, "counted": 3}, 1.0, 1)
    assert said == [(2, 3, "nearly")]
    assert not run(sessions, job_id, body), "a job that is done is not done again"
    assert not run(sessions, 10**6, body)


def test_progress_is_seen_while_it_runs(sessions: Sessions, actor: Actor) -> None:
    job_id = create_job(sessions, "count", {}, actor=actor)

    def body(running: Running, _: None) -> Mapping[str, Any]:
        running.progress(1, 4, message="one of four")
        running.note(found=1)
        for _try in range(100):
            info = find_job(sessions, job_id)
            if info.message:
                break
            time.sleep(0.05)
        assert (info.progress, info.message, info.result) == (0.25, "one of four", {"found": 1})
        return {}

    run(sessions, job_id, body)
    assert find_job(sessions, job_id).error is None


def test_of_many_runners_one_wins(sessions: Sessions, actor: Actor) -> None:
    job_id = create_job(sessions, "count", {}, actor=actor)
    runs = []

    def body(running: Running, _: None) -> Mapping[str, Any]:
        runs.append(running.job_id)
        time.sleep(0.2)
        return {}

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(lambda _: run(sessions, job_id, body), range(6)))
    assert (sum(won), runs) == (1, [job_id])


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (Invalid("too wide: give less", field="where"), {"code": "invalid_request", "detail": "too wide: give less"}),
        (NotFound("there is no model"), {"code": "not_found", "detail": "there is no model"}),
    ],
)
def test_what_people_should_know_of_a_failure_is_kept(
    sessions: Sessions, actor: Actor, error: Exception, kept: dict[str, str]
) -> None:
    job_id = create_job(sessions, "count", {}, actor=actor)

    def body(running: Running, _: None) -> Mapping[str, Any]:
        running.progress(1, 2)
        raise error

    run(sessions, job_id, body)
    job = find_job(sessions, job_id)
    assert (job.state, job.error, job.progress, job.ended) == ("failed", kept, 0.5, True)


def test_a_bug_of_ours_tells_no_internals(sessions: Sessions, actor: Actor, caplog: pytest.LogCaptureFixture) -> None:
    job_id = create_job(sessions, "count", {}, actor=actor)

    def body(running: Running, _: None) -> Mapping[str, Any]:
        raise RuntimeError("the password is secret")

    run(sessions, job_id, body)
    error = find_job(sessions, job_id).error or {}
    assert error["code"] == "internal_error"
    assert "secret" not in error["detail"]
    assert "the password is secret" in caplog.text
    unknown = create_job(sessions, "paint", {}, actor=actor)
    run(sessions, unknown, body)
    assert "knows the task 'paint'" in (find_job(sessions, unknown).error or {})["detail"]


def test_a_dead_runners_job_is_taken_up_with_what_it_noted(sessions: Sessions, actor: Actor) -> None:
    job_id = create_job(sessions, "count", {}, actor=actor)
    reached = threading.Event()
    ends = []

    def hang(running: Running, _: None) -> Mapping[str, Any]:
        running.note(skipped=7)
        reached.set()
        try:
            return until_stopped(running, None)
        finally:
            ends.append(running.job_id)

    first = threading.Thread(target=run, args=(sessions, job_id, hang))
    first.start()
    reached.wait(10)
    for _try in range(100):
        if one(sessions, "SELECT result FROM pixref.job"):
            break
        time.sleep(0.05)
    assert due_jobs(sessions) == []
    assert not run(sessions, job_id, hang), "its runner lives"
    execute(sessions, DEAD)
    assert due_jobs(sessions) == [job_id]

    def finish(running: Running, _: None) -> Mapping[str, Any]:
        return {"found": running.noted["skipped"]}

    assert run(sessions, job_id, finish)
    # The first was not dead: it finds out that the job is another's, stops, and writes nothing.
    first.join(20)
    assert ends == [job_id]
    job = find_job(sessions, job_id)
    assert (job.state, job.result) == ("succeeded", {"skipped": 7, "found": 7})


def test_a_job_that_kills_its_runners_ends(sessions: Sessions, actor: Actor) -> None:
    job_id = create_job(sessions, "count", {}, actor=actor)
    for _death in range(3):
        execute(
            sessions,
            "UPDATE pixref.job SET state = 'running', runner = 'x', heartbeat_at = now() - interval '31 s', deaths = deaths "
            "+ CASE state WHEN 'running' THEN 1 ELSE 0 END",
        )
    assert run(sessions, job_id, until_stopped)
    error = find_job(sessions, job_id).error or {}
    assert error["code"] == "job_died"


def test_a_waiting_job_is_cancelled_at_once(sessions: Sessions, actor: Actor) -> None:
    job_id = create_job(sessions, "count", {}, actor=actor)
    cancelled = cancel_job(sessions, job_id)
    assert (cancelled.state, cancelled.ended, cancelled.cancelling) == ("cancelled", True, False)
    assert not run(sessions, job_id, until_stopped)
    with pytest.raises(Conflict, match="has ended already: it is cancelled"):
        cancel_job(sessions, job_id)
    with pytest.raises(NotFound):
        cancel_job(sessions, job_id + 1)


def test_a_running_job_is_cancelled_within_seconds(sessions: Sessions, actor: Actor) -> None:
    job_id = create_job(sessions, "count", {}, actor=actor)

    def body(running: Running, _: None) -> Mapping[str, Any]:
        asked = cancel_job(sessions, job_id)
        assert (asked.state, asked.cancelling) == ("running", True)
        return until_stopped(running, None)

    began = time.monotonic()
    run(sessions, job_id, body)
    assert find_job(sessions, job_id).state == "cancelled"
    assert time.monotonic() - began < 10


def test_a_process_that_is_to_end_puts_its_job_down(sessions: Sessions, actor: Actor) -> None:
    job_id = create_job(sessions, "count", {}, actor=actor)
    draining = threading.Event()

    def body(running: Running, _: None) -> Mapping[str, Any]:
        draining.set()
        return until_stopped(running, None)

    run(sessions, job_id, body, draining=draining)
    assert find_job(sessions, job_id).state == "queued"
    assert due_jobs(sessions) == [job_id]
    # Cancelled while nobody is at it: whoever takes it up next finds it cancelled.
    assert one(sessions, "SELECT deaths FROM pixref.job") == 0
    run(sessions, job_id, lambda running, _: {"went": "on"})
    assert find_job(sessions, job_id).result == {"went": "on"}


def test_an_interrupt_cancels_and_goes_on(sessions: Sessions, actor: Actor) -> None:
    job_id = create_job(sessions, "count", {}, actor=actor)

    def body(running: Running, _: None) -> Mapping[str, Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(sessions, job_id, body)
    assert find_job(sessions, job_id).state == "cancelled"


def test_jobs_are_listed_newest_first(sessions: Sessions, actor: Actor) -> None:
    ids = [create_job(sessions, task, {}, actor=actor) for task in ("count", "paint", "count")]
    cancel_job(sessions, ids[2])
    page = list_jobs(sessions, limit=2)
    assert ([job.id for job in page.items], page.next) == ([ids[2], ids[1]], ids[1])
    last = list_jobs(sessions, limit=2, before=page.next)
    assert ([job.id for job in last.items], last.next) == ([ids[0]], None)
    assert [job.id for job in list_jobs(sessions, task="count", state="queued").items] == [ids[0]]
    assert [job.id for job in list_jobs(sessions, state="cancelled").items] == [ids[2]]
