"""Predicting many stored pictures as a job: which ones, what is skipped, what fails, and what a killed runner leaves."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import Invalid, NotFound, QueryError, QueryRefused
from service.models.bulk import is_predicted
from service.models.predicting import request_predictions
from service.models.selection import FETCHED, Selection, count, pages
from service.pictures.delete import delete_image
from service.pictures.search import ImageFilter
from service.sql.ask import Door, places
from service.sql.limits import Limits
from service.tasks import Parts, do_job
from service.work.ledger import JobInfo, find_job
from storage.base import ObjectStore, StoreUnavailable
from tests.factories import BIG, StepStore, add_image, execute, make_png, object_key, one, raising, rows

Predict = Callable[..., JobInfo]
PREDICTED = "SELECT image_id FROM pixref.prediction WHERE error IS NULL ORDER BY image_id"
pytestmark = pytest.mark.usefixtures("mnist_model")


@pytest.fixture
def parts(sessions: Sessions, store: ObjectStore, door_url: str) -> Parts:
    return Parts(sessions, store, Door(door_url, places(1)))


@pytest.fixture
def predict(parts: Parts, actor: Actor) -> Predict:
    def do(selection: Selection | None = None, *, store: ObjectStore | None = None, **options: Any) -> JobInfo:
        job_id = request_predictions(parts.sessions, selection or Selection(), actor=actor, **options)
        do_job(Parts(parts.sessions, store or parts.store, parts.door), job_id)
        return find_job(parts.sessions, job_id)

    return do


@pytest.fixture
def ids(sessions: Sessions, store: ObjectStore, actor: Actor) -> list[int]:
    said = [{"tags": ["a"], "split": "test"}, {"tags": ["a", "b"]}, {"label": "7"}, {"split": "test", "label": "it's"}]
    return [add_image(sessions, store, actor, make_png(28, 28 + place), **each) for place, each in enumerate(said)]


def predicted(sessions: Sessions) -> list[int]:
    return [row[0] for row in rows(sessions, PREDICTED)]


@pytest.mark.parametrize(
    ("selection", "places"),
    [
        (Selection(), [0, 1, 2, 3]),
        (Selection(wanted=ImageFilter(tag=["a"])), [0, 1]),
        (Selection(wanted=ImageFilter(tag=["a", "b"])), [1]),
        (Selection(wanted=ImageFilter(split="test", label="it's")), [3]),
        (Selection(where="label IS NULL AND height <= 28 -- square"), [0]),
        (Selection(where="tags && ARRAY['b'] OR label = 'it''s'"), [1, 3]),
        (Selection(where="image_id IN (SELECT image_id FROM image_tags WHERE tag = 'a')"), [0, 1]),
        (Selection(where="false"), []),
    ],
)
def test_what_is_selected_is_predicted_and_nothing_else(
    sessions: Sessions, ids: list[int], predict: Predict, selection: Selection, places: list[int]
) -> None:
    job = predict(Selection.from_json(selection.to_json()))
    assert job.state == "succeeded", job.error
    assert predicted(sessions) == [ids[place] for place in places]
    facts = {name: (job.result or {})[name] for name in ("selected", "skipped", "predicted", "failed")}
    assert facts == {"selected": len(places), "skipped": 0, "predicted": len(places), "failed": 0}
    assert (job.total, job.done) == (len(places), len(places))


def test_ids_that_are_not_there_are_passed_over(sessions: Sessions, ids: list[int], predict: Predict) -> None:
    delete_image(sessions, ids[0])
    assert predict(Selection(ids=[10**9, *ids[:2], 5 * 10**9])).state == "succeeded"
    assert predicted(sessions) == [ids[1]]


def test_what_is_done_is_skipped_unless_it_is_wanted_again(sessions: Sessions, ids: list[int], predict: Predict) -> None:
    predict(Selection(ids=ids[:3]))
    when = "SELECT image_id, created_at FROM pixref.prediction"
    before = dict(rows(sessions, when))
    job = predict()
    assert (job.result or {})["skipped"] == 3
    assert (job.result or {})["predicted"] == 1
    assert dict(rows(sessions, when)).items() >= before.items()
    again = predict(Selection(ids=ids[:3]), again=True)
    assert ((again.result or {})["predicted"], (again.result or {})["skipped"]) == (3, 0)
    after = dict(rows(sessions, when))
    assert all(after[image_id] > before[image_id] for image_id in before)


def test_what_cannot_be_predicted_is_written_down_and_the_rest_goes_on(
    sessions: Sessions, store: ObjectStore, actor: Actor, predict: Predict
) -> None:
    big = [add_image(sessions, store, actor, make_png(BIG, BIG)) for _ in range(3)]
    store.delete_object(object_key(sessions, big[1]))
    job = predict()
    assert (job.state, job.failed, (job.result or {})["predicted"], (job.result or {})["failed"]) == ("succeeded", 1, 2, 1)
    ((error,),) = rows(sessions, "SELECT error FROM pixref.prediction WHERE error IS NOT NULL")
    assert error.startswith("object_lost")
    # Tried again by the next one.
    assert (predict().result or {})["failed"] == 1


def test_a_store_in_trouble_is_waited_for_and_then_the_job_says_so(
    sessions: Sessions, store: ObjectStore, actor: Actor, predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.models.predicting.PAUSES_S", (0.1, 0.1))
    add_image(sessions, store, actor, make_png(BIG, BIG))
    left = [0]

    def down(step: str) -> None:
        # The first object that is read is the model's own file.
        if step == "get" and left[0] > 0:
            left[0] -= 1
            if left[0] < 2:
                raise StoreUnavailable("told to", "bucket", "endpoint")

    left[0] = 3
    assert predict(store=StepStore(store, before=down)).state == "succeeded", "it was down for less time than it is waited for"
    execute(sessions, "DELETE FROM pixref.prediction")
    job = predict(store=StepStore(store, before=raising(StoreUnavailable("told to", "bucket", "endpoint"), at="get")))
    assert (job.state, (job.error or {})["code"]) == ("failed", "storage_unavailable")


@pytest.mark.parametrize(
    "where",
    [
        "true) OR (true",
        "true) UNION SELECT 1 WHERE (true",
        "true) ORDER BY (1",
        "true) LIMIT (1",
        "true) AND (true",
        "true); DELETE FROM images; SELECT (1",
        "pg_sleep(1) IS NULL",
        "EXISTS (SELECT FROM pixref.api_token)",
        "image_id = $1",
        "NOT (true) OR NOT (true",
        "",
        "-- nothing",
        "width > 1 /* never closed",
        "width >",
        "sha256 = (SELECT token_sha256 FROM api_token)) --",
    ],
)
def test_only_a_condition_is_a_condition(where: str) -> None:
    with pytest.raises((QueryRefused, QueryError)):
        Selection(where=where)


def test_errors_of_a_condition_know_their_place(sessions: Sessions, ids: list[int], predict: Predict) -> None:
    with pytest.raises(QueryRefused) as refused:
        Selection(where="width > 1 AND pg_sleep(1) IS NULL")
    assert refused.value.position == 15
    with pytest.raises(QueryError) as wrong:
        Selection(where="width > 1 AND AND")
    assert wrong.value.position == 15
    # What only the database can know fails the job, in the database's words.
    job = predict(Selection(where="no_such_column > 1"))
    assert job.state == "failed"
    assert 'column "no_such_column" does not exist' in (job.error or {})["detail"]


def test_pictures_that_are_fetched_weigh_more(
    sessions: Sessions, store: ObjectStore, actor: Actor, parts: Parts, ids: list[int]
) -> None:
    big = add_image(sessions, store, actor, make_png(BIG, BIG))
    sizes = dict(rows(sessions, "SELECT id, byte_size FROM pixref.image"))
    (page,) = pages(sessions, parts.door, Selection(), is_predicted(1), actor=actor)
    assert page.seen == 5
    assert page.todo == [*((image_id, sizes[image_id]) for image_id in ids), (big, sizes[big] + FETCHED)]


def test_pages_follow_each_other(
    sessions: Sessions, parts: Parts, actor: Actor, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.models.selection.PAGE", 2)
    for selection in (Selection(), Selection(ids=ids), Selection(where="true"), Selection(wanted=ImageFilter(max_width=28))):
        found = list(pages(sessions, parts.door, selection, is_predicted(1), actor=actor))
        assert [image_id for page in found for image_id, _ in page.todo] == ids, selection
        assert [page.seen for page in found if page.seen] == [2, 2]
        assert count(sessions, parts.door, selection, is_predicted(1), actor=actor) == (4, 0)
        monkeypatch.setattr("service.models.selection._LIMITS", Limits(time_s=30.0, rows=2, bytes=5_000_000))


def test_a_selection_is_one_thing() -> None:
    with pytest.raises(Invalid):
        Selection(ids=[1], where="true")
    with pytest.raises(Invalid):
        Selection(ids=range(10_001))


def test_a_model_that_is_not_there_is_refused_before_there_is_a_job(sessions: Sessions, actor: Actor) -> None:
    with pytest.raises(NotFound):
        request_predictions(sessions, Selection(), model="nope", actor=actor)
    assert one(sessions, "SELECT count(*) FROM pixref.job") == 0


# Runs a job until it is killed behind its first batch.
VICTIM = """
import sys
from service.failpoints import arm
from service.models import bulk
from service.sql.ask import Door, places
from service.sql.limits import Limits
from service.tasks import Parts, do_job
from schema.session import Sessions, open_engine
from storage.minio_store import MinioStore
url, endpoint, bucket, user, password, job_id = sys.argv[1:]
bulk.BATCH = 5
arm("predict_many.batch=kill:2")
store = MinioStore(endpoint, bucket=bucket, access_key=user, secret_key=password)
do_job(Parts(Sessions(open_engine(url)), store, Door("", places(1))), int(job_id))
"""


def test_a_killed_runner_leaves_what_it_did_and_another_does_the_rest(
    sessions: Sessions, store: ObjectStore, actor: Actor, parts: Parts, database_url: str, victim_store: list[str]
) -> None:
    images = [add_image(sessions, store, actor) for _ in range(23)]
    job_id = request_predictions(sessions, Selection(), actor=actor)
    died = subprocess.run([sys.executable, "-c", VICTIM, database_url, *victim_store, str(job_id)], timeout=60)
    assert died.returncode == -9
    first = dict(rows(sessions, "SELECT image_id, created_at FROM pixref.prediction"))
    assert len(first) == 10
    assert not do_job(parts, job_id), "nobody knows yet that it is dead"
    execute(sessions, "UPDATE pixref.job SET heartbeat_at = now() - interval '31 s'")
    assert do_job(parts, job_id)
    job = find_job(sessions, job_id)
    assert (job.state, job.done, job.total) == ("succeeded", 23, 23)
    facts = {name: (job.result or {})[name] for name in ("selected", "skipped", "predicted", "failed")}
    assert facts == {"selected": 23, "skipped": 0, "predicted": 23, "failed": 0}
    after = dict(rows(sessions, "SELECT image_id, created_at FROM pixref.prediction"))
    assert sorted(after) == images
    assert after.items() >= first.items(), "what was done was done again"
