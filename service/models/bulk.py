"""Predict many stored pictures: a pure function over a batch of references, and what tells those that are still to be done.

`predict_batch` takes ids and writes rows; it opens its own sessions and knows nothing of progress, queues or processes, so that the same
function runs inline, over a pool, or in a worker.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from sqlalchemy import ColumnElement, exists

from schema.session import Sessions
from schema.tables import Image, Prediction
from service.accounts.actor import Actor
from service.errors import ModelOutputInvalid, PixrefError
from service.models.prediction_rows import store_predictions
from service.models.predictions import Scored
from service.models.preprocessing import Floats, Pixels, to_model_inputs
from service.models.serving import Loaded
from service.models.spec import InputSpec, Preprocessing
from service.pictures.reading import read_many
from service.png.batch import decode_alike
from service.png.pixels import decode_stored
from storage.base import ObjectStore

# Measured: of half as many, each row costs PostgreSQL a tenth more; of twice as many it costs the same.
BATCH = 1024
# Of the weights in a batch. Small pictures do not come near it; of pictures that are fetched it is 250, of photographs a few.
BATCH_WEIGHT = 16 * 1024 * 1024
# What the prepared pictures of a batch take in memory.
INPUT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Predicted:
    """How many pictures of a batch have a prediction now, and how many an error."""

    done: int
    failed: int


def batch_size(spec: InputSpec) -> int:
    """Return how many pictures of a model are best predicted at once."""
    return max(1, min(BATCH, INPUT_BYTES // (4 * spec.height * spec.width * spec.channels)))


def is_predicted(version_id: int, *, since: datetime | None = None) -> ColumnElement[bool]:
    """Return what is true of a row of `image` that this version has predicted, or has since that time; a failed try does not count."""
    conditions = [
        Prediction.image_id == Image.id,
        Prediction.model_version_id == version_id,
        Prediction.error.is_(None),
        *([Prediction.created_at >= since] if since is not None else []),
    ]
    return exists().where(*conditions)


def batches(pictures: Iterable[tuple[int, int]], size: int) -> Iterator[list[int]]:
    """Cut pictures, each with its weight, into lists of at most `size` ids and about `BATCH_WEIGHT`: a batch takes a second or so at most."""
    batch: list[int] = []
    total = 0
    for image_id, weight in pictures:
        batch.append(image_id)
        total += weight
        if len(batch) == size or total >= BATCH_WEIGHT:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def predict_batch(sessions: Sessions, store: ObjectStore, loaded: Loaded, image_ids: Sequence[int], *, actor: Actor) -> Predicted:
    """Predict these pictures and commit a row for each; a picture that cannot be predicted gets a row that says why.

    Raises `StoreError` when the store is in trouble: that is not a picture's fault, and the batch can be repeated.
    """
    prepared = _Prepared(loaded.artifact.spec, loaded.artifact.recipe)
    files: dict[int, bytes] = {}
    for image_id, data in read_many(sessions, store, image_ids).items():
        if isinstance(data, PixrefError):
            prepared.fail(image_id, data)
        else:
            files[image_id] = data
    prepared.add(list(files), list(files.values()))
    results: dict[int, Scored | str] = dict(prepared.errors)
    if prepared.image_ids:
        with prepared.measured():
            scores = _run(loaded, np.concatenate(prepared.inputs))
        each_ms = prepared.seconds * 1000 / len(prepared.image_ids)
        for image_id, score in zip(prepared.image_ids, scores, strict=True):
            results[image_id] = score if isinstance(score, str) else Scored(score, each_ms)
    written = store_predictions(sessions, loaded.artifact, results, actor=actor)
    failed = sum(isinstance(results[image_id], str) for image_id in written)
    return Predicted(len(written) - failed, failed)


@dataclass(slots=True)
class _Prepared:
    """A batch on its way to the model. `inputs` are the arrays of `image_ids`, one after the other; `seconds` is what making them took."""

    spec: InputSpec
    recipe: Preprocessing
    image_ids: list[int] = field(default_factory=list)
    inputs: list[Floats] = field(default_factory=list)
    errors: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0

    @contextmanager
    def measured(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - started

    def add(self, image_ids: Sequence[int], files: Sequence[bytes]) -> None:
        """Decode and prepare pictures whose bytes are proven."""
        left = set(range(len(files)))
        with self.measured():
            for alike in decode_alike(files):
                left.difference_update(alike.places)
                self._add([image_ids[place] for place in alike.places], alike.pixels)
            for place in sorted(left):
                try:
                    pixels = decode_stored(files[place])
                except PixrefError as exc:
                    self.fail(image_ids[place], exc)
                else:
                    self._add([image_ids[place]], pixels[np.newaxis])

    def _add(self, image_ids: list[int], pixels: Pixels) -> None:
        try:
            inputs = to_model_inputs(pixels, self.spec, self.recipe)
        except PixrefError as exc:
            for image_id in image_ids:
                self.fail(image_id, exc)
        else:
            self.image_ids += image_ids
            self.inputs.append(inputs)

    def fail(self, image_id: int, exc: PixrefError) -> None:
        """Write down why a picture cannot be predicted."""
        self.errors[image_id] = f"{exc.code}: {exc.detail}"


def _run(loaded: Loaded, inputs: Floats) -> Iterable[Floats | str]:
    """Run the model over prepared pictures. Where it answers nonsense to one, that one gets the reason and the others their scores."""
    try:
        return loaded.runtime.predict(inputs)
    except ModelOutputInvalid as exc:
        if len(inputs) == 1:
            return [f"{exc.code}: {exc.detail}"]
        return [result for place in range(len(inputs)) for result in _run(loaded, inputs[place : place + 1])]
