"""fsck and fixity: what vanished or was altered behind our back is found, marked and healed; what is merely unknown is left alone."""

import io
from datetime import timedelta

import pytest

from schema.session import Sessions
from service.accounts.actor import Actor
from service.models.serving import ModelRef, ModelServer
from service.pictures.delete import delete_image
from service.pictures.search import get_image
from service.upkeep.fixity import verify_due
from service.upkeep.fsck import AT_LEAST, Report, fsck
from service.upkeep.model_files import verify_due_versions
from service.upkeep.sweep import sweep
from storage.base import BucketMissing, ObjectStore, StoreTimeout
from storage.keys import new_image_key
from tests.conftest import TokenClient
from tests.factories import (
    BIG,
    StepStore,
    add_image,
    add_upload,
    assert_in_step,
    assert_problem,
    execute,
    expire_leases,
    form_of,
    make_png,
    object_key,
    objects,
    one,
    raising,
    replace_object,
    rows,
    sha256,
)

API = "/api/v1/images"
NO_GRACE = timedelta(seconds=-60)  # the server's clock shows whole seconds


def put(store: ObjectStore, key: str, data: bytes) -> None:
    store.put_object(key, io.BytesIO(data), size=len(data), sha256=sha256(data), media_type="image/png")


def damages(sessions: Sessions) -> dict[int, str | None]:
    return {row[0]: row[1] for row in rows(sessions, "SELECT id, damage FROM pixref.image WHERE state = 'READY'")}


def test_what_is_in_step_is_clean(sessions: Sessions, store: ObjectStore, actor: Actor, mnist_model: int) -> None:
    ids = [add_image(sessions, store, actor) for _ in range(5)]
    delete_image(sessions, ids[0], keep=timedelta(days=1))
    delete_image(sessions, ids[1])
    for deep in (False, True):
        report = fsck(sessions, store, deep=deep, repair=True, grace=NO_GRACE)
        assert report.clean, report
        assert (report.rows, report.objects) == (7, 7)
        assert report.verified == (3 if deep else 0)
    assert damages(sessions) == dict.fromkeys(ids[2:])


def test_lost_and_altered_pictures_are_marked_and_healed(
    sessions: Sessions, store: ObjectStore, actor: Actor, editor_client: TokenClient
) -> None:
    pictures = [make_png(BIG, BIG) for _ in range(4)]
    lost, longer, altered, sound = (add_image(sessions, store, actor, data, label="x") for data in pictures)
    store.delete_object(object_key(sessions, lost))
    replace_object(store, object_key(sessions, longer), pictures[1] + b"!")
    replace_object(store, object_key(sessions, altered), pictures[2][:-1] + b"?")

    looked = fsck(sessions, store)
    assert (looked.lost.count, looked.corrupt.count, looked.marked) == (1, 1, 0)
    read = fsck(sessions, store, deep=True)
    assert (read.lost.examples, read.corrupt.examples) == ([f"picture {lost}"], [f"picture {longer}", f"picture {altered}"])
    assert set(damages(sessions).values()) == {None}
    repaired = fsck(sessions, store, deep=True, repair=True)
    assert (repaired.lost.count, repaired.corrupt.count, repaired.marked) == (1, 2, 3)
    expected = {lost: "lost", longer: "corrupt", altered: "corrupt", sound: None}
    assert damages(sessions) == expected
    again = fsck(sessions, store, deep=True, repair=True)
    assert (again.marked, again.quarantined) == (0, 0)

    # In sight, and honest about it.
    items = {item["id"]: item["damage"] for item in editor_client.get(API).get_json()["items"]}
    assert items == expected
    assert dict(rows(sessions, "SELECT image_id, damage FROM catalog.images")) == expected
    assert_problem(editor_client.get(f"{API}/{lost}/file"), 410, "object_lost")
    assert_problem(editor_client.get(f"{API}/{altered}/file"), 502, "object_corrupt")
    assert editor_client.get(f"{API}/{lost}/thumbnail").status_code == 200

    for image_id, data in zip((lost, longer, altered), pictures, strict=False):
        answer = editor_client.post(API, data=form_of(data))
        assert (answer.status_code, answer.get_json()["id"], answer.get_json()["damage"]) == (200, image_id, None)
    assert get_image(sessions, lost).label == "x"
    expire_leases(sessions)
    sweep(sessions, store)
    assert_in_step(sessions, store)
    assert fsck(sessions, store, deep=True, grace=NO_GRACE).clean


