"""A contact sheet: pictures with label and prediction in one PNG, drawn with Matplotlib."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sqlalchemy import select

from schema.session import Sessions
from schema.tables import Image, Label, Model, ModelAlias, ModelVersion, Prediction
from service.errors import NotFound
from service.models.registry import CHAMPION
from service.pictures.fetch import read_bytes, references
from service.png.pixels import decode_stored
from storage.base import ObjectStore

AGREES, DIFFERS, UNKNOWN = "#1a7f37", "#cf222e", "#57606a"


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture with what people and the model say of it."""

    image_id: int
    label: str | None
    predicted: str | None
    score: float | None
    data: bytes


def pick(sessions: Sessions, store: ObjectStore, *, count: int, model: str) -> list[Sample]:
    """Return the first pictures, with the champion's prediction where there is one. Raises `NotFound` when there are none."""
    guess, own = Label.__table__.alias("guess"), Label.__table__.alias("own")
    champion = (
        select(ModelAlias.model_version_id)
        .join(ModelVersion, ModelVersion.id == ModelAlias.model_version_id)
        .join(Model, Model.id == ModelVersion.model_id)
        .where(Model.name == model, ModelAlias.alias == CHAMPION)
        .scalar_subquery()
    )
    query = (
        select(Image.id, own.c.name, guess.c.name, Prediction.score)
        .outerjoin(own, own.c.id == Image.label_id)
        .outerjoin(Prediction, (Prediction.image_id == Image.id) & (Prediction.model_version_id == champion))
        .outerjoin(guess, guess.c.id == Prediction.label_id)
        .where(Image.state == "READY")
        .order_by(Image.id)
        .limit(count)
    )
    with sessions() as session:
        rows = session.execute(query).all()
        pictures = references(session.connection(), [row[0] for row in rows], with_bytes=True)
    if not rows:
        raise NotFound("there are no pictures yet: `pixref load mnist --count 1000`")
    return [
        Sample(image_id, label, predicted, score, read_bytes(store, pictures[image_id]))
        for image_id, label, predicted, score in rows
        if image_id in pictures
    ]


def draw(samples: Sequence[Sample], out: Path) -> None:
    """Draw the samples as a grid: title green where label and prediction agree, red where they differ."""
    columns = math.ceil(math.sqrt(len(samples)))
    rows = math.ceil(len(samples) / columns)
    figure = Figure(figsize=(1.5 * columns, 1.75 * rows), layout="constrained")
    for place, sample in enumerate(samples, start=1):
        axes = figure.add_subplot(rows, columns, place)
        pixels = decode_stored(sample.data)
        gray = pixels.shape[2] <= 2
        top = np.iinfo(pixels.dtype).max
        axes.imshow(pixels[:, :, 0] if gray else pixels, cmap="gray" if gray else None, vmin=0, vmax=top)
        axes.set_axis_off()
        known = sample.label is not None and sample.predicted is not None
        color = UNKNOWN if not known else AGREES if sample.label == sample.predicted else DIFFERS
        guess = f" → {sample.predicted} ({sample.score:.2f})" if sample.predicted is not None else ""
        axes.set_title(f"{sample.label or '?'}{guess}", fontsize=8, color=color)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    out.write_bytes(buffer.getvalue())
