"""What every object store promises, on every S3 server that we support.

Both servers honour `If-None-Match` and check the body's digest; the one difference, `S3Server.unpacks`, is that only
MinIO expands a tar of many objects, and the store finds that out by itself.
"""

import hashlib
import io
import multiprocessing
import os
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import urllib3

from storage.base import (
    BucketMissing,
    ChecksumMismatch,
    ObjectExists,
    ObjectNotFound,
    ObjectStore,
    ObjectTooLarge,
    ObjectUpload,
    PresignedPost,
    StoreDenied,
    StoreError,
)
from storage.keys import IMAGES, new_image_key, new_staging_key
from storage.minio_store import MinioStore
from tests.servers import S3Server

MIB = 1024 * 1024


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(store: ObjectStore, data: bytes, key: str | None = None) -> str:
    key = key or new_image_key(sha256(data))
    store.put_object(key, io.BytesIO(data), size=len(data), sha256=sha256(data), media_type="image/png")
    return key


def upload_of(data: bytes) -> ObjectUpload:
    return ObjectUpload(new_image_key(sha256(data)), data, sha256(data), "image/png")


def fetch(url: str, method: str = "GET") -> urllib3.BaseHTTPResponse:
    return urllib3.request(method, url, retries=False, timeout=5.0)


@pytest.mark.parametrize("size", [0, 1, 300, 256 * 1024, 256 * 1024 + 1, 6 * MIB])
def test_bytes_come_back_identical(store: MinioStore, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)

    key = put(store, data)

    assert store.get_object(key) == data


def test_stat_tells_size_digest_and_time(store: MinioStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)

    info = store.stat_object(put(store, b"picture"))

    assert info is not None
    assert (info.size, info.sha256) == (7, sha256(b"picture"))
    assert before <= info.last_modified <= datetime.now(UTC) + timedelta(seconds=1)


def test_put_reads_the_body_from_its_start(store: MinioStore) -> None:
    body = io.BytesIO(b"picture")
    body.read(3)

    store.put_object("images/start", body, size=7, sha256=sha256(b"picture"), media_type="image/png")

    assert store.get_object("images/start") == b"picture"


def test_a_body_of_another_length_is_refused_before_anything_is_sent(store: MinioStore) -> None:
    with pytest.raises(ValueError, match="has 7 bytes, not 8"):
        store.put_object("images/short", io.BytesIO(b"picture"), size=8, sha256=sha256(b"picture"), media_type="image/png")

    assert store.stat_object("images/short") is None


def test_the_server_refuses_bytes_with_another_digest(store: MinioStore) -> None:
    with pytest.raises(ChecksumMismatch):
        store.put_object("images/flipped", io.BytesIO(b"picture"), size=7, sha256=sha256(b"pictura"), media_type="image/png")

    assert store.stat_object("images/flipped") is None


@pytest.mark.parametrize("second", [b"first", b"second"])
def test_a_key_is_written_once(store: MinioStore, second: bytes) -> None:
    key = put(store, b"first", "images/once")

    with pytest.raises(ObjectExists) as caught:
        put(store, second, key)

    assert caught.value.key == key
    assert store.get_object(key) == b"first"


def test_of_racing_writers_one_wins(store: MinioStore) -> None:
    def attempt(number: int) -> bytes | None:
        data = f"writer {number}".encode()
        try:
            put(store, data, "images/race")
        except ObjectExists:
            return None
        return data

    with ThreadPoolExecutor(8) as pool:
        written = [data for data in pool.map(attempt, range(8)) if data is not None]

    assert written == [store.get_object("images/race")]


@pytest.mark.parametrize("key", ["images/a b.png", "images/zebra+~%41.png", "images/жираф/🦒.png", "images/a&b=c?.png"])
def test_unusual_keys_work_everywhere(store: MinioStore, key: str) -> None:
    put(store, b"picture", key)

    assert store.get_object(key) == b"picture"
    assert [info.key for info in store.list_objects("images/")] == [key]
    assert fetch(store.presign_get(key, now=datetime.now(UTC), lifetime_s=60).url).data == b"picture"
    store.delete_objects([key])
    assert store.stat_object(key) is None


