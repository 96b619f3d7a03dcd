"""Delete: out of sight at once, out of both stores after the sweep, whatever happens in between."""

from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import NotFound
from service.models.serving import ModelRef, ModelServer
from service.pictures.delete import delete_image
from service.upkeep.sweep import BATCH, Swept, sweep
from storage.base import ObjectStore, StoreError, StoreUnavailable
from tests.conftest import TokenClient
from tests.factories import (
    StepStore,
    add_image,
    assert_in_step,
    assert_problem,
    execute,
    expire_leases,
    make_png,
    object_key,
    objects,
    one,
    raising,
    rows,
    sha256,
    together,
)

API = "/api/v1/images"
VIEWS = ("images", "image_tags", "label_history", "predictions")


def test_a_deleted_picture_is_gone_everywhere(
    editor_client: TokenClient,
    sessions: Sessions,
    store: ObjectStore,
    actor: Actor,
    models: ModelServer,
    mnist_model: int,
    reader_url: URL,
) -> None:
    data = make_png()
    kept = add_image(sessions, store, actor)
    image_id = add_image(sessions, store, actor, data, label="7", tags=["t"])
    models.predict_image(image_id, ModelRef(), actor=actor)
    url = f"{API}/{image_id}"
    assert editor_client.delete(url).status_code == 204
    for swept in (False, True):
        for path in (url, f"{url}/file", f"{url}/thumbnail"):
            assert_problem(editor_client.get(path), 404, "not_found")
        assert_problem(editor_client.delete(url), 404, "not_found")
        assert_problem(editor_client.put(f"{url}/label", json={"label": "x"}), 404, "not_found")
        assert_problem(editor_client.post(f"{url}/predictions", json={}), 404, "not_found")
        assert [item["id"] for item in editor_client.get(API).get_json()["items"]] == [kept]
        assert editor_client.get(f"{API}?model=mnist").get_json()["items"] == []
        assert editor_client.post(f"{API}/urls", json={"ids": [image_id]}).get_json() == {"items": []}
        check = editor_client.post(f"{API}/check", json={"sha256": [sha256(data)]}).get_json()
        assert check["items"][0]["id"] is None
        with create_engine(reader_url, poolclass=NullPool).connect() as connection:
            for view in VIEWS:
                assert connection.scalars(text(f"SELECT image_id FROM {view}")).all() in ([], [kept])
            assert connection.scalar(text("SELECT images FROM tags WHERE tag = 't'")) == 0
            assert connection.scalar(text("SELECT images FROM labels WHERE label = '7'")) == 0
        if not swept:
            assert one(sessions, "SELECT state FROM pixref.image WHERE id = :id", id=image_id) == "DELETING"
            assert sweep(sessions, store).deleted == 0  # it can be restored
            expire_leases(sessions)
            sweep(sessions, store)
    assert_in_step(sessions, store)
    assert rows(sessions, "SELECT id FROM pixref.image") == [(kept,)]
    assert one(sessions, "SELECT count(*) FROM pixref.prediction") == 0


def test_plain_sql_takes_the_same_path(sessions: Sessions, store: ObjectStore, actor: Actor, admin_url: URL) -> None:
    ids = [add_image(sessions, store, actor) for _ in range(3)]
    with create_engine(admin_url, poolclass=NullPool).begin() as connection:
        connection.execute(text("DELETE FROM pixref.image WHERE id = :id"), {"id": ids[0]})
    execute(sessions, "DELETE FROM pixref.image WHERE id = :id", id=ids[1])
    assert rows(sessions, "SELECT image_id FROM catalog.images") == [(ids[2],)]
    assert rows(sessions, "SELECT DISTINCT reason FROM pixref.object_deletion") == [("SQL DELETE",)]
    assert len(objects(store)) == 3
    assert sweep(sessions, store).deleted == 0
    expire_leases(sessions)
    assert sweep(sessions, store).deleted == 2
    assert_in_step(sessions, store)


