"""The proxy does to connections what it says: otherwise the injections would prove nothing."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.proxy import Fault, Proxy
from tests.servers import tcp_server


class Echo:
    """Sends back what it gets, and keeps it."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.ended = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        try:
            while data := connection.recv(1_000):
                self.received += data
                connection.sendall(data)
        finally:
            self.ended.set()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with tcp_server(echo) as url, Proxy(int(url.rpartition(":")[2])) as running:
        yield running


@contextmanager
def client(proxy: Proxy, timeout_s: float = 5) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout_s) as connection:
        yield connection


def exchange(proxy: Proxy, data: bytes = b"x" * 100) -> bytes:
    """Send, and return what comes back before the connection ends."""
    with client(proxy) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        found = bytearray()
        while part := connection.recv(1_000):
            found += part
        return bytes(found)


def test_pass(proxy: Proxy) -> None:
    assert exchange(proxy, b"hello") == b"hello"


def test_refuse_and_heal(proxy: Proxy) -> None:
    with client(proxy) as connection:
        connection.sendall(b"hello")
        assert connection.recv(10) == b"hello"
        proxy.fail(Fault("refuse"))
        with pytest.raises(ConnectionRefusedError):
            exchange(proxy)
        with pytest.raises(ConnectionError):
            while connection.recv(10) or connection.send(b"x"):
                pass
    proxy.heal()
    assert exchange(proxy, b"hello") == b"hello"


@pytest.mark.parametrize(("mode", "arrives"), [("silent", 7), ("mute", 10)])
def test_silence(proxy: Proxy, echo: Echo, mode: str, arrives: int) -> None:
    proxy.fail(Fault(mode, 7))  # type: ignore[arg-type]
    with client(proxy, 0.1) as connection:
        connection.sendall(b"0123456789")
        time_out = time.monotonic() + 5
        while len(echo.received) < arrives and time.monotonic() < time_out:
            time.sleep(0.001)
        with pytest.raises(TimeoutError):
            while connection.recv(10):
                pass
    proxy.heal()
    assert bytes(echo.received) == b"0123456789"[:arrives]


def test_late_bytes_arrive_after_their_sender_has_left(proxy: Proxy, echo: Echo) -> None:
    proxy.fail(Fault("late", 4))
    with client(proxy) as connection:
        connection.sendall(b"head")
        assert connection.recv(10) == b"head"
        connection.sendall(b"body")
    assert not echo.ended.wait(0.05)
    assert bytes(echo.received) == b"head"
    proxy.heal()
    assert bytes(echo.received) == b"headbody"
    assert echo.ended.is_set()


def test_slow(proxy: Proxy) -> None:
    proxy.fail(Fault("slow", 1_000))
    started = time.monotonic()
    assert exchange(proxy, b"x" * 100) == b"x" * 100
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize("mode", ["cut-up", "cut-down"])
def test_cut(proxy: Proxy, echo: Echo, mode: str) -> None:
    proxy.fail(Fault(mode, 60))  # type: ignore[arg-type]
    with pytest.raises(OSError, match=r"reset|not connected"):
        exchange(proxy)
    assert echo.ended.wait(5)
    assert len(echo.received) == (60 if mode == "cut-up" else 100)
    with pytest.raises(OSError, match=r"reset|not connected"):
        exchange(proxy)


def test_cut_once(proxy: Proxy) -> None:
    proxy.fail(Fault("cut-down", 60, once=True))
    with pytest.raises(OSError, match=r"reset|not connected"):
        exchange(proxy)
    assert len(exchange(proxy)) == 100


def test_puts_are_counted(proxy: Proxy) -> None:
    exchange(proxy, b"PUT /bucket/key HTTP/1.1\r\n\r\n")
    exchange(proxy, b"GET /bucket/key HTTP/1.1\r\n\r\n")
    assert proxy.puts == {b"/bucket/key": 1}
