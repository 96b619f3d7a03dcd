"""The fault matrix: what every kind of request answers while the bucket is at fault, and how soon.

Faults are made on sockets and on the real servers; time limits are shortened where a fault is to wait.
"""

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from email.utils import formatdate
from io import BytesIO
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.accounts.tokens import create_token
from service.app import create_app
from service.embedded.ports import free_port
from service.models.serving import ModelRef, ModelServer
from service.settings import Settings
from service.upkeep.sweep import sweep
from storage.base import ObjectStore
from storage.minio_store import MinioStore
from tests.conftest import ROOT_PASSWORD, ROOT_USER, TokenClient
from tests.factories import (
    BIG,
    add_image,
    expire_leases,
    form_of,
    make_png,
    object_key,
    replace_object,
)
from tests.servers import read_request, s3_error, tcp_server

API = "/api/v1/images"
READ_TIMEOUT_S = 0.2
# A busy machine takes its time even for what is answered at once.
SLACK_S = 2.0

Opened = AbstractContextManager[ObjectStore]


class Switch:
    """A store that can be exchanged while the application runs."""

    def __init__(self, store: ObjectStore) -> None:
        self.current = store

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **options: getattr(self.current, name)(*arguments, **options)


@dataclass
class Service:
    """Two applications, which redirect to files and stream them, on a store that can be exchanged; two pictures."""

    switch: Switch
    redirecting: TokenClient
    streaming: TokenClient
    big: int
    small: int

    def ask(self) -> dict[str, TestResponse]:
        """Send a request of every kind that needs the bucket or must do without it."""
        client, big = self.redirecting, f"{API}/{self.big}"
        return {
            "list": client.get(API),
            "detail": client.get(big),
            "thumbnail": client.get(f"{big}/thumbnail"),
            "link": client.get(f"{big}/file"),
            "stream": self.streaming.get(f"{big}/file"),
            "predict": client.post(f"{big}/predictions", json={}),
            "predict small": client.post(f"{API}/{self.small}/predictions", json={}),
            "predict file": client.post("/api/v1/predict", data=form_of()),
            "upload": client.post(API, data=form_of(make_png(BIG, BIG))),
            "delete": client.delete(big),
        }


def outcome(answer: TestResponse) -> str:
    """Return what a client can go by: status, code, and when to come again."""
    if answer.status_code < 400:
        return str(answer.status_code)
    body = answer.get_json()
    assert answer.mimetype == "application/problem+json"
    assert body["request_id"] == answer.headers["X-Request-Id"]
    retry = answer.headers.get("Retry-After")
    assert (retry is not None) == body["retryable"]
    return f"{answer.status_code} {body['code']}" + (" retry" if retry else "")


@pytest.fixture
def service(
    settings: Settings, sessions: Sessions, store: MinioStore, actor: Actor, mnist_model: int, request: pytest.FixtureRequest
) -> Service:
    switch = Switch(store)
    faulty = cast(ObjectStore, switch)
    big, small = add_image(sessions, store, actor, make_png(BIG, BIG)), add_image(sessions, store, actor)
    token = create_token(sessions, name="tester", role=Role.EDITOR)
    models = ModelServer(sessions, faulty)
    models.get(ModelRef())

    def client(delivery: str) -> TokenClient:
        given = settings.model_copy(update={"file_delivery": delivery})
        app = create_app(given, sessions=sessions, store=faulty, models=models)
        found = TokenClient(app, app.response_class)
        found.token = token
        return found

    return Service(switch, client("redirect"), client("stream"), big, small)


@dataclass(frozen=True)
class Fault:
    """A row of the matrix: how the store is at fault, and what requests that need it answer within how many seconds."""

    store: Callable[[Settings], Opened]
    write: str
    read: str
    bound_s: float = 3.0


def at(endpoint: str, settings: Settings) -> MinioStore:
    return MinioStore(
        endpoint,
        bucket=settings.s3_bucket,
        access_key=ROOT_USER,
        secret_key=ROOT_PASSWORD,
        read_timeout_s=READ_TIMEOUT_S,
        connect_timeout_s=0.5,
    )


@contextmanager
def answering(answer: Callable[[socket.socket], None], settings: Settings) -> Iterator[ObjectStore]:
    with tcp_server(answer) as endpoint:
        yield at(endpoint, settings)