def test_absence(store: MinioStore) -> None:
    assert store.stat_object("images/none") is None
    with pytest.raises(ObjectNotFound) as caught:
        store.get_object("images/none")
    assert caught.value.key == "images/none"
    with pytest.raises(ObjectNotFound), store.open_object("images/none"):
        pass
    assert list(store.list_objects("images/none")) == []
    store.delete_object("images/none")
    store.delete_objects(["images/none", "images/neither"])


def test_a_limit_refuses_larger_objects_and_takes_equal_ones(store: MinioStore) -> None:
    key = put(store, b"picture")

    assert store.get_object(key, max_size=7) == b"picture"
    with pytest.raises(ObjectTooLarge, match="7 bytes, more than 6"):
        store.get_object(key, max_size=6)


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [(0, None, b"0123456789"), (4, None, b"456789"), (0, 1, b"0"), (2, 3, b"234"), (8, 5, b"89"), (9, None, b"9")],
)
def test_ranges(store: MinioStore, offset: int, length: int | None, expected: bytes) -> None:
    key = put(store, b"0123456789")

    with store.open_object(key, offset=offset, length=length) as stream:
        assert stream.size == len(expected)
        assert b"".join(stream.chunks) == expected


def test_a_range_from_the_end_on_is_an_error(store: MinioStore) -> None:
    key = put(store, b"0123456789")

    with pytest.raises(StoreError, match="InvalidRange"), store.open_object(key, offset=10):
        pass
    with pytest.raises(ValueError, match="not a range"), store.open_object(key, length=0):
        pass


def test_a_large_object_comes_in_chunks_and_may_be_left_half_read(store: MinioStore) -> None:
    data = bytes(3 * MIB)
    key = put(store, data)

    with store.open_object(key) as stream:
        first = next(stream.chunks)

    assert 0 < len(first) < len(data)
    assert store.get_object(key) == data


def test_delete(store: MinioStore) -> None:
    key, other = put(store, b"picture"), put(store, b"other")

    store.delete_object(key)
    store.delete_object(key)

    assert [info.key for info in store.list_objects()] == [other]


def test_more_than_one_page_is_written_listed_and_deleted(store: MinioStore) -> None:
    items = [upload_of(f"picture {number}".encode()) for number in range(1_203)]

    store.put_objects(items)
    put(store, b"model", "models/other")

    assert [(info.key, info.size) for info in store.list_objects(IMAGES)] == sorted((i.key, len(i.data)) for i in items)
    store.delete_objects(item.key for item in items)
    assert [info.key for info in store.list_objects()] == ["models/other"]


def test_bulk_objects_are_like_single_ones(server: S3Server, store: MinioStore) -> None:
    items = [upload_of(bytes([number]) * number * 100) for number in range(40)]

    def one_by_one() -> Iterator[ObjectUpload]:
        yield from items

    store.put_objects(one_by_one())

    for item in items:
        info = store.stat_object(item.key)
        assert info is not None
        assert (info.size, info.sha256) == (len(item.data), item.sha256)
        assert store.get_object(item.key) == item.data
    # Neither probes nor the tar that a server without Snowball keeps are left behind.
    assert {info.key for info in store.list_objects()} == {item.key for item in items}
    answer = fetch(store.presign_get(items[1].key, now=datetime.now(UTC), lifetime_s=60).url)
    assert (answer.status, answer.data) == (200, items[1].data)


def test_the_store_finds_out_whether_the_server_unpacks(server: S3Server, store: MinioStore) -> None:
    """A taken key shows which way was gone: single PUTs refuse it, the server's bulk write replaces it."""
    items = [upload_of(b"one"), upload_of(b"two")]
    store.put_objects(items)
    if server.unpacks:
        store.put_objects(items)
    else:
        with pytest.raises(ObjectExists):
            store.put_objects(items)


def test_bulk_of_nothing_and_of_one(store: MinioStore) -> None:
    store.put_objects([])
    item = upload_of(b"alone")
    store.put_objects([item])

    assert [info.key for info in store.list_objects()] == [item.key]
    with pytest.raises(ObjectExists):
        store.put_objects([item])


def test_a_link_fetches_the_bytes_under_the_forced_type_and_name(store: MinioStore) -> None:
    key = put(store, b"picture")

    link = store.presign_get(key, now=datetime.now(UTC), lifetime_s=60, filename='a "giraffe".png', inline=False)
    answer = fetch(link.url)

    assert (answer.status, answer.data) == (200, b"picture")
    assert answer.headers["content-type"] == "image/png"
    expected = "attachment; filename=\"a _giraffe_.png\"; filename*=UTF-8''a%20%22giraffe%22.png"
    assert answer.headers["content-disposition"] == expected


