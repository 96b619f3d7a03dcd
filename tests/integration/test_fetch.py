"""From a reference to bytes: presigned links, streams, thumbnails, and objects that were lost or altered behind our back."""

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from flask import Flask

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.app import create_app
from service.embedded.ports import free_port
from service.models.serving import ModelServer
from service.pictures.delete import delete_image
from service.settings import Settings
from storage.base import ObjectStore
from storage.minio_store import MinioStore
from tests.conftest import ROOT_PASSWORD, ROOT_USER, TokenClient, client_with
from tests.factories import BIG, add_image, assert_problem, execute, make_png, object_key, replace_object, sha256

API = "/api/v1/images"


@pytest.fixture
def streaming(settings: Settings, sessions: Sessions, store: ObjectStore, models: ModelServer) -> TokenClient:
    stream = settings.model_copy(update={"file_delivery": "stream"})
    app = create_app(stream, sessions=sessions, store=store, models=models)
    return client_with(app, sessions, Role.VIEWER)


@pytest.fixture
def store_down(settings: Settings, sessions: Sessions, bucket: str) -> TokenClient:
    """Signed in to an application whose store does not answer."""
    store = MinioStore(
        f"http://127.0.0.1:{free_port()}", bucket=bucket, access_key=ROOT_USER, secret_key=ROOT_PASSWORD, connect_timeout_s=0.3
    )
    stream = settings.model_copy(update={"file_delivery": "stream"})
    app = create_app(stream, sessions=sessions, store=store, models=ModelServer(sessions, store))
    return client_with(app, sessions, Role.EDITOR)


def test_redirects_to_a_link_that_stays_the_same_for_a_while(
    viewer_client: TokenClient, sessions: Sessions, store: ObjectStore, actor: Actor
) -> None:
    data = make_png(BIG, BIG)
    image_id = add_image(sessions, store, actor, data, original_name="naïve \u202ename.png")
    answers = [viewer_client.get(f"{API}/{image_id}/file") for _ in range(3)]
    assert {answer.status_code for answer in answers} == {302}
    locations = {answer.headers["Location"] for answer in answers}
    assert len(locations) <= 2  # a window may end between two of them
    for answer in answers:
        lifetime = int(parse_qs(urlsplit(answer.headers["Location"]).query)["X-Amz-Expires"][0])
        kind, _, age = answer.headers["Cache-Control"].partition(", max-age=")
        assert kind == "private"
        assert 0 <= int(age) <= lifetime - 300
    for inline, disposition in (("1", "inline"), ("0", "attachment")):
        location = viewer_client.get(f"{API}/{image_id}/file?inline={inline}").headers["Location"]
        fetched = urllib3.request("GET", location)
        assert (fetched.status, fetched.data) == (200, data)
        assert fetched.headers["Content-Disposition"].startswith(f"{disposition};")
        assert "\u202e" not in location
        assert "%E2%80%AE" not in location
    assert_problem(viewer_client.get(f"{API}/{image_id}/file?inline=perhaps"), 422, "invalid_request", field="inline")


def test_a_link_opens_one_object_and_only_for_reading(
    viewer_client: TokenClient, sessions: Sessions, store: ObjectStore, actor: Actor
) -> None:
    first, second = (add_image(sessions, store, actor, make_png(BIG, BIG)) for _ in range(2))
    link = viewer_client.get(f"{API}/{first}/file").headers["Location"]
    other = link.replace(object_key(sessions, first), object_key(sessions, second))
    assert other != link
    assert urllib3.request("GET", other).status == 403
    assert urllib3.request("PUT", link, body=b"x").status == 403
    assert urllib3.request("DELETE", link).status == 403
    assert urllib3.request("GET", link.replace("inline", "attachment")).status == 403
    assert urllib3.request("GET", link.partition("?")[0]).status == 403
    assert urllib3.request("GET", link).status == 200


def test_links_for_many_come_in_the_order_asked(
    viewer_client: TokenClient, sessions: Sessions, store: ObjectStore, actor: Actor
) -> None:
    ids = [add_image(sessions, store, actor) for _ in range(4)]
    delete_image(sessions, ids[1])
    asked = [ids[3], 2**63 - 1, ids[1], ids[0], ids[2]]
    items = viewer_client.post(f"{API}/urls", json={"ids": asked}).get_json()["items"]
    assert [item["id"] for item in items] == [ids[3], ids[0], ids[2]]
    assert urllib3.request("GET", items[1]["url"]).status == 200
    assert datetime.fromisoformat(items[0]["expires_at"]) > datetime.now(UTC)
    assert viewer_client.post(f"{API}/urls", json={"ids": []}).get_json() == {"items": []}
    for bad in ({"ids": [1] * 1001}, {"ids": [0]}, {"ids": [2**63]}, {"ids": ["x"]}, {"ids": None}, {}):
        body = assert_problem(viewer_client.post(f"{API}/urls", json=bad), 422, "invalid_request")
        assert body["field"].startswith("ids")


