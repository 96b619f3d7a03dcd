"""The versions that a process has loaded: each is loaded once, by one thread, however many ask, and let go when nobody asks any more."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field

from service.errors import ModelLoading
from service.models.registry import Artifact
from service.models.runtime import Runtime

# A version that another one is to replace and that could not be loaded is tried again after these pauses.
PAUSES_S = (1, 2, 5, 10, 30, 60)
# How long a caller waits for a version that is being loaded.
PATIENCE_S = 10.0
# Beyond these the version goes for which nobody has asked for longest. Memory is guessed by the files.
MOST_VERSIONS = 4
MOST_BYTES = 256 * 1024**2
IDLE_S = 600

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Held:
    runtime: Runtime
    asked_at: float


@dataclass(slots=True)
class _Failure:
    tries: int
    again_at: float


@dataclass(slots=True)
class Shelf:
    """What is loaded, by the id of its version; thread-safe. `load_version` fetches one and runs it once."""

    load_version: Callable[[Artifact], Runtime]
    clock: Callable[[], float] = time.monotonic
    patience_s: float = PATIENCE_S
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _held: dict[int, _Held] = field(default_factory=dict)
    _loading: dict[int, Future[Runtime]] = field(default_factory=dict)
    _failures: dict[int, _Failure] = field(default_factory=dict)

    def find(self, artifact: Artifact) -> Runtime | None:
        """Return a version that is loaded."""
        held = self._held.get(artifact.version_id)
        if held is None:
            return None
        held.asked_at = self.clock()
        return held.runtime

    def load(self, artifact: Artifact) -> Runtime:
        """Return a version, loaded by now. Raises `ModelLoading` when that takes long, and what loading it raises."""
        loading = self._start(artifact)
        if isinstance(loading, Future):
            if not wait([loading], self.patience_s).done:
                raise ModelLoading(f"{artifact.model} version {artifact.number} is being loaded: try again in a few seconds")
            return loading.result()
        return loading

    def begin(self, artifact: Artifact) -> None:
        """Load a version beside everything else, unless that is under way or failed a moment ago."""
        failure = self._failures.get(artifact.version_id)
        if failure is None or self.clock() >= failure.again_at:
            self._start(artifact)

    def tidy(self) -> None:
        """Let go what nobody has asked for in a while, and what is too much. Who still uses it keeps it until then."""
        now = self.clock()
        with self._lock:
            oldest_first = sorted(self._held, key=lambda version_id: self._held[version_id].asked_at)
            for version_id in oldest_first[:-1]:
                idle = now - self._held[version_id].asked_at > IDLE_S
                total = sum(held.runtime.size for held in self._held.values())
                if idle or len(self._held) > MOST_VERSIONS or total > MOST_BYTES:
                    del self._held[version_id]

    def _start(self, artifact: Artifact) -> Runtime | Future[Runtime]:
        """Return a version, or the promise of one that is being loaded, by a thread of its own."""
        with self._lock:
            held = self._held.get(artifact.version_id)
            if held is not None:
                return held.runtime
            loading = self._loading.get(artifact.version_id)
            if loading is not None:
                return loading
            promise: Future[Runtime] = Future()
            self._loading[artifact.version_id] = promise
        threading.Thread(target=self._keep, args=(artifact, promise), name="load-model", daemon=True).start()
        return promise

    def _keep(self, artifact: Artifact, promise: Future[Runtime]) -> None:
        version_id = artifact.version_id
        try:
            runtime = self.load_version(artifact)
        except BaseException as exc:
            with self._lock:
                tries = self._failures[version_id].tries + 1 if version_id in self._failures else 1
                self._failures[version_id] = _Failure(tries, self.clock() + PAUSES_S[min(tries, len(PAUSES_S)) - 1])
                del self._loading[version_id]
            log.error("a model cannot be loaded", extra={"model": artifact.model, "version": artifact.number, "reason": str(exc)})
            promise.set_exception(exc)
            return
        with self._lock:
            self._held[version_id] = _Held(runtime, self.clock())
            self._failures.pop(version_id, None)
            del self._loading[version_id]
        log.info("a model is loaded", extra={"model": artifact.model, "version": artifact.number})
        promise.set_result(runtime)
