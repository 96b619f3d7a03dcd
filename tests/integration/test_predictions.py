"""Predictions end to end: digits to rows, one by one and in bulk, and pictures that cannot be predicted."""

import dataclasses
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from schema.session import Sessions, single
from schema.tables import Image
from service.accounts.actor import Actor
from service.datasets import mnist
from service.errors import ModelOutputInvalid, NotFound, ObjectCorrupt, ObjectLost
from service.models.bulk import Predicted, is_predicted, predict_batch
from service.models.predictions import predictions_of
from service.models.serving import Loaded, ModelRef, ModelServer
from service.pictures.bulk import Candidate, upload_many
from service.pictures.delete import delete_image
from service.pictures.fetch import read_bytes, references
from service.png import PngLimits
from service.settings import PROJECT_DIR
from storage.base import ObjectStore, StoreUnavailable
from tests.factories import (
    BIG,
    StepStore,
    add_image,
    execute,
    make_png,
    object_key,
    one,
    raising,
    replace_object,
    rows,
)

SAMPLES = PROJECT_DIR / "samples"


@pytest.fixture
def loaded(models: ModelServer, mnist_model: int) -> Loaded:
    return models.get(ModelRef(version=mnist_model))


@pytest.fixture(scope="session")
def test_digits() -> list[Candidate]:
    return list(mnist.pictures(SAMPLES, "test"))


def digit_png(*, mode: str, size: int, digits: list[Candidate]) -> tuple[bytes, str]:
    """Redraw a sample digit in another size, colour or depth; return it with what it shows."""
    first = next(item for item in digits if item.description.label == "1")
    gray = Pillow.open(io.BytesIO(first.data)).resize((size, size), Pillow.Resampling.BICUBIC)
    picture = Pillow.fromarray(np.asarray(gray, np.uint16) * 257) if mode == "I;16" else gray.convert(mode)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue(), "1"


def unpredicted(sessions: Sessions, loaded: Loaded) -> list[int]:
    with sessions() as session:
        return list(
            session.scalars(
                select(Image.id).where(Image.state == "READY", ~is_predicted(loaded.artifact.version_id)).order_by(Image.id)
            )
        )


def test_two_hundred_digits(
    sessions: Sessions, store: ObjectStore, actor: Actor, loaded: Loaded, test_digits: list[Candidate]
) -> None:
    def refuse(candidate: Candidate, error: Exception) -> None:
        raise error

    upload_many(sessions, store, test_digits, limits=PngLimits(), source="mnist", actor=actor, refuse=refuse)
    ids = [row[0] for row in rows(sessions, "SELECT id FROM pixref.image ORDER BY id")]
    assert unpredicted(sessions, loaded) == ids
    walked = [ids[start : start + 64] for start in range(0, 200, 64)]
    done = [predict_batch(sessions, store, loaded, batch, actor=actor) for batch in walked]
    assert sum(each.done for each in done) == 200
    assert sum(each.failed for each in done) == 0
    right = one(
        sessions, "SELECT count(*) FROM catalog.predictions p JOIN catalog.images i USING (image_id) WHERE p.label = i.label"
    )
    assert right >= 194
    assert unpredicted(sessions, loaded) == []
    sums = """
        SELECT min(total), max(total) FROM catalog.predictions,
        LATERAL (SELECT sum(value::real) AS total FROM jsonb_each_text(scores)) s"""
    low, high = rows(sessions, sums)[0]
    assert 0.999 < low <= high < 1.001
    # One at a time gives the same as many at once.
    image_id = walked[0][0]
    before = predictions_of(sessions, image_id)[0]
    outcome = loaded.score(test_digits[0].data, limits=None)
    assert np.allclose(
        sorted((score for _, score in before.scores), reverse=True), sorted(outcome.scores, reverse=True), atol=1e-5
    )


def test_a_prediction_is_one_row_that_is_replaced(
    sessions: Sessions, store: ObjectStore, actor: Actor, models: ModelServer, mnist_model: int
) -> None:
    image_id = add_image(sessions, store, actor)
    first = models.predict_image(image_id, ModelRef(), actor=actor)
    stored = predictions_of(sessions, image_id)
    assert [(each.model, each.version, each.champion, each.label) for each in stored] == [("mnist", 1, True, first.label)]
    assert dict(stored[0].scores) == pytest.approx(first.scores)
    assert stored[0].scores[0][0] == first.label
    assert stored[0].scores[0][1] == pytest.approx(max(first.scores.values()))
    execute(sessions, "UPDATE pixref.prediction SET score = 0, latency_ms = NULL, created_at = now() - interval '1 day'")
    models.predict_image(image_id, ModelRef(version=1), actor=actor)
    again = rows(sessions, "SELECT score, latency_ms > 0, created_at > now() - interval '1 h', created_by FROM pixref.prediction")
    assert again == [(pytest.approx(first.score), True, True, actor.account_id)]


def test_the_keys_hold(sessions: Sessions, store: ObjectStore, actor: Actor, models: ModelServer, mnist_model: int) -> None:
    image_id = add_image(sessions, store, actor)
    models.predict_image(image_id, ModelRef(), actor=actor)
    copy = "INSERT INTO pixref.prediction (image_id, model_version_id, error) SELECT {}, {}, 'e' FROM pixref.prediction"
    for image, version, constraint in (
        ("999", "model_version_id", "fk_prediction_image_id"),
        ("image_id", "999", "fk_prediction_model_version_id"),
        ("image_id", "model_version_id", "uq_prediction_image_id_model_version_id"),
    ):
        with pytest.raises(IntegrityError, match=constraint):
            execute(sessions, copy.format(image, version))
    with pytest.raises(IntegrityError, match="ck_prediction_result_or_error"):
        execute(sessions, "UPDATE pixref.prediction SET error = 'both'")
    with pytest.raises(IntegrityError, match="fk_prediction_model_version_id"):
        execute(sessions, "DELETE FROM pixref.model_version")


