"""A TCP proxy between Pixref and a server, which can do to their connections what networks and dying servers do."""

import contextlib
import re
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Literal, Self

Mode = Literal["pass", "refuse", "silent", "mute", "late", "slow", "cut-up", "cut-down"]
_PUT = re.compile(rb"PUT (\S+) HTTP/1")
_PIECE = 65_536
_DRAIN_S = 10.0
_ANSWER_S = 0.3
_ADDRESS = "127.0.0.1"
_NO_FAREWELL = struct.pack("ii", 1, 0)  # closing sends a reset in place of what was not sent yet


@dataclass(frozen=True, slots=True)
class Fault:
    """What the proxy does wrong, on all connections together.

    refuse      connections are refused, those that are open are reset
    silent      what the client sends is swallowed after `after` bytes, and nothing comes back from then on
    mute        what the server answers is swallowed after `after` bytes
    late        what the client sends, after `after` bytes, arrives when the proxy is healed, though the client may have left by then
    slow        `after` bytes a second, in each direction of each connection
    cut-up      connections are reset after `after` bytes from the client
    cut-down    connections are reset after `after` bytes to the client

    `once`: only one connection is cut, and those that come after it are not.
    """

    mode: Mode = "pass"
    after: int = 0
    once: bool = False


class Proxy:
    """Forwards to a port of this machine. `puts` counts the PUT requests to each path that it has seen.

    Where one side leaves, the other is told, and what it still sends is read to its end: a request that has gone out is carried out.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        # Bound and never listening: it keeps the port ours while connections are refused.
        self._anchor = _bound(0)
        self.port: int = self._anchor.getsockname()[1]
        self._listener: socket.socket | None = None
        self._changed = threading.Condition()
        self._links: set[_Link] = set()
        self._fault, self._left = Fault(), 0
        self.puts: Counter[bytes] = Counter()

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._refuse()
        self._anchor.close()

    def fail(self, fault: Fault) -> None:
        """Behave like this from now on."""
        with self._changed:
            self._fault, self._left = fault, fault.after
            self._changed.notify_all()
        if fault.mode == "refuse":
            self._refuse()
        elif self._listener is None:
            self._listen()

    def heal(self) -> None:
        """Forward everything again, and wait until all that was on its way has arrived. Clients have left by then, or are cut off."""
        self.fail(Fault())
        with self._changed:
            self._changed.wait_for(lambda: not self._links, _DRAIN_S)
        self._reset_all()

    def _listen(self) -> None:
        self._listener = _bound(self.port)
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _refuse(self) -> None:
        if self._listener is not None:
            # Shutting down wakes the thread that waits in accept; closing alone would not.
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self._reset_all()

    def _reset_all(self) -> None:
        with self._changed:
            links = list(self._links)
        for link in links:
            link.reset()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                try:
                    server = socket.create_connection((_ADDRESS, self._target))
                except OSError:
                    _reset(client)
                    continue
                link = _Link(self, client, server)
                with self._changed:
                    self._links.add(link)
                link.start()

    def ended(self, link: "_Link") -> None:
        """Forget a connection that is over."""
        with self._changed:
            self._links.discard(link)
            self._changed.notify_all()

    def admit(self, data: bytes, *, up: bool) -> tuple[bytes, bool]:
        """Return, after the time that it takes, what of these bytes goes on, and whether the connection may live."""
        with self._changed:
            if up and (match := _PUT.match(data)):
                self.puts[match[1]] += 1
            if up and self._fault.mode == "late" and self._take(len(data)) < len(data):
                self._changed.wait_for(lambda: self._fault.mode != "late")
                return data, True
            fault = self._fault
            if fault.mode == "silent":
                return (data[: self._take(len(data))] if up else data if self._left else b""), True
            if fault.mode == "mute" and not up:
                return data[: self._take(len(data))], True
            if fault.mode == ("cut-up" if up else "cut-down"):
                passed = self._take(len(data))
                if passed < len(data) and fault.once:
                    self._fault = Fault()
                return data[:passed], passed == len(data)
        if fault.mode == "slow":
            time.sleep(min(len(data) / max(fault.after, 1), 1.0))
        return data, True

    def _take(self, size: int) -> int:
        passed = min(size, self._left)
        self._left -= passed
        return passed


class _Link:
    """One connection through the proxy: a thread for each direction."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._cut = False
        self._answered = threading.Event()
        self._down = threading.Thread(target=self._pump, args=(server, client, False), daemon=True)

    def start(self) -> None:
        """Forward in both directions."""
        self._down.start()
        threading.Thread(target=self._run, daemon=True).start()

    def reset(self) -> None:
        """Cut both sides off, without a farewell."""
        self._cut = True
        self._answered.set()
        for each in (self._client, self._server):
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_FAREWELL)
                each.shutdown(socket.SHUT_RD)  # wakes the thread that waits in recv; nothing is sent before the reset

    def _run(self) -> None:
        self._pump(self._client, self._server, True)
        self._down.join()
        for each in (self._client, self._server):
            each.close()
        self._proxy.ended(self)

    def _pump(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        open_sink = True
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                admitted, alive = self._proxy.admit(data, up=up)
                if up:
                    self._answered.clear()
                if open_sink and admitted:
                    try:
                        sink.sendall(admitted)
                    except OSError:
                        open_sink = False  # it has left; the rest is read all the same, to see the end of it
                if not up:
                    self._answered.set()
                if not alive:
                    self.reset()
                    return
        if up:
            # A server that hears that its client has left may stop in the middle; the request that it has is to be carried out.
            self._answered.wait(_ANSWER_S)
        else:
            self._answered.set()
        if not self._cut:
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR if up else socket.SHUT_RDWR)


def _bound(port: int) -> socket.socket:
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind((_ADDRESS, port))
    return found


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_FAREWELL)
    connection.close()