def test_without_a_good_link_strangers_get_nothing(store: MinioStore) -> None:
    key, other = put(store, b"picture"), put(store, b"other")
    now = datetime.now(UTC)
    link = store.presign_get(key, now=now, lifetime_s=60).url
    past = store.presign_get(key, now=now - timedelta(minutes=10), lifetime_s=60)

    assert past.expires_at < now
    refused = {
        "no signature": fetch(link.partition("?")[0]).status,
        "another key": fetch(link.replace(key, other)).status,
        "another type": fetch(link.replace("image%2Fpng", "text%2Fhtml")).status,
        "a longer life": fetch(link.replace("X-Amz-Expires=120", "X-Amz-Expires=1200")).status,
        "expired": fetch(past.url).status,
        "another method": fetch(link, "DELETE").status,
        "listing": fetch(link.partition(IMAGES)[0]).status,
    }
    assert refused == dict.fromkeys(refused, 403)
    assert fetch(link).data == b"picture"


def test_links_are_signed_for_the_public_name_and_stay_the_same_within_a_window(server: S3Server) -> None:
    bucket = server.new_bucket()
    public = server.endpoint.replace("127.0.0.1", "localhost")
    store = MinioStore(
        server.endpoint, public_endpoint_url=public, bucket=bucket, access_key=server.access_key, secret_key=server.secret_key
    )
    key = put(store, b"picture")
    now = datetime.now(UTC)
    window_start = datetime.fromtimestamp(int(now.timestamp()) // 600 * 600, UTC)

    first, last, next_window = (
        store.presign_get(key, now=window_start + timedelta(seconds=s), lifetime_s=600) for s in (0, 599.999, 600)
    )

    assert first == last != next_window
    assert first.expires_at == window_start + timedelta(seconds=1200)
    assert first.url.startswith(f"{public}/{bucket}/")
    assert fetch(first.url).data == b"picture"
    assert fetch(first.url.replace("localhost", "127.0.0.1")).status == 403
    assert "Signature" not in repr(first)


def test_a_link_dies_with_its_object(store: MinioStore) -> None:
    key = put(store, b"picture")
    link = store.presign_get(key, now=datetime.now(UTC), lifetime_s=60).url
    store.delete_object(key)

    assert fetch(link).status == 404


def form_for(store: ObjectStore, data: bytes, *, now: datetime | None = None) -> PresignedPost:
    now = now or datetime.now(UTC)
    return store.presign_post(new_staging_key(sha256(data)), now=now, lifetime_s=60, size=len(data), sha256=sha256(data))


def post(form: PresignedPost, data: bytes, *, without: str = "", **changed: str) -> int:
    """Send a form as a browser does, with fields left out or changed; return the status."""
    fields = {name: value for name, value in form.fields.items() if name != without} | changed
    body = {**fields, "file": ("digit.png", data, "application/octet-stream")}
    return urllib3.request("POST", form.url, fields=body, retries=False, timeout=5.0).status


@pytest.mark.parametrize("size", [1, 300, 6 * MIB])
def test_a_form_puts_its_object(store: MinioStore, size: int) -> None:
    data = os.urandom(size)
    form = form_for(store, data)

    assert post(form, data) == 204

    key = form.fields["key"]
    assert store.get_object(key) == data
    info = store.stat_object(key)
    assert info is not None
    assert (info.size, info.sha256) == (size, sha256(data))


def test_a_form_may_be_sent_again_until_it_expires(store: MinioStore) -> None:
    form = form_for(store, b"picture")

    assert post(form, b"picture") == post(form, b"picture") == 204
    store.delete_object(form.fields["key"])
    assert post(form, b"picture") == 204


def test_a_form_puts_nothing_else(store: MinioStore) -> None:
    now = datetime.now(UTC)
    form, other = form_for(store, b"picture"), form_for(store, b"another")
    past = form_for(store, b"picture", now=now - timedelta(minutes=2))
    digest = hashlib.sha256(b"pictura").digest()

    assert past.expires_at < now
    refused = {
        "another key": post(form, b"picture", key=other.fields["key"]),
        "a key that takes the file's name": post(form, b"picture", key="images/${filename}"),
        "another type": post(form, b"picture", **{"Content-Type": "text/html"}),
        "no type": post(form, b"picture", without="Content-Type"),
        "too long": post(form, b"pictures"),
        "far too long": post(form, bytes(3 * MIB)),
        "too short": post(form, b"pictur"),
        "nothing": post(form, b""),
        "other bytes": post(form, b"pictura"),
        "another digest": post(form, b"pictura", **{"x-amz-checksum-sha256": b64encode(digest).decode()}),
        "no digest": post(form, b"pictura", without="x-amz-checksum-sha256"),
        "another note of the digest": post(form, b"picture", **{"x-amz-meta-sha256": sha256(b"pictura")}),
        "a field of its own": post(form, b"picture", **{"x-amz-meta-more": "x"}),
        "a redirection": post(form, b"picture", success_action_redirect="http://127.0.0.1:1/"),
        "expired": post(past, b"picture"),
        "a longer life": post(past, b"picture", **{name: form.fields[name] for name in ("policy", "x-amz-date")}),
        "another signature": post(form, b"picture", **{"x-amz-signature": other.fields["x-amz-signature"]}),
        "no signature": post(form, b"picture", without="x-amz-signature"),
        "no policy": post(form, b"picture", without="policy"),
    }

    assert {why: status for why, status in refused.items() if not 400 <= status < 500} == {}
    assert list(store.list_objects()) == []
    assert post(form, b"picture") == 204


def test_forms_are_signed_for_the_public_name(server: S3Server) -> None:
    bucket = server.new_bucket()
    public = server.endpoint.replace("127.0.0.1", "localhost")
    store = MinioStore(
        server.endpoint, public_endpoint_url=public, bucket=bucket, access_key=server.access_key, secret_key=server.secret_key
    )
    now = datetime.now(UTC)

    form = form_for(store, b"picture", now=now)

    assert form.url == f"{public}/{bucket}"
    assert form.expires_at == now.replace(microsecond=0) + timedelta(seconds=60)
    assert post(form, b"picture") == 204
    assert store.get_object(form.fields["key"]) == b"picture"
    assert "Signature" not in repr(form)
    assert "signature" not in repr(form)


def test_a_missing_bucket_is_never_an_absent_object(server: S3Server) -> None:
    store = server.store(f"absent-{uuid4()}")

    for act in (
        store.check_bucket,
        lambda: put(store, b"picture"),
        lambda: store.put_objects([upload_of(b"one"), upload_of(b"two")]),
        lambda: store.get_object("images/none"),
        lambda: store.stat_object("images/none"),
        lambda: store.delete_object("images/none"),
        lambda: store.delete_objects(["images/none"]),
        lambda: list(store.list_objects()),
    ):
        with pytest.raises(BucketMissing):
            act()


@pytest.mark.parametrize("access_key", [None, "nobody"])
def test_a_wrong_key_is_denied_and_never_shown(server: S3Server, access_key: str | None) -> None:
    bucket = server.new_bucket()
    secret = "not-the-secret-of-this-key"
    store = MinioStore(server.endpoint, bucket=bucket, access_key=access_key or server.access_key, secret_key=secret)

    for act in (store.check_bucket, lambda: put(store, b"x"), lambda: store.get_object("x"), lambda: store.stat_object("x")):
        with pytest.raises(StoreDenied) as caught:
            act()
        assert bucket in str(caught.value)
        assert server.endpoint in str(caught.value)
        assert secret not in f"{caught.value!r} {caught.value.__cause__!r} {store!r}"


def test_check_bucket_of_a_good_bucket(store: MinioStore) -> None:
    store.check_bucket()


def test_a_store_works_on_both_sides_of_a_fork(store: MinioStore) -> None:
    """Two processes on one socket would read each other's answers."""
    keys = {put(store, data): data for data in (b"parent", b"child")}

    def all_read(expected: bytes) -> bool:
        return all(store.get_object(key) == data for _ in range(50) for key, data in keys.items() if data == expected)

    def run_child() -> None:
        os._exit(0 if all_read(b"child") else 1)

    child = multiprocessing.get_context("fork").Process(target=run_child)
    child.start()
    parent_read = all_read(b"parent")
    child.join(30)

    assert parent_read
    assert child.exitcode == 0
