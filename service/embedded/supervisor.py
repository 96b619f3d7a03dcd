"""Several children as one program: started in order, watched, stopped in reverse when a signal comes or one of them dies."""

import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from service.embedded.child import Child

_STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WATCH_S = 0.2
# `make` and `timeout` pass on a signal that the terminal or the group already delivered: that echo is no second Ctrl-C.
_ECHO_S = 1.0


class StopRequested(BaseException):
    """SIGINT, SIGTERM or SIGHUP arrived. Not an `Exception`, so that no handler for failures takes it for one."""


class Supervisor:
    """A `with` block in which children are started and at whose end, however it comes about, all of them are stopped.

        with Supervisor(say=print) as supervisor:
            supervisor.start(PostgresServer(...), MinioServer(...))
            supervisor.run(Child("init", ...))
            supervisor.start(Child("web", ...))
            supervisor.run_until_signal()

    A stopping signal ends the block quietly, at whatever line it is, and `stopped_by` names it; a second one, more than a
    second later, kills what has not stopped yet. A child that ends unasked raises `ChildDied`. Use it in the main thread only:
    signal handlers and the kernel's parent-death signal both belong to that thread.
    """

    def __init__(self, *, say: Callable[[str], None]) -> None:
        self._say = say
        self._children: list[Child] = []
        self._launched_at: dict[Child, float] = {}
        self._stopping = False
        self._first_signal_at: float | None = None
        self._previous: dict[signal.Signals, signal.Handlers | int | Callable[[int, FrameType | None], object] | None] = {}
        self.stopped_by: signal.Signals | None = None

    def start(self, *children: Child) -> None:
        """Start these children side by side, wait until all are ready, and watch them from then on."""
        self.launch(*children)
        self.await_ready(*children)

    def launch(self, *children: Child) -> None:
        """Start these children without waiting; `await_ready` must follow."""
        for child in children:
            # Known before it runs: a signal at any time must find it.
            self._children.append(child)
            self._launched_at[child] = time.monotonic()
            child.launch()

    def await_ready(self, *children: Child) -> None:
        """Wait until these launched children are ready, and watch them from then on."""
        for child in children:
            child.wait_until_ready(meanwhile=self._check)
            self._say(f"{child.name} is ready ({time.monotonic() - self._launched_at[child]:.1f} s)")

    def run(self, child: Child) -> None:
        """Run `child` to its end while watching the others; raise `ChildDied` unless its exit code is 0."""
        self._children.append(child)
        child.start()
        while child.poll() is None:
            self._check(except_for=child)
            time.sleep(_WATCH_S / 10)
        if child.poll() != 0:
            raise child.died()
        self._children.remove(child)

    def run_until_signal(self) -> None:
        """Watch the children until a stopping signal ends the `with` block."""
        while True:
            self._check()
            time.sleep(_WATCH_S)

    def __enter__(self) -> Self:
        for number in _STOPPING_SIGNALS:
            self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        self._stopping = True
        try:
            if self.stopped_by is not None:
                self._say("stopping; once more kills what does not stop")
            for child in reversed(self._children):
                child.stop()
        finally:
            for number, handler in self._previous.items():
                signal.signal(number, handler)
        return isinstance(error, StopRequested)

    def _check(self, *, except_for: Child | None = None) -> None:
        for child in self._children:
            if child is not except_for and child.poll() is not None:
                raise child.died()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first_signal_at is None:
            self._first_signal_at = now
            self.stopped_by = signal.Signals(number)
            if not self._stopping:
                raise StopRequested
        elif now - self._first_signal_at > _ECHO_S:
            for child in self._children:
                child.kill()
