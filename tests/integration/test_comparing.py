"""Comparing two versions: counts against plain Python, and the test against its definition."""

from collections.abc import Callable
from math import comb

import pytest

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import NotFound
from service.learning.comparing import Comparing, mcnemar
from service.models.predicting import request_predictions
from service.models.selection import Selection
from service.pictures.search import ImageFilter
from service.sql.ask import Door, places
from service.tasks import Parts, do_job
from storage.base import ObjectStore
from tests.factories import add_image, execute, make_png, rows


@pytest.mark.usefixtures("mnist_model")
def test_what_is_fixed_and_what_is_broken(
    sessions: Sessions, store: ObjectStore, actor: Actor, door_url: str, register_mnist: Callable[[list[str]], int]
) -> None:
    door = Door(door_url, places(1))
    register_mnist([str(9 - number) for number in range(10)])
    for number in range(30):
        add_image(sessions, store, actor, make_png(seed=number), split="test" if number % 2 else None)
    for version in (1, 2):
        job_id = request_predictions(sessions, Selection(), version=version, actor=actor)
        do_job(Parts(sessions, store, door), job_id)
    # Labels that make the one version right, the other, or neither.
    execute(sessions, "INSERT INTO pixref.label (name) VALUES ('giraffe')")
    execute(
        sessions,
        """
        UPDATE pixref.image SET label_id = CASE id % 3
            WHEN 0 THEN (SELECT label_id FROM pixref.prediction p JOIN pixref.model_version v ON v.id = model_version_id
                         WHERE image_id = image.id AND number = 1)
            WHEN 1 THEN (SELECT label_id FROM pixref.prediction p JOIN pixref.model_version v ON v.id = model_version_id
                         WHERE image_id = image.id AND number = 2)
            ELSE (SELECT id FROM pixref.label WHERE name = 'giraffe') END""",
    )
    found = Comparing(sessions, door, Selection(), model="mnist", version=1, other_version=2, actor=actor).count()
    assert (found.both_right, found.fixed, found.broken, found.both_wrong, found.unseen) == (0, 10, 10, 10, 0)
    assert found.p_value == 1
    comparing = Comparing(sessions, door, Selection(), model="mnist", version=1, other_version=2, actor=actor)
    fixed, broken = comparing.differences(fixed=True), comparing.differences(fixed=False)
    assert [each.image_id % 3 for each in fixed + broken] == [1] * 10 + [0] * 10
    assert all(each.label == each.other_seen != each.seen for each in fixed)
    assert all(each.label == each.seen != each.other_seen for each in broken)
    assert comparing.differences(fixed=True, most=3) == fixed[:3]
    tests = Selection(wanted=ImageFilter(split="test"))
    some = Comparing(sessions, door, tests, model="mnist", version=1, other_version=2, actor=actor).count()
    assert some.fixed + some.broken + some.both_wrong == 15
    viewed = rows(
        sessions,
        "SELECT outcome, count(*) FROM catalog.version_comparisons WHERE model = 'mnist' AND version = 1 AND other_version = 2 GROUP BY 1",
    )
    assert dict(viewed) == {"fixed": 10, "broken": 10, "both wrong": 10}
    execute(sessions, "DELETE FROM pixref.prediction WHERE image_id % 5 = 0")
    assert Comparing(sessions, door, Selection(), model="mnist", version=1, other_version=2, actor=actor).count().unseen == 6
    with pytest.raises(NotFound):
        Comparing(sessions, door, Selection(), model="mnist", version=1, other_version=3, actor=actor).count()


@pytest.mark.parametrize(("fixed", "broken"), [(0, 0), (1, 0), (5, 1), (3, 3), (20, 4), (0, 12)])
def test_the_test_is_that_of_a_fair_coin(fixed: int, broken: int) -> None:
    total = fixed + broken
    expected = min(1.0, 2 * sum(comb(total, k) for k in range(min(fixed, broken) + 1)) / 2**total)
    assert mcnemar(fixed, broken) == pytest.approx(expected)
    assert mcnemar(fixed, broken) == mcnemar(broken, fixed)


def test_it_does_not_run_out_of_numbers() -> None:
    assert 0 < mcnemar(5_000, 5_200) < 0.1
    assert mcnemar(50_000, 10) == pytest.approx(0)
