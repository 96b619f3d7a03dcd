"""Measuring a version by labelled pictures: every number against plain Python, leaks, and that it measures once."""

import math
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from schema.session import Sessions
from service.accounts.actor import Actor
from service.learning.evaluating import request_evaluation
from service.learning.snapshots import take_snapshot
from service.models.selection import Selection
from service.pictures.search import ImageFilter
from service.sql.ask import Door, places
from service.tasks import Parts, do_job
from service.work.ledger import JobInfo, find_job
from storage.base import ObjectStore
from tests.factories import add_image, execute, make_png, one, rows
from tests.unit.png.test_perceptual import photo, saved

Evaluate = Callable[..., JobInfo]
pytestmark = pytest.mark.usefixtures("mnist_model")


@pytest.fixture
def parts(sessions: Sessions, store: ObjectStore, door_url: str) -> Parts:
    return Parts(sessions, store, Door(door_url, places(1)))


@pytest.fixture
def evaluate(parts: Parts, actor: Actor) -> Evaluate:
    def do(selection: Selection | None = None, **options: Any) -> JobInfo:
        job_id = request_evaluation(parts.sessions, selection or Selection(), actor=actor, **options)
        do_job(parts, job_id)
        return find_job(parts.sessions, job_id)

    return do


@pytest.fixture
def ids(sessions: Sessions, store: ObjectStore, actor: Actor) -> list[int]:
    """Noise with labels: a model is as often right as wrong about it, and not sure."""
    labels = ["0", "1", "2", "3", "8", "giraffe", None]
    return [
        add_image(sessions, store, actor, make_png(seed=number), label=labels[number % 7], split="test" if number % 2 else None)
        for number in range(42)
    ]


def test_every_number_is_what_python_counts(sessions: Sessions, evaluate: Evaluate, ids: list[int]) -> None:
    job = evaluate()
    assert job.state == "succeeded", job.error
    done = job.result or {}
    seen = rows(
        sessions,
        "SELECT l.name, pl.name, p.score, p.scores FROM pixref.image i JOIN pixref.label l ON l.id = i.label_id "
        "JOIN pixref.prediction p ON p.image_id = i.id JOIN pixref.label pl ON pl.id = p.label_id",
    )
    assert len(seen) == 36
    right = [label == predicted for label, predicted, _, _ in seen]
    assert (done["pictures"], done["failed"], done["correct"]) == (36, 0, sum(right))
    assert done["accuracy"] == pytest.approx(np.mean(right))
    own = [-math.log(max(scores[int(label)], 1e-7)) for label, _, _, scores in seen if label != "giraffe"]
    assert done["log_loss"] == pytest.approx(np.mean(own), rel=1e-4)
    cells = Counter((label, predicted) for label, predicted, _, _ in seen)
    assert (
        Counter({(a, b): n for a, b, n in rows(sessions, "SELECT label, predicted, pictures FROM catalog.evaluation_cells")})
        == cells
    )
    f1 = {}
    for name in {each for cell in cells for each in cell}:
        labelled = sum(n for (label, _), n in cells.items() if label == name)
        predicted = sum(n for (_, guess), n in cells.items() if guess == name)
        [(pictures, precision, recall, its)] = rows(
            sessions, "SELECT pictures, precision, recall, f1 FROM catalog.evaluation_classes WHERE label = :name", name=name
        )
        assert pictures == labelled
        assert precision == (None if not predicted else pytest.approx(cells[name, name] / predicted))
        assert recall == (None if not labelled else pytest.approx(cells[name, name] / labelled))
        if labelled:
            f1[name] = its
    assert done["macro_f1"] == pytest.approx(np.mean(list(f1.values())), rel=1e-5)
    bins: dict[int, list[tuple[float, bool]]] = {}
    for is_right, (_, _, score, _) in zip(right, seen, strict=True):
        bins.setdefault(min(14, int(np.float32(score) * 15)), []).append((score, is_right))
    error = sum(abs(sum(ok for _, ok in each) - sum(score for score, _ in each)) for each in bins.values()) / 36
    assert done["calibration_error"] == pytest.approx(error, rel=1e-4)
    assert one(sessions, "SELECT sum(pictures) FROM catalog.evaluation_bins") == 36
    assert (done["leaked"], done["leaked_near"]) == (None, None), "nobody knows what the built-in model was trained on"
    shown = rows(sessions, "SELECT model, version, accuracy, macro_f1 FROM catalog.evaluations")
    assert shown == [("mnist", 1, done["accuracy"], done["macro_f1"])]


