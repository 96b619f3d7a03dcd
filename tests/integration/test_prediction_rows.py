"""Predictions of many pictures as rows: the same by COPY, by replacing and one by one, whoever else is at it."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest
from sqlalchemy.exc import DBAPIError

from schema.copying import copy_in, copy_out
from schema.session import DatabaseTrouble, Sessions, single, trouble_of
from service.accounts.actor import Actor, Role
from service.models import prediction_rows
from service.models.bulk import Predicted, batch_size, batches, predict_batch
from service.models.prediction_rows import store_predictions
from service.models.predictions import Scored, store_prediction
from service.models.registry import Artifact
from service.models.serving import Loaded, ModelRef, ModelServer
from service.models.spec import InputSpec
from service.pictures.delete import delete_image
from service.pictures.fetch import inline_pictures
from storage.base import ObjectStore
from tests.factories import BIG, add_image, execute, make_png, one, rows, sha256, together
from tests.pngs import COMBINATIONS, png

ROWS = (
    "SELECT image_id, label_id, score, scores, margin, entropy, error, latency_ms, created_by FROM pixref.prediction ORDER BY 1"
)


@pytest.fixture
def loaded(models: ModelServer, mnist_model: int) -> Loaded:
    return models.get(ModelRef(version=mnist_model))


@pytest.fixture
def artifact(loaded: Loaded) -> Artifact:
    return loaded.artifact


@pytest.fixture
def ids(sessions: Sessions, store: ObjectStore, actor: Actor) -> list[int]:
    return [add_image(sessions, store, actor) for _ in range(6)]


def scored(ids: list[int], *, seed: int = 0) -> dict[int, Scored | str]:
    """Answers whose scores need all digits that a float of 4 bytes has, zeros and tiny ones among them."""
    random = np.random.default_rng(seed)
    found: dict[int, Scored | str] = {}
    for image_id in ids:
        scores = random.dirichlet(np.full(10, 0.05)).astype(np.float32)
        scores[3] = np.float32(1e-38)
        scores[4] = 0
        found[image_id] = Scored(scores, float(random.uniform(0.01, 9)))
    return found


def test_copied_replaced_and_single_rows_are_the_same_to_the_bit(
    sessions: Sessions, actor: Actor, artifact: Artifact, ids: list[int]
) -> None:
    results = scored(ids)
    assert store_predictions(sessions, artifact, results, actor=actor) == sorted(ids)
    copied = rows(sessions, ROWS)
    for row in copied:
        result = results[row[0]]
        assert isinstance(result, Scored)
        assert np.array(row[3], np.float32).tobytes() == result.scores.tobytes()
        assert row[8] == actor.account_id
    assert store_predictions(sessions, artifact, results, actor=actor) == sorted(ids)
    assert rows(sessions, ROWS) == copied
    execute(sessions, "DELETE FROM pixref.prediction")
    for image_id, result in results.items():
        assert isinstance(result, Scored)
        store_prediction(sessions, image_id, artifact, result, actor=actor)
    assert rows(sessions, ROWS) == copied


def test_an_error_is_replaced_by_an_answer_and_the_other_way_round(
    sessions: Sessions, actor: Actor, artifact: Artifact, ids: list[int]
) -> None:
    failed: Mapping[int, str] = dict.fromkeys(ids[:3], "object_lost: gone")
    store_predictions(sessions, artifact, failed, actor=actor)
    store_predictions(sessions, artifact, scored(ids), actor=actor)
    assert one(sessions, "SELECT count(*) FROM pixref.prediction WHERE error IS NULL AND margin >= 0") == 6
    store_predictions(sessions, artifact, {**scored(ids[3:]), **failed}, actor=actor)
    assert rows(
        sessions, "SELECT image_id, scores, margin, latency_ms FROM pixref.prediction WHERE error IS NOT NULL ORDER BY 1"
    ) == [(image_id, None, None, None) for image_id in ids[:3]]
    assert one(sessions, "SELECT count(*) FROM pixref.prediction") == 6


def test_rows_of_nobody_in_particular(sessions: Sessions, artifact: Artifact, ids: list[int]) -> None:
    nobody = Actor(None, "nobody", Role.EDITOR)
    store_predictions(sessions, artifact, scored(ids), actor=nobody)
    store_predictions(sessions, artifact, scored(ids, seed=1), actor=nobody)
    assert rows(sessions, "SELECT DISTINCT created_by FROM pixref.prediction") == [(None,)]


def test_pictures_that_went_meanwhile_are_passed_over(
    sessions: Sessions, actor: Actor, artifact: Artifact, ids: list[int]
) -> None:
    delete_image(sessions, ids[0])
    results = {**scored(ids), 10**9: "never there", ids[1]: "object_lost: gone"}
    assert store_predictions(sessions, artifact, results, actor=actor) == ids[1:]
    assert store_predictions(sessions, artifact, scored([ids[0]]), actor=actor) == []
    assert store_predictions(sessions, artifact, {}, actor=actor) == []


def test_somebody_who_was_faster_is_written_over(
    sessions: Sessions, actor: Actor, artifact: Artifact, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking for rows and adding them, another one has added one: then COPY is refused, and all are replaced."""
    looked = prediction_rows._hold_images

    def look_too_early(*args: object) -> dict[int, bool]:
        return dict.fromkeys(looked(*args), False)  # type: ignore[arg-type]

    store_predictions(sessions, artifact, scored(ids[2:4]), actor=actor)
    monkeypatch.setattr(prediction_rows, "_hold_images", look_too_early)
    results = scored(ids, seed=2)
    assert store_predictions(sessions, artifact, results, actor=actor) == ids
    for image_id, scores in rows(sessions, "SELECT image_id, scores FROM pixref.prediction"):
        result = results[image_id]
        assert isinstance(result, Scored)
        assert np.array(scores, np.float32).tobytes() == result.scores.tobytes()