def always(status: int, code: str) -> Callable[[Settings], Opened]:
    def answer(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(s3_error(status, code))

    return lambda settings: answering(answer, settings)


def refused(settings: Settings) -> Opened:
    return nullcontext(at(f"http://127.0.0.1:{free_port()}", settings))


def silent(settings: Settings) -> Opened:
    def say_nothing(connection: socket.socket) -> None:
        while connection.recv(65_536):
            pass

    return answering(say_nothing, settings)


def reset(settings: Settings) -> Opened:
    def hang_up(connection: socket.socket) -> None:
        read_request(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    return answering(hang_up, settings)


def cut_short(settings: Settings) -> Opened:
    """Every answer with a body ends in its middle."""

    def answer(connection: socket.socket) -> None:
        whole = forwarded(read_request(connection), settings)
        head, _, body = whole.partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n" + body[: len(body) // 2])

    return answering(answer, settings)


def full(settings: Settings) -> Opened:
    """No room to write; everything else is the real server's."""

    def answer(connection: socket.socket) -> None:
        request = read_request(connection)
        is_put = request.startswith(b"PUT")
        connection.sendall(s3_error(507, "XMinioStorageFull") if is_put else forwarded(request, settings))

    return answering(answer, settings)


def busy_once(settings: Settings) -> Opened:
    """The first try of every request is asked to slow down."""
    seen: set[bytes] = set()

    def answer(connection: socket.socket) -> None:
        request = read_request(connection)
        line = request.partition(b"\r\n")[0]
        first = line not in seen
        seen.add(line)
        connection.sendall(s3_error(503, "SlowDown") if first else forwarded(request, settings))

    return answering(answer, settings)


def forwarded(request: bytes, settings: Settings) -> bytes:
    """Send a request to the real server; its signature covers the host it was meant for, not the one that gets it."""
    target = urlsplit(settings.s3_endpoint)
    with socket.create_connection((target.hostname, target.port), 5) as server:
        server.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
        return b"".join(iter(lambda: server.recv(65_536), b""))


def wrong_key(settings: Settings) -> Opened:
    return nullcontext(
        MinioStore(settings.s3_endpoint, bucket=settings.s3_bucket, access_key=ROOT_USER, secret_key="not-the-secret")
    )


def no_bucket(settings: Settings) -> Opened:
    return nullcontext(MinioStore(settings.s3_endpoint, bucket="there-is-none", access_key=ROOT_USER, secret_key=ROOT_PASSWORD))


UNAVAILABLE = "503 storage_unavailable retry"
STORE_FAULTS = {
    "refused": Fault(refused, UNAVAILABLE, UNAVAILABLE),
    "silent": Fault(silent, "504 storage_timeout retry", "504 storage_timeout retry"),
    "reset": Fault(reset, UNAVAILABLE, UNAVAILABLE),
    "cut short": Fault(cut_short, "201", UNAVAILABLE),
    "asks once for a pause": Fault(busy_once, "201", "200"),
    "asks for a pause": Fault(always(503, "SlowDown"), "503 storage_busy retry", "503 storage_busy retry"),
    "full": Fault(full, "507 storage_full", "200"),
    "wrong key": Fault(wrong_key, "503 storage_auth", "503 storage_auth"),
    "key taken away": Fault(always(403, "InvalidAccessKeyId"), "503 storage_auth", "503 storage_auth"),
    "clocks differ": Fault(always(403, "RequestTimeTooSkewed"), "503 storage_clock_skew", "503 storage_clock_skew"),
    "no bucket": Fault(no_bucket, "503 storage_misconfigured", "503 storage_misconfigured"),
    "fails": Fault(always(500, "InternalError"), UNAVAILABLE, UNAVAILABLE),
}


@pytest.mark.parametrize("fault", STORE_FAULTS.values(), ids=STORE_FAULTS)
def test_the_bucket_is_at_fault(
    service: Service, settings: Settings, sessions: Sessions, store: MinioStore, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    started = time.monotonic()
    with fault.store(settings) as service.switch.current:
        answers = service.ask()
    calls = 3  # upload, stream and predict reach the store
    assert time.monotonic() - started < calls * fault.bound_s + SLACK_S
    assert {name: outcome(answer) for name, answer in answers.items()} == {
        "list": "200",
        "detail": "200",
        "thumbnail": "200",
        "link": "302",
        "stream": fault.read,
        "predict": fault.read if fault.read != "200" else "201",
        "predict small": "201",
        "predict file": "200",
        "upload": fault.write,
        "delete": "204",
    }
    for secret in (ROOT_PASSWORD, "not-the-secret"):
        assert all(secret.encode() not in answer.data for answer in answers.values())
        assert secret not in caplog.text
    # Afterwards rows and bucket agree, and nothing of a refused upload is left.
    service.switch.current = store
    with sessions() as session:
        assert session.scalar(text("SELECT count(*) FROM catalog.images")) == (2 if fault.write == "201" else 1)
    expire_leases(sessions)
    sweep(sessions, store)
    with sessions() as session:
        assert session.scalar(text("SELECT count(*) FROM pixref.image WHERE state = 'PENDING'")) == 0


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda store, key: store.delete_object(key), "410 object_lost"),
        (lambda store, key: replace_object(store, key, make_png(BIG, BIG)), "502 object_corrupt"),
    ],
    ids=["deleted behind us", "altered behind us"],
)
def test_an_object_is_damaged(
    service: Service, sessions: Sessions, store: MinioStore, damage: Callable[[ObjectStore, str], None], expected: str
) -> None:
    damage(store, object_key(sessions, service.big))
    answers = {name: outcome(answer) for name, answer in service.ask().items()}
    # The link is the only one that cannot know, until somebody has read the object.
    assert answers["link"] == "302"
    assert (answers["stream"], answers["predict"]) == (expected, expected)
    assert (answers["list"], answers["detail"], answers["thumbnail"]) == ("200", "200", "200")
    assert (answers["upload"], answers["delete"]) == ("201", "204")


