"""Training on stored pictures as a job: from labels to a version that predicts, on corrected labels, and what stops it."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import Invalid, NotFound
from service.learning import training
from service.learning.plots import draw_history
from service.learning.training import request_training
from service.models.predicting import request_predictions
from service.models.registry import find_version
from service.models.selection import Selection
from service.models.training.plan import Plan
from service.pictures.labels import set_label
from service.png.pixels import encode_gray
from service.sql.ask import Door, places
from service.tasks import Parts, do_job
from service.work.ledger import JobInfo, cancel_job, find_job
from storage.base import ObjectStore
from tests.factories import add_image, execute, object_key, one, replace_object, rows

Train = Callable[..., JobInfo]
PLAN = Plan(epochs=12, batch_size=8, augmentation="none", seed=3)
ROWS = ("high", "middle", "low")


@pytest.fixture
def parts(sessions: Sessions, store: ObjectStore, door_url: str) -> Parts:
    return Parts(sessions, store, Door(door_url, places(1)))


@pytest.fixture
def train(parts: Parts, actor: Actor) -> Train:
    def do(selection: Selection | None = None, *, draining: threading.Event | None = None, **options: Any) -> JobInfo:
        wanted = {"model": "rows", "plan": PLAN, **options}
        job_id = request_training(parts.sessions, selection or Selection(), actor=actor, **wanted)
        do_job(parts, job_id, draining=draining)
        return find_job(parts.sessions, job_id)

    return do


@pytest.fixture
def ids(sessions: Sessions, store: ObjectStore, actor: Actor) -> list[int]:
    """90 pictures that are light above, in the middle or below, every fifth of the split test, some larger than the others."""
    random = np.random.default_rng(1)
    kept = []
    for number in range(90):
        side = 72 if number % 10 == 0 else 24
        levels = random.integers(0, 100, (side, side)).astype(np.uint8)
        shown = number % 3
        levels[shown * side // 3 : (shown + 1) * side // 3] += 150
        split = "test" if number % 5 == 0 else None
        kept.append(add_image(sessions, store, actor, encode_gray(levels), label=ROWS[shown], split=split))
    return kept


def test_from_labels_to_predictions_and_on_with_corrected_labels(
    sessions: Sessions, store: ObjectStore, actor: Actor, parts: Parts, train: Train, ids: list[int], tmp_path: Path
) -> None:
    job = train()
    assert job.state == "succeeded", job.error
    done = job.result or {}
    assert (done["model"], done["version"], done["pictures"]) == ("rows", 1, 90)
    assert done["test"] == 18
    assert done["training"] + done["validation"] == 72
    assert [epoch["epoch"] for epoch in done["epochs"]] == list(range(1, 13))
    assert done["epochs"][-1]["accuracy"] > 0.9
    artifact = find_version(sessions, "rows")
    assert artifact.labels == ("high", "low", "middle")
    assert artifact.spec.shape == (24, 24, 1)
    [(metrics, digest)] = rows(
        sessions,
        "SELECT v.metrics, s.digest FROM pixref.model_version v JOIN pixref.snapshot s ON s.id = v.snapshot_id WHERE v.state = 'READY'",
    )
    assert digest == done["snapshot"]
    assert metrics["plan"] == PLAN.to_json() | {"learning_rate": 0.003}, "what was left open is written down as it was chosen"
    assert metrics["versions"].keys() == {"keras", "tensorflow", "numpy"}
    assert metrics["epochs"] == done["epochs"]
    # Where people ask, the set is named by its digest.
    asked = "SELECT s.pictures FROM catalog.model_versions v JOIN catalog.snapshots s ON s.digest = v.metrics ->> 'snapshot' WHERE v.version = 1"
    assert one(sessions, asked) == 90
    draw_history(done["epochs"], tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")

    predictions = request_predictions(sessions, Selection(), model="rows", actor=actor)
    do_job(parts, predictions)
    right = "SELECT count(*) FROM pixref.prediction p JOIN pixref.image i ON i.id = p.image_id AND i.label_id = p.label_id"
    assert one(sessions, right) >= 80

    set_label(sessions, ids[1], "low", actor=actor)
    again = train(from_alias="champion", plan=Plan(epochs=1, batch_size=16))
    assert again.state == "succeeded", again.error
    tuned = again.result or {}
    assert (tuned["version"], tuned["from_version"]) == (2, 1)
    assert tuned["snapshot"] != done["snapshot"]
    assert find_version(sessions, "rows", version=2).labels == artifact.labels
    assert find_version(sessions, "rows").number == 1, "the first stays champion until somebody says otherwise"

    set_label(sessions, ids[1], "new", actor=actor)
    refused = train(from_version=1)
    assert refused.state == "failed"
    assert "has no class for 'new'" in (refused.error or {})["detail"]


def test_a_runner_that_died_behind_the_registration_registers_nothing_twice(
    sessions: Sessions, parts: Parts, actor: Actor, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = request_training(sessions, Selection(), model="rows", plan=Plan(epochs=1, batch_size=64), actor=actor)

    def die(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(training, "_finish", die)
    with pytest.raises(SystemExit):
        do_job(parts, job_id)
    monkeypatch.undo()
    execute(
        sessions,
        "UPDATE pixref.job SET state = 'running', runner = 'dead', heartbeat_at = now() - interval '1 hour', finished_at = NULL, error = NULL "
        "WHERE id = :id",
        id=job_id,
    )
    assert do_job(parts, job_id)
    job = find_job(sessions, job_id)
    assert job.state == "succeeded", job.error
    assert (job.result or {})["version"] == 1
    assert one(sessions, "SELECT count(*) FROM pixref.model_version") == 1


def test_what_it_learns_from_is_whole_or_nothing(
    sessions: Sessions, store: ObjectStore, train: Train, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    large = ids[20]
    replace_object(store, object_key(sessions, large), b"not what was uploaded")
    monkeypatch.setattr(training, "run_training", lambda *_args, **_kwargs: pytest.fail("trained on less than its snapshot"))
    execute(sessions, "UPDATE pixref.image SET split = 'train' WHERE id = :id", id=large)
    job = train()
    assert job.state == "failed"
    assert f"picture {large}: object_corrupt" in (job.error or {})["detail"]
    assert one(sessions, "SELECT damage FROM pixref.image WHERE id = :id", id=large) == "corrupt"


def test_it_can_be_cancelled_and_put_down(sessions: Sessions, parts: Parts, actor: Actor, ids: list[int]) -> None:
    draining = threading.Event()
    job_id = request_training(sessions, Selection(), model="rows", plan=Plan(epochs=1000, batch_size=16), actor=actor)

    def watch(done: int, total: int | None, message: str | None) -> None:
        if message and message.startswith("epoch"):
            draining.set()

    do_job(parts, job_id, draining=draining, watch=watch)
    job = find_job(sessions, job_id)
    assert job.state == "queued"
    assert "snapshot" in (job.result or {})
    cancel_job(sessions, job_id)
    assert find_job(sessions, job_id).state == "cancelled"
    assert one(sessions, "SELECT count(*) FROM pixref.model_version") == 0


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"model": "No Such Name"}, "name"),
        ({"validation": 0.9}, "validation"),
        ({"side": 2_000}, "size"),
        ({"from_version": 1, "from_alias": "champion"}, "alias"),
    ],
)
def test_what_cannot_be_is_refused_at_once(sessions: Sessions, actor: Actor, options: dict[str, Any], field: str) -> None:
    wanted: dict[str, Any] = {"model": "rows", "plan": PLAN, **options}
    with pytest.raises(Invalid) as refused:
        request_training(sessions, Selection(), actor=actor, **wanted)
    assert refused.value.field == field
    with pytest.raises(NotFound):
        request_training(sessions, Selection(), model="rows", plan=PLAN, from_version=7, actor=actor)
    assert one(sessions, "SELECT count(*) FROM pixref.job") == 0


def test_labels_are_sorted_as_people_do() -> None:
    assert training._labels(None, {"10", "9", "cat 2", "cat 10", "Bee"}) == ["9", "10", "Bee", "cat 2", "cat 10"]
