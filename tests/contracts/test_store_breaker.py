"""The circuit breaker in front of a store: on the real servers, and on sockets that refuse, stay silent or answer."""

import hashlib
import io
import socket
import threading
import time
from datetime import UTC, datetime

import pytest

from service.embedded.ports import free_port
from storage.base import ObjectNotFound, ObjectStore, ObjectUpload, StoreBusy, StoreDenied, StoreTimeout, StoreUnavailable
from storage.breaker import FAILURES, PROBE_EVERY_S, WINDOW_S, Breaker, GuardedStore
from storage.minio_store import MinioStore
from tests.factories import together
from tests.servers import http_answer, read_request, s3_error, tcp_server

DATA = b"picture"
DIGEST = hashlib.sha256(DATA).hexdigest()
REFUSED_WITHIN_S = 0.05


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Server:
    """Answers with whatever `answer` is at the moment, None closes the connection; `requests` counts."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.requests = 0

    def __call__(self, connection: socket.socket) -> None:
        read_request(connection)
        self.requests += 1
        if self.answer is not None:
            connection.sendall(self.answer)


def guarded(endpoint: str, clock: Clock, *, read_timeout_s: float = 5.0) -> tuple[Breaker, ObjectStore]:
    breaker = Breaker(clock)
    raw = MinioStore(
        endpoint, bucket="bucket", access_key="key", secret_key="top-secret", read_timeout_s=read_timeout_s, connect_timeout_s=0.5
    )
    return breaker, GuardedStore(raw, breaker)


def fail(store: ObjectStore, times: int = FAILURES) -> None:
    for _ in range(times):
        with pytest.raises((StoreUnavailable, StoreTimeout)):
            store.get_object("images/a")


def is_open(breaker: Breaker) -> bool:
    try:
        breaker.check()
    except StoreUnavailable:
        return True
    return False


def test_a_guarded_store_does_what_the_store_does(store: MinioStore) -> None:
    guard: ObjectStore = GuardedStore(store, Breaker())
    guard.check_bucket()
    guard.put_object("images/a", io.BytesIO(DATA), size=len(DATA), sha256=DIGEST, media_type="image/png")
    guard.put_objects([ObjectUpload("images/b", DATA, DIGEST, "image/png")])
    assert guard.get_object("images/a") == DATA
    with guard.open_object("images/b", offset=1, length=3) as stream:
        assert (stream.size, b"".join(stream.chunks)) == (3, DATA[1:4])
    info = guard.stat_object("images/a")
    assert info is not None
    assert info.size == len(DATA)
    assert [found.key for found in guard.list_objects("images/")] == ["images/a", "images/b"]
    guard.delete_object("images/a")
    guard.delete_objects(["images/b"])
    assert list(guard.list_objects()) == []
    with pytest.raises(ObjectNotFound):
        guard.get_object("images/a")


def test_after_some_failures_the_answer_comes_at_once() -> None:
    server = Server(None)
    with tcp_server(server) as endpoint:
        breaker, store = guarded(endpoint, Clock())
        fail(store, FAILURES - 1)
        assert not is_open(breaker)
        fail(store, 1)
        assert is_open(breaker)
        asked = server.requests
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match=f"did not answer {FAILURES} times") as caught:
            store.put_object("images/a", io.BytesIO(DATA), size=len(DATA), sha256=DIGEST, media_type="image/png")
        with pytest.raises(StoreUnavailable), store.open_object("images/a"):
            pass
        with pytest.raises(StoreUnavailable):
            store.list_objects()
        assert time.monotonic() - started < REFUSED_WITHIN_S
    assert server.requests == asked
    assert (caught.value.bucket, caught.value.endpoint) == ("bucket", endpoint)


def test_a_silent_server_opens_it_too() -> None:
    def say_nothing(connection: socket.socket) -> None:
        while connection.recv(65_536):
            pass

    with tcp_server(say_nothing) as endpoint:
        breaker, store = guarded(endpoint, Clock(), read_timeout_s=0.05)
        fail(store)
        assert is_open(breaker)


def test_links_are_signed_all_the_same() -> None:
    breaker, store = guarded(f"http://127.0.0.1:{free_port()}", Clock())
    fail(store)
    assert is_open(breaker)
    assert "images/a" in store.presign_get("images/a", now=datetime.now(UTC), lifetime_s=60).url


def test_one_call_looks_whether_the_server_is_back() -> None:
    clock = Clock()
    server = Server(None)
    with tcp_server(server) as endpoint:
        breaker, store = guarded(endpoint, clock)
        fail(store)
        clock.now += PROBE_EVERY_S - 0.01
        assert is_open(breaker)
        clock.now += 0.01
        assert not is_open(breaker)
        asked = server.requests
        fail(store, 1)  # this one was sent
        assert server.requests > asked
        assert is_open(breaker)  # and its failure keeps the next ones back
        server.answer = http_answer(200, DATA)
        asked = server.requests
        fail(store, 1)
        assert server.requests == asked
        clock.now += PROBE_EVERY_S
        assert store.get_object("images/a") == DATA
        assert store.get_object("images/a") == DATA
        assert not is_open(breaker)


def test_only_one_of_many_looks() -> None:
    clock = Clock()
    entered, leave = threading.Event(), threading.Event()

    def answer_late(connection: socket.socket) -> None:
        read_request(connection)
        entered.set()
        assert leave.wait(10)
        connection.sendall(http_answer(200, DATA))

    breaker = Breaker(clock)
    fail(
        GuardedStore(
            MinioStore(f"http://127.0.0.1:{free_port()}", bucket="bucket", access_key="key", secret_key="secret"), breaker
        )
    )
    clock.now += PROBE_EVERY_S
    with tcp_server(answer_late) as endpoint:
        store = GuardedStore(MinioStore(endpoint, bucket="bucket", access_key="key", secret_key="secret"), breaker)

        def ask(_: int) -> str:
            try:
                store.get_object("images/a")
            except StoreUnavailable:
                return "refused"
            return "answered"

        outcomes: list[str] = []
        probe = threading.Thread(target=lambda: outcomes.append(ask(0)))
        probe.start()
        assert entered.wait(10)
        clock.now += 10 * PROBE_EVERY_S  # however long it takes, there is no second one beside it
        assert together(8, ask) == ["refused"] * 8
        leave.set()
        probe.join(10)
        assert outcomes == ["answered"]
        assert together(8, ask) == ["answered"] * 8


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (s3_error(404, "NoSuchKey"), ObjectNotFound),
        (s3_error(403, "AccessDenied"), StoreDenied),
        (s3_error(503, "SlowDown"), StoreBusy),
    ],
)
def test_a_server_that_refuses_is_there(answer: bytes, error: type[Exception]) -> None:
    server = Server(None)
    with tcp_server(server) as endpoint:
        breaker, store = guarded(endpoint, Clock())
        fail(store, FAILURES - 1)
        server.answer = answer
        with pytest.raises(error):
            store.get_object("images/a")
        server.answer = None
        fail(store, FAILURES - 1)
        assert not is_open(breaker)


def test_failures_that_lie_far_apart_do_not_count_together() -> None:
    clock = Clock()
    breaker, store = guarded(f"http://127.0.0.1:{free_port()}", clock)
    for _ in range(2 * FAILURES):
        fail(store, 1)
        clock.now += WINDOW_S / (FAILURES - 2)
    assert not is_open(breaker)
    fail(store)
    assert is_open(breaker)


def test_a_stream_that_breaks_counts_and_a_stream_under_way_goes_on() -> None:
    clock = Clock()
    cut = http_answer(200, bytes(10), {"Content-Length": "1000"})
    server = Server(cut)
    with tcp_server(server) as endpoint:
        breaker, store = guarded(endpoint, clock)
        server.answer = http_answer(200, DATA)
        with store.open_object("images/a") as stream:
            # Opened while all was well, read while the breaker is open.
            server.answer = cut
            for _ in range(FAILURES):
                try:
                    with store.open_object("images/a") as broken:
                        list(broken.chunks)
                except StoreUnavailable:
                    continue
                pytest.fail("a body that ends early was taken for whole")
            assert not is_open(breaker), "opening them had succeeded"
            server.answer = None
            fail(store)
            assert is_open(breaker)
            assert b"".join(stream.chunks) == DATA


def test_what_says_nothing_about_the_server_changes_nothing() -> None:
    clock = Clock()
    breaker, store = guarded(f"http://127.0.0.1:{free_port()}", clock)
    fail(store)
    clock.now += PROBE_EVERY_S
    with pytest.raises(ValueError, match="has 7 bytes"):
        store.put_object("images/a", io.BytesIO(DATA), size=9, sha256=DIGEST, media_type="image/png")
    assert is_open(breaker)