def test_plain_sql_on_an_upload_under_way_waits_for_its_lease(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    with pytest.raises(KeyboardInterrupt):
        add_image(sessions, StepStore(store, before=raising(KeyboardInterrupt(), at="put")), actor)
    execute(sessions, "DELETE FROM pixref.image")
    assert sweep(sessions, store).deleted == 0
    assert one(sessions, "SELECT due_at > now() + interval '9 min' FROM pixref.object_deletion")
    expire_leases(sessions)
    assert sweep(sessions, store).deleted == 1
    assert_in_step(sessions, store)


def test_a_store_that_is_down_is_tried_again_later(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    delete_image(sessions, add_image(sessions, store, actor))
    down = StepStore(store, before=raising(StoreUnavailable("told to", "bucket", "endpoint"), at="delete"))
    for attempt in range(3):
        expire_leases(sessions)
        done = sweep(sessions, down)
        assert (done.deleted, done.failed) == (0, 1)
        assert sweep(sessions, store).deleted == 0  # not due yet
        waits = "SELECT attempts, round(extract(epoch FROM due_at - now()) / 30)::int, last_error FROM pixref.object_deletion"
        attempts, half_minutes, last_error = rows(sessions, waits)[0]
        assert (attempts, half_minutes) == (attempt + 1, 2**attempt)
        assert "told to" in last_error
    assert len(objects(store)) == 1
    execute(sessions, "UPDATE pixref.object_deletion SET attempts = 1000")
    expire_leases(sessions)
    sweep(sessions, down)
    assert one(sessions, "SELECT due_at <= now() + interval '1 h' FROM pixref.object_deletion")
    expire_leases(sessions)
    assert sweep(sessions, store).deleted == 1
    assert_in_step(sessions, store)


def test_killed_between_object_and_row(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    delete_image(sessions, add_image(sessions, store, actor))
    with pytest.raises(KeyboardInterrupt):
        sweep(sessions, StepStore(store, after=raising(KeyboardInterrupt(), at="delete")))
    assert objects(store) == set()
    assert one(sessions, "SELECT state FROM pixref.image") == "DELETING"
    assert sweep(sessions, store).deleted == 1
    assert_in_step(sessions, store)


def test_sweeps_may_run_at_once_and_again(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    kept = add_image(sessions, store, actor)
    for _ in range(20):
        delete_image(sessions, add_image(sessions, store, actor))
    done = together(4, lambda _: sweep(sessions, store))
    assert sum(each.deleted for each in done) == 20
    again = sweep(sessions, store)
    assert (again.abandoned, again.deleted, again.failed) == (0, 0, 0)
    assert rows(sessions, "SELECT id FROM pixref.image") == [(kept,)]
    assert_in_step(sessions, store)


def test_more_than_one_batch(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    execute(
        sessions,
        """INSERT INTO pixref.image (sha256, object_key, byte_size, state, width, height, channels, bit_depth, color_type, source, lease_until)
           SELECT encode(sha256(n::text::bytea), 'hex'), 'images/none/' || n, 1, 'PENDING', 1, 1, 1, 8, 0, 'test', now() - interval '1 s'
           FROM generate_series(1, :count) n""",
        count=BATCH * 2 + 1,
    )
    done = sweep(sessions, store)
    assert (done.abandoned, done.deleted) == (BATCH * 2 + 1, BATCH * 2 + 1)
    assert_in_step(sessions, store)


def test_deleting_twice_at_once_succeeds_once(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    image_id = add_image(sessions, store, actor)

    def delete(_: int) -> bool:
        try:
            delete_image(sessions, image_id)
        except NotFound:
            return False
        return True

    assert together(4, delete).count(True) == 1
    assert one(sessions, "SELECT count(*) FROM pixref.object_deletion") == 1


def test_one_object_that_is_refused_does_not_hold_the_others_back(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    ids = [add_image(sessions, store, actor) for _ in range(3)]
    stubborn = object_key(sessions, ids[1])
    for image_id in ids:
        delete_image(sessions, image_id)

    class Refusing(StepStore):
        def delete_objects(self, keys: Any) -> None:
            for key in keys:
                self.delete_object(key)

        def delete_object(self, key: str) -> None:
            if key == stubborn:
                raise StoreError("the object is held", "bucket", "endpoint", key)
            super().delete_object(key)

    assert sweep(sessions, Refusing(store)) == Swept(abandoned=0, deleted=2, failed=1)
    assert rows(sessions, "SELECT object_key, attempts FROM pixref.object_deletion") == [(stubborn, 1)]
    assert objects(store) == {stubborn}
    expire_leases(sessions)
    assert sweep(sessions, store).deleted == 1
    assert_in_step(sessions, store)
