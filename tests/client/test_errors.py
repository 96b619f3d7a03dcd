"""What goes wrong, as exceptions that say which part, why and the way out; and what is tried again, and what is not."""

import pickle
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from pixref import (
    BadImage,
    Client,
    Conflict,
    Forbidden,
    IntegrityError,
    Invalid,
    NotFound,
    NotSignedIn,
    PixrefError,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
)
from pixref.errors import problem_error
from service import errors as catalogue
from service.accounts.actor import Role
from service.embedded.ports import free_port
from tests.client.conftest import Connect
from tests.factories import make_png, sha256
from tests.servers import http_answer, read_request, tcp_server

JSON = {"Content-Type": "application/json"}
PROBLEM = {"Content-Type": "application/problem+json"}
EMPTY_PAGE = http_answer(200, b'{"items": [], "next": null}', JSON)
BUSY = (
    b'{"code": "busy", "detail": "too many", "status": 503, "retryable": true, "request_id": "r1", "title": "Busy", "type": "x"}'
)


class Script:
    """Answers as it is told, one answer after the other, the last one again and again; None hangs up. Keeps the requests."""

    def __init__(self, *answers: bytes | None) -> None:
        self._answers = list(answers)
        self.requests: list[bytes] = []

    def __call__(self, connection: socket.socket) -> None:
        self.requests.append(read_request(connection))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer is not None:
            connection.sendall(answer)


