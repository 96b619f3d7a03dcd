"""Trouble in the middle of a training: killed runners, a store that is away, no room, large pictures, and a runner that was thought dead."""

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import PixrefError, TrainingFailed
from service.learning import feeding, training
from service.learning.feeding import lay_out
from service.learning.snapshots import Member, members, take_snapshot
from service.learning.training import request_training
from service.models.selection import Selection
from service.models.spec import InputSpec, default_preprocessing
from service.models.training.plan import Plan
from service.models.training.run import Trained
from service.pictures.reading import read_many
from service.sql.ask import Door, places
from service.tasks import Parts, do_job
from service.work.ledger import JobInfo, find_job
from storage.base import ObjectStore, StoreUnavailable
from tests.cli.conftest import eventually
from tests.factories import BIG, StepStore, add_image, execute, make_png, one, rows

SPEC = InputSpec(height=16, width=16, channels=1)
AWAY = StoreUnavailable("told to", "bucket", "endpoint")


@pytest.fixture
def parts(sessions: Sessions, store: ObjectStore, door_url: str) -> Parts:
    return Parts(sessions, store, Door(door_url, places(1)))


@pytest.fixture
def ids(sessions: Sessions, store: ObjectStore, actor: Actor) -> list[int]:
    """Twelve pictures of two labels, two of them in the bucket alone."""
    sides = [BIG if number < 2 else 24 for number in range(12)]
    return [add_image(sessions, store, actor, make_png(side, side), label="ab"[place % 2]) for place, side in enumerate(sides)]


def asked(parts: Parts, actor: Actor, *, epochs: int = 1) -> int:
    plan = Plan(epochs=epochs, batch_size=4, augmentation="none")
    return request_training(parts.sessions, Selection(), model="ab", plan=plan, validation=0.0, actor=actor)


def done(parts: Parts, job_id: int) -> JobInfo:
    assert do_job(parts, job_id)
    return find_job(parts.sessions, job_id)


def versions(sessions: Sessions) -> int:
    return int(one(sessions, "SELECT count(*) FROM pixref.model_version WHERE state = 'READY'"))


VICTIM = """
import sys
from service.sql.ask import Door, places
from service.tasks import Parts, do_job
from schema.session import Sessions, open_engine
from storage.minio_store import MinioStore
url, door, endpoint, bucket, user, password, job_id = sys.argv[1:]
store = MinioStore(endpoint, bucket=bucket, access_key=user, secret_key=password)
do_job(Parts(Sessions(open_engine(url)), store, Door(door, places(1))), int(job_id))
"""


