"""What callers see when the server is down, silent, full, busy, broken or not S3 at all: over real sockets."""

import hashlib
import io
import pickle
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate

import pytest

from service.embedded.ports import free_port
from storage.base import (
    BucketMissing,
    ObjectExists,
    ObjectUpload,
    StoreBusy,
    StoreClockSkew,
    StoreDenied,
    StoreError,
    StoreFull,
    StoreTimeout,
    StoreUnavailable,
)
from storage.minio_store import MinioStore
from tests.servers import http_answer, read_request, s3_error, tcp_server

PICTURE = b"picture"
DIGEST = hashlib.sha256(PICTURE).hexdigest()

MODIFIED = {"Last-Modified": "Mon, 23 Nov 2026 08:00:00 GMT"}

Act = Callable[[MinioStore], object]

ACTS: dict[str, Act] = {
    "check": lambda store: store.check_bucket(),
    "put": lambda store: put(store),
    "put many": lambda store: store.put_objects([ObjectUpload(key, PICTURE, DIGEST, "image/png") for key in ("a", "b")]),
    "get": lambda store: store.get_object("images/a"),
    "stat": lambda store: store.stat_object("images/a"),
    "delete": lambda store: store.delete_object("images/a"),
    "delete many": lambda store: store.delete_objects(["images/a"]),
    "list": lambda store: list(store.list_objects()),
}


def put(store: MinioStore) -> None:
    store.put_object("images/a", io.BytesIO(PICTURE), size=len(PICTURE), sha256=DIGEST, media_type="image/png")


def store_at(endpoint: str, *, read_timeout_s: float = 5.0, total_s: float = 15.0) -> MinioStore:
    return MinioStore(
        endpoint, bucket="bucket", access_key="key", secret_key="top-secret", read_timeout_s=read_timeout_s, total_s=total_s
    )


