"""Many pictures changed at once and taken back: what was so before is so again, and what somebody has changed since stays."""

from datetime import timedelta

import pytest

from schema.session import Sessions
from service.accounts.actor import Actor
from service.accounts.tokens import local_actor
from service.errors import Invalid, NotFound
from service.pictures import undoable
from service.pictures.bulk_changes import Choice
from service.pictures.delete import list_trash, restore_image
from service.pictures.labels import label_history, set_label, set_tags
from service.pictures.merging import merge_words
from service.pictures.search import ImageFilter, get_image, list_images
from service.pictures.undoable import delete_selected, forget_old, label_selected, tag_selected, undo
from service.pictures.words import Kind, list_words
from service.upkeep.sweep import sweep
from storage.base import ObjectStore
from tests.factories import add_image, assert_in_step, execute, expire_leases, make_png, one, together

WEEK = timedelta(days=7)


@pytest.fixture
def ids(sessions: Sessions, store: ObjectStore, actor: Actor) -> list[int]:
    """Six pictures: cat, dog and none, twice; every second one is tagged."""
    return [
        add_image(
            sessions, store, actor, make_png(seed=n), label=("cat", "dog", None)[n % 3], tags=["even"] if n % 2 == 0 else []
        )
        for n in range(6)
    ]


def labels(sessions: Sessions, ids: list[int]) -> list[str | None]:
    return [get_image(sessions, image_id).label for image_id in ids]


def tags(sessions: Sessions, ids: list[int]) -> list[list[str]]:
    return [sorted(get_image(sessions, image_id).tags) for image_id in ids]


def test_labels_come_back_each_to_its_own(sessions: Sessions, actor: Actor, ids: list[int]) -> None:
    before = labels(sessions, ids)
    done = label_selected(sessions, Choice(ids=ids), "dog", actor=actor)
    assert (done.matched, done.changed) == (6, 4)
    assert labels(sessions, ids) == ["dog"] * 6
    assert done.change_id is not None
    assert undo(sessions, done.change_id, actor=actor) == 4
    assert labels(sessions, ids) == before
    assert [len(label_history(sessions, image_id)) for image_id in ids] == [3, 1, 2, 3, 1, 2]
    with pytest.raises(NotFound, match="undone already"):
        undo(sessions, done.change_id, actor=actor)


def test_taking_labels_off_by_filter(sessions: Sessions, actor: Actor, ids: list[int]) -> None:
    before = labels(sessions, ids)
    done = label_selected(sessions, Choice(wanted=ImageFilter(tag=["even"])), None, actor=actor)
    assert (done.matched, done.changed) == (3, 2)
    assert undo(sessions, done.change_id or 0, actor=actor) == 2
    assert labels(sessions, ids) == before


def test_what_was_changed_since_stays(sessions: Sessions, actor: Actor, ids: list[int]) -> None:
    done = label_selected(sessions, Choice(ids=ids), "fox", actor=actor)
    set_label(sessions, ids[0], "owl", actor=actor)
    words = {word.name: word.id for word in list_words(sessions, Kind.LABEL).items}
    merge_words(sessions, Kind.LABEL, words["dog"], words["cat"], actor=actor)
    delete_selected(sessions, Choice(ids=[ids[3]]), keep=WEEK, actor=actor)
    undo(sessions, done.change_id or 0, actor=actor)
    restore_image(sessions, ids[3])
    assert labels(sessions, ids)[0] == "owl"
    assert labels(sessions, ids)[2::3] == [None, None]
    assert (labels(sessions, ids)[1], labels(sessions, ids)[4]) == ("cat", "cat"), "what a dog has become since"
    merged = "SELECT count(*) FROM pixref.image i JOIN pixref.label l ON l.id = i.label_id WHERE l.merged_into_id IS NOT NULL"
    assert one(sessions, merged) == 0
    assert labels(sessions, ids)[3] == "fox", "it was in the trash when the others got theirs back"


def test_tags_are_given_and_taken(sessions: Sessions, actor: Actor, ids: list[int]) -> None:
    before = tags(sessions, ids)
    given = tag_selected(sessions, Choice(ids=ids), "even", actor=actor)
    assert (given.matched, given.changed) == (6, 3)
    assert tags(sessions, ids) == [["even"]] * 6
    assert undo(sessions, given.change_id or 0, actor=actor) == 3
    assert tags(sessions, ids) == before
    taken = tag_selected(sessions, Choice(ids=ids), "even", remove=True, actor=actor)
    assert taken.changed == 3
    set_tags(sessions, ids[0], ["even", "more"])
    assert undo(sessions, taken.change_id or 0, actor=actor) == 2
    assert tags(sessions, ids) == [["even", "more"], *before[1:]]
    assert tag_selected(sessions, Choice(ids=ids), "nobody's", remove=True, actor=actor).change_id is None