def test_a_killed_runner_leaves_no_process_and_no_files_and_another_trains_anew_on_the_same_set(
    sessions: Sessions,
    parts: Parts,
    actor: Actor,
    ids: list[int],
    database_url: str,
    door_url: str,
    victim_store: list[str],
    tmp_path: Path,
) -> None:
    job_id = asked(parts, actor, epochs=1000)
    runner = subprocess.Popen(
        [sys.executable, "-c", VICTIM, database_url, door_url, *victim_store, str(job_id)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    eventually(lambda: (find_job(sessions, job_id).message or "").startswith("epoch"), within_s=120)
    (folder,) = tmp_path.glob("pixref-training-*")
    runner.kill()
    runner.wait()
    # The training process removes its files as the last thing that it does; where it is confined to its folder, that is left to it, empty.
    eventually(lambda: not list(folder.glob("*")))
    digest = (find_job(sessions, job_id).result or {})["snapshot"]
    execute(
        sessions, "UPDATE pixref.image SET label_id = (SELECT id FROM pixref.label WHERE name = 'a') WHERE id = :id", id=ids[1]
    )
    execute(
        sessions,
        "UPDATE pixref.job SET heartbeat_at = now() - interval '31 s', parameters = jsonb_set(parameters, '{plan,epochs}', '1')",
    )
    job = done(parts, job_id)
    assert job.state == "succeeded", job.error
    assert (job.result or {})["snapshot"] == digest, "labels that were changed meanwhile are not in its set"
    assert versions(sessions) == 1


def test_a_store_that_is_away_for_a_while_costs_no_training(
    sessions: Sessions, store: ObjectStore, parts: Parts, actor: Actor, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.models.predicting.PAUSES_S", (0.1, 0.1))
    left = {"get": 1, "put": 1}

    def away(step: str) -> None:
        if left.get(step, 0):
            left[step] -= 1
            raise AWAY

    job = done(Parts(sessions, StepStore(store, before=away), parts.door), asked(parts, actor))
    assert job.state == "succeeded", job.error
    assert left == {"get": 0, "put": 0}
    assert versions(sessions) == 1


def test_a_store_that_stays_away_ends_it_and_says_so(
    sessions: Sessions, store: ObjectStore, parts: Parts, actor: Actor, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.models.predicting.PAUSES_S", (0.1,))

    def away(step: str) -> None:
        if step == "get":
            raise AWAY

    job = done(Parts(sessions, StepStore(store, before=away), parts.door), asked(parts, actor))
    assert (job.state, (job.error or {})["code"]) == ("failed", "storage_unavailable")


def test_what_another_runner_has_registered_is_not_registered_again(
    sessions: Sessions, parts: Parts, actor: Actor, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = asked(parts, actor)
    run, registering = training.run_training, training.register_model
    overtaken = threading.Event()

    def overtaking(*args: object, **options: object) -> Trained:
        trained: Trained = run(*args, **options)  # type: ignore[arg-type]
        if not overtaken.is_set():
            # As a machine that slept for a minute: meanwhile the job was taken up, and done.
            overtaken.set()
            execute(sessions, "UPDATE pixref.job SET heartbeat_at = now() - interval '31 s'")
            assert do_job(parts, job_id)
        return trained

    monkeypatch.setattr(training, "run_training", overtaking)
    registered = []
    monkeypatch.setattr(
        training, "register_model", lambda *args, **options: registered.append(1) or registering(*args, **options)
    )
    do_job(parts, job_id)
    assert find_job(sessions, job_id).state == "succeeded"
    assert len(registered) == versions(sessions) == 1


def test_where_there_is_no_room_it_is_said(
    sessions: Sessions, parts: Parts, actor: Actor, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    job = done(parts, asked(parts, actor))
    assert (job.state, (job.error or {})["code"]) == ("failed", "training_failed")
    assert "no room for the 1 MiB" in (job.error or {})["detail"]


def test_large_pictures_are_read_a_few_at_a_time(
    sessions: Sessions,
    store: ObjectStore,
    parts: Parts,
    actor: Actor,
    ids: list[int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    kept = list(members(sessions, take_snapshot(sessions, parts.door, Selection(), actor=actor).id))
    largest = one(sessions, "SELECT max(byte_size) FROM pixref.image")
    monkeypatch.setattr("service.models.bulk.BATCH_WEIGHT", largest)
    batches: list[Sequence[int]] = []

    def read(image_ids: Sequence[int]) -> dict[int, bytes | PixrefError]:
        batches.append(image_ids)
        return read_many(sessions, store, image_ids)

    told: list[int] = []
    laid_out(sessions, read, kept, tmp_path, report=told.append)
    assert [image_id for batch in batches for image_id in batch] == [member.image_id for member in kept]
    sizes = dict(_sizes(sessions))
    assert max(sum(sizes[image_id] for image_id in batch) for batch in batches) < 2 * largest
    assert told == list(np.cumsum([len(batch) for batch in batches]))


def laid_out(sessions: Sessions, read: feeding.Read, kept: list[Member], folder: Path, *, report: Callable[[int], None]) -> None:
    recipe = default_preprocessing(SPEC)
    lay_out(sessions, read, kept, {"a": 0, "b": 1}, SPEC, recipe, folder, "training", report=report)
    assert np.load(folder / "training.npy").shape == (len(kept), *SPEC.shape)
    assert list(np.load(folder / "training-classes.npy")) == ["ab".index(member.label) for member in kept]


def _sizes(sessions: Sessions) -> list[tuple[int, int]]:
    return [(image_id, size) for image_id, size in rows(sessions, "SELECT id, byte_size FROM pixref.image")]


def test_a_picture_that_is_gone_ends_it_by_name(
    sessions: Sessions, store: ObjectStore, parts: Parts, actor: Actor, ids: list[int], tmp_path: Path
) -> None:
    kept = list(members(sessions, take_snapshot(sessions, parts.door, Selection(), actor=actor).id))
    execute(sessions, "UPDATE pixref.image SET state = 'DELETING' WHERE id = :id", id=ids[3])
    with pytest.raises(TrainingFailed, match=rf"1 of the pictures .* \(picture {ids[3]} was deleted\)"):
        laid_out(sessions, lambda some: read_many(sessions, store, some), kept, tmp_path, report=lambda _: None)