def test_pictures_of_other_kinds_are_brought_to_the_models_input(loaded: Loaded, test_digits: list[Candidate]) -> None:
    for mode, size in (("L", 90), ("RGB", 28), ("RGBA", 140), ("I;16", 100), ("1", 112), ("P", 100)):
        data, shown = digit_png(mode=mode, size=size, digits=test_digits)
        scored = loaded.score(data, limits=PngLimits())
        assert loaded.artifact.labels[scored.best] == shown, mode


def test_bytes_that_were_lost_or_altered_are_not_predicted(
    sessions: Sessions, store: ObjectStore, actor: Actor, models: ModelServer, mnist_model: int
) -> None:
    altered, lost = (add_image(sessions, store, actor, make_png(BIG, BIG)) for _ in range(2))
    replace_object(store, object_key(sessions, altered), make_png(BIG, BIG))
    store.delete_object(object_key(sessions, lost))
    for _ in range(2):  # as it is found, and as it is known then
        with pytest.raises(ObjectCorrupt):
            models.predict_image(altered, ModelRef(), actor=actor)
        with pytest.raises(ObjectLost):
            models.predict_image(lost, ModelRef(), actor=actor)
    assert one(sessions, "SELECT count(*) FROM pixref.prediction") == 0


def test_a_picture_that_is_its_own_thumbnail_needs_no_store(
    sessions: Sessions, store: ObjectStore, actor: Actor, models: ModelServer, mnist_model: int
) -> None:
    image_id = add_image(sessions, store, actor)
    models.get(ModelRef())
    store.delete_object(object_key(sessions, image_id))
    assert models.predict_image(image_id, ModelRef(), actor=actor).image_id == image_id


def test_a_picture_deleted_meanwhile_gets_no_row(
    sessions: Sessions, store: ObjectStore, actor: Actor, loaded: Loaded, models: ModelServer
) -> None:
    image_id = add_image(sessions, store, actor, make_png(BIG, BIG))

    armed: list[bool] = []

    def delete_it(step: str) -> None:
        if step == "get" and armed:
            delete_image(sessions, image_id)

    racing = ModelServer(sessions, StepStore(store, before=delete_it))
    racing.get(ModelRef())
    armed.append(True)
    with pytest.raises(NotFound):
        racing.predict_image(image_id, ModelRef(), actor=actor)
    with pytest.raises(NotFound):
        models.predict_image(image_id, ModelRef(), actor=actor)
    assert one(sessions, "SELECT count(*) FROM pixref.prediction") == 0


def test_bulk_goes_on_past_what_cannot_be_predicted(sessions: Sessions, store: ObjectStore, actor: Actor, loaded: Loaded) -> None:
    ids = [add_image(sessions, store, actor, make_png(BIG, BIG)) for _ in range(5)]
    replace_object(store, object_key(sessions, ids[1]), make_png(BIG, BIG))
    store.delete_object(object_key(sessions, ids[2]))
    delete_image(sessions, ids[3])
    assert predict_batch(sessions, store, loaded, ids, actor=actor) == Predicted(done=2, failed=2)
    found = dict(rows(sessions, "SELECT image_id, split_part(error, ':', 1) FROM pixref.prediction"))
    assert found == {ids[0]: None, ids[1]: "object_corrupt", ids[2]: "object_lost", ids[4]: None}
    # Errors are not in the view, and are tried again by the next run.
    assert rows(sessions, "SELECT image_id FROM catalog.predictions ORDER BY 1") == [(ids[0],), (ids[4],)]
    assert unpredicted(sessions, loaded) == [ids[1], ids[2]]
    assert predict_batch(sessions, store, loaded, [], actor=actor) == Predicted(0, 0)


def test_a_store_in_trouble_is_no_fault_of_the_pictures(
    sessions: Sessions, store: ObjectStore, actor: Actor, loaded: Loaded
) -> None:
    ids = [add_image(sessions, store, actor, make_png(BIG, BIG)) for _ in range(2)]
    down = StepStore(store, before=raising(StoreUnavailable("told to", "bucket", "endpoint"), at="get"))
    with pytest.raises(StoreUnavailable):
        predict_batch(sessions, down, loaded, ids, actor=actor)
    assert one(sessions, "SELECT count(*) FROM pixref.prediction") == 0


def test_a_picture_to_which_the_model_answers_nonsense_does_not_stop_the_others(
    sessions: Sessions, store: ObjectStore, actor: Actor, loaded: Loaded
) -> None:
    digits = mnist.pictures(SAMPLES, "test", count=3)
    ids = [add_image(sessions, store, actor, digit.data) for digit in digits]

    class Moody:
        """The real model, which does not like its second picture."""

        def __init__(self) -> None:
            with single(sessions) as connection:
                second = references(connection, [ids[1]], with_bytes=True)[ids[1]]
            self.disliked = loaded.score(read_bytes(store, second), limits=None).scores

        def predict(self, batch: Any) -> Any:
            scores = loaded.runtime.predict(batch)
            if any(np.allclose(row, self.disliked, atol=1e-6) for row in scores):
                raise ModelOutputInvalid("The model answered with NaN or infinity.")
            return scores

    moody = dataclasses.replace(loaded, runtime=Moody())  # type: ignore[arg-type]
    assert predict_batch(sessions, store, moody, ids, actor=actor) == Predicted(done=2, failed=1)
    found = dict(rows(sessions, "SELECT image_id, split_part(error, ':', 1) FROM pixref.prediction"))
    assert found == {ids[0]: None, ids[1]: "model_output_invalid", ids[2]: None}
