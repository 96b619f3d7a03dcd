"""`pixref work` as a process: what SQL clients may do to the database that it shares with them does not reach it."""

import signal
import subprocess
import time

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from schema.session import Sessions
from service.accounts.actor import Actor
from service.jobqueue import JobQueue
from service.pictures.delete import delete_image
from storage.base import ObjectStore
from tests.cli.conftest import PIXREF, eventually
from tests.factories import add_image, execute, one

WORKERS = "SELECT count(*) FROM jobs.procrastinate_workers"


def test_a_clients_notify_does_not_end_the_worker(
    environment: dict[str, str], database_url: str, reader_url: URL, sessions: Sessions, store: ObjectStore, actor: Actor
) -> None:
    """PostgreSQL has no right to withhold for NOTIFY, and the queue's own listener ends at the first word that is no JSON."""
    picture = add_image(sessions, store, actor)
    with subprocess.Popen([PIXREF, "work"], env=environment, stderr=subprocess.PIPE, text=True) as worker:
        eventually(lambda: one(sessions, WORKERS) == 2)  # one for each queue
        with create_engine(reader_url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as reader:
            for _ in range(40):  # longer than a listener would take to begin
                for channel in ("procrastinate_any_queue_v1", "procrastinate_queue_v1#upkeep"):
                    reader.execute(text(f"NOTIFY \"{channel}\", 'no JSON'"))
                time.sleep(0.1)
        delete_image(sessions, picture)
        execute(sessions, "UPDATE pixref.object_deletion SET due_at = now()")
        JobQueue(database_url).request_sweep()
        eventually(lambda: one(sessions, "SELECT count(*) FROM pixref.image") == 0)
        assert worker.poll() is None
        worker.send_signal(signal.SIGTERM)
        _, err = worker.communicate(timeout=30)
    assert worker.returncode == 0, err