def test_check_says_which_files_are_here(
    viewer_client: TokenClient, sessions: Sessions, store: ObjectStore, actor: Actor
) -> None:
    here, gone, never = make_png(), make_png(), make_png()
    image_id = add_image(sessions, store, actor, here)
    delete_image(sessions, add_image(sessions, store, actor, gone))
    hashes = [sha256(data) for data in (gone, here, never)]
    answer = viewer_client.post(f"{API}/check", json={"sha256": hashes})
    assert answer.get_json() == {"items": [{"sha256": h, "id": i} for h, i in zip(hashes, (None, image_id, None), strict=True)]}
    for bad in (["x"], [hashes[0].upper()], [hashes[0] + "\n"], hashes * 334):
        assert_problem(viewer_client.post(f"{API}/check", json={"sha256": bad}), 422, "invalid_request")


def test_thumbnails_come_from_the_row(store_down: TokenClient, sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    small = make_png()
    for data, media_type in ((small, "image/png"), (make_png(300, 200), "image/webp")):
        url = f"{API}/{add_image(sessions, store, actor, data)}/thumbnail"
        answer = store_down.get(url)
        assert (answer.status_code, answer.mimetype) == (200, media_type)
        assert answer.headers["Cache-Control"] == "private, max-age=86400"
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert len(answer.data) <= 16 * 1024
        again = store_down.get(url, headers={"If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
        assert store_down.get(url, headers={"If-None-Match": '"other"'}).status_code == 200
        if media_type == "image/png":
            assert answer.data == small


def test_with_the_store_down(store_down: TokenClient, sessions: Sessions, store: ObjectStore, actor: Actor) -> None:
    image_id = add_image(sessions, store, actor, make_png(BIG, BIG))
    assert store_down.get(API).status_code == 200
    assert store_down.get(f"{API}/{image_id}").status_code == 200
    problem = assert_problem(store_down.get(f"{API}/{image_id}/file"), 503, "storage_unavailable")
    assert problem["retryable"]
    assert store_down.get(f"{API}/{image_id}/file").headers["Retry-After"]
    assert store_down.delete(f"{API}/{image_id}").status_code == 204


class TestStreaming:
    @pytest.fixture
    def data(self) -> bytes:
        return make_png(BIG, BIG)

    @pytest.fixture
    def image_id(self, sessions: Sessions, store: ObjectStore, actor: Actor, data: bytes) -> int:
        return add_image(sessions, store, actor, data, original_name="a.png")

    def test_bytes_with_etag_and_ranges(self, streaming: TokenClient, image_id: int, data: bytes) -> None:
        url = f"{API}/{image_id}/file"
        whole = streaming.get(url)
        assert (whole.status_code, whole.data, whole.mimetype) == (200, data, "image/png")
        assert whole.headers["ETag"] == f'"{sha256(data)}"'
        assert whole.headers["Content-Disposition"].startswith("inline")
        assert "sandbox" in whole.headers["Content-Security-Policy"]
        assert streaming.get(f"{url}?inline=0").headers["Content-Disposition"].startswith("attachment")
        part = streaming.get(url, headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.data) == (206, data[10:20])
        assert part.headers["Content-Range"] == f"bytes 10-19/{len(data)}"
        assert streaming.get(url, headers={"Range": "bytes=-5"}).data == data[-5:]
        assert_problem(streaming.get(url, headers={"Range": "bytes=999999-"}), 416, "range_not_satisfiable")
        unchanged = streaming.get(url, headers={"If-None-Match": f'W/"x", "{sha256(data)}"'})
        assert (unchanged.status_code, unchanged.data, unchanged.headers["ETag"]) == (304, b"", f'"{sha256(data)}"')
        head = streaming.head(url)
        assert (head.status_code, head.data, head.content_length) == (200, b"", len(data))

    def test_altered_and_lost_objects(
        self, streaming: TokenClient, sessions: Sessions, store: ObjectStore, image_id: int, data: bytes
    ) -> None:
        url, key = f"{API}/{image_id}/file", object_key(sessions, image_id)
        for other in (make_png(BIG, BIG), data[:-1], data + b"\0"):
            replace_object(store, key, other)
            assert not assert_problem(streaming.get(url), 502, "object_corrupt")["retryable"]
            execute(sessions, "UPDATE pixref.image SET damage = NULL, damaged_at = NULL")
        store.delete_object(key)
        assert_problem(streaming.get(url), 410, "object_lost")
        assert streaming.get(f"{API}/{image_id}").status_code == 200


def test_links_are_signed_for_the_public_endpoint(
    app: Flask, settings: Settings, sessions: Sessions, actor: Actor, bucket: str
) -> None:
    store = MinioStore(
        settings.s3_endpoint,
        public_endpoint_url="https://pictures.example",
        bucket=bucket,
        access_key=ROOT_USER,
        secret_key=ROOT_PASSWORD,
    )
    public = create_app(settings, sessions=sessions, store=store)
    image_id = add_image(sessions, store, actor)
    client = client_with(public, sessions, Role.VIEWER)
    answer = client.get(f"{API}/{image_id}/file", headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})
    assert answer.headers["Location"].startswith(f"https://pictures.example/{bucket}/images/")
