"""Predict many stored pictures: a pure function over a batch of references, and what finds those that are still to be done.

`predict_batch` takes ids and writes rows; it opens its own sessions and knows nothing of progress, queues or processes, so that the same
function runs inline, over a pool, or in a worker.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy import any_, select

from schema.session import Sessions, single
from schema.tables import Prediction
from service.accounts.actor import Actor
from service.errors import ModelOutputInvalid, PixrefError
from service.models.predictions import Scored, store_predictions
from service.models.preprocessing import to_model_input
from service.models.serving import Loaded
from service.pictures.bulk_changes import ids_array
from service.pictures.damage import read_or_mark
from service.pictures.fetch import Reference, references
from service.png.pixels import decode_stored
from storage.base import ObjectStore

BATCH = 512
# Fetches that are under way at once; the time goes into waiting for the store.
FETCHERS = 8


@dataclass(frozen=True, slots=True)
class Predicted:
    """How many pictures of a batch have a prediction now, and how many an error."""

    done: int
    failed: int


def unpredicted(sessions: Sessions, version_id: int, image_ids: Sequence[int], *, since: datetime | None = None) -> list[int]:
    """Return, in their order, those that this version has not predicted, or not since that time; a failed try does not count."""
    done = select(Prediction.image_id).where(
        Prediction.model_version_id == version_id, Prediction.image_id == any_(ids_array(image_ids)), Prediction.error.is_(None)
    )
    if since is not None:
        done = done.where(Prediction.created_at >= since)
    with sessions() as session:
        known = set(session.scalars(done))
    return [image_id for image_id in image_ids if image_id not in known]


def predict_batch(sessions: Sessions, store: ObjectStore, loaded: Loaded, image_ids: Sequence[int], *, actor: Actor) -> Predicted:
    """Predict these pictures and commit a row for each; a picture that cannot be predicted gets a row that says why.

    Raises `StoreError` when the store is in trouble: that is not a picture's fault, and the batch can be repeated.
    """
    with single(sessions) as connection:
        pictures = list(references(connection, image_ids, with_bytes=True).values())

    def prepare(picture: Reference) -> np.ndarray | str:
        try:
            pixels = decode_stored(read_or_mark(sessions, store, picture))
            return to_model_input(pixels, loaded.artifact.spec, loaded.artifact.recipe)
        except PixrefError as exc:
            return f"{exc.code}: {exc.detail}"

    prepared: dict[int, np.ndarray] = {}
    results: dict[int, Scored | str] = {}
    started = time.perf_counter()
    run: Callable[..., Iterator[np.ndarray | str]] = map
    remote = [picture for picture in pictures if picture.inline is None]
    with ThreadPoolExecutor(FETCHERS if remote else 1) as pool:
        if remote:
            run = pool.map
        for picture, value in zip(pictures, run(prepare, pictures), strict=True):
            if isinstance(value, str):
                results[picture.image_id] = value
            else:
                prepared[picture.image_id] = value
    if prepared:
        scores = _run(loaded, list(prepared.values()))
        each_ms = (time.perf_counter() - started) * 1000 / len(prepared)
        for image_id, score in zip(prepared, scores, strict=True):
            results[image_id] = score if isinstance(score, str) else Scored(score, each_ms)
    store_predictions(sessions, loaded.artifact, results, actor=actor)
    failed = sum(isinstance(result, str) for result in results.values())
    return Predicted(len(results) - failed, failed)


def _run(loaded: Loaded, inputs: Sequence[np.ndarray]) -> Sequence[np.ndarray | str]:
    """Run the model over prepared pictures. Where it answers nonsense to one, that one gets the reason and the others their scores."""
    try:
        return list(loaded.runtime.predict(np.stack(inputs)))
    except ModelOutputInvalid as exc:
        if len(inputs) == 1:
            return [f"{exc.code}: {exc.detail}"]
        return [result for item in inputs for result in _run(loaded, [item])]
