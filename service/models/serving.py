"""Run registered models: loaded once in a process, verified, shared by all threads, and replaced when an alias moves."""

import logging
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from cachetools import LRUCache, TTLCache
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from schema.session import DatabaseTrouble, Sessions, trouble_of
from service.accounts.actor import Actor
from service.errors import PixrefError
from service.failpoints import failpoint
from service.models.crashes import CrashBook
from service.models.damage import read_file
from service.models.keras_process import KerasModel
from service.models.predictions import Scored, store_prediction
from service.models.preprocessing import to_model_input
from service.models.registry import Artifact, find_version
from service.models.runtime import LiteRTModel, Runtime
from service.models.shelf import Shelf
from service.pictures.damage import read_or_mark
from service.pictures.fetch import reference
from service.png import PngLimits
from service.png.pixels import decode, decode_stored
from storage.base import ObjectStore, StoreError

# A moved alias is followed within this time, and the time that loading its new version takes.
ALIAS_CACHE_S = 2
# Who has not asked by an alias for longer waits for its new version: what it stood for then is old news.
RECENT_S = 10
BUILT_IN = "mnist"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelRef:
    """How a caller names a version: by number, else by alias, else the champion."""

    model: str = BUILT_IN
    version: int | None = None
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a model made of a picture. `latency_ms` is decoding, preprocessing and model, without fetching the bytes; `stored`: it is a row."""

    image_id: int | None
    model: str
    version: int
    label: str
    score: float
    scores: dict[str, float]
    latency_ms: float
    stored: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """A version that is ready to run."""

    artifact: Artifact
    runtime: Runtime

    def score(self, data: bytes, *, limits: PngLimits | None) -> Scored:
        """Predict one PNG; `limits` None means a stored one, which was checked when it was kept.

        Raises `BadImage`, `TooLarge`, `TooManyPixels`, `ModelInput`, `ModelUnavailable`, `ModelOutputInvalid`.
        """
        started = time.perf_counter()
        pixels = decode_stored(data) if limits is None else decode(data, limits)
        prepared = to_model_input(pixels, self.artifact.spec, self.artifact.recipe)
        scores = self.runtime.answer(prepared)
        return Scored(scores, (time.perf_counter() - started) * 1000)


def load(
    sessions: Sessions, store: ObjectStore, artifact: Artifact, *, threads: int = 2, crashes: CrashBook | None = None
) -> Loaded:
    """Fetch a version's file, compare it with its SHA-256, load it and run it once; damage that is met is written down.

    `threads` are those of the model in bulk work; `crashes` is the book of this machine's crashes.

    Raises `ModelUnavailable`, `ModelCorrupt`, `StoreError`.
    """
    crashes = crashes or CrashBook()
    crashes.require_sound(artifact.runs.key, f"{artifact.model} version {artifact.number}")
    data = read_file(sessions, store, artifact.version_id, artifact.runs)
    failpoint("load.fetched")
    if artifact.litert is None:
        model = KerasModel(data, artifact.spec, artifact.labels)
        model.await_start()
        return Loaded(artifact, model)
    watch = crashes.watch(artifact.runs.key)
    return Loaded(artifact, LiteRTModel(data, artifact.spec, artifact.labels, threads=threads, watch=watch))


@dataclass(frozen=True, slots=True)
class _Answered:
    """The version that a name stood for when it was looked up last, and when that was."""

    artifact: Artifact
    at: float


class ModelServer:
    """The versions that this process runs. Make it after the process has forked; every method is thread-safe."""

    def __init__(self, sessions: Sessions, store: ObjectStore, *, crashes: CrashBook | None = None) -> None:
        crashes = crashes or CrashBook()
        self._sessions = sessions
        self._store = store
        self._lock = threading.Lock()
        self._found: TTLCache[ModelRef, Artifact] = TTLCache(maxsize=256, ttl=ALIAS_CACHE_S)
        self._answered: LRUCache[ModelRef, _Answered] = LRUCache(maxsize=256)
        self._shelf = Shelf(lambda artifact: load(sessions, store, artifact, crashes=crashes).runtime)

    def get(self, ref: ModelRef) -> Loaded:
        """Return a version, loaded at its first use; a herd of callers loads it once.

        When an alias has moved, the version that it named before goes on answering until its new one is loaded, or where that cannot be loaded.
        Raises `NotFound`, `ModelUnavailable`, `ModelLoading`, `ModelCorrupt`, `StoreError`.
        """
        with self._lock:
            artifact = self._found.get(ref)
        if artifact is not None and (runtime := self._shelf.find(artifact)) is not None:
            # The file of a version never changes; its labels may get other names.
            return Loaded(artifact, runtime)
        if artifact is None:
            artifact = find_version(self._sessions, ref.model, version=ref.version, alias=ref.alias)
            with self._lock:
                self._found[ref] = artifact
        loaded = self._current(ref, artifact)
        if ref.version is None:
            with self._lock:
                self._answered[ref] = _Answered(loaded.artifact, time.monotonic())
        self._shelf.tidy()
        return loaded

    def warm(self, ref: ModelRef) -> None:
        """Begin to load a version beside everything else. What goes wrong is told to who asks for it."""

        def load_it() -> None:
            with suppress(PixrefError, StoreError, SQLAlchemyError):
                self.get(ref)

        threading.Thread(target=load_it, name="warm-model", daemon=True).start()

    def _current(self, ref: ModelRef, artifact: Artifact) -> Loaded:
        """Return the version that is wanted, or the one in whose place it is to come."""
        runtime = self._shelf.find(artifact)
        if runtime is not None:
            return Loaded(artifact, runtime)
        with self._lock:
            before = self._answered.get(ref)
        older = self._shelf.find(before.artifact) if before is not None else None
        if before is None or older is None:
            return Loaded(artifact, self._shelf.load(artifact))
        if time.monotonic() - before.at <= RECENT_S:
            self._shelf.begin(artifact)
            return Loaded(before.artifact, older)
        try:
            return Loaded(artifact, self._shelf.load(artifact))
        except (PixrefError, StoreError, SQLAlchemyError):
            # The shelf has written down why, and tries again; the answer says which version gave it.
            return Loaded(before.artifact, older)

    def predict_bytes(self, data: bytes, ref: ModelRef, *, limits: PngLimits) -> Outcome:
        """Predict a PNG that is not stored."""
        loaded = self.get(ref)
        return _outcome(None, loaded.artifact, loaded.score(data, limits=limits), stored=False)

    def predict_image(self, image_id: int, ref: ModelRef, *, actor: Actor) -> Outcome:
        """Predict a stored picture and commit the row, unless the database takes none. Raises `NotFound`, `ObjectLost`, `ObjectCorrupt`."""
        loaded = self.get(ref)
        picture = reference(self._sessions, image_id)
        data = read_or_mark(self._sessions, self._store, picture)
        failpoint("predict.read")
        scored = loaded.score(data, limits=None)
        failpoint("predict.scored")
        try:
            store_prediction(self._sessions, image_id, loaded.artifact, scored, actor=actor)
        except DBAPIError as exc:
            if trouble_of(exc) not in (DatabaseTrouble.FULL, DatabaseTrouble.READ_ONLY):
                raise
            log.warning("a prediction was not stored", extra={"image_id": image_id, "reason": str(exc).splitlines()[0]})
            return _outcome(image_id, loaded.artifact, scored, stored=False)
        failpoint("predict.stored")
        return _outcome(image_id, loaded.artifact, scored, stored=True)


def _outcome(image_id: int | None, artifact: Artifact, scored: Scored, *, stored: bool) -> Outcome:
    best = scored.best
    scores = [float(score) for score in scored.scores]
    return Outcome(
        image_id=image_id,
        model=artifact.model,
        version=artifact.number,
        label=artifact.labels[best],
        score=scored.best_score,
        scores=dict(zip(artifact.labels, scores, strict=True)),
        latency_ms=round(scored.latency_ms, 3),
        stored=stored,
    )
