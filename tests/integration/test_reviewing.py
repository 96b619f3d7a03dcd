"""Verdicts of reviewers: kept with the tag, refused where the picture has changed, taken back, and what waits in each queue."""

import pytest
from sqlalchemy import text

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import Conflict, Invalid, NotFound
from service.models.serving import ModelRef, ModelServer
from service.pictures import reviewing
from service.pictures.delete import delete_image
from service.pictures.labels import label_history, set_label, set_tags
from service.pictures.merging import merge_words
from service.pictures.reviewing import REVIEWED, Queue, Verdict, count_waiting, queue_of, review, take_back
from service.pictures.search import ImageFilter, Sort, get_image, list_images
from service.pictures.words import Kind, list_words
from storage.base import ObjectStore
from tests.factories import add_image, make_png, together


@pytest.fixture
def image_id(sessions: Sessions, store: ObjectStore, actor: Actor) -> int:
    return add_image(sessions, store, actor, make_png(seed=1), label="cat", tags=["old"])


def state(sessions: Sessions, image_id: int) -> tuple[str | None, list[str]]:
    info = get_image(sessions, image_id)
    return info.label, sorted(info.tags)


def test_a_verdict_is_a_label_and_a_tag_and_can_be_taken_back(sessions: Sessions, actor: Actor, image_id: int) -> None:
    verdict = review(sessions, image_id, " dog ", expected="cat", actor=actor)
    assert verdict == Verdict(image_id, "cat", "dog", tagged=True)
    assert state(sessions, image_id) == ("dog", ["old", REVIEWED])
    assert label_history(sessions, image_id)[0].changed_by == actor.name
    take_back(sessions, verdict, actor=actor)
    assert state(sessions, image_id) == ("cat", ["old"])
    assert len(label_history(sessions, image_id)) == 3


def test_keeping_the_label_writes_no_history(sessions: Sessions, actor: Actor, image_id: int) -> None:
    verdict = review(sessions, image_id, "cat", expected="cat", actor=actor)
    assert state(sessions, image_id) == ("cat", ["old", REVIEWED])
    assert len(label_history(sessions, image_id)) == 1
    again = review(sessions, image_id, "dog", expected="cat", actor=actor)
    assert not again.tagged
    take_back(sessions, again, actor=actor)
    assert state(sessions, image_id) == ("cat", ["old", REVIEWED]), "it was reviewed before that"
    take_back(sessions, verdict, actor=actor)
    assert state(sessions, image_id) == ("cat", ["old"])


def test_what_somebody_else_has_changed_is_left(sessions: Sessions, actor: Actor, image_id: int) -> None:
    set_label(sessions, image_id, "fox", actor=actor)
    with pytest.raises(Conflict, match="labelled fox and not labelled cat"):
        review(sessions, image_id, "dog", expected="cat", actor=actor)
    with pytest.raises(Conflict, match="not without a label"):
        review(sessions, image_id, "dog", expected=None, actor=actor)
    verdict = review(sessions, image_id, "dog", expected="fox", actor=actor)
    set_label(sessions, image_id, None, actor=actor)
    with pytest.raises(Conflict, match="without a label by now"):
        take_back(sessions, verdict, actor=actor)
    assert state(sessions, image_id) == (None, ["old", REVIEWED])


def test_of_two_at_once_one_is_told(sessions: Sessions, actor: Actor, image_id: int) -> None:
    def say(number: int) -> str:
        try:
            return review(sessions, image_id, f"label {number}", expected="cat", actor=actor).label
        except Conflict:
            return "conflict"

    told = together(4, say)
    assert sorted(told)[:3] == ["conflict"] * 3
    assert get_image(sessions, image_id).label in told


@pytest.mark.parametrize("label", ["", "  ", "a\0b", "x" * 500])
def test_nonsense_is_refused(sessions: Sessions, actor: Actor, image_id: int, label: str) -> None:
    with pytest.raises(Invalid) as refused:
        review(sessions, image_id, label, expected="cat", actor=actor)
    assert refused.value.field == "label"
    assert state(sessions, image_id) == ("cat", ["old"])


