"""A circuit breaker: while the store is down, say so at once instead of waiting for it in every request.

Own code, because of the packages that do this one lets a single call through at a time and the others know no threads.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from time import monotonic
from typing import BinaryIO, TypeVar

from storage.base import (
    ObjectInfo,
    ObjectStore,
    ObjectStream,
    ObjectUpload,
    PresignedPost,
    PresignedURL,
    StoreBusy,
    StoreError,
    StoreTimeout,
    StoreUnavailable,
)

T = TypeVar("T")

FAILURES = 5
WINDOW_S = 60.0
PROBE_EVERY_S = 2.0


class Breaker:
    """Whether a store is worth asking. One for each process and store; thread-safe.

    Closed at first; open after `FAILURES` failures in a row within `WINDOW_S`. While it is open, one call passes every `PROBE_EVERY_S`, and
    its success, like that of any call that was under way, closes it. A failure is that the store did not answer: a store that refuses, or
    asks for a pause, is there.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: deque[float] = deque(maxlen=FAILURES)
        self._last: StoreError | None = None  # not None: open
        self._probe_at = 0.0
        self._probing = False

    def check(self) -> None:
        """Raise `StoreUnavailable` if a call would be refused now."""
        with self._lock:
            self._refuse()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Run a call to the store inside, and learn from how it ends. Raises `StoreUnavailable` without running it while open."""
        with self._lock:
            self._refuse()
            probe = self._probing = self._last is not None
        try:
            with self.watch():
                yield
        finally:
            if probe:
                with self._lock:
                    self._probing = False
                    self._probe_at = self._clock() + PROBE_EVERY_S

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Learn from how something ends that is under way already; it is never refused."""
        try:
            yield
        except StoreError as exc:
            self._learn(exc if isinstance(exc, (StoreUnavailable, StoreTimeout)) and not isinstance(exc, StoreBusy) else None)
            raise
        self._learn(None)

    def _refuse(self) -> None:
        if self._last is not None and (self._probing or self._clock() < self._probe_at):
            raise StoreUnavailable(
                f"not asked, because it did not answer {FAILURES} times in a row; the last time: {self._last.reason}",
                self._last.bucket,
                self._last.endpoint,
            )

    def _learn(self, failure: StoreError | None) -> None:
        with self._lock:
            if failure is None:
                self._failures.clear()
                self._last = None
                return
            now = self._clock()
            self._failures.append(now)
            if self._last is not None:
                self._last = failure
            elif len(self._failures) == FAILURES and now - self._failures[0] <= WINDOW_S:
                self._last, self._probe_at = failure, now + PROBE_EVERY_S


class GuardedStore:
    """An object store behind a breaker. Implements `ObjectStore`; links are signed without the server, so also while it is down."""

    def __init__(self, store: ObjectStore, breaker: Breaker) -> None:
        self._store = store
        self._breaker = breaker
        self.presign_get: Callable[..., PresignedURL] = store.presign_get  # as it is: a list of links is signed in one go
        self.presign_post: Callable[..., PresignedPost] = store.presign_post

    def __repr__(self) -> str:
        return f"GuardedStore({self._store!r})"

    def check_bucket(self) -> None:
        with self._breaker.call():
            self._store.check_bucket()

    def put_object(self, key: str, body: BinaryIO, *, size: int, sha256: str, media_type: str) -> None:
        with self._breaker.call():
            self._store.put_object(key, body, size=size, sha256=sha256, media_type=media_type)

    def put_objects(self, items: Iterable[ObjectUpload]) -> None:
        with self._breaker.call():
            self._store.put_objects(items)

    def get_object(self, key: str, *, max_size: int | None = None) -> bytes:
        with self._breaker.call():
            return self._store.get_object(key, max_size=max_size)

    @contextmanager
    def open_object(self, key: str, *, offset: int = 0, length: int | None = None) -> Iterator[ObjectStream]:
        opened: AbstractContextManager[ObjectStream] = self._store.open_object(key, offset=offset, length=length)
        with self._breaker.call():
            stream = opened.__enter__()
        try:
            yield ObjectStream(stream.size, self._watched(stream.chunks))
        finally:
            opened.__exit__(None, None, None)

    def stat_object(self, key: str) -> ObjectInfo | None:
        with self._breaker.call():
            return self._store.stat_object(key)

    def delete_object(self, key: str) -> None:
        with self._breaker.call():
            self._store.delete_object(key)

    def delete_objects(self, keys: Iterable[str]) -> None:
        with self._breaker.call():
            self._store.delete_objects(keys)

    def list_objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self._breaker.check()
        return self._watched(self._store.list_objects(prefix))

    def _watched(self, items: Iterator[T]) -> Iterator[T]:
        while True:
            with self._breaker.watch():
                item = next(items, None)
            if item is None:
                return
            yield item
