"""One model for many threads: who finds it busy waits in a queue, and whoever gets it next runs what has queued in one go.

There is no thread that collects and no time in which it does: a picture that finds the model free is run at once, alone.
"""

import threading
import weakref
from collections import deque
from collections.abc import Callable
from itertools import islice

import numpy as np
import numpy.typing as npt

from service.errors import Busy, ModelOutputInvalid, ModelTimeout, ModelUnavailable

Floats = npt.NDArray[np.float32]

PLACES = 64
PATIENCE_S = 10.0


def loosely(method: Callable[[Floats], Floats]) -> Callable[[Floats], Floats]:
    """Return what calls a method without keeping its object: a model goes when nobody uses it, and not when the garbage collector comes by."""
    reference = weakref.WeakMethod(method)

    def call(batch: Floats) -> Floats:
        bound = reference()
        assert bound is not None, "who asks holds the object"
        return bound(batch)

    return call


class _Asked:
    """A picture that waits, and what comes of it. `signal` is released when there is an answer, or when it is this one's turn to lead."""

    __slots__ = ("answer", "error", "leads", "picture", "signal")

    def __init__(self, picture: Floats) -> None:
        self.picture = picture
        self.signal = threading.Lock()
        self.signal.acquire()
        self.leads = False
        self.answer: Floats | None = None
        self.error: BaseException | None = None

    def result(self) -> Floats:
        if self.error is not None:
            raise self.error
        assert self.answer is not None
        return self.answer


class Combiner:
    """Gives each picture its own answer; thread-safe. `run` takes (n, height, width, channels) to (n, classes), is never called twice at once, and
    gets `most` pictures at the most. `places` is how many may wait, `patience_s` for how long."""

    def __init__(
        self, run: Callable[[Floats], Floats], *, most: int, places: int = PLACES, patience_s: float = PATIENCE_S
    ) -> None:
        self._run = run
        self._most = most
        self._places = places
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._running = False
        self._queue: deque[_Asked] = deque()

    def ask(self, picture: Floats) -> Floats:
        """Give the scores (classes,) of a prepared picture (height, width, channels).

        Raises `Busy` when too many wait, `ModelTimeout` when its turn does not come in time, and what `run` raises for it.
        """
        mine = _Asked(picture)
        with self._lock:
            queued = self._running
            if queued:
                if len(self._queue) >= self._places:
                    raise Busy(
                        f"{self._places} pictures wait for this model in this process already: send yours again in a few seconds"
                    )
                self._queue.append(mine)
            self._running = True
        if queued:
            if not mine.signal.acquire(timeout=self._patience_s):
                self._give_up(mine)
            if not mine.leads:
                return mine.result()
        return self._lead(mine)

    def _give_up(self, mine: _Asked) -> None:
        """Leave the queue, unless it is this one's turn just now."""
        with self._lock:
            if mine.leads:
                return
            if mine in self._queue:
                self._queue.remove(mine)
        raise ModelTimeout(
            f"the model was busy with other pictures for {self._patience_s:g} s: send yours again in a few seconds"
        )

    def _lead(self, mine: _Asked) -> Floats:
        with self._lock:
            taken = [mine, *islice(self._queue, self._most - 1)]
            for _ in taken[1:]:
                self._queue.popleft()
        try:
            self._answer(taken)
        finally:
            with self._lock:
                following = self._queue.popleft() if self._queue else None
                if following is not None:
                    following.leads = True
                self._running = following is not None
            if following is not None:
                following.signal.release()
            for each in taken[1:]:
                each.signal.release()
        return mine.result()

    def _answer(self, taken: list[_Asked]) -> None:
        """Run the model, and write down for each what came of it."""
        try:
            batch = taken[0].picture[np.newaxis] if len(taken) == 1 else np.stack([each.picture for each in taken])
            for each, answer in zip(taken, self._run(batch), strict=True):
                each.answer = answer
        except (ModelOutputInvalid, ModelUnavailable) as exc:
            if len(taken) == 1:
                taken[0].error = exc
                return
            # One of them is at fault, and the others are not to suffer for it.
            for each in taken:
                self._answer([each])
        except BaseException as exc:
            for each in taken:
                each.error = exc
            if not isinstance(exc, Exception):
                raise
