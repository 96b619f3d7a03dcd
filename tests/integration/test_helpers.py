"""Processes that help to predict: they share the work, and nothing is lost where they die."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool

import psutil
import pytest

from schema.session import Sessions
from service.accounts.actor import Actor
from service.models import bulk, helpers, predicting
from service.models.bulk import Predicted
from service.models.helpers import QUEUE, Done, Helpers
from service.models.predicting import request_predictions
from service.models.registry import Artifact, find_version
from service.models.selection import Selection
from service.sql.ask import Door, places
from service.tasks import Parts, do_job
from service.work.ledger import find_job
from storage.base import ObjectStore, StoreUnavailable
from storage.minio_store import MinioStore
from tests.cli.conftest import eventually
from tests.factories import add_image, execute, one, rows


@pytest.fixture
def artifact(sessions: Sessions, mnist_model: int) -> Artifact:
    return find_version(sessions, "mnist", version=mnist_model)


@pytest.fixture
def ids(sessions: Sessions, store: ObjectStore, actor: Actor) -> list[int]:
    return [add_image(sessions, store, actor) for _ in range(24)]


@pytest.fixture
def helped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were three processors and too many pictures for one of them."""
    monkeypatch.setattr(predicting, "ALONE", 1)
    monkeypatch.setattr(predicting, "processors", lambda: 3)
    monkeypatch.setattr(bulk, "BATCH", 2)


def all_done(others: Helpers) -> list[Done]:
    found = []
    while others.busy:
        found += others.done(wait_s=30)
    return found


def die(image_ids: Sequence[int]) -> Predicted:
    os._exit(1)


@pytest.mark.usefixtures("database")
def test_a_helper_takes_a_few_batches_and_no_more(
    sessions: Sessions, store: MinioStore, actor: Actor, artifact: Artifact, ids: list[int]
) -> None:
    with Helpers(sessions, store, artifact, actor=actor, count=1) as others:
        assert [others.take(ids[start : start + 4]) for start in range(0, 12, 4)] == [True] * QUEUE + [False]
        done = all_done(others)
        assert [(each.image_ids, each.outcome) for each in done] == [(ids[:4], Predicted(4, 0)), (ids[4:8], Predicted(4, 0))]
        assert others.take(ids[8:12])
    # In the end they finish what they are doing.
    assert one(sessions, "SELECT count(*) FROM pixref.prediction WHERE created_by = :id", id=actor.account_id) in (8, 12)
    with Helpers(sessions, store, artifact, actor=actor, count=0) as nobody:
        assert not nobody.take(ids)
        assert nobody.done() == []


def test_what_fails_in_a_helper_is_told(sessions: Sessions, actor: Actor, artifact: Artifact, ids: list[int]) -> None:
    nowhere = MinioStore("http://127.0.0.1:9", bucket="none", access_key="nobody", secret_key="nothing-at-all")
    with Helpers(sessions, nowhere, artifact, actor=actor, count=1) as others:
        assert others.take(ids)
        (done,) = all_done(others)
        assert isinstance(done.outcome, StoreUnavailable)


def test_a_helper_that_dies_gives_its_batches_back(
    sessions: Sessions, store: MinioStore, actor: Actor, artifact: Artifact, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helpers, "_predict", die)
    with Helpers(sessions, store, artifact, actor=actor, count=1) as others:
        assert others.take(ids[:2])
        (done,) = all_done(others)
        assert done.image_ids == ids[:2]
        assert isinstance(done.outcome, BrokenProcessPool)
        assert not others.take(ids[2:])


@pytest.mark.usefixtures("helped")
@pytest.mark.parametrize("dying", [False, True])
def test_a_job_with_helpers(
    sessions: Sessions,
    store: MinioStore,
    actor: Actor,
    artifact: Artifact,
    ids: list[int],
    monkeypatch: pytest.MonkeyPatch,
    dying: bool,
) -> None:
    if dying:
        monkeypatch.setattr(helpers, "_predict", die)
    job_id = request_predictions(sessions, Selection(), actor=actor)
    do_job(Parts(sessions, store, Door("", places(1))), job_id)
    job = find_job(sessions, job_id)
    assert (job.state, job.done, job.total, job.failed) == ("succeeded", 24, 24, 0)
    assert (job.result or {})["predicted"] == 24
    assert one(sessions, "SELECT count(*) FROM pixref.prediction WHERE error IS NULL") == 24


# Runs a job with helpers until it is killed behind its third batch.
KILLED = """
import sys
from service.failpoints import arm
from service.models import bulk, predicting
from service.sql.ask import Door, places
from service.tasks import Parts, do_job
from schema.session import Sessions, open_engine
from storage.minio_store import MinioStore
url, endpoint, bucket, user, password, job_id = sys.argv[1:]
predicting.ALONE, predicting.processors, bulk.BATCH = 1, lambda: 3, 2
arm("predict_many.batch=kill:3")
store = MinioStore(endpoint, bucket=bucket, access_key=user, secret_key=password)
do_job(Parts(Sessions(open_engine(url)), store, Door("", places(1))), int(job_id))
"""


@pytest.mark.usefixtures("helped")
def test_a_job_that_is_killed_with_its_helpers_is_gone_on_with(
    sessions: Sessions,
    store: MinioStore,
    actor: Actor,
    artifact: Artifact,
    ids: list[int],
    database_url: str,
    victim_store: list[str],
) -> None:
    job_id = request_predictions(sessions, Selection(), actor=actor)
    died = subprocess.run([sys.executable, "-c", KILLED, database_url, *victim_store, str(job_id)], timeout=60)
    assert died.returncode == -9
    first = dict(rows(sessions, "SELECT image_id, created_at FROM pixref.prediction"))
    assert 0 < len(first) < 24
    execute(sessions, "UPDATE pixref.job SET heartbeat_at = now() - interval '31 s'")
    assert do_job(Parts(sessions, store, Door("", places(1))), job_id)
    job = find_job(sessions, job_id)
    assert (job.state, job.done, job.total) == ("succeeded", 24, 24)
    assert {name: (job.result or {})[name] for name in ("skipped", "predicted", "failed")} == {
        "skipped": 0,
        "predicted": 24,
        "failed": 0,
    }
    after = dict(rows(sessions, "SELECT image_id, created_at FROM pixref.prediction"))
    assert sorted(after) == ids
    assert after.items() >= first.items(), "what was done was done again"


VICTIM = """
import os, signal, sys, threading
from service.accounts.tokens import local_actor
from service.models import helpers
from service.models.registry import find_version
from schema.session import Sessions, open_engine
from storage.minio_store import MinioStore
url, endpoint, bucket, user, password = sys.argv[1:]
sessions = Sessions(open_engine(url))
store = MinioStore(endpoint, bucket=bucket, access_key=user, secret_key=password)
others = helpers.Helpers(sessions, store, find_version(sessions, "mnist"), actor=local_actor(sessions), count=2)
others.take([1])
others.take([2])
while others.busy:
    others.done(wait_s=30)
print(*others._pool._processes, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.usefixtures("artifact")
def test_helpers_end_with_the_process_that_they_help(database_url: str, victim_store: list[str]) -> None:
    died = subprocess.run([sys.executable, "-c", VICTIM, database_url, *victim_store], timeout=60, capture_output=True, text=True)
    assert died.returncode == -9, died.stderr
    pids = [int(pid) for pid in died.stdout.split()]
    assert pids
    gone: Callable[[int], bool] = lambda pid: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # noqa: E731
    eventually(lambda: all(map(gone, pids)))