def other_times(settings: Settings) -> Opened:
    """The real server, whose clock is two minutes ahead: it still takes our requests."""

    def answer(connection: socket.socket) -> None:
        date = formatdate(time.time() + 120, usegmt=True).encode()
        connection.sendall(
            re.sub(rb"\r\nDate: [^\r]+", b"\r\nDate: " + date, forwarded(read_request(connection), settings), count=1)
        )

    return answering(answer, settings)


def test_no_links_are_signed_while_clocks_differ_by_minutes(service: Service, settings: Settings, store: MinioStore) -> None:
    client, file = service.redirecting, f"{API}/{service.big}/file"
    with other_times(settings) as service.switch.current:
        assert outcome(service.streaming.get(file)) == "200"
        assert outcome(client.get(file)) == "503 storage_clock_skew"
        assert outcome(client.post(f"{API}/urls", json={"ids": [service.big]})) == "503 storage_clock_skew"
        assert outcome(client.get(API)) == "200"
        assert outcome(client.post(API, data=form_of(make_png(BIG, BIG)))) == "201"
    service.switch.current = store
    assert outcome(client.get(file)) == "302"


class Unread(BytesIO):
    """A body of which nobody may read."""

    def read(self, *_: Any) -> bytes:
        raise AssertionError("the body was read")


def upload_unread(client: TokenClient) -> TestResponse:
    length = {"CONTENT_LENGTH": "500"}  # the test client would take the length of the stream
    return client.post(API, input_stream=Unread(), content_type="multipart/form-data; boundary=x", environ_overrides=length)


def test_nothing_is_read_while_the_breaker_is_open(service: Service, settings: Settings) -> None:
    client = service.streaming
    with refused(settings) as service.switch.current:
        for _ in range(5):
            assert outcome(client.get(f"{API}/{service.big}/file")) == UNAVAILABLE
        started = time.monotonic()
        assert outcome(upload_unread(client)) == UNAVAILABLE
        assert outcome(client.get(f"{API}/{service.big}/file")) == UNAVAILABLE
        assert time.monotonic() - started < 0.05 + SLACK_S / 4
        # What keeps nothing goes on.
        assert client.post("/api/v1/predict", data=form_of()).status_code == 200
        assert service.redirecting.get(f"{API}/{service.big}/file").status_code == 302


def test_the_breaker_closes_when_the_store_is_back(service: Service, settings: Settings, store: MinioStore) -> None:
    client = service.streaming
    with refused(settings) as service.switch.current:
        for _ in range(5):
            client.get(f"{API}/{service.big}/file")
        assert outcome(upload_unread(client)) == UNAVAILABLE
    service.switch.current = store
    deadline = time.monotonic() + 5
    while client.get(f"{API}/{service.big}/file").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert client.post(API, data=form_of()).status_code == 201