@contextmanager
def scripted(*answers: bytes | None, **options: Any) -> Iterator[tuple[Client, Script]]:
    script = Script(*answers)
    with tcp_server(script) as url, Client(url, "token", **options) as client:
        yield client, script


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client would have paused."""
    kept: list[float] = []
    monkeypatch.setattr("pixref.transport.time.sleep", kept.append)
    return kept


# What the service refuses


def test_a_bad_token_is_not_signed_in(address: str) -> None:
    with Client(address, "pxr_unknown") as client, pytest.raises(NotSignedIn) as caught:
        client.image(1)
    assert (caught.value.status, caught.value.code) == (401, "not_signed_in")
    assert "Bearer TOKEN" in caught.value.detail
    assert "pxr_unknown" not in str(caught.value)


def test_a_viewer_may_not_upload(address: str, connect: Connect) -> None:
    with pytest.raises(Forbidden) as caught:
        connect(address, Role.VIEWER).upload(make_png())
    assert caught.value.detail == "this needs the role editor, yours is viewer"


def test_what_is_not_there_is_not_found(api: Client) -> None:
    calls: list[Callable[[], object]] = [
        lambda: api.image(1),
        lambda: api.delete(1),
        lambda: api.restore(1),
        lambda: api.label(1, "7"),
        lambda: api.tags(1, []),
        lambda: api.fetch(1),
        lambda: api.predict(1),
    ]
    for call in calls:
        with pytest.raises(NotFound) as caught:
            call()
        assert (caught.value.status, caught.value.code, caught.value.retryable) == (404, "not_found", False)


def test_an_invalid_request_names_the_field(api: Client) -> None:
    image = api.upload(make_png())
    for call, field in (
        (lambda: api.label(image, "\x00"), "label"),
        (lambda: api.tags(image, ["x" * 201]), "tags.0"),
        (lambda: next(api.images(min_width=0)), "min_width"),
        (lambda: next(api.images(page_size=501)), "limit"),
        (lambda: api.upload(make_png(), attributes={"a": float("nan")}), "attributes"),
    ):
        with pytest.raises(Invalid) as caught:
            call()
        assert (caught.value.status, caught.value.field) == (422, field)
        assert f"[invalid_request, status 422, field {field}, request {caught.value.request_id}]" in str(caught.value)


def kinds(kind: type[catalogue.PixrefError]) -> Iterator[type[catalogue.PixrefError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from kinds(child)


EXPECTED: dict[int, type[PixrefError]] = {
    401: NotSignedIn,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    500: PixrefError,
}


def test_every_error_of_the_service_has_its_kind() -> None:
    for kind in kinds(catalogue.PixrefError):
        error = problem_error(kind.status, {"code": kind.code, "detail": "d", "retryable": kind.retryable})
        if kind.code in ("object_lost", "object_corrupt"):
            expected: type[PixrefError] = IntegrityError
        elif kind.code == "bad_image":
            expected = BadImage
        else:
            expected = EXPECTED.get(kind.status, Invalid if kind.status < 500 else Unavailable)
        assert type(error) is expected, kind.code
        assert (error.code, error.retryable) == (kind.code, kind.retryable)


def test_errors_pass_between_processes() -> None:
    error = problem_error(
        422, {"code": "bad_image", "detail": "d", "field": "file", "reason": "truncated", "offset": 7, "request_id": "r"}
    )
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert isinstance(copy, BadImage)
    assert (str(copy), copy.reason, copy.offset, copy.extra) == (str(error), "truncated", 7, error.extra)


# What does not answer, or is not Pixref


def test_a_server_that_is_down_is_told_with_its_address_and_the_way_out(pauses: list[float]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url, "token") as client, pytest.raises(Unreachable) as caught:
        client.image(1)
    assert f"nothing answers at {url} " in caught.value.detail
    assert "make run" in caught.value.detail
    assert "PIXREF_URL" in caught.value.detail
    assert (caught.value.status, caught.value.retryable) == (None, True)
    assert len(pauses) == 3


def test_a_server_that_keeps_silent_is_given_up_in_time() -> None:
    with tcp_server(lambda connection: time.sleep(5)) as url, Client(url, "token", timeout_s=0.3, retries=0) as client:
        started = time.monotonic()
        with pytest.raises(Unreachable, match=r"did not answer within 0\.3 s"):
            client.image(1)
        assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (http_answer(200, b"<html>", {"Content-Type": "text/html"}), UnexpectedAnswer, "another server than Pixref"),
        (http_answer(200, b"{", JSON), UnexpectedAnswer, "another server than Pixref"),
        (http_answer(200, b"{}", JSON), UnexpectedAnswer, "Image without attributes, bit_depth"),
        (http_answer(200, b"[]", JSON), UnexpectedAnswer, "that is no object"),
        (
            http_answer(301, b"", {"Location": "https://elsewhere.example/api/v1/images/1"}),
            UnexpectedAnswer,
            "https://elsewhere.example:",
        ),
        (http_answer(404, b"<html>", {"Content-Type": "text/html"}), NotFound, "without saying why"),
        (http_answer(418, b""), UnexpectedAnswer, "answered 418"),
        (http_answer(422, b"[]", PROBLEM), Invalid, "without saying why"),
    ],
)
def test_what_is_not_pixref_is_told(answer: bytes, kind: type[PixrefError], says: str) -> None:
    with scripted(answer) as (client, script), pytest.raises(kind, match=says):
        client.image(1)
    assert len(script.requests) == 1


# What is tried again


@pytest.mark.parametrize("when", ["2", "date"])
def test_a_retry_waits_as_long_as_it_is_asked_to(pauses: list[float], when: str) -> None:
    value = format_datetime(datetime.now(UTC) + timedelta(seconds=4), usegmt=True) if when == "date" else when
    with scripted(http_answer(503, BUSY, {**PROBLEM, "Retry-After": value}), EMPTY_PAGE) as (client, script):
        assert list(client.images()) == []
    assert len(script.requests) == 2
    assert pauses == [2.0] if when == "2" else 2 < pauses[0] <= 4


def test_a_retry_really_waits() -> None:
    with scripted(http_answer(503, BUSY, {**PROBLEM, "Retry-After": "1"}), EMPTY_PAGE) as (client, _):
        started = time.monotonic()
        assert list(client.images()) == []
    assert time.monotonic() - started >= 1


def test_retries_are_bounded(pauses: list[float]) -> None:
    down = BUSY.replace(b"busy", b"database_unavailable")
    with scripted(http_answer(503, down, PROBLEM), retries=2) as (client, script), pytest.raises(Unavailable) as caught:
        client.image(1)
    assert len(script.requests) == 3
    assert (caught.value.code, caught.value.request_id) == ("database_unavailable", "r1")
    assert [round(pause / 0.25 / 2**index) for index, pause in enumerate(pauses)] == [1, 1]


@pytest.mark.parametrize(("retries", "asked"), [(0, 1), (3, 21)])
def test_a_busy_service_is_waited_for_longer(pauses: list[float], retries: int, asked: int) -> None:
    busy = http_answer(503, BUSY, {**PROBLEM, "Retry-After": "2"})
    with scripted(busy, retries=retries) as (client, script), pytest.raises(Unavailable):
        client.upload(make_png())
    assert len(script.requests) == asked
    assert set(pauses) == ({2.0} if retries else set())


def test_who_asks_for_too_long_a_pause_is_not_waited_for(pauses: list[float]) -> None:
    with scripted(http_answer(503, BUSY, {**PROBLEM, "Retry-After": "3600"})) as (client, script), pytest.raises(Unavailable):
        client.image(1)
    assert (len(script.requests), pauses) == (1, [])


@pytest.mark.parametrize("broken", [None, http_answer(503, BUSY, PROBLEM), http_answer(502), EMPTY_PAGE[:-5]])
def test_uploads_are_repeated_under_the_same_key(pauses: list[float], broken: bytes | None) -> None:
    with scripted(broken, http_answer(500, b"{}", PROBLEM)) as (client, script), pytest.raises(PixrefError):
        client.upload(make_png(), label="a")
    first, second = script.requests
    assert first == second
    assert b"idempotency-key: " in first.lower()
    with scripted(http_answer(500, b"{}", PROBLEM)) as (client, script), pytest.raises(PixrefError):
        client.upload(make_png())
    [other] = script.requests
    key = [line for line in first.split(b"\r\n") if line.lower().startswith(b"idempotency-key")]
    assert key[0] not in other


@pytest.mark.parametrize("broken", [None, http_answer(503, BUSY, PROBLEM), EMPTY_PAGE[:-5]])
def test_changes_are_not_repeated(pauses: list[float], broken: bytes | None) -> None:
    calls: list[Callable[[Client], object]] = [
        lambda client: client.label(1, "7"),
        lambda client: client.tags(1, []),
        lambda client: client.delete(1),
        lambda client: client.restore(1),
        lambda client: client.predict(1),
    ]
    for call in calls:
        with scripted(broken) as (client, script), pytest.raises((Unavailable, Unreachable)):
            call(client)
        assert len(script.requests) == 1
    assert pauses == []


def test_errors_that_will_not_pass_are_not_repeated(pauses: list[float]) -> None:
    full = BUSY.replace(b"true", b"false")
    with scripted(http_answer(507, full, PROBLEM)) as (client, script), pytest.raises(Unavailable):
        client.upload(make_png())
    assert (len(script.requests), pauses) == (1, [])


def test_an_upload_whose_answer_was_lost_is_one_picture(address: str, api: Client) -> None:
    """The service keeps the picture, the connection breaks before its answer, and the repeated request finds it."""
    target = address.removeprefix("http://").split(":")
    broken = []

    def break_once(connection: socket.socket) -> None:
        request = read_request(connection).replace(b"Connection: keep-alive", b"Connection: close", 1)
        with socket.create_connection((target[0], int(target[1])), 5) as server:
            server.sendall(request)
            answer = b"".join(iter(lambda: server.recv(65_536), b""))
        if not broken:
            broken.append(answer)
            return
        connection.sendall(answer)

    data = make_png()
    token = api._transport._service.headers["Authorization"].removeprefix("Bearer ")
    with tcp_server(break_once) as url, Client(url, token) as client:
        image = client.upload(data)
    assert broken[0].startswith(b"HTTP/1.1 201")
    assert image.sha256 == sha256(data)
    assert [found.id for found in api.images()] == [image.id]
