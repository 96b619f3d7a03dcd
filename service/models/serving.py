"""Run registered models in this process: loaded once, verified, shared by all threads."""

import logging
import threading
import time
from dataclasses import dataclass

import numpy as np
from cachetools import TTLCache
from sqlalchemy.exc import DBAPIError

from schema.session import DatabaseTrouble, Sessions, trouble_of
from service.accounts.actor import Actor
from service.failpoints import failpoint
from service.models.damage import read_file
from service.models.predictions import Scored, store_prediction
from service.models.preprocessing import to_model_input
from service.models.registry import Artifact, find_version
from service.models.runtime import LiteRTModel
from service.pictures.damage import read_or_mark
from service.pictures.fetch import reference
from service.png import PngLimits
from service.png.pixels import decode, decode_stored
from storage.base import ObjectStore

# A moved alias is followed within this time.
ALIAS_CACHE_S = 2
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
    runtime: LiteRTModel

    def score(self, data: bytes, *, limits: PngLimits | None) -> Scored:
        """Predict one PNG; `limits` None means a stored one, which was checked when it was kept.

        Raises `BadImage`, `TooLarge`, `TooManyPixels`, `ModelInput`, `ModelUnavailable`, `ModelOutputInvalid`.
        """
        started = time.perf_counter()
        pixels = decode_stored(data) if limits is None else decode(data, limits)
        prepared = to_model_input(pixels, self.artifact.spec, self.artifact.recipe)
        scores = self.runtime.predict(prepared[np.newaxis])[0]
        return Scored(scores, (time.perf_counter() - started) * 1000)


def load(sessions: Sessions, store: ObjectStore, artifact: Artifact, *, threads: int = 2) -> Loaded:
    """Fetch a version's converted file, compare it with its SHA-256, and load it; damage that is met is written down.

    `threads` are those of the model in bulk work.

    Raises `ModelUnavailable`, `ModelCorrupt`, `StoreError`.
    """
    data = read_file(sessions, store, artifact.version_id, artifact.litert)
    return Loaded(artifact, LiteRTModel(data, artifact.spec, artifact.labels, threads=threads))


class ModelServer:
    """The versions that this process runs. Make it after the process has forked; every method is thread-safe."""

    def __init__(self, sessions: Sessions, store: ObjectStore) -> None:
        self._sessions = sessions
        self._store = store
        self._lock = threading.Lock()
        self._found: TTLCache[ModelRef, Artifact] = TTLCache(maxsize=256, ttl=ALIAS_CACHE_S)
        self._loaded: dict[int, Loaded] = {}
        self._loading: dict[int, threading.Lock] = {}

    def get(self, ref: ModelRef) -> Loaded:
        """Return a version, loaded at its first use; a herd of callers loads it once. Raises `NotFound`, `ModelUnavailable`, `ModelCorrupt`."""
        with self._lock:
            artifact = self._found.get(ref)
        if artifact is None:
            artifact = find_version(self._sessions, ref.model, version=ref.version, alias=ref.alias)
            with self._lock:
                self._found[ref] = artifact
        version_id = artifact.version_id
        loaded = self._loaded.get(version_id)
        if loaded is None:
            with self._lock:
                mine = self._loading.setdefault(version_id, threading.Lock())
            with mine:
                if version_id not in self._loaded:
                    self._loaded[version_id] = load(self._sessions, self._store, artifact)
                loaded = self._loaded[version_id]
        # The file of a version never changes; its labels may get other names.
        return Loaded(artifact, loaded.runtime)

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
