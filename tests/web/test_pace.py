"""Slow clients, on real connections: who is cut off, who is not, and how many threads they hold meanwhile."""

import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psutil
import pytest

from service.errors import Busy, TooSlow
from service.web.pace import LEAST_PER_S, Pace, PacedBody

PATIENCE_S = 1.0

pytestmark = pytest.mark.timeout(30)

linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's word on connections is Linux's")


class Incoming:
    """A body as the server hands it over: a read returns when all that it asked for is there, or the client has left."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size and (part := self._connection.recv(size - len(data))):
            data += part
        return data


class Wire:
    """Connections to a port of ours."""

    def __init__(self, exits: ExitStack) -> None:
        self._exits = exits
        self._listener = exits.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.port: int = self._listener.getsockname()[1]

    def connect(self, pace: Pace) -> tuple[socket.socket, socket.socket, PacedBody]:
        """Return the client's end, ours, and the body that comes by it."""
        client = self._exits.enter_context(socket.create_connection(("127.0.0.1", self.port)))
        server = self._exits.enter_context(self._listener.accept()[0])
        return client, server, pace.body(Incoming(server), "127.0.0.1", self.port)


@pytest.fixture
def wire() -> Iterator[Wire]:
    with ExitStack() as exits:
        yield Wire(exits)


@pytest.fixture
def pace() -> Pace:
    return Pace(patience_s=PATIENCE_S)


def drip(client: socket.socket, stop: threading.Event, data: bytes, every_s: float) -> None:
    while not stop.wait(every_s):
        client.sendall(data)


@linux
@pytest.mark.parametrize("dripping", [False, True], ids=["silent", "a byte now and then"])
def test_a_client_that_sends_too_slowly_is_cut_off_and_told(wire: Wire, pace: Pace, dripping: bool) -> None:
    client, server, body = wire.connect(pace)
    client.sendall(b"the beginning")
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        if dripping:
            pool.submit(drip, client, stop, b"x", 0.05)
        started = time.monotonic()
        with pytest.raises(TooSlow):
            while True:
                body.read(65_536)
        assert PATIENCE_S <= time.monotonic() - started < PATIENCE_S + 5
        stop.set()
    # The other direction stays open for the answer.
    server.sendall(b"408")
    assert client.recv(10) == b"408"


@linux
def test_many_slow_clients_are_all_told(wire: Wire, pace: Pace) -> None:
    bodies = [wire.connect(pace)[2] for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        reads = [pool.submit(body.read, 65_536) for body in bodies]
        assert [type(read.exception(10)) for read in reads] == [TooSlow] * 3


@linux
def test_a_client_that_is_quick_enough_is_left_alone(wire: Wire, pace: Pace) -> None:
    # From the same address as one that is not.
    slow = wire.connect(pace)
    client, _, body = wire.connect(pace)
    stop = threading.Event()
    per_tenth = LEAST_PER_S * 3 // 10
    with ThreadPoolExecutor(2) as pool:
        pool.submit(drip, client, stop, bytes(per_tenth), 0.1)
        cut = pool.submit(slow[2].read, 65_536)
        received = 0
        started = time.monotonic()
        while time.monotonic() - started < 3 * PATIENCE_S:
            received += len(body.read(65_536))
        stop.set()
    assert received > 2 * PATIENCE_S * LEAST_PER_S
    assert isinstance(cut.exception(10), TooSlow)


@linux
def test_a_request_that_is_worked_on_for_long_is_left_alone(wire: Wire, pace: Pace) -> None:
    client, working, body = wire.connect(pace)
    client.sendall(b"all of it")
    forget = pace.begin(body)
    assert body.read(9) == b"all of it"
    _, _, slow = wire.connect(pace)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(slow.read, 65_536)
        # Both are silent now, and only this one has been worked on for as long.
        with pytest.raises(TimeoutError):
            late.result(2 * PATIENCE_S)
        working.sendall(b"201")
        assert client.recv(10) == b"201"
        working.setblocking(False)
        with pytest.raises(BlockingIOError):
            working.recv(1)  # and not b"", as after a cut
        forget()
        assert isinstance(late.exception(10), TooSlow)


@linux
def test_looking_at_connections_leaves_none_open(wire: Wire, pace: Pace) -> None:
    _, _, body = wire.connect(pace)
    with pytest.raises(TooSlow):
        body.read(65_536)
    before = open_at_rest()
    _, _, body = wire.connect(pace)
    with pytest.raises(TooSlow):
        body.read(65_536)
    assert open_at_rest() == before + 2


def open_at_rest() -> int:
    """Return how many descriptors are open while nobody is looking at them."""
    found = []
    for _ in range(20):
        found.append(psutil.Process().num_fds())
        time.sleep(0.01)
    return min(found)


def test_the_last_threads_wait_for_no_client(wire: Wire) -> None:
    pace = Pace(readers=2, turn_s=0.1)
    slow = [wire.connect(pace) for _ in range(2)]
    other, _, body = wire.connect(pace)
    other.sendall(b"all of it")
    with ThreadPoolExecutor(2) as pool:
        reads = [pool.submit(each.read, 5) for _, _, each in slow]
        started = time.monotonic()
        while True:
            try:
                body.read(0)
            except Busy as exc:
                assert exc.retry_after_s
                break
            assert time.monotonic() - started < 10
        slow[0][0].sendall(b"12345")
        assert reads[0].result(10) == b"12345"
        assert body.read(9) == b"all of it"
        slow[1][0].close()
        assert reads[1].result(10) == b""


def test_reads_are_as_long_as_asked_for_or_shorter(wire: Wire, pace: Pace) -> None:
    client, _, body = wire.connect(pace)
    client.sendall(bytes(2_500))
    client.shutdown(socket.SHUT_WR)
    assert [len(body.read(2_000)) for _ in range(4)] == [1_000, 1_000, 500, 0]