def test_small_pictures_heal_from_their_rows(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    ids = [add_image(sessions, store, actor) for _ in range(3)]
    store.delete_object(object_key(sessions, ids[0]))
    replace_object(store, object_key(sessions, ids[1]), make_png())
    looked = fsck(sessions, store, deep=True)
    assert (looked.lost.count, looked.corrupt.count, looked.healed) == (1, 1, 0)
    report = fsck(sessions, store, deep=True, repair=True)
    assert (report.lost.count, report.corrupt.count, report.healed) == (1, 1, 2)
    assert damages(sessions) == dict.fromkeys(ids)
    expire_leases(sessions)
    sweep(sessions, store)
    assert_in_step(sessions, store)
    assert fsck(sessions, store, deep=True).clean


def test_an_object_that_came_back_clears_the_mark(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    data = make_png(BIG, BIG)
    image_id = add_image(sessions, store, actor, data)
    key = object_key(sessions, image_id)
    store.delete_object(key)
    fsck(sessions, store, repair=True)
    assert damages(sessions) == {image_id: "lost"}
    put(store, key, data)
    assert fsck(sessions, store).mended.count == 1
    assert fsck(sessions, store, repair=True).marked == 1
    assert damages(sessions) == {image_id: None}
    assert fsck(sessions, store).clean


def test_readers_mark_what_they_meet(
    sessions: Sessions, store: ObjectStore, actor: Actor, models: ModelServer, mnist_model: int, editor_client: TokenClient
) -> None:
    data = make_png(BIG, BIG)
    lost, altered = add_image(sessions, store, actor), add_image(sessions, store, actor, data)
    lost = add_image(sessions, store, actor, make_png(BIG, BIG))
    store.delete_object(object_key(sessions, lost))
    replace_object(store, object_key(sessions, altered), data[:-1] + b"?")
    assert_problem(editor_client.post(f"{API}/{lost}/predictions", json={}), 410, "object_lost")
    assert_problem(editor_client.post(f"{API}/{altered}/predictions", json={}), 502, "object_corrupt")
    found = damages(sessions)
    assert (found[lost], found[altered]) == ("lost", "corrupt")
    assert one(sessions, "SELECT count(*) FROM pixref.prediction") == 0
    add_upload(sessions, store, actor, data)
    assert models.predict_image(altered, ModelRef(), actor=actor).image_id == altered


def test_objects_that_no_row_names(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    kept = add_image(sessions, store, actor)
    data = make_png()
    stray = new_image_key(sha256(data))
    put(store, stray, data)
    assert fsck(sessions, store, repair=True).clean  # it may be an upload under way
    assert fsck(sessions, store, grace=NO_GRACE).astray.examples == [stray]
    assert fsck(sessions, store, repair=True, grace=NO_GRACE).quarantined == 1
    assert fsck(sessions, store, repair=True, grace=NO_GRACE).clean
    assert sweep(sessions, store).deleted == 0
    assert one(sessions, "SELECT due_at > now() + interval '6 days' FROM pixref.object_deletion")
    expire_leases(sessions)
    assert sweep(sessions, store).deleted == 1
    assert objects(store) == {object_key(sessions, kept)}


def test_too_much_astray_is_not_touched(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    for n in range(AT_LEAST + 1):
        data = b"%d" % n
        put(store, new_image_key(sha256(data)), data)
    report = fsck(sessions, store, repair=True, grace=NO_GRACE)
    assert report.quarantined == 0
    assert "--force" in report.refused[0]
    assert fsck(sessions, store, repair=True, force=True, grace=NO_GRACE).quarantined == AT_LEAST + 1


def test_an_emptied_bucket_marks_nothing(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    image_id = add_image(sessions, store, actor)
    copies = (
        "INSERT INTO pixref.image (sha256, object_key, byte_size, state, width, height, channels, bit_depth, color_type, source, ready_at, "
        "lease_until) SELECT md5(n::text) || md5(n::text), 'images/' || n, 1, 'READY', 1, 1, 1, 8, 0, 'test', now(), NULL "
        "FROM generate_series(1, :count) n"
    )
    execute(sessions, copies, count=AT_LEAST)
    store.delete_object(object_key(sessions, image_id))
    report = fsck(sessions, store, repair=True, deep=True)
    assert report.lost.count == AT_LEAST + 1
    assert "right bucket" in report.refused[0]
    assert set(damages(sessions).values()) == {None}
    assert fsck(sessions, store, repair=True, force=True).marked == AT_LEAST + 1


def test_unknown_is_not_missing(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    image_id = add_image(sessions, store, actor)
    missing = add_image(sessions, store, actor)
    store.delete_object(object_key(sessions, missing))
    for error in (BucketMissing("told to", "bucket", "endpoint"), StoreTimeout("told to", "bucket", "endpoint")):
        for at in ("list", "open"):
            with pytest.raises(type(error)):
                fsck(sessions, StepStore(store, before=raising(error, at=at)), deep=True, repair=True)
    assert damages(sessions) == {image_id: None, missing: None}


def test_the_month_is_enough_for_everything(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    data = make_png(BIG, BIG)
    rotten, sound, fresh = (
        add_image(sessions, store, actor, data),
        add_image(sessions, store, actor),
        add_image(sessions, store, actor),
    )
    replace_object(store, object_key(sessions, rotten), data[:-1] + b"?")
    assert verify_due(sessions, store).sound == 0
    execute(sessions, "UPDATE pixref.image SET verified_at = now() - interval '31 days' WHERE id <> :id", id=fresh)
    found = verify_due(sessions, store)
    assert (found.sound, found.count("corrupt"), found.count("lost")) == (1, 1, 0)
    assert damages(sessions) == {rotten: "corrupt", sound: None, fresh: None}
    assert verify_due(sessions, store).sound == 0  # all were read


@pytest.mark.parametrize("which", ["artifact_key", "litert_key"])
def test_damaged_models_are_marked_and_cleared(sessions: Sessions, store: ObjectStore, mnist_model: int, which: str) -> None:
    key = one(sessions, f"SELECT {which} FROM pixref.model_version")
    data = store.get_object(key)
    damage = "SELECT damage FROM pixref.model_version"

    store.delete_object(key)
    report: Report = fsck(sessions, store)
    assert (report.models.examples, report.marked, report.clean) == (["model mnist version 1: lost"], 0, False)
    assert one(sessions, damage) is None
    assert fsck(sessions, store, repair=True).marked == 1
    assert one(sessions, damage) == "lost"
    assert fsck(sessions, store, repair=True).marked == 0

    put(store, key, b"x" * len(data))
    assert fsck(sessions, store, repair=True).models.examples == ["model mnist version 1: corrupt"]
    assert one(sessions, damage) == "corrupt"

    replace_object(store, key, data)
    cleared = fsck(sessions, store, repair=True)
    assert (cleared.models.examples, cleared.marked) == (["model mnist version 1: sound"], 1)
    assert one(sessions, damage) is None
    assert fsck(sessions, store).clean


def test_altered_model_files_of_the_same_size_are_found_by_reading(
    sessions: Sessions, store: ObjectStore, mnist_model: int
) -> None:
    key = one(sessions, "SELECT artifact_key FROM pixref.model_version")
    data = store.get_object(key)
    replace_object(store, key, data[:-1] + bytes([data[-1] ^ 1]))
    assert fsck(sessions, store).clean
    assert fsck(sessions, store, deep=True).models.examples == ["model mnist version 1: corrupt"]
    assert verify_due_versions(sessions, store).versions == []  # it was registered just now
    execute(sessions, "UPDATE pixref.model_version SET verified_at = now() - interval '31 days'")
    assert verify_due_versions(sessions, store).versions == [("model mnist version 1", "corrupt")]
    assert one(sessions, "SELECT damage FROM pixref.model_version") == "corrupt"
    assert verify_due_versions(sessions, store).versions == []  # it was read


def test_overdue_work_is_reported(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    delete_image(sessions, add_image(sessions, store, actor))
    execute(sessions, "UPDATE pixref.object_deletion SET due_at = now() - interval '2 h'")
    report = fsck(sessions, store)
    assert (report.removals_overdue, report.leases_overdue, report.clean) == (1, 0, False)
    sweep(sessions, store)
    assert fsck(sessions, store).clean
