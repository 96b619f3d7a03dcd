"""Slow clients: the server hands a body over as it comes, so a thread that reads one waits for the client.

Fewer threads may wait so than the process has, and none for longer than `PATIENCE_S` at less than 1 kB a second: then the connection is
closed for reading, which wakes the thread, and the client is told (408).

WSGI does not say which connection a body comes by, so the kernel is asked (Linux only): it is one from the client's address on which nothing
has been sent since the thread began to wait, and less than 1 kB a second received. Connections at rest look the same, and may be closed.
"""

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Protocol

from service.errors import Busy, TooSlow

READERS = 3
TURN_S = 0.5
PATIENCE_S = 30.0
LEAST_PER_S = 1_000
TICK_S = 1.0
# The watcher goes when nobody has read for so many ticks, and comes with the next one who does.
IDLE_TICKS = 60

_DESCRIPTORS = Path("/proc/self/fd")
# Of Linux's struct tcp_info: milliseconds since something was sent, and bytes received in all.
_LAST_SENT, _RECEIVED = struct.Struct("=44xI"), struct.Struct("=128xQ")


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(slots=True, eq=False)
class PacedBody:
    """A body from `address` by a connection to our `port`. A read that takes too long raises `TooSlow`, one that gets no turn `Busy`."""

    pace: "Pace"
    stream: _Readable
    address: str
    port: int
    since: float = field(default=0.0, init=False)
    cut: bool = field(default=False, init=False)

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, b"" at the end or where the client has left."""
        return self.pace.read(self, size)


class Pace:
    """Who reads a body at the moment, in one process; thread-safe."""

    def __init__(self, *, readers: int = READERS, turn_s: float = TURN_S, patience_s: float = PATIENCE_S) -> None:
        self._patience_s, self._turn_s, self._tick_s = patience_s, turn_s, min(TICK_S, patience_s / 4)
        self._turns: SimpleQueue[None] = SimpleQueue()  # a semaphore, in a tenth of its time
        for _ in range(readers):
            self._turns.put(None)
        # What is not there by the time that patience ends has come at less than the least rate.
        self._largest_read = int(LEAST_PER_S * patience_s)
        self._waiting: set[PacedBody] = set()
        self._working: set[PacedBody] = set()
        self._lock = threading.Lock()
        self._watched = False

    def body(self, body: _Readable, address: str, port: int) -> PacedBody:
        """Put a body under watch."""
        return PacedBody(self, body, address, port)

    def begin(self, body: PacedBody) -> Callable[[], None]:
        """Remember a body whose request may work on it for long; return what forgets it."""
        body.since = monotonic()
        self._working.add(body)
        return lambda: self._working.discard(body)

    def read(self, body: PacedBody, size: int) -> bytes:
        """Read a body when fewer than `readers` others are being waited for. Raises `Busy` when that does not come about, and `TooSlow`."""
        try:
            self._turns.get(timeout=self._turn_s)
        except Empty:
            raise Busy("too many clients are sending slowly at the moment: try again in a few seconds") from None
        try:
            body.since = monotonic()
            self._waiting.add(body)
            if not self._watched:
                self._watch()
            data = body.stream.read(min(size, self._largest_read))
        finally:
            self._waiting.discard(body)
            self._turns.put(None)
        if body.cut:
            raise TooSlow(f"the body came at less than {LEAST_PER_S} bytes a second: send it again by a faster way", field="body")
        return data

    def _watch(self) -> None:
        with self._lock:
            if not self._watched:
                self._watched = True
                threading.Thread(target=self._run, name="pace", daemon=True).start()

    def _run(self) -> None:
        idle = 0
        before: _Before = {}
        tick = threading.Event()  # never set
        while True:
            tick.wait(self._tick_s)
            now = monotonic()
            waiting = list(self._waiting)
            idle = 0 if waiting else idle + 1
            with self._lock:
                if idle > IDLE_TICKS and not self._waiting:
                    self._watched = False
                    return
            late = [body for body in waiting if now - body.since >= self._tick_s / 2]
            tired = [body for body in late if now - body.since >= self._patience_s and not self._ambiguous(body, now)]
            addresses = {body.address for body in tired}
            for body in late:
                # Before any connection is closed: it may be that of one whose time is almost up as well.
                body.cut = body.address in addresses and now - body.since >= self._patience_s - 2 * self._tick_s
            for body in tired:
                _cut(body, before, now, self._tick_s)
            before = _measured({body.port for body in late}, before, now) if late else {}

    def _ambiguous(self, late: PacedBody, now: float) -> bool:
        """Say whether a connection from the same address is as silent because its request is long under way."""
        return any(
            body.address == late.address and body not in self._waiting and now - body.since >= self._patience_s / 2
            for body in list(self._working)
        )


# By peer: when a connection was first looked at, and how many bytes had come by it until then.
_Before = dict[tuple[str, int], tuple[float, int]]


def _accepted(ports: set[int]) -> Iterator[tuple[tuple[str, int], socket.socket]]:
    """Walk over this process's connections to these ports of ours, as copies, with their peers."""
    for descriptor in list(_DESCRIPTORS.iterdir()) if _DESCRIPTORS.exists() else ():
        with suppress(OSError), _copy(int(descriptor.name)) as copy:  # not a socket, not connected, or closed in this moment
            ours = copy.getsockname()
            if isinstance(ours, tuple) and ours[1] in ports:
                host, port, *_ = copy.getpeername()
                yield (host.removeprefix("::ffff:"), port), copy


def _copy(descriptor: int) -> socket.socket:
    number = os.dup(descriptor)
    try:
        return socket.socket(fileno=number)
    except OSError:
        os.close(number)
        raise


def _received(connection: socket.socket) -> tuple[float, int]:
    """Return how many seconds ago something was sent, and how many bytes have been received."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED.size)
    return _LAST_SENT.unpack_from(info)[0] / 1000, _RECEIVED.unpack_from(info)[0]


def _measured(ports: set[int], before: _Before, now: float) -> _Before:
    return {peer: before.get(peer) or (now, _received(copy)[1]) for peer, copy in _accepted(ports)}


def _cut(body: PacedBody, before: _Before, now: float, tick_s: float) -> None:
    for peer, copy in _accepted({body.port}):
        if peer[0] != body.address or peer not in before:
            continue
        seen_at, had = before[peer]
        sent_ago_s, received = _received(copy)
        if sent_ago_s >= now - body.since - tick_s and received - had < LEAST_PER_S * (now - seen_at):
            copy.shutdown(socket.SHUT_RD)
