"""Uploads that die: at every step, by an error of the store or the database, or with the whole process. Afterwards both stores agree."""

import signal
import subprocess
import sys
import threading
import time
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from schema.session import Sessions
from service.accounts.actor import Actor
from service.embedded.minio import MinioServer
from service.embedded.ports import free_port
from service.errors import DatabaseUnavailable, StorageUnavailable, UploadInterrupted
from service.faults import translate
from service.upkeep.sweep import sweep
from storage.base import ObjectStore, StoreError, StoreTimeout, StoreUnavailable
from storage.minio_store import MinioStore
from tests.conftest import ROOT_PASSWORD, ROOT_USER
from tests.factories import (
    BIG,
    StepStore,
    add_image,
    add_upload,
    assert_in_step,
    execute,
    expire_leases,
    make_png,
    objects,
    one,
    raising,
    rows,
)


class Killed(BaseException):
    """Stands for the end of the process: no handler of ours may catch it."""


def dying(sessions: Sessions, *, before: int = 0, after: int = 0) -> Sessions:
    """Return sessions of which one kills: the `before`-th when it is opened, the `after`-th when it has committed."""
    numbers = count(1)

    def die(*_: object) -> None:
        raise Killed

    def open_session() -> Session:
        number = next(numbers)
        if number == before:
            raise Killed
        session = sessions()
        if number == after:
            event.listen(session, "after_commit", die)
        return session

    return open_session


def killed_at(step: str, sessions: Sessions, store: ObjectStore) -> tuple[Sessions, ObjectStore]:
    """Return sessions and store with which an upload dies at one step."""
    match step:
        case "before U1":
            return dying(sessions, before=1), store
        case "after U1":
            return dying(sessions, after=1), store
        case "before PUT":
            return sessions, StepStore(store, before=raising(Killed(), at="put"))
        case "after PUT":
            return sessions, StepStore(store, after=raising(Killed(), at="put"))
        case "before U3":
            return dying(sessions, before=2), store
    assert step == "after U3"
    return dying(sessions, after=2), store


@pytest.mark.parametrize(
    ("step", "state", "objects_left"),
    [
        ("before U1", [], 0),
        ("after U1", ["PENDING"], 0),
        ("before PUT", ["PENDING"], 0),
        ("after PUT", ["PENDING"], 1),
        ("before U3", ["PENDING"], 1),
        ("after U3", ["READY"], 1),
    ],
)
def test_killed_at_a_step(
    sessions: Sessions, store: ObjectStore, actor: Actor, step: str, state: list[str], objects_left: int
) -> None:
    data = make_png(BIG, BIG)
    with pytest.raises(Killed):
        add_image(*killed_at(step, sessions, store), actor, data, label="l", tags=["t"])
    assert [found for (found,) in rows(sessions, "SELECT state FROM pixref.image")] == state
    assert len(objects(store)) == objects_left
    if state != ["READY"]:
        for view in ("images", "image_tags", "label_history"):
            assert rows(sessions, f"SELECT image_id FROM catalog.{view}") == []
        assert rows(sessions, "SELECT label FROM catalog.labels WHERE images > 0") == []
    # A living upload looks the same: before its lease ends, the sweep leaves it alone.
    sweep(sessions, store)
    assert len(objects(store)) == objects_left
    expire_leases(sessions)
    sweep(sessions, store)
    assert_in_step(sessions, store)
    again = add_upload(sessions, store, actor, data)
    assert again.created == (step != "after U3")
    assert_in_step(sessions, store)


@pytest.mark.parametrize("late", [False, True], ids=["bytes never arrive", "bytes have arrived"])
@pytest.mark.parametrize("error", [StoreUnavailable, StoreTimeout])
def test_the_store_fails(sessions: Sessions, store: ObjectStore, actor: Actor, error: type[StoreError], late: bool) -> None:
    fault = error("told to", "bucket", "endpoint")
    failing = StepStore(store, after=raising(fault, at="put")) if late else StepStore(store, before=raising(fault, at="put"))
    with pytest.raises(error):
        add_image(sessions, failing, actor)
    assert one(sessions, "SELECT state FROM pixref.image") == "DELETING"
    # A PUT that timed out may still land, so its object is not due before it must have.
    assert one(sessions, "SELECT due_at > now() + interval '9 min' FROM pixref.object_deletion")
    expire_leases(sessions)
    sweep(sessions, store)
    assert_in_step(sessions, store)
    assert rows(sessions, "SELECT id FROM pixref.image") == []


def test_the_store_is_down(sessions: Sessions, store: ObjectStore, bucket: str, actor: Actor) -> None:
    down = MinioStore(
        f"http://127.0.0.1:{free_port()}", bucket=bucket, access_key=ROOT_USER, secret_key=ROOT_PASSWORD, connect_timeout_s=0.5
    )
    with pytest.raises(StoreError) as caught:
        add_image(sessions, down, actor)
    assert isinstance(translate(caught.value), StorageUnavailable)
    expire_leases(sessions)
    with_store_down = sweep(sessions, down)
    assert (with_store_down.deleted, with_store_down.failed) == (0, 1)
    expire_leases(sessions)
    assert sweep(sessions, store).deleted == 1
    assert_in_step(sessions, store)


