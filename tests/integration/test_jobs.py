"""The queue: a delete asks for a sweep, the worker runs it, and neither needs the other to be up."""

import pytest
from sqlalchemy import text

from schema.session import Sessions
from service.accounts.actor import Actor
from service.embedded.ports import free_port
from service.jobqueue import JobQueue
from service.jobs import parts, worker_app
from service.pictures.delete import delete_image
from service.sql.ask import Door, places
from service.tasks import Parts
from storage.base import ObjectStore
from tests.conftest import TokenClient
from tests.factories import StepStore, add_image, assert_in_step, one, raising, rows

JOBS = "SELECT task_name, status::text FROM jobs.procrastinate_jobs ORDER BY id"


def work(database_url: str, sessions: Sessions, store: ObjectStore) -> None:
    """Run every job that waits, then stop."""
    app = worker_app(database_url)
    context = parts(Parts(sessions, store, Door("", places(1))))
    with app.open():
        app.run_worker(wait=False, install_signal_handlers=False, listen_notify=False, additional_context=context)


def test_a_delete_asks_for_a_sweep_that_the_worker_runs(
    editor_client: TokenClient, sessions: Sessions, store: ObjectStore, actor: Actor, database_url: str
) -> None:
    ids = [add_image(sessions, store, actor) for _ in range(3)]
    for image_id in ids[:2]:
        assert editor_client.delete(f"/api/v1/images/{image_id}?purge=true").status_code == 204
    # The second found the first one's job still waiting.
    assert rows(sessions, JOBS) == [("pixref:sweep", "todo")]
    work(database_url, sessions, store)
    assert "todo" not in {status for _, status in rows(sessions, JOBS)}
    assert one(sessions, "SELECT id FROM pixref.image") == ids[2]
    assert_in_step(sessions, store)


def test_a_job_that_fails_is_recorded_and_the_next_one_runs(
    sessions: Sessions, store: ObjectStore, actor: Actor, database_url: str
) -> None:
    delete_image(sessions, add_image(sessions, store, actor))
    queue = JobQueue(database_url)
    queue.request_sweep()
    work(database_url, sessions, StepStore(store, before=raising(RuntimeError("a bug"), at="delete")))
    queue.request_sweep()
    work(database_url, sessions, store)
    assert next(status for _, status in rows(sessions, JOBS)) == "failed"
    assert_in_step(sessions, store)


def test_asking_never_fails(caplog: pytest.LogCaptureFixture) -> None:
    JobQueue(f"postgresql://nobody:secret@127.0.0.1:{free_port()}/none").request_sweep()
    assert "could not be requested" in caplog.text
    assert "secret" not in caplog.text


def test_a_worker_killed_in_the_middle_holds_nobody_back(
    sessions: Sessions, store: ObjectStore, actor: Actor, database_url: str
) -> None:
    queue = JobQueue(database_url)
    queue.request_sweep()
    # What a SIGKILL leaves: the job is under way, by nobody.
    with sessions() as session, session.begin():
        session.execute(text("SET LOCAL search_path = jobs"))
        session.execute(text("UPDATE procrastinate_jobs SET status = 'doing', worker_id = NULL"))
    delete_image(sessions, add_image(sessions, store, actor))
    queue.request_sweep()
    work(database_url, sessions, store)
    assert_in_step(sessions, store)


def test_every_form_of_the_url_that_the_settings_accept_works(database_url: str, sessions: Sessions, store: ObjectStore) -> None:
    for scheme in ("postgresql", "postgres", "postgresql+psycopg2"):
        work(database_url.replace("postgresql", scheme, 1), sessions, store)
