"""The original bytes: by link without the token, through the service, one by one or many, and never others than were uploaded."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask

from pixref import Client, Image, IntegrityError, NotFound, PixrefError, Unreachable
from schema.session import Sessions
from service.accounts.actor import Role
from service.accounts.tokens import create_token
from service.app import create_app
from service.embedded.ports import free_port
from service.models.serving import ModelServer
from service.settings import Settings
from storage.base import ObjectStore
from storage.minio_store import MinioStore
from tests.client.conftest import Connect, Requests, Served
from tests.conftest import ROOT_PASSWORD, ROOT_USER
from tests.factories import BIG, make_png, object_key, replace_object
from tests.servers import http_answer, read_request, tcp_server


@dataclass
class Listener:
    """Stands before the real bucket and writes down what it is asked; calls `before` first, and refuses as many requests as it is told to."""

    target: str
    heads: list[bytes] = field(default_factory=list)
    refuse: int = 0
    before: Callable[[], None] = lambda: None

    def __call__(self, connection: socket.socket) -> None:
        request = read_request(connection)
        self.heads.append(request.partition(b"\r\n\r\n")[0])
        self.before()
        if self.refuse:
            self.refuse -= 1
            connection.sendall(http_answer(403, b"<Error><Code>AccessDenied</Code></Error>"))
            return
        target = urlsplit(self.target)
        with socket.create_connection((target.hostname, target.port), 5) as server:
            server.sendall(request.replace(b"Connection: keep-alive", b"Connection: close", 1))
            connection.sendall(b"".join(iter(lambda: server.recv(65_536), b"")))


@pytest.fixture
def listener(settings: Settings) -> Listener:
    return Listener(settings.s3_endpoint)


@pytest.fixture
def app(settings: Settings, sessions: Sessions, bucket: str, listener: Listener, models: ModelServer) -> Iterator[Flask]:
    """Its links lead to the listener."""
    with tcp_server(listener) as endpoint:
        store = MinioStore(
            settings.s3_endpoint, bucket=bucket, access_key=ROOT_USER, secret_key=ROOT_PASSWORD, public_endpoint_url=endpoint
        )
        yield create_app(settings, sessions=sessions, store=store, models=models)


@pytest.fixture
def streaming(
    settings: Settings, sessions: Sessions, bucket: str, models: ModelServer, served: Served, connect: Connect
) -> Client:
    """Before a service that sends the bytes itself, its links leading nowhere."""
    store = MinioStore(
        settings.s3_endpoint,
        bucket=bucket,
        access_key=ROOT_USER,
        secret_key=ROOT_PASSWORD,
        public_endpoint_url=f"http://127.0.0.1:{free_port()}",
    )
    stream = settings.model_copy(update={"file_delivery": "stream"})
    return connect(served(create_app(stream, sessions=sessions, store=store, models=models)), retries=0)


def alter(sessions: Sessions, store: ObjectStore, image: Image, data: bytes) -> None:
    replace_object(store, object_key(sessions, image.id), data)


def test_the_bucket_never_sees_the_token(address: str, sessions: Sessions, listener: Listener) -> None:
    token = create_token(sessions, name="secretive", role=Role.EDITOR)
    data = [make_png(BIG, BIG) for _ in range(3)]
    with Client(address, token) as client:
        images = [client.upload(picture) for picture in data]
        assert client.fetch(images[0].id) == data[0]
        assert [found for _, found in client.fetch_many(images)] == data
        client.upload(make_png(BIG, BIG), direct=True)
    reads = [head for head in listener.heads if head.startswith(b"GET /")]
    assert len(reads) == 4
    for head in listener.heads:
        assert b"authorization" not in head.lower()
        assert token.encode() not in head
        assert b"cookie" not in head.lower()


@pytest.mark.parametrize("change", ["one bit", "shorter", "longer", "huge"])
def test_altered_bytes_are_never_returned(
    api: Client, sessions: Sessions, store: ObjectStore, tmp_path: Path, change: str
) -> None:
    data = make_png(BIG, BIG)
    image = api.upload(data)
    altered = {
        "one bit": data[:-1] + bytes([data[-1] ^ 1]),
        "shorter": data[:-1],
        "longer": data + b"\0",
        "huge": data + bytes(3_000_000),
    }[change]
    alter(sessions, store, image, altered)
    target = tmp_path / "there.png"
    target.write_bytes(b"as before")
    for attempt in (
        lambda: api.fetch(image.id),
        lambda: api.download(image, target),
        lambda: list(api.fetch_many([image])),
        lambda: list(api.arrays([image.id])),
    ):
        with pytest.raises(IntegrityError) as caught:
            attempt()
        assert caught.value.code == "object_corrupt"
        assert f"picture {image.id}" in caught.value.detail
        assert ("more than its" in caught.value.detail) == (change in ("longer", "huge"))
    assert [path.name for path in tmp_path.iterdir()] == ["there.png"]
    assert target.read_bytes() == b"as before"
    alter(sessions, store, image, data)
    assert api.download(image, target).read_bytes() == data


def test_lost_bytes_and_deleted_pictures_are_told_apart(api: Client, sessions: Sessions, store: ObjectStore) -> None:
    lost, deleted = (api.upload(make_png(BIG, BIG)) for _ in range(2))
    store.delete_object(object_key(sessions, lost.id))
    with pytest.raises(IntegrityError) as caught:
        api.fetch(lost)
    assert caught.value.code == "object_lost"
    with pytest.raises(IntegrityError):
        list(api.fetch_many([lost]))
    api.delete(deleted)
    for picture in (deleted, deleted.id):
        with pytest.raises(NotFound):
            api.fetch(picture)


def test_a_picture_whose_object_went_while_its_link_was_followed_is_not_found(
    api: Client, sessions: Sessions, store: ObjectStore, listener: Listener
) -> None:
    image = api.upload(make_png(BIG, BIG))

    def delete() -> None:
        api.delete(image)
        store.delete_object(object_key(sessions, image.id))

    listener.before = delete
    with pytest.raises(NotFound):
        api.fetch(image)


def test_many_come_in_the_order_asked_and_verified(api: Client, requests: Requests) -> None:
    data = {api.upload(picture).id: picture for picture in [make_png(BIG, BIG) for _ in range(9)]}
    asked = [5, 1, 9, 3, 3, 2, 8]
    found = list(api.fetch_many(asked, workers=3))
    assert [image.id for image, _ in found] == asked
    assert all(content == data[image.id] for image, content in found)
    assert requests.count("POST images/urls") == 1
    assert requests.count("GET images/1/file") + requests.count("GET images/9/file") == 0, "by the links of one request"
    images = [image for image, _ in found]
    requests.seen.clear()
    assert [content for _, content in api.fetch_many(images)] == [data[number] for number in asked]
    assert len(requests.seen) == 2, "one look at how files come, and one request for all links"


def test_what_is_missing_is_told_or_left_out(api: Client) -> None:
    ids = [api.upload(make_png(BIG, BIG)).id for _ in range(3)]
    api.delete(ids[1])
    walk = api.fetch_many(ids, workers=1)
    assert next(walk)[0].id == ids[0]
    with pytest.raises(NotFound):
        next(walk)
    assert [image.id for image, _ in api.fetch_many([99, *ids], missing="skip")] == [ids[0], ids[2]]
    assert list(api.fetch_many([98, 99], missing="skip")) == []
    assert list(api.fetch_many([])) == []
    with pytest.raises(ValueError, match="missing is 'ignore'"):
        list(api.fetch_many(ids, missing="ignore"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="workers is 0"):
        list(api.fetch_many(ids, workers=0))


def test_a_link_that_is_no_longer_good_is_replaced(api: Client, listener: Listener, requests: Requests) -> None:
    data = make_png(BIG, BIG)
    image = api.upload(data)
    listener.refuse = 1
    assert [content for _, content in api.fetch_many([image])] == [data]
    assert requests.count("GET images/1/file") == 2
    listener.refuse = 1
    with pytest.raises(PixrefError) as caught:
        api.fetch(image)
    assert caught.value.code == "link_refused"
    assert "clocks" in caught.value.detail


def test_a_service_that_streams_is_fetched_from_itself(streaming: Client, requests: Requests) -> None:
    data = [make_png(BIG, BIG) for _ in range(4)]
    images = [streaming.upload(picture) for picture in data]
    assert streaming.fetch(images[0].id) == data[0]
    assert [content for _, content in streaming.fetch_many([image.id for image in images], workers=2)] == data
    assert requests.count("POST images/urls") == 0


def test_a_service_that_streams_says_that_bytes_are_damaged(streaming: Client, sessions: Sessions, store: ObjectStore) -> None:
    corrupt, lost = (streaming.upload(make_png(BIG, BIG)) for _ in range(2))
    alter(sessions, store, corrupt, make_png(BIG, BIG))
    store.delete_object(object_key(sessions, lost.id))
    for image, code, status in ((corrupt, "object_corrupt", 502), (lost, "object_lost", 410)):
        with pytest.raises(IntegrityError) as caught:
            streaming.fetch(image)
        assert (caught.value.code, caught.value.status, caught.value.retryable) == (code, status, False)


def test_a_bucket_out_of_reach_is_told_with_the_way_out(
    settings: Settings, sessions: Sessions, bucket: str, models: ModelServer, served: Served, connect: Connect
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    store = MinioStore(
        settings.s3_endpoint, bucket=bucket, access_key=ROOT_USER, secret_key=ROOT_PASSWORD, public_endpoint_url=nowhere
    )
    api = connect(served(create_app(settings, sessions=sessions, store=store, models=models)), retries=1)
    image = api.upload(make_png(BIG, BIG))
    with pytest.raises(Unreachable) as caught:
        api.fetch(image)
    assert f"nothing answers at {nowhere} " in caught.value.detail
    assert "S3_PUBLIC_ENDPOINT" in caught.value.detail
    assert "X-Amz" not in str(caught.value), "a link is a secret"


def test_download_into_a_folder_or_to_a_name(api: Client, tmp_path: Path) -> None:
    data = make_png(BIG, BIG)
    image = api.upload(data, name="../../evil.png")
    assert api.download(image.id, tmp_path) == tmp_path / f"{image.id}.png"
    assert api.download(image, str(tmp_path / "mine.png")) == tmp_path / "mine.png"
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {data}
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(FileNotFoundError):
        api.download(image, tmp_path / "no" / "folder" / "x.png")
