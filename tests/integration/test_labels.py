"""Labels and tags after the upload, and the history that the database writes."""

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from schema.session import Sessions
from service.accounts.actor import Actor
from service.accounts.tokens import local_actor
from service.errors import NotFound
from service.pictures.delete import delete_image
from service.pictures.labels import label_history, set_label, set_tags
from storage.base import ObjectStore
from tests.conftest import TokenClient
from tests.factories import add_image, assert_problem, execute, one, rows, together

API = "/api/v1/images"


def changes(sessions: Sessions, image_id: int) -> list[tuple[str | None, str | None, str]]:
    return [(each.old_label, each.new_label, each.changed_by) for each in label_history(sessions, image_id)]


def test_every_change_of_a_label_is_kept_with_who(
    editor_client: TokenClient, sessions: Sessions, store: ObjectStore, actor: Actor
) -> None:
    image_id = add_image(sessions, store, actor, label="cat")
    for label, shown in (("dog", "dog"), (" dog ", "dog"), (None, None), (None, None), ("cat", "cat")):
        answer = editor_client.put(f"{API}/{image_id}/label", json={"label": label})
        assert (answer.status_code, answer.get_json()["label"]) == (200, shown)
    expected = [
        (None, "cat", "test editor"),
        ("dog", None, "test editor"),
        ("cat", "dog", "test editor"),
        (None, "cat", "tester"),
    ]
    assert changes(sessions, image_id) == expected
    view = rows(sessions, "SELECT old_label, new_label, changed_by FROM catalog.label_history ORDER BY changed_at DESC")
    assert view == expected


def test_changes_by_plain_sql_carry_the_database_user(
    sessions: Sessions, store: ObjectStore, actor: Actor, admin_url: URL
) -> None:
    first, second = (add_image(sessions, store, actor, label="cat") for _ in range(2))
    set_label(sessions, first, "dog", actor=actor)
    # The same connection of the pool: the name of the last request's account must not stick to it.
    execute(sessions, "UPDATE pixref.image SET label_id = NULL WHERE id = :id", id=first)
    with create_engine(admin_url, poolclass=NullPool).begin() as connection:
        connection.execute(text("UPDATE pixref.image SET label_id = (SELECT id FROM pixref.label WHERE name = 'dog')"))
        connection.execute(text("UPDATE pixref.image SET split = 'test'"))
    assert changes(sessions, first)[:2] == [(None, "dog", "postgres"), ("dog", None, "pixref_app")]
    assert changes(sessions, second) == [("cat", "dog", "postgres"), (None, "cat", "tester")]


def test_a_label_in_use_cannot_be_removed(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    add_image(sessions, store, actor, label="cat")
    with pytest.raises(DBAPIError, match="fk_image_label_id"):
        execute(sessions, "DELETE FROM pixref.label")


UNFIT: list[tuple[object, str]] = [
    ({"label": ""}, "label"),
    ({"label": "  "}, "label"),
    ({"label": "a\x00b"}, "label"),
    ({"label": "\x1b[31m"}, "label"),
    ({"label": "x" * 201}, "label"),
    ({"label": 7}, "label"),
    ({}, "label"),
    ({"label": "a", "id": 1}, "id"),
    ([], "body"),
    (None, "body"),
]


def test_labels_that_cannot_be_kept(editor_client: TokenClient, sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    image_id = add_image(sessions, store, actor, label="cat")
    for body, field in UNFIT:
        assert_problem(editor_client.put(f"{API}/{image_id}/label", json=body), 422, "invalid_request", field=field)
    assert len(changes(sessions, image_id)) == 1


def test_tags_are_a_set(editor_client: TokenClient, sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    image_id = add_image(sessions, store, actor, tags=["b", "a"])
    for given, shown in (
        (["c", "a", "c", " a "], ["a", "c"]),
        (["A", "a"], ["A", "a"]),
        (["cafe\u0301", "caf\u00e9"], ["café"]),
        ([], []),
    ):
        answer = editor_client.put(f"{API}/{image_id}/tags", json={"tags": given})
        assert (answer.status_code, answer.get_json()["tags"]) == (200, shown)
    for bad in (["ok", ""], ["a\x00"], ["x" * 201], [f"t{n}" for n in range(101)], "a"):
        body = assert_problem(editor_client.put(f"{API}/{image_id}/tags", json={"tags": bad}), 422, "invalid_request")
        assert body["field"].startswith("tags")
    assert editor_client.get(f"{API}/{image_id}").get_json()["tags"] == []


def test_writers_of_one_pictures_tags_take_turns(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    image_id = add_image(sessions, store, actor)
    wanted = [["x", "shared"], ["y", "shared"], ["z"], ["shared"]]
    together(4, lambda index: set_tags(sessions, image_id, wanted[index]))
    found = rows(sessions, "SELECT tag FROM catalog.image_tags WHERE image_id = :id", id=image_id)
    assert sorted(tag for (tag,) in found) in [sorted(tags) for tags in wanted]


def test_a_new_label_that_many_make_at_once_is_made_once(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    ids = [add_image(sessions, store, actor) for _ in range(4)]
    others = [local_actor(sessions, f"person {n}") for n in range(4)]
    for label in ("one", "two", "three"):
        together(4, lambda n, label=label: set_label(sessions, ids[n], label, actor=others[n]))  # type: ignore[misc]
    assert one(sessions, "SELECT count(*) FROM pixref.label") == 3
    for n, image_id in enumerate(ids):
        assert [who for *_, who in changes(sessions, image_id)] == [f"person {n}"] * 3


def test_pictures_that_are_gone_take_no_labels(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    image_id = add_image(sessions, store, actor)
    delete_image(sessions, image_id)
    with pytest.raises(NotFound):
        set_label(sessions, image_id, "new label", actor=actor)
    with pytest.raises(NotFound):
        set_tags(sessions, image_id, ["new tag"])
    assert one(sessions, "SELECT count(*) FROM pixref.label") == one(sessions, "SELECT count(*) FROM pixref.tag") == 0