class Script:
    """Answers the n-th request with the n-th of `answers`, later ones with the last; None resets the connection."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = answers
        self.requests: list[bytes] = []

    def __call__(self, connection: socket.socket) -> None:
        self.requests.append(read_request(connection))
        answer = self.answers[min(len(self.requests), len(self.answers)) - 1]
        if answer is None:
            reset(connection)
        else:
            connection.sendall(answer)


def reset(connection: socket.socket) -> None:
    # Lingering for zero seconds makes close() send RST instead of FIN.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_a_closed_port_is_unavailable_at_once(act: Act) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    started = time.monotonic()

    with pytest.raises(StoreUnavailable, match="refused") as caught:
        act(store_at(endpoint))

    assert time.monotonic() - started < 3
    assert endpoint in str(caught.value)
    assert "'bucket'" in str(caught.value)
    assert "top-secret" not in repr(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_a_silent_server_times_out_within_two_waits(act: Act) -> None:
    def say_nothing(connection: socket.socket) -> None:
        while connection.recv(65_536):
            pass

    with tcp_server(say_nothing) as endpoint:
        started = time.monotonic()
        with pytest.raises(StoreTimeout):
            act(store_at(endpoint, read_timeout_s=0.3, total_s=0.3))
        assert 0.3 <= time.monotonic() - started < 2.5


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_a_reset_is_unavailable_after_one_more_try(act: Act) -> None:
    script = Script(None)
    with tcp_server(script) as endpoint, pytest.raises(StoreUnavailable):
        act(store_at(endpoint))

    assert len(script.requests) == 2


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (503, "SlowDown", StoreBusy),
        (503, "SlowDownWrite", StoreBusy),
        (429, "TooManyRequests", StoreBusy),
        (503, "XMinioServerNotInitialized", StoreUnavailable),
        (500, "InternalError", StoreUnavailable),
        (507, "XMinioStorageFull", StoreFull),
        (403, "QuotaExceeded", StoreFull),
        (403, "RequestTimeTooSkewed", StoreClockSkew),
        (403, "AccessDenied", StoreDenied),
        (403, "InvalidAccessKeyId", StoreDenied),
        (404, "NoSuchBucket", BucketMissing),
        (400, "EntityTooLarge", StoreError),
    ],
)
@pytest.mark.parametrize("act", ["put", "get", "delete", "list"])
def test_answers_become_our_errors(act: str, status: int, code: str, expected: type[StoreError]) -> None:
    with tcp_server(Script(s3_error(status, code, {"Retry-After": "60"}))) as endpoint:
        started = time.monotonic()
        with pytest.raises(StoreError) as caught:
            ACTS[act](store_at(endpoint))

    assert type(caught.value) is expected
    assert time.monotonic() - started < 3  # a Retry-After of a minute is not ours to wait for


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [("RequestTimeTooSkewed", 403, StoreClockSkew), ("NoSuchBucket", 404, BucketMissing), ("SlowDown", 503, StoreUnavailable)],
)
@pytest.mark.parametrize("act", ["check", "stat"])
def test_head_requests_find_out_the_reason(act: str, code: str, status: int, expected: type[StoreError]) -> None:
    """An answer to HEAD carries no body, so no code."""

    def answer(connection: socket.socket) -> None:
        is_head = read_request(connection).startswith(b"HEAD")
        connection.sendall(http_answer(status) if is_head else s3_error(status, code))

    with tcp_server(answer) as endpoint, pytest.raises(StoreError) as caught:
        ACTS[act](store_at(endpoint))

    assert type(caught.value) is expected


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"", b"<Error><Code>Unfinished"])
@pytest.mark.parametrize("media_type", ["text/html", "application/xml"])
@pytest.mark.parametrize("act", ["put", "get", "delete", "list"])
def test_a_server_that_does_not_speak_s3(act: str, media_type: str, body: bytes) -> None:
    answer = http_answer(404, body, {"Content-Type": media_type})
    with tcp_server(Script(answer)) as endpoint, pytest.raises(StoreError):
        ACTS[act](store_at(endpoint))


def test_a_busy_server_that_recovers_gets_the_whole_body_again() -> None:
    script = Script(s3_error(503, "SlowDown"), http_answer(200))
    with tcp_server(script) as endpoint:
        put(store_at(endpoint))

    assert [request.endswith(b"\r\n\r\n" + PICTURE) for request in script.requests] == [True, True]
    assert b"if-none-match: *" in script.requests[1].lower()


def test_a_retry_that_meets_its_own_first_try_has_succeeded() -> None:
    stat = http_answer(200, headers={**MODIFIED, "Content-Length": "7", "x-amz-meta-sha256": DIGEST})
    script = Script(None, s3_error(412, "PreconditionFailed"), stat)
    with tcp_server(script) as endpoint:
        put(store_at(endpoint))

    assert [request.partition(b" ")[0] for request in script.requests] == [b"PUT", b"PUT", b"HEAD"]


@pytest.mark.parametrize("headers", [{"Content-Length": "7"}, {"Content-Length": "8", "x-amz-meta-sha256": DIGEST}])
def test_a_retry_that_meets_another_object_has_failed(headers: dict[str, str]) -> None:
    script = Script(None, s3_error(412, "PreconditionFailed"), http_answer(200, headers={**MODIFIED, **headers}))
    with tcp_server(script) as endpoint, pytest.raises(ObjectExists):
        put(store_at(endpoint))


def test_a_taken_key_at_the_first_try_is_not_excused() -> None:
    script = Script(s3_error(412, "PreconditionFailed"))
    with tcp_server(script) as endpoint, pytest.raises(ObjectExists):
        put(store_at(endpoint))

    assert len(script.requests) == 1


@pytest.mark.parametrize("with_reset", [True, False])
def test_a_body_that_ends_early_is_an_error(with_reset: bool) -> None:
    def answer(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(http_answer(200, b"", {"Content-Length": "1000000"}) + bytes(400_000))
        if with_reset:
            reset(connection)

    with tcp_server(answer) as endpoint:
        with pytest.raises(StoreUnavailable):
            store_at(endpoint).get_object("images/a")
        with pytest.raises(StoreUnavailable), store_at(endpoint).open_object("images/a") as stream:
            for _ in stream.chunks:
                pass


def test_a_body_that_trickles_is_given_up_after_the_total_time() -> None:
    stop = threading.Event()

    def answer(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(http_answer(200, b"", {"Content-Length": str(10**9)}))
        while not stop.wait(0.05):
            connection.sendall(bytes(300_000))

    with tcp_server(answer) as endpoint:
        started = time.monotonic()
        with pytest.raises(StoreTimeout, match="not read within"):
            store_at(endpoint, total_s=0.5).get_object("images/a")
        assert time.monotonic() - started < 3
        stop.set()


def test_a_server_that_ignores_the_range_is_found_out() -> None:
    with (
        tcp_server(Script(http_answer(200, b"0123456789"))) as endpoint,
        pytest.raises(StoreError, match="ignored the range"),
        store_at(endpoint).open_object("images/a", offset=5),
    ):
        pass


def test_a_server_that_pauses_while_it_reads_gets_its_time() -> None:
    """The limit for a connection to open is not the limit for a slow disk to take what we send."""
    body = bytes(16 * 1024 * 1024)

    def answer(connection: socket.socket) -> None:
        connection.recv(1)
        time.sleep(1.5)  # longer than the limit for opening a connection
        read_request(connection)
        connection.sendall(http_answer(200))

    with tcp_server(answer) as endpoint:
        digest = hashlib.sha256(body).hexdigest()
        store_at(endpoint).put_object("images/a", io.BytesIO(body), size=len(body), sha256=digest, media_type="image/png")


def test_a_pooled_connection_that_died_is_replaced() -> None:
    script = Script(http_answer(200, b"one", {"Connection": "keep-alive"}), http_answer(200, b"two"))
    with tcp_server(script) as endpoint:
        store = store_at(endpoint)
        assert store.get_object("images/a") == b"one"
        assert store.get_object("images/a") == b"two"


def test_keys_that_the_server_does_not_delete_are_reported() -> None:
    error = "<Error><Key>images/b</Key><Code>AccessDenied</Code><Message>no</Message></Error>"
    script = Script(http_answer(200, f"<DeleteResult>{error}</DeleteResult>".encode()))
    with tcp_server(script) as endpoint, pytest.raises(StoreDenied, match="1 objects were not removed") as caught:
        store_at(endpoint).delete_objects(["images/a", "images/b"])

    assert caught.value.key == "images/b"


def test_an_object_without_a_time_is_not_guessed_to_be_old() -> None:
    script = Script(http_answer(200, headers={"Content-Length": "7"}))
    with tcp_server(script) as endpoint, pytest.raises(StoreUnavailable, match="lacks an object's name, size or time"):
        store_at(endpoint).stat_object("images/a")


def test_errors_cross_processes() -> None:
    error = StoreFull("the server's disk is full", "bucket", "http://127.0.0.1:9000", "images/a")

    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert (type(copy), str(copy), copy.key) == (StoreFull, str(error), "images/a")
    assert str(error) == "the server's disk is full (object 'images/a' in bucket 'bucket' at http://127.0.0.1:9000)"


def dated(offset_s: float) -> bytes:
    """Build an answer by a server whose clock is `offset_s` seconds ahead."""
    return http_answer(200, headers={"Date": formatdate(time.time() + offset_s, usegmt=True)})


def link(store: MinioStore) -> str:
    return store.presign_get("images/a", now=datetime.now(UTC), lifetime_s=300).url


def form(store: MinioStore) -> str:
    now = datetime.now(UTC)
    return store.presign_post("uploads/a", now=now, lifetime_s=900, size=1, sha256=DIGEST).url


@pytest.mark.parametrize("sign", [link, form])
@pytest.mark.parametrize(("offset_s", "words"), [(90, "behind"), (-90, "ahead of"), (600, "behind"), (-600, "ahead of")])
def test_nothing_is_signed_by_a_clock_that_is_more_than_a_minute_off(
    sign: Callable[[MinioStore], str], offset_s: float, words: str
) -> None:
    with tcp_server(Script(dated(offset_s))) as endpoint:
        store = store_at(endpoint)
        assert sign(store)  # nothing is known yet
        store.check_bucket()
        with pytest.raises(StoreClockSkew, match=words):
            sign(store)


@pytest.mark.parametrize("offset_s", [-40, 0, 40])
def test_a_clock_that_is_less_than_a_minute_off_signs(offset_s: float) -> None:
    with tcp_server(Script(dated(offset_s))) as endpoint:
        store = store_at(endpoint)
        store.check_bucket()
        assert link(store)


def test_a_clock_that_was_set_signs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.clock.FRESH_S", 0.2)
    with tcp_server(Script(dated(3600), dated(0))) as endpoint:
        store = store_at(endpoint)
        store.check_bucket()
        with pytest.raises(StoreClockSkew):
            link(store)
        time.sleep(0.3)
        assert link(store)  # asked again, by itself


def test_a_server_that_does_not_answer_does_not_clear_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.clock.FRESH_S", 0.0)
    with tcp_server(Script(dated(3600), None)) as endpoint:
        store = store_at(endpoint)
        store.check_bucket()
        with pytest.raises(StoreClockSkew):
            link(store)
