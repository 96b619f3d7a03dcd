"""How many pieces of heavy work a web process takes at once: large bodies, whose bytes lie in memory while they are checked, and questions in SQL.
Each holds a thread.

There are places for fewer than the process has threads, so that lists and pages go on being answered, and refusals as well.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import Busy

AT_ONCE = 2
WAITING = 1
WAIT_S = 5.0
LARGE_UPLOADS = "this process is taking {at_once} large uploads already: send yours again in a few seconds"


class Admission:
    """The places of one process; thread-safe. Who finds none waits for one, if not too many wait already; `refusal` says what is full."""

    def __init__(
        self, *, at_once: int = AT_ONCE, waiting: int = WAITING, wait_s: float = WAIT_S, refusal: str = LARGE_UPLOADS
    ) -> None:
        self._at_once, self._places, self._wait_s = at_once, waiting, wait_s
        self._refusal = refusal.format(at_once=at_once)
        self._changed = threading.Condition()
        self._running = 0
        self._waiting = 0

    def enter(self) -> None:
        """Take a place, to be given back by `leave`. Raises `Busy` where there is none within the time."""
        with self._changed:
            if self._running < self._at_once and not self._waiting:
                self._running += 1
                return
            if self._waiting >= self._places:
                raise Busy(self._refusal)
            self._waiting += 1
            try:
                if not self._changed.wait_for(lambda: self._running < self._at_once, self._wait_s):
                    raise Busy(self._refusal)
                self._running += 1
            finally:
                self._waiting -= 1

    def leave(self) -> None:
        """Give a place back."""
        with self._changed:
            self._running -= 1
            self._changed.notify()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place. Raises `Busy`."""
        self.enter()
        try:
            yield
        finally:
            self.leave()