def test_the_same_set_again_is_another_evaluation_of_the_same_snapshot(
    sessions: Sessions, evaluate: Evaluate, ids: list[int]
) -> None:
    first = evaluate(Selection(wanted=ImageFilter(split="test"))).result or {}
    again = evaluate(Selection(where="split = 'test'")).result or {}
    assert first["evaluated"] == again["evaluated"]
    assert first["evaluation"] != again["evaluation"]
    assert first["accuracy"] == again["accuracy"]
    assert (again["selected"], again["skipped"]) == (first["selected"], first["selected"]), "what is predicted is predicted"


def test_a_job_that_is_taken_up_again_measures_once(sessions: Sessions, parts: Parts, actor: Actor, ids: list[int]) -> None:
    job_id = request_evaluation(sessions, Selection(), actor=actor)
    draining = threading.Event()
    do_job(parts, job_id, draining=draining, watch=lambda *_: draining.set())
    assert find_job(sessions, job_id).state == "queued"
    execute(sessions, "UPDATE pixref.image SET label_id = NULL")
    assert do_job(parts, job_id)
    assert (find_job(sessions, job_id).result or {})["pictures"] == 36, "the set was frozen before"
    assert one(sessions, "SELECT count(*) FROM pixref.evaluation") == 1


def test_leaks_are_counted_along_the_line_of_versions(
    sessions: Sessions,
    store: ObjectStore,
    actor: Actor,
    parts: Parts,
    evaluate: Evaluate,
    register_mnist: Callable[[list[str]], int],
) -> None:
    """Version 1 learned from `same` and a photograph; version 2 went on from it with another picture; measured are `same` and copies."""
    same = make_png(seed=1)
    image = photo(1, 200)
    for data in (same, saved(image)):
        add_image(sessions, store, actor, data, label="1", split="train")
    add_image(sessions, store, actor, make_png(seed=9), label="9", split="test")
    register_mnist([str(9 - number) for number in range(10)])
    learned = take_snapshot(sessions, parts.door, Selection(), actor=actor)
    execute(sessions, "UPDATE pixref.model_version SET snapshot_id = :id WHERE number = 1", id=learned.id)
    execute(
        sessions,
        "UPDATE pixref.model_version SET snapshot_id = :id, metrics = metrics || '{\"from_version\": 1}' WHERE number = 2",
        id=learned.id,
    )
    add_image(sessions, store, actor, saved(image.resize((150, 150))), label="1", split="test")
    add_image(sessions, store, actor, saved(photo(2, 200)), label="1", split="test")
    job = evaluate(version=2)
    assert job.state == "succeeded", job.error
    done = job.result or {}
    assert done["pictures"] == 5
    assert done["leaked"] == 2, "what was kept for testing has not been learned from"
    assert done["leaked_near"] == 1


def test_without_a_result_there_is_nothing_to_measure(sessions: Sessions, evaluate: Evaluate, ids: list[int]) -> None:
    job = evaluate(Selection(where="label IS NULL"))
    assert job.state == "failed"
    assert "none of these pictures has a label" in (job.error or {})["detail"]


def test_two_versions_on_the_same_pictures(
    sessions: Sessions, evaluate: Evaluate, ids: list[int], register_mnist: Callable[[list[str]], int]
) -> None:
    register_mnist([str(9 - number) for number in range(10)])
    evaluate(version=1)
    evaluate(version=2)
    query = (
        "SELECT label, predicted, other_predicted, outcome FROM catalog.version_comparisons "
        "WHERE model = 'mnist' AND version = 1 AND other_version = 2"
    )
    compared = rows(sessions, query)
    assert len(compared) == 36
    for label, predicted, other, outcome in compared:
        assert int(predicted) + int(other) == 9
        expected = {(True, False): "broken", (False, True): "fixed", (False, False): "both wrong"}[
            predicted == label, other == label
        ]
        assert outcome == expected
