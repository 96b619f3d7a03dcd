"""Predict many stored pictures: a pure function over a batch of references, and the walk that feeds it.

`predict_batch` takes ids and writes rows; it opens its own sessions and knows nothing of progress, queues or processes, so that the same
function runs inline, over a pool, or in a worker.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from sqlalchemy import exists, func, select

from schema.session import Sessions, single
from schema.tables import Image, Prediction
from service.accounts.actor import Actor
from service.errors import ModelOutputInvalid, PixrefError
from service.models.predictions import Scored, store_predictions
from service.models.preprocessing import to_model_input
from service.models.serving import Loaded
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


def _unpredicted(version_id: int) -> object:
    return ~exists().where(Prediction.image_id == Image.id, Prediction.model_version_id == version_id, Prediction.error.is_(None))


def count_unpredicted(sessions: Sessions, version_id: int) -> int:
    """Return how many pictures this version has not predicted."""
    query = select(func.count()).select_from(Image).where(Image.state == "READY", _unpredicted(version_id))  # type: ignore[arg-type]
    with sessions() as session:
        return session.scalars(query).one()


def batches_unpredicted(sessions: Sessions, version_id: int, *, size: int = BATCH) -> Iterator[list[int]]:
    """Walk over the ids of all pictures that this version has not predicted, oldest first, in batches; each once."""
    after = 0
    while True:
        query = (
            select(Image.id)
            .where(Image.state == "READY", Image.id > after, _unpredicted(version_id))  # type: ignore[arg-type]
            .order_by(Image.id)
            .limit(size)
        )
        with sessions() as session:
            ids = list(session.scalars(query))
        if not ids:
            return
        yield ids
        after = ids[-1]


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
