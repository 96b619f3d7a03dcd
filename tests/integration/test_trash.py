"""The trash: what was deleted comes back as it was, until its time is over, and never without its object."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import Conflict, NotFound
from service.pictures.delete import delete_image, list_trash, restore_image
from service.pictures.labels import set_label
from service.pictures.search import get_image
from service.upkeep.sweep import sweep
from storage.base import ObjectStore
from tests.conftest import TokenClient
from tests.factories import (
    StepStore,
    add_image,
    assert_in_step,
    assert_problem,
    execute,
    expire_leases,
    form_of,
    make_png,
    objects,
    one,
    raising,
    rows,
    together,
)

API = "/api/v1/images"
WEEK = timedelta(days=7)


def test_a_deleted_picture_comes_back_as_it_was(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    image_id = add_image(sessions, store, actor, label="7", tags=["a", "b"], attributes={"n": 1})
    before = get_image(sessions, image_id)
    delete_image(sessions, image_id, keep=WEEK)
    with pytest.raises(NotFound):
        get_image(sessions, image_id)
    assert [image.id for image in list_trash(sessions)] == [image_id]
    assert sweep(sessions, store).deleted == 0
    restore_image(sessions, image_id)
    assert get_image(sessions, image_id) == before
    assert list_trash(sessions) == []
    assert_in_step(sessions, store)
    set_label(sessions, image_id, "8", actor=actor)
    delete_image(sessions, image_id, keep=WEEK)
    restore_image(sessions, image_id)
    assert_in_step(sessions, store)


def test_its_time_is_over(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    image_id = add_image(sessions, store, actor)
    delete_image(sessions, image_id, keep=WEEK)
    execute(sessions, "UPDATE pixref.object_deletion SET due_at = now() - interval '1 s'")
    assert list_trash(sessions) == []
    for swept in (False, True):
        with pytest.raises(NotFound):
            restore_image(sessions, image_id)
        if not swept:
            assert sweep(sessions, store).deleted == 1
    assert_in_step(sessions, store)


def test_what_never_was_visible_cannot_be_restored(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    with pytest.raises(KeyboardInterrupt):
        add_image(sessions, StepStore(store, before=raising(KeyboardInterrupt(), at="put")), actor)
    execute(sessions, "DELETE FROM pixref.image")
    image_id = one(sessions, "SELECT id FROM pixref.image WHERE state = 'DELETING'")
    assert list_trash(sessions) == []
    for unknown in (image_id, 0, -1, 2**63, 10**12):
        with pytest.raises(NotFound):
            restore_image(sessions, unknown)
    assert one(sessions, "SELECT count(*) FROM pixref.object_deletion") == 1


def test_the_same_bytes_uploaded_since(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    data = make_png()
    old = add_image(sessions, store, actor, data)
    delete_image(sessions, old, keep=WEEK)
    new = add_image(sessions, store, actor, data)
    assert new != old
    with pytest.raises(Conflict) as caught:
        restore_image(sessions, old)
    assert caught.value.extra == {"image_id": new}
    delete_image(sessions, new, keep=WEEK)
    restore_image(sessions, old)
    assert get_image(sessions, old).id == old
    expire_leases(sessions)
    sweep(sessions, store)
    assert_in_step(sessions, store)


def test_plain_sql_deletes_into_the_trash(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    image_id = add_image(sessions, store, actor)
    execute(sessions, "DELETE FROM pixref.image WHERE id = :id", id=image_id)
    assert sweep(sessions, store).deleted == 0
    assert one(
        sessions, "SELECT due_at BETWEEN now() + interval '6 days' AND now() + interval '8 days' FROM pixref.object_deletion"
    )
    restore_image(sessions, image_id)
    assert_in_step(sessions, store)


def test_restores_and_sweeps_race(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    """The moment in which its time is over: either it is back with its object, or gone with it."""
    for _ in range(20):
        image_id = add_image(sessions, store, actor)
        delete_image(sessions, image_id, keep=timedelta(milliseconds=15))

        def restore(image_id: int = image_id) -> bool:
            try:
                restore_image(sessions, image_id)
            except NotFound:
                return False
            return True

        def act(number: int, restore: Callable[[], bool] = restore) -> bool:
            if number < 2:
                return restore()
            sweep(sessions, store)
            return False

        outcomes = together(4, act)
        visible = rows(sessions, "SELECT 1 FROM catalog.images WHERE image_id = :id", id=image_id)
        assert len(visible) == sum(outcomes) <= 1
        expire_leases(sessions)
        sweep(sessions, store)
        assert_in_step(sessions, store)


def test_by_the_api(editor_client: TokenClient, viewer_client: TokenClient, sessions: Sessions, store: ObjectStore) -> None:
    ids = [editor_client.post(API, data=form_of(name=f"{n}.png")).get_json()["id"] for n in range(3)]
    assert editor_client.delete(f"{API}/{ids[0]}").status_code == 204
    assert editor_client.delete(f"{API}/{ids[1]}?purge=true").status_code == 204
    items = editor_client.get("/api/v1/trash").get_json()["items"]
    assert [(item["id"], item["original_name"]) for item in items] == [(ids[0], "0.png")]
    assert_problem(viewer_client.post(f"{API}/{ids[0]}/restore"), 403, "forbidden")
    assert_problem(viewer_client.get("/api/v1/trash"), 403, "forbidden")
    for _ in range(2):
        assert editor_client.post(f"{API}/{ids[0]}/restore").get_json()["id"] == ids[0]
    for gone in (ids[1], 10**9):
        assert_problem(editor_client.post(f"{API}/{gone}/restore"), 404, "not_found")
    assert_problem(editor_client.delete(f"{API}/{ids[2]}?purge=perhaps"), 422, "invalid_request", field="purge")
    assert sweep(sessions, store).deleted == 1
    assert len(objects(store)) == 2
    assert_in_step(sessions, store)