def test_many_writers_of_the_same_pictures(sessions: Sessions, actor: Actor, artifact: Artifact, ids: list[int]) -> None:
    for turn in range(5):
        execute(sessions, "DELETE FROM pixref.prediction")
        together(4, lambda seed, turn=turn: store_predictions(sessions, artifact, scored(ids, seed=seed + turn), actor=actor))  # type: ignore[misc]
        assert one(sessions, "SELECT count(*) FROM pixref.prediction") == len(ids)


@pytest.mark.parametrize("size", [28, BIG])
def test_every_kind_of_picture_is_predicted_as_online(
    sessions: Sessions, store: ObjectStore, actor: Actor, loaded: Loaded, size: int
) -> None:
    files = [
        png(size, height, color_type=color_type, depth=depth, interlace=interlace, seed=seed)
        for seed, (color_type, depth) in enumerate(COMBINATIONS)
        for interlace in (0, 1)
        for height in (size, size - 7)
    ]
    files += [png(size, size, seed=99, middle=[(b"tRNS", b"\0\x07")]), png(size, size, color_type=2, seed=98, idat_bytes=50)]
    kept = {add_image(sessions, store, actor, data): data for data in files}
    assert predict_batch(sessions, store, loaded, list(kept), actor=actor) == Predicted(len(kept), 0)
    found = dict(rows(sessions, "SELECT image_id, scores FROM pixref.prediction WHERE latency_ms > 0"))
    assert set(found) == set(kept)
    for image_id, data in kept.items():
        online = loaded.score(data, limits=None).scores
        assert np.allclose(np.array(found[image_id], np.float32), online, rtol=0, atol=1e-5)


def test_bytes_in_the_row_that_are_not_those_of_the_upload_are_refused(
    sessions: Sessions, store: ObjectStore, actor: Actor, loaded: Loaded, ids: list[int]
) -> None:
    execute(sessions, "UPDATE pixref.thumbnail SET data = :data WHERE image_id = :id", data=make_png(), id=ids[0])
    with single(sessions) as connection:
        assert [each.sha256.hex() == sha256(each.data) for each in inline_pictures(connection, ids)].count(False) == 1
    assert predict_batch(sessions, store, loaded, ids, actor=actor) == Predicted(5, 1)
    ((image_id, error),) = rows(sessions, "SELECT image_id, error FROM pixref.prediction WHERE error IS NOT NULL")
    assert (image_id, error.split(":")[0]) == (ids[0], "object_corrupt")


def test_a_model_of_another_shape_says_so_of_every_picture(
    sessions: Sessions, store: ObjectStore, actor: Actor, loaded: Loaded, ids: list[int]
) -> None:
    colour = InputSpec(height=28, width=28, channels=3)
    other = dataclasses.replace(loaded, artifact=dataclasses.replace(loaded.artifact, spec=colour))
    assert predict_batch(sessions, store, other, ids, actor=actor) == Predicted(0, 6)
    assert one(sessions, "SELECT count(*) FROM pixref.prediction WHERE error LIKE 'model_input: %'") == 6


def test_a_batch_is_bounded_by_pictures_bytes_and_memory() -> None:
    assert list(batches([(1, 10), (2, 10), (3, 10)], 2)) == [[1, 2], [3]]
    assert list(batches([(1, 9 << 20), (2, 9 << 20), (3, 1), (4, 99 << 20), (5, 1)], 9)) == [[1, 2], [3, 4], [5]]
    assert list(batches([], 2)) == []
    assert batch_size(InputSpec(height=28, width=28, channels=1)) == 1024
    assert batch_size(InputSpec(height=224, width=224, channels=3)) == 111
    assert batch_size(InputSpec(height=2048, width=2048, channels=3)) == 1


def test_errors_of_copy_are_those_of_any_statement(sessions: Sessions) -> None:
    with single(sessions) as connection:
        assert copy_out(connection, "SELECT 7::bigint WHERE false") == b""
        with pytest.raises(DBAPIError, match="does not exist"):
            copy_out(connection, "SELECT no_such_column")
        with pytest.raises(DBAPIError, match="permission denied"):
            copy_in(connection, "pixref.label_event (image_id)", b"")
        connection.exec_driver_sql("SET statement_timeout = '20ms'")
        with pytest.raises(DBAPIError) as slow:
            copy_out(connection, "SELECT pg_sleep(5)")
        assert trouble_of(slow.value) is DatabaseTrouble.TIMEOUT
        connection.exec_driver_sql("RESET statement_timeout")
    with pytest.raises(DBAPIError) as gone, single(sessions) as connection:
        copy_out(connection, "SELECT pg_terminate_backend(pg_backend_pid())")
    assert trouble_of(gone.value) is DatabaseTrouble.UNAVAILABLE
    assert one(sessions, "SELECT 1") == 1
