"""Other processes that predict batches beside this one, by `predict_batch`.

They are spawned, not forked: the threads of LiteRT, of the heartbeat and of the store's client do not survive a fork. Whoever hands out batches does
some of them itself while the helpers start, and all of them where the helpers die, so that nothing depends on them.
"""

import logging
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from typing import Self

from schema.session import Sessions, open_engine
from service.accounts.actor import Actor
from service.models.bulk import Predicted, predict_batch
from service.models.registry import Artifact
from service.models.serving import Loaded, load
from storage.base import ObjectStore

# Batches that wait for each helper, one of which it is doing: it never runs dry, and few are under way when the work is to stop.
QUEUE = 2

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Done:
    """A batch that a helper is done with: what came of it, or what it failed by."""

    image_ids: Sequence[int]
    outcome: Predicted | BaseException


class Helpers:
    """`count` processes. Use as a context manager: in its end they finish what they are doing, and nothing else."""

    def __init__(self, sessions: Sessions, store: ObjectStore, artifact: Artifact, *, actor: Actor, count: int) -> None:
        """The store must be one that can be sent to another process."""
        url = sessions.engine.url.render_as_string(hide_password=False)
        self._places = QUEUE * count
        self._pool: ProcessPoolExecutor | None = None
        self._under_way: dict[Future[Predicted], Sequence[int]] = {}
        if not count:
            return
        with suppress(OSError):  # a system without room for another process, or for what they talk by
            self._pool = ProcessPoolExecutor(
                count, get_context("spawn"), initializer=_begin, initargs=(url, store, artifact, actor)
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def take(self, image_ids: Sequence[int]) -> bool:
        """Have a helper predict a batch; False where none has room, or none is left."""
        if self._pool is None or len(self._under_way) >= self._places:
            return False
        try:
            self._under_way[self._pool.submit(_predict, image_ids)] = image_ids
        except (BrokenProcessPool, OSError):
            self._give_up()
            return False
        return True

    def done(self, *, wait_s: float | None = 0.0) -> list[Done]:
        """Return the batches that are done since the last call; waits for one as long as `wait_s`, where any are under way."""
        found = []
        finished, _ = wait(self._under_way, wait_s, FIRST_COMPLETED)
        for future in finished:
            image_ids = self._under_way.pop(future)
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                self._give_up()
            found.append(Done(image_ids, future.result() if error is None else error))
        return found

    @property
    def busy(self) -> bool:
        """Whether batches are under way."""
        return bool(self._under_way)

    def _give_up(self) -> None:
        if self._pool is not None:
            log.warning("a process that helped to predict has died, or could not be started; its work is done here")
            self._pool.shutdown(wait=False)
            self._pool = None


@dataclass(frozen=True, slots=True)
class _Part:
    sessions: Sessions
    store: ObjectStore
    artifact: Artifact
    actor: Actor


_part: _Part | None = None
_loaded: Loaded | None = None


def _begin(url: str, store: ObjectStore, artifact: Artifact, actor: Actor) -> None:
    """Make a process a helper. Nothing connects and nothing is loaded before its first batch, where an error has somebody to be told to."""
    global _part
    # Ctrl-C and SIGTERM reach all processes of a terminal or a service: whoever hands out the work decides what becomes of it.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _part = _Part(Sessions(open_engine(url, application_name="pixref predict helper")), store, artifact, actor)


def _end_with_parent() -> None:
    """A queue between processes says nothing when the other end is killed, and who waits at it would wait for ever."""
    parent = parent_process()
    if parent is not None:
        with suppress(OSError):
            parent.join()
    os._exit(1)


def _predict(image_ids: Sequence[int]) -> Predicted:
    global _loaded
    assert _part is not None
    if _loaded is None:
        # Each process has a processor; threads within them would wait for each other.
        _loaded = load(_part.sessions, _part.store, _part.artifact, threads=1)
    return predict_batch(_part.sessions, _part.store, _loaded, image_ids, actor=_part.actor)
