"""Snapshots: what they freeze, that equal sets are one, and that nobody changes them."""

import hashlib

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from schema.session import Sessions
from service.accounts.actor import Actor
from service.accounts.tokens import local_actor
from service.errors import Invalid
from service.learning.snapshots import Member, members, take_snapshot
from service.models.selection import Selection
from service.pictures.delete import delete_image
from service.pictures.labels import set_label
from service.pictures.search import ImageFilter
from service.sql.ask import Door, places
from storage.base import ObjectStore
from tests.factories import add_image, execute, make_png, one, rows, sha256, together


@pytest.fixture
def door(door_url: str) -> Door:
    return Door(door_url, places(1))


@pytest.fixture
def pictures(sessions: Sessions, store: ObjectStore, actor: Actor) -> dict[int, bytes]:
    said = [{"label": "cat", "split": "train"}, {"label": "dog"}, {"label": "élan", "split": "test"}, {}]
    kept = {}
    for number, each in enumerate(said):
        data = make_png(seed=number)
        kept[add_image(sessions, store, actor, data, **each)] = data
    return kept


def test_it_has_the_labelled_pictures_as_they_are(
    sessions: Sessions, door: Door, actor: Actor, pictures: dict[int, bytes]
) -> None:
    cat, dog, elan, _ = pictures
    taken = take_snapshot(sessions, door, Selection(), actor=actor)
    assert taken.pictures == 3
    expected = [
        Member(cat, sha256(pictures[cat]), "cat", "train"),
        Member(dog, sha256(pictures[dog]), "dog", None),
        Member(elan, sha256(pictures[elan]), "élan", "test"),
    ]
    expected.sort(key=lambda member: member.sha256)
    assert list(members(sessions, taken.id)) == expected
    lines = "".join(f"{member.sha256}\t{member.label}\t{member.split or ''}\n" for member in expected)
    assert taken.digest == hashlib.sha256(lines.encode()).hexdigest()


def test_equal_sets_are_one_and_changed_labels_make_another(
    sessions: Sessions, door: Door, actor: Actor, pictures: dict[int, bytes]
) -> None:
    first = take_snapshot(sessions, door, Selection(), actor=actor)
    same = take_snapshot(sessions, door, Selection(where="label IS NOT NULL"), actor=actor)
    assert same == first
    assert {each.id for each in together(4, lambda _: take_snapshot(sessions, door, Selection(), actor=actor))} == {first.id}
    some = take_snapshot(sessions, door, Selection(wanted=ImageFilter(split="test")), actor=actor)
    assert some.pictures == 1
    dog = list(pictures)[1]
    set_label(sessions, dog, "cat", actor=actor)
    other = take_snapshot(sessions, door, Selection(), actor=actor)
    assert len({first.digest, some.digest, other.digest}) == 3
    assert {member.label for member in members(sessions, first.id)} == {"cat", "dog", "élan"}
    set_label(sessions, dog, "dog", actor=actor)
    assert take_snapshot(sessions, door, Selection(), actor=actor) == first


def test_taken_at_once_they_are_one(sessions: Sessions, door: Door, actor: Actor, pictures: dict[int, bytes]) -> None:
    taken = together(6, lambda _: take_snapshot(sessions, door, Selection(), actor=actor))
    assert len({each.id for each in taken}) == 1
    assert one(sessions, "SELECT count(*) FROM pixref.snapshot_image") == 3


def test_a_picture_that_goes_stays_in_it(sessions: Sessions, door: Door, actor: Actor, pictures: dict[int, bytes]) -> None:
    taken = take_snapshot(sessions, door, Selection(), actor=actor)
    cat = next(iter(pictures))
    delete_image(sessions, cat)
    assert rows(sessions, "SELECT image_id FROM catalog.snapshot_images WHERE label = 'cat'") == [(None,)]
    execute(sessions, "DELETE FROM pixref.image WHERE id = :id", id=cat)
    gone = [member for member in members(sessions, taken.id) if member.image_id is None]
    assert gone in ([], [Member(None, sha256(pictures[cat]), "cat", "train")])
    assert len(list(members(sessions, taken.id))) == 3


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE pixref.snapshot_image SET label = 'other'",
        "UPDATE pixref.snapshot SET digest = repeat('a', 64)",
        "DELETE FROM pixref.snapshot_image",
        "DELETE FROM pixref.snapshot",
        "INSERT INTO pixref.snapshot_image (snapshot_id, sha256, label) SELECT id, repeat('b', 64), 'x' FROM pixref.snapshot",
    ],
)
def test_nobody_changes_it(sessions: Sessions, door: Door, actor: Actor, pictures: dict[int, bytes], change: str) -> None:
    take_snapshot(sessions, door, Selection(), actor=actor)
    with pytest.raises(DBAPIError, match=r"permission denied|never added to"):
        execute(sessions, change)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE pixref.snapshot_image SET label = 'other'",
        "UPDATE pixref.snapshot_image SET image_id = NULL, split = 'train'",
        "UPDATE pixref.snapshot SET pictures = pictures + 1",
        "UPDATE pixref.snapshot SET created_by = NULL, selection = '{}'",
        "DELETE FROM pixref.snapshot_image",
        "DELETE FROM pixref.snapshot",
        "TRUNCATE pixref.snapshot_image",
        "INSERT INTO pixref.snapshot_image (snapshot_id, sha256, label) SELECT id, repeat('b', 64), 'x' FROM pixref.snapshot",
    ],
)
def test_not_even_who_may_do_everything_changes_it(
    sessions: Sessions, door: Door, actor: Actor, pictures: dict[int, bytes], admin_url: URL, change: str
) -> None:
    taken = take_snapshot(sessions, door, Selection(where="split IS NOT NULL"), actor=actor)
    before = list(members(sessions, taken.id))
    with (
        create_engine(admin_url, poolclass=NullPool).begin() as connection,
        pytest.raises(DBAPIError, match=r"never changed|never added to"),
    ):
        connection.execute(text(change))
    assert list(members(sessions, taken.id)) == before


def test_it_outlives_who_took_it_and_is_no_more_open_for_that(sessions: Sessions, door: Door, pictures: dict[int, bytes]) -> None:
    leaver = local_actor(sessions, "leaver")
    taken = take_snapshot(sessions, door, Selection(), actor=leaver)
    add = "INSERT INTO pixref.snapshot_image (snapshot_id, sha256, label) VALUES (:id, repeat('b', 64), 'x')"
    with pytest.raises(DBAPIError, match="never added to"), sessions() as session, session.begin():
        session.execute(text("DELETE FROM pixref.account WHERE id = :id"), {"id": leaver.account_id})
        session.execute(text(add), {"id": taken.id})
    execute(sessions, "DELETE FROM pixref.account WHERE id = :id", id=leaver.account_id)
    assert rows(sessions, "SELECT digest, pictures, created_by FROM catalog.snapshots") == [(taken.digest, 3, None)]
    assert len(list(members(sessions, taken.id))) == 3


def test_without_labels_there_is_nothing_to_freeze(
    sessions: Sessions, door: Door, actor: Actor, pictures: dict[int, bytes]
) -> None:
    with pytest.raises(Invalid, match="none of these pictures has a label"):
        take_snapshot(sessions, door, Selection(where="label IS NULL"), actor=actor)
    assert one(sessions, "SELECT count(*) FROM pixref.snapshot") == 0