def test_the_sweep_overtakes_an_upload(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    def take_it(step: str) -> None:
        if step == "put":
            expire_leases(sessions)
            sweep(sessions, store)

    for overtaken in (StepStore(store, before=take_it), StepStore(store, after=take_it)):
        with pytest.raises(UploadInterrupted):
            add_image(sessions, overtaken, actor)
    assert one(sessions, "SELECT count(*) FROM pixref.image") == 0
    # The first attempt's bytes came after the sweep had removed nothing.
    sweep(sessions, store)
    assert_in_step(sessions, store)


def test_an_upload_ends_while_the_sweep_has_removed_its_object_and_not_yet_its_row(
    sessions: Sessions, store: ObjectStore, actor: Actor
) -> None:
    removed, landed = threading.Event(), threading.Event()

    def wait_for_the_bytes(step: str) -> None:
        if step == "delete":
            removed.set()
            assert landed.wait(10)
            time.sleep(0.3)  # in which the upload asks for its object to be removed

    sweeper = threading.Thread(target=sweep, args=(sessions, StepStore(store, after=wait_for_the_bytes)))

    def begin_to_sweep(step: str) -> None:
        if step == "put":
            expire_leases(sessions)
            sweeper.start()
            assert removed.wait(10)

    late = StepStore(store, before=begin_to_sweep, after=lambda step: landed.set())
    with pytest.raises(UploadInterrupted):
        add_image(sessions, late, actor)
    sweeper.join()
    sweep(sessions, store)
    assert_in_step(sessions, store)


def test_a_delete_by_sql_overtakes_an_upload(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    def delete_it(step: str) -> None:
        if step == "put":
            execute(sessions, "DELETE FROM pixref.image")

    with pytest.raises(UploadInterrupted):
        add_image(sessions, StepStore(store, after=delete_it), actor)
    assert one(sessions, "SELECT state FROM pixref.image") == "DELETING"
    expire_leases(sessions)
    sweep(sessions, store)
    assert_in_step(sessions, store)


@pytest.mark.parametrize("winner_goes", [False, True], ids=["winner stays", "winner is deleted at once"])
def test_another_upload_wins_while_the_bytes_are_stored(
    sessions: Sessions, store: ObjectStore, actor: Actor, winner_goes: bool
) -> None:
    data = make_png(BIG, BIG)
    numbers = count(1)

    def another_wins(step: str) -> None:
        if step == "put":
            add_image(sessions, store, actor, data)

    def open_session() -> Session:
        # The third one gives the attempt up; after it, the winner is looked for.
        if next(numbers) == 3 and winner_goes:
            execute(sessions, "DELETE FROM pixref.image WHERE state = 'READY'")
        return sessions()

    overtaken = StepStore(store, after=another_wins)
    if winner_goes:
        with pytest.raises(UploadInterrupted):
            add_upload(open_session, overtaken, actor, data)
    else:
        assert not add_upload(open_session, overtaken, actor, data).created
    expire_leases(sessions)
    sweep(sessions, store)
    assert_in_step(sessions, store)
    assert one(sessions, "SELECT count(*) FROM pixref.image") == int(not winner_goes)


@pytest.mark.parametrize("committed", [True, False])
def test_the_database_goes_away_at_the_last_commit(sessions: Sessions, store: ObjectStore, actor: Actor, committed: bool) -> None:
    numbers = count(1)

    def cut(session: Session) -> None:
        raw = session.connection().connection.dbapi_connection
        assert raw is not None
        if committed:
            raw.commit()
        execute(sessions, "SELECT pg_terminate_backend(:pid)", pid=raw.info.backend_pid)

    def open_session() -> Session:
        session = sessions()
        if next(numbers) == 2:
            event.listen(session, "before_commit", cut)
        return session

    if committed:
        # The answer to COMMIT was lost, but the row knows.
        assert add_upload(open_session, store, actor, make_png(BIG, BIG)).created
    else:
        with pytest.raises(OperationalError) as caught:
            add_upload(open_session, store, actor, make_png(BIG, BIG))
        assert isinstance(translate(caught.value), DatabaseUnavailable)
    expire_leases(sessions)
    sweep(sessions, store)
    assert_in_step(sessions, store)
    assert one(sessions, "SELECT count(*) FROM pixref.image") == int(committed)


CHILD = """
import sys, time
from schema.session import Sessions, open_engine
from service.accounts.tokens import local_actor
from storage.minio_store import MinioStore
from tests.factories import StepStore, add_image, make_png

url, endpoint, bucket, user, password, step = sys.argv[1:]

def wait(here):
    def hook(_step):
        if here == step:
            print("here", flush=True)
            time.sleep(60)
    return hook

store = MinioStore(endpoint, bucket=bucket, access_key=user, secret_key=password)
sessions = Sessions(open_engine(url, application_name="victim"))
add_image(sessions, StepStore(store, before=wait("before"), after=wait("after")), local_actor(sessions), make_png(80, 80, seed=99))
print("here", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("step", "kept"), [("before", 0), ("after", 0), ("done", 1)])
def test_kill_9(
    sessions: Sessions, store: ObjectStore, minio: MinioServer, bucket: str, database_url: str, step: str, kept: int
) -> None:
    command = [sys.executable, "-c", CHILD, database_url, minio.endpoint, bucket, ROOT_USER, ROOT_PASSWORD, step]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == b"here\n"
        finally:
            child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    expire_leases(sessions)
    sweep(sessions, store)
    assert_in_step(sessions, store)
    assert one(sessions, "SELECT count(*) FROM pixref.image") == kept