def test_a_picture_that_is_gone(sessions: Sessions, actor: Actor, image_id: int) -> None:
    delete_image(sessions, image_id)
    for gone in (image_id, 0, -1, 2**63, 2**200):
        with pytest.raises(NotFound):
            review(sessions, gone, "dog", expected="cat", actor=actor)


def test_a_merged_label_is_the_one_that_it_became(sessions: Sessions, actor: Actor, image_id: int) -> None:
    set_label(sessions, image_id, "hound", actor=actor)
    set_label(sessions, image_id, "dog", actor=actor)
    ids = {word.name: word.id for word in list_words(sessions, Kind.LABEL).items}
    merge_words(sessions, Kind.LABEL, ids["hound"], ids["dog"], actor=actor)
    verdict = review(sessions, image_id, "hound", expected="dog", actor=actor)
    assert verdict.label == "dog"
    take_back(sessions, verdict, actor=actor)


def test_where_the_tag_was_merged_it_is_taken_off_by_its_other_name(sessions: Sessions, actor: Actor, image_id: int) -> None:
    take_back(sessions, review(sessions, image_id, "cat", expected="cat", actor=actor), actor=actor)
    set_tags(sessions, image_id, ["checked"])
    set_tags(sessions, image_id, [])
    ids = {word.name: word.id for word in list_words(sessions, Kind.TAG).items}
    merge_words(sessions, Kind.TAG, ids[REVIEWED], ids["checked"], actor=actor)
    verdict = review(sessions, image_id, "dog", expected="cat", actor=actor)
    assert state(sessions, image_id) == ("dog", ["checked"])
    take_back(sessions, verdict, actor=actor)
    assert state(sessions, image_id) == ("cat", [])


def test_more_than_are_counted(sessions: Sessions, store: ObjectStore, actor: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        add_image(sessions, store, actor, make_png(seed=number))
    monkeypatch.setattr(reviewing, "COUNTED", 2)
    assert count_waiting(sessions, ImageFilter(unlabelled=True)) == 3
    monkeypatch.setattr(reviewing, "COUNT_MS", 1)
    monkeypatch.setattr(reviewing, "conditions", lambda wanted, known: [text("pg_sleep(1) IS NOT NULL")])
    assert count_waiting(sessions, ImageFilter(unlabelled=True)) is None


def test_queues(sessions: Sessions, store: ObjectStore, actor: Actor, mnist_model: int) -> None:
    models = ModelServer(sessions, store)
    ids = [
        add_image(sessions, store, actor, make_png(seed=number), label="giraffe" if number < 4 else None) for number in range(6)
    ]
    for each in ids:
        models.predict_image(each, ModelRef(), actor=actor)

    def waiting(queue: Queue) -> list[int]:
        wanted, sort = queue_of(queue, "mnist")
        found = [image.id for image in list_images(sessions, wanted, sort=sort).items]
        assert count_waiting(sessions, wanted) == len(found)
        return found

    surest = [image.id for image in list_images(sessions, ImageFilter(model="mnist"), sort=Sort.SUREST).items]
    assert waiting(Queue.WRONG) == [each for each in surest if each in ids[:4]]
    assert waiting(Queue.UNCERTAIN) == surest[::-1]
    assert waiting(Queue.UNLABELLED) == [ids[5], ids[4]]
    review(sessions, ids[0], "giraffe", expected="giraffe", actor=actor)
    review(sessions, ids[5], "noise", expected=None, actor=actor)
    assert ids[0] not in waiting(Queue.WRONG) + waiting(Queue.UNCERTAIN)
    assert waiting(Queue.UNLABELLED) == [ids[4]]
    set_tags(sessions, ids[0], [])
    assert ids[0] in waiting(Queue.WRONG), "without the tag it waits again"
