"""Upload: what is kept, how, and what is refused with nothing written."""

import pytest
import urllib3
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from schema.session import Sessions
from service.accounts.actor import Actor
from service.errors import PixrefError
from service.pictures.delete import delete_image
from service.pictures.upload import Description, upload_image
from service.png import PngLimits
from service.upkeep.sweep import sweep
from storage.base import ObjectStore
from storage.keys import sha256_of_key
from tests.conftest import TokenClient
from tests.factories import (
    BIG,
    add_image,
    add_upload,
    assert_in_step,
    assert_problem,
    form_of,
    make_png,
    objects,
    one,
    rows,
    sha256,
    together,
)
from tests.pngs import png

API = "/api/v1/images"


def test_a_new_picture_is_kept_whole(editor_client: TokenClient, sessions: Sessions, store: ObjectStore, reader_url: URL) -> None:
    data = make_png(100, 90, color_type=2)
    fields = {"label": " giraffe  calf ", "tags": ["zoo", "tall", "zoo"], "split": "train", "attributes": '{"camera": "M3"}'}
    answer = editor_client.post(API, data=form_of(data, name="pics/giraffe.png", **fields))
    assert answer.status_code == 201
    image = answer.get_json()
    created_at = image.pop("created_at")
    assert created_at.endswith("Z")
    links = image.pop("links")
    assert answer.headers["Location"] == links["self"] == f"{API}/{image['id']}"
    assert image == {
        "id": image["id"],
        "sha256": sha256(data),
        "byte_size": len(data),
        "width": 100,
        "height": 90,
        "channels": 3,
        "bit_depth": 8,
        "original_name": "giraffe.png",
        "label": "giraffe calf",
        "tags": ["tall", "zoo"],
        "split": "train",
        "attributes": {"camera": "M3"},
        "damage": None,
    }
    row = rows(sessions, "SELECT state, lease_until, ready_at IS NOT NULL, source, object_key FROM pixref.image")
    assert row[0][:4] == ("READY", None, True, "api")
    assert sha256_of_key(row[0][4]) == sha256(data)
    thumbnail = editor_client.get(links["thumbnail"])
    assert thumbnail.mimetype == "image/webp"
    assert thumbnail.data[8:12] == b"WEBP"
    with create_engine(reader_url, poolclass=NullPool).connect() as connection:
        history = connection.execute(text("SELECT image_id, old_label, new_label, changed_by FROM label_history")).all()
    assert history == [(image["id"], None, "giraffe calf", "test editor")]
    # Bit for bit, by the link that a browser follows.
    redirect = editor_client.get(links["file"])
    fetched = urllib3.request("GET", redirect.headers["Location"])
    assert fetched.status == 200
    assert fetched.data == data
    assert fetched.headers["Content-Type"] == "image/png"
    assert_in_step(sessions, store)


def test_the_same_bytes_again_change_nothing(editor_client: TokenClient, sessions: Sessions, store: ObjectStore) -> None:
    data = make_png()
    first = editor_client.post(API, data=form_of(data, label="one", tags=["a"]))
    again = editor_client.post(API, data=form_of(data, name="other.png", label="two", tags=["b"], split="test"))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.get_json() == first.get_json()
    assert again.headers["Location"] == first.headers["Location"]
    assert one(sessions, "SELECT count(*) FROM pixref.image") == 1
    assert one(sessions, "SELECT count(*) FROM pixref.label_event") == 1
    assert_in_step(sessions, store)


def test_racing_uploads_of_the_same_bytes_give_one_picture(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    data = make_png(BIG, BIG)
    done = together(8, lambda index: add_upload(sessions, store, actor, data, label=f"l{index % 3}", tags=["t", f"t{index}"]))
    assert len({upload.image_id for upload in done}) == 1
    assert [upload.created for upload in done].count(True) == 1
    assert one(sessions, "SELECT count(*) FROM pixref.image WHERE state = 'READY'") == 1
    sweep(sessions, store)
    assert len(objects(store)) == 1
    assert_in_step(sessions, store)


def test_deleted_bytes_come_back_as_a_new_picture(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    data = make_png()
    first = add_image(sessions, store, actor, data)
    delete_image(sessions, first)
    second = add_upload(sessions, store, actor, data)
    assert second.created
    assert second.image_id != first
    sweep(sessions, store)
    assert_in_step(sessions, store)
    assert one(sessions, "SELECT id FROM pixref.image") == second.image_id


GOOD = make_png(seed=7)
BAD_FILES = [
    (b"", "empty"),
    (b"GIF89a" + b"\0" * 100, "not_png"),
    (b"\xff\xd8\xff\xe0" + b"\0" * 100, "not_png"),
    (b"<svg onload='alert(1)'/>", "not_png"),
    (GOOD[:8], "truncated"),
    (GOOD[:-20], "truncated"),
    (GOOD + b"<script>", "trailing_data"),
    (GOOD[:45] + bytes([GOOD[45] ^ 1]) + GOOD[46:], "crc_mismatch"),
]


def test_what_is_no_sound_png_is_refused(editor_client: TokenClient, sessions: Sessions, store: ObjectStore) -> None:
    for data, reason in BAD_FILES:
        body = assert_problem(editor_client.post(API, data=form_of(data)), 422, "bad_image", field="file")
        assert body["reason"] == reason
    assert_nothing_kept(sessions, store)


def test_too_many_pixels_and_too_many_bytes(sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    bomb = png(60_000, 60_000, raw=b"")
    for data, limits, code in (
        (bomb, PngLimits(), "too_many_pixels"),
        (make_png(11, 10), PngLimits(max_pixels=109), "too_many_pixels"),
        (GOOD, PngLimits(max_bytes=len(GOOD) - 1), "too_large"),
    ):
        with pytest.raises(PixrefError) as caught:
            upload_image(sessions, store, data, Description(), limits=limits, source="test", actor=actor)
        assert caught.value.code == code
    assert_nothing_kept(sessions, store)
    upload_image(
        sessions, store, GOOD, Description(), limits=PngLimits(max_bytes=len(GOOD), max_pixels=784), source="t", actor=actor
    )


def assert_nothing_kept(sessions: Sessions, store: ObjectStore) -> None:
    assert one(sessions, "SELECT count(*) FROM pixref.image") == 0
    assert one(sessions, "SELECT count(*) FROM pixref.object_deletion") == 0
    assert objects(store) == set()
