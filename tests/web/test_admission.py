"""Large bodies: how many at once, who waits, who is refused unread, and what is left of them."""

import threading
import time
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from schema.session import Sessions
from service import admission
from service.admission import Admission
from service.cli.serve import THREADS
from service.errors import Busy
from service.web import pace
from service.web.files import ClosingRequest
from service.web.security import SMALL_BODY
from storage.base import ObjectStore
from tests.conftest import TokenClient
from tests.factories import assert_in_step, assert_problem, form_of, make_png, together

API = "/api/v1/images"
MULTIPART = "multipart/form-data; boundary=x"


def test_threads_are_left_for_everything_else() -> None:
    assert THREADS > admission.AT_ONCE + admission.WAITING
    assert THREADS > pace.READERS > admission.AT_ONCE


def test_as_many_as_there_are_places_and_no_more_wait_than_may() -> None:
    places = Admission(at_once=2, waiting=1, wait_s=10)
    places.enter()
    places.enter()
    entered: list[str] = []

    def wait() -> None:
        places.enter()
        entered.append("waited")

    waiting = threading.Thread(target=wait)
    waiting.start()
    refused = None
    deadline = time.monotonic() + 10
    while refused is None and time.monotonic() < deadline:
        # Until the other thread waits, this one would: so that it comes back, it must not find the queue empty.
        if places._waiting:
            with pytest.raises(Busy) as caught:
                places.enter()
            refused = caught.value
    assert refused is not None
    assert refused.retry_after_s
    assert entered == []
    places.leave()
    waiting.join(10)
    assert entered == ["waited"]
    places.leave()
    places.leave()
    places.enter()


def test_nobody_waits_longer_than_allowed() -> None:
    places = Admission(at_once=1, waiting=1, wait_s=0.1)
    places.enter()
    started = time.monotonic()
    with pytest.raises(Busy):
        places.enter()
    assert 0.1 <= time.monotonic() - started < 2
    places.leave()
    places.enter()


def test_places_are_never_exceeded_and_never_lost() -> None:
    places = Admission(at_once=3, waiting=8, wait_s=10)
    lock = threading.Lock()
    inside = most = 0

    def work(_: int) -> bool:
        nonlocal inside, most
        try:
            places.enter()
        except Busy:
            return False
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.002)
        with lock:
            inside -= 1
        places.leave()
        return True

    done = [outcome for _ in range(5) for outcome in together(16, work)]
    assert most == 3
    assert sum(done) >= 5 * 11  # three inside and eight who wait
    for _ in range(3):
        places.enter()


class Slow(BytesIO):
    """A body that comes when it is told to; `begun` tells that somebody waits for it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.begun, self.go_on = threading.Event(), threading.Event()

    def read(self, size: int | None = -1) -> bytes:
        self.begun.set()
        assert self.go_on.wait(30)
        return super().read(size)


class Unread(BytesIO):
    """A body of which nobody may read."""

    def read(self, *_: Any) -> bytes:
        raise AssertionError("the body was read")


def large_form(file: bytes = bytes(SMALL_BODY + 1)) -> bytes:
    """Return a form with one file, which is no picture by default. The test client would leave a temporary file behind."""
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
    return head + file + b"\r\n--x--\r\n"


def send(client: TokenClient, body: BytesIO, length: int) -> TestResponse:
    # The test client would take the length of the stream.
    return client.post(API, input_stream=body, content_type=MULTIPART, environ_overrides={"CONTENT_LENGTH": str(length)})


def test_large_uploads_have_places_and_small_ones_need_none(app: Flask, client: TokenClient, sessions: Sessions) -> None:
    app.extensions["pixref.admission"] = Admission(at_once=1, waiting=0)
    form = large_form()
    slow = Slow(form)
    answers: list[TestResponse] = []
    upload = threading.Thread(target=lambda: answers.append(send(client, slow, len(form))))
    upload.start()
    try:
        assert slow.begun.wait(30)
        refused = send(client, Unread(), len(form))
        body = assert_problem(refused, 503, "busy")
        assert body["retryable"]
        assert int(refused.headers["Retry-After"]) >= 1
        # A body of unknown length may be large.
        chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
        unknown = client.post(API, input_stream=Unread(), content_type=MULTIPART, environ_overrides=chunked)
        assert_problem(unknown, 503, "busy")
        assert client.get(API).status_code == 200
        assert client.post(API, data=form_of()).status_code == 201
        # What is refused anyhow does not wait for a place.
        assert_problem(send(client, Unread(), 10**9), 413, "too_large")
    finally:
        slow.go_on.set()
        upload.join(30)
    assert_problem(answers[0], 422, "bad_image")
    # The place is free again, also after a refusal and after a body that broke off.
    assert_problem(send(client, BytesIO(form), len(form)), 422, "bad_image")
    assert send(client, BytesIO(form[:1000]), len(form)).status_code == 400
    assert_problem(send(client, BytesIO(form), len(form)), 422, "bad_image")


def test_pictures_beyond_the_limit_for_small_ones_are_kept(
    client: TokenClient, app: Flask, sessions: Sessions, store: ObjectStore
) -> None:
    app.extensions["pixref.admission"] = Admission(at_once=2, waiting=4)
    forms = [large_form(make_png(1100, 1000)) for _ in range(4)]
    answers = together(4, lambda index: send(client, BytesIO(forms[index]), len(forms[index])).status_code)
    assert answers == [201] * 4
    assert_in_step(sessions, store)


def test_no_room_for_the_upload_on_its_way(
    client: TokenClient, sessions: Sessions, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = large_form(make_png(1100, 1000))
    full: list[IO[bytes]] = []

    def on_full_disk(*_: object, **__: object) -> IO[bytes]:
        full.append(Path("/dev/full").open("wb"))  # noqa: SIM115  (the request closes it)
        return full[-1]

    with monkeypatch.context() as patch:
        patch.setattr("werkzeug.wrappers.Request._get_file_stream", on_full_disk)
        for _ in range(4):  # more than there are places: none is lost
            assert assert_problem(send(client, BytesIO(form), len(form)), 507, "temp_full")["retryable"]
    assert all(stream.closed for stream in full)
    assert send(client, BytesIO(form), len(form)).status_code == 201
    assert_in_step(sessions, store)


def test_what_was_to_be_called_is_called_once_however_the_request_ends() -> None:
    calls: list[str] = []
    request = ClosingRequest({"REQUEST_METHOD": "GET", "wsgi.input": BytesIO()})
    request.call_on_close(lambda: calls.append("a"))
    request.close()
    assert calls == ["a"]