def test_what_was_merged_since_is_what_it_became(sessions: Sessions, actor: Actor, ids: list[int]) -> None:
    given = label_selected(sessions, Choice(ids=ids[:2]), "fox", actor=actor)
    taken = tag_selected(sessions, Choice(ids=[ids[0]]), "even", remove=True, actor=actor)
    tagged = tag_selected(sessions, Choice(ids=[ids[1]]), "even", actor=actor)
    for kind, word, other in ((Kind.LABEL, "fox", "vixen"), (Kind.TAG, "even", "straight")):
        set_tags(sessions, ids[5], ["straight"]) if kind is Kind.TAG else set_label(sessions, ids[5], "vixen", actor=actor)
        words = {each.name: each.id for each in list_words(sessions, kind).items}
        merge_words(sessions, kind, words[word], words[other], actor=actor)
    assert undo(sessions, given.change_id or 0, actor=actor) == 2
    assert labels(sessions, ids)[:2] == ["cat", "dog"]
    assert undo(sessions, taken.change_id or 0, actor=actor) == 1
    assert undo(sessions, tagged.change_id or 0, actor=actor) == 0
    assert tags(sessions, ids)[:2] == [["straight"], ["straight"]]
    dead = "SELECT count(*) FROM pixref.image_tag it JOIN pixref.tag t ON t.id = it.tag_id WHERE t.merged_into_id IS NOT NULL"
    assert one(sessions, dead) == 0


def test_deleted_pictures_come_back(sessions: Sessions, store: ObjectStore, actor: Actor, ids: list[int]) -> None:
    done = delete_selected(sessions, Choice(ids=ids[:4]), keep=WEEK, actor=actor)
    assert (done.matched, done.changed) == (4, 4)
    assert sorted(image.id for image in list_trash(sessions)) == ids[:4]
    again = add_image(sessions, store, actor, make_png(seed=0))
    restore_image(sessions, ids[1])
    assert undo(sessions, done.change_id or 0, actor=actor) == 2
    assert sorted(image.id for image in list_images(sessions, ImageFilter()).items) == [*ids[1:], again]
    assert [image.id for image in list_trash(sessions)] == [ids[0]], "its bytes are another picture's by now"
    expire_leases(sessions)
    sweep(sessions, store)
    assert_in_step(sessions, store)


def test_what_the_sweep_has_removed_is_gone(sessions: Sessions, store: ObjectStore, actor: Actor, ids: list[int]) -> None:
    done = delete_selected(sessions, Choice(ids=ids[:3]), keep=WEEK, actor=actor)
    execute(sessions, "UPDATE pixref.object_deletion SET due_at = now()")
    sweep(sessions, store)
    assert undo(sessions, done.change_id or 0, actor=actor) == 0
    assert_in_step(sessions, store)


def test_nothing_changed_is_nothing_to_undo(sessions: Sessions, actor: Actor, ids: list[int]) -> None:
    assert label_selected(sessions, Choice(ids=[10**9]), "x", actor=actor).change_id is None
    assert one(sessions, "SELECT count(*) FROM pixref.bulk_change") == 0
    for wrong in (0, -1, 2**63, 10**30):
        with pytest.raises(NotFound):
            undo(sessions, wrong, actor=actor)
    with pytest.raises(Invalid):
        label_selected(sessions, Choice(wanted=ImageFilter()), "x", actor=actor)


def test_only_its_author_takes_it_back_and_for_a_day(
    sessions: Sessions, actor: Actor, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = label_selected(sessions, Choice(ids=ids), "fox", actor=actor)
    with pytest.raises(NotFound):
        undo(sessions, done.change_id or 0, actor=local_actor(sessions, "somebody else"))
    monkeypatch.setattr(undoable, "KEPT", timedelta(seconds=-5))  # as if it were older
    with pytest.raises(NotFound):
        undo(sessions, done.change_id or 0, actor=actor)
    with sessions() as session, session.begin():
        assert forget_old(session) == 1


def test_of_two_undoings_at_once_one_does_it(sessions: Sessions, actor: Actor, ids: list[int]) -> None:
    done = label_selected(sessions, Choice(ids=ids), "fox", actor=actor)

    def take(_: int) -> int:
        try:
            return undo(sessions, done.change_id or 0, actor=actor)
        except NotFound:
            return 0

    assert sorted(together(4, take)) == [0, 0, 0, 6]
