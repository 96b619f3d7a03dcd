"""Predictions as rows: one for each picture and model version, and only of pictures that are there."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
from sqlalchemy import ARRAY, REAL, BigInteger, bindparam, exists, func, select
from sqlalchemy.dialects.postgresql import Insert, insert

from schema.prepared import Prepared
from schema.session import Sessions, single
from schema.tables import Image, Label, Model, ModelAlias, ModelClass, ModelVersion, Prediction
from service.accounts.actor import Actor
from service.models.registry import CHAMPION, Artifact
from service.pictures.search import no_such_image


@dataclass(frozen=True, slots=True)
class Scored:
    """A model's answer: one score a class, float32, and how long it took in milliseconds."""

    scores: npt.NDArray[np.float32]
    latency_ms: float

    @property
    def best_score(self) -> float:
        """The highest score; a softmax may exceed 1 by its rounding, a probability does not."""
        return min(1.0, max(0.0, float(self.scores.max())))

    @property
    def best(self) -> int:
        """The position of the highest score."""
        return int(self.scores.argmax())


@dataclass(frozen=True, slots=True)
class StoredPrediction:
    """A prediction as a picture's page shows it; `scores` highest first."""

    model: str
    version: int
    champion: bool
    label: str
    score: float
    scores: list[tuple[str, float]]
    latency_ms: float | None
    created_at: datetime


RESULT = ("label_id", "score", "scores", "error", "latency_ms", "created_by")
"""What a repeated prediction replaces."""


def replacing(statement: Insert) -> Insert:
    """Let an INSERT replace the row that is there."""
    new = {name: statement.excluded[name] for name in RESULT}
    return statement.on_conflict_do_update(
        index_elements=["image_id", "model_version_id"], set_={**new, "created_at": func.now()}
    )


# FOR KEY SHARE: the picture cannot be removed, nor the label merged into another, between this check and the row that refers to it.
_STORE = Prepared(
    "pixref_store_prediction",
    replacing(
        insert(Prediction).from_select(
            ["image_id", "model_version_id", "label_id", "score", "scores", "latency_ms", "created_by"],
            select(
                Image.id,
                bindparam("model_version_id", type_=BigInteger),
                func.coalesce(Label.merged_into_id, Label.id),
                bindparam("score", type_=REAL),
                bindparam("scores", type_=ARRAY(REAL)),
                bindparam("latency_ms", type_=REAL),
                bindparam("created_by", type_=BigInteger),
            )
            .join(Label, Label.id == bindparam("label_id", type_=BigInteger))
            .where(Image.id == bindparam("image_id", type_=BigInteger), Image.state == "READY")
            .with_for_update(read=True, key_share=True),
        )
    ).returning(Prediction.image_id),
)


def store_prediction(sessions: Sessions, image_id: int, artifact: Artifact, scored: Scored, *, actor: Actor) -> None:
    """Write one prediction in place of an earlier one by the same version. Raises `NotFound` when the picture went meanwhile."""
    row = {
        "image_id": image_id,
        "model_version_id": artifact.version_id,
        "label_id": artifact.label_ids[scored.best],
        "score": scored.best_score,
        "scores": scored.scores.tolist(),
        "latency_ms": scored.latency_ms,
        "created_by": actor.account_id,
    }
    with single(sessions) as connection:
        done = _STORE.one_or_none(connection, row)
    if done is None:
        raise no_such_image(image_id)


def predictions_of(sessions: Sessions, image_id: int) -> list[StoredPrediction]:
    """Return every prediction of a picture, newest version first within its model."""
    champion = exists().where(ModelAlias.model_version_id == ModelVersion.id, ModelAlias.alias == CHAMPION)
    labels = func.array(
        select(Label.name)
        .join(ModelClass, ModelClass.label_id == Label.id)
        .where(ModelClass.model_version_id == ModelVersion.id)
        .order_by(ModelClass.position)
        .correlate(ModelVersion)
        .scalar_subquery()
    )
    query = (
        select(
            Model.name,
            ModelVersion.number,
            champion,
            Label.name,
            Prediction.score,
            Prediction.scores,
            labels,
            Prediction.latency_ms,
            Prediction.created_at,
        )
        .join(ModelVersion, ModelVersion.id == Prediction.model_version_id)
        .join(Model, Model.id == ModelVersion.model_id)
        .join(Label, Label.id == Prediction.label_id)
        .where(Prediction.image_id == image_id)
        .order_by(Model.name, ModelVersion.number.desc())
    )
    found = []
    with sessions() as session:
        for model, version, is_champion, label, score, scores, names, latency_ms, created_at in session.execute(query):
            ranked = sorted(zip(names, scores, strict=True), key=lambda pair: -pair[1])
            found.append(StoredPrediction(model, version, is_champion, label, score, ranked, latency_ms, created_at))
    return found
