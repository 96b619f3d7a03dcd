"""Thousands of predictions as rows, in one transaction: by COPY, which takes half the time of INSERT, and by INSERT where a row is to be replaced.

Nearly all of the time is PostgreSQL's own: five indexes, four foreign keys and two computed columns a row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import any_, exists, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from schema.copying import copy_in
from schema.queries.words import hold_words
from schema.session import Sessions, constraint_of
from schema.tables import Image, Label, Prediction
from service.accounts.actor import Actor
from service.models.predictions import RESULT, Scored, replacing
from service.models.registry import Artifact
from service.pictures.bulk_changes import ids_array

ONE_A_VERSION = "uq_prediction_image_id_model_version_id"
_COPY = "pixref.prediction (image_id, model_version_id, label_id, score, scores, latency_ms, created_by)"
_REAL_OID = 700

# One array for all scores, of which each row gets its part: PostgreSQL has arrays of several dimensions, but takes them apart to single numbers.
_REPLACE = text(
    f"""
    INSERT INTO pixref.prediction (image_id, model_version_id, label_id, score, scores, latency_ms, created_by)
    SELECT r.image_id, :version, r.label_id, r.score,
           (CAST(:scores AS real[]))[(r.place - 1) * :classes + 1 : r.place * :classes], r.latency_ms, :actor
    FROM unnest(CAST(:images AS bigint[]), CAST(:labels AS bigint[]), CAST(:best AS real[]), CAST(:latencies AS real[]))
         WITH ORDINALITY AS r (image_id, label_id, score, latency_ms, place)
    ORDER BY r.image_id
    ON CONFLICT (image_id, model_version_id) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in RESULT)}, created_at = now()"""  # noqa: S608  (our own columns)
)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Predictions side by side, by picture upwards: two writers of the same ones cannot wait for each other in a ring."""

    image_ids: npt.NDArray[np.int64]
    label_ids: npt.NDArray[np.int64]
    best: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    latencies: npt.NDArray[np.float32]

    def only(self, places: npt.NDArray[np.intp]) -> "_Rows":
        return _Rows(
            self.image_ids[places], self.label_ids[places], self.best[places], self.scores[places], self.latencies[places]
        )


def store_predictions(sessions: Sessions, artifact: Artifact, results: Mapping[int, Scored | str], *, actor: Actor) -> list[int]:
    """Write many predictions, or why there is none, by picture; returns which. Pictures that went meanwhile are passed over."""
    best = {artifact.label_ids[result.best] for result in results.values() if isinstance(result, Scored)}
    with sessions() as session, session.begin():
        now = hold_words(session, Label, best)
        present = _hold_images(session, artifact, list(results))
        scored = [image_id for image_id in present if isinstance(results[image_id], Scored)]
        if scored:
            rows = _side_by_side(artifact, scored, results, now)
            _store_scored(session, artifact, rows, np.array([present[image_id] for image_id in scored]), actor)
        errors = {image_id: result for image_id in present if isinstance(result := results[image_id], str)}
        if errors:
            _store_errors(session, artifact, errors, actor)
    return list(present)


def _hold_images(session: Session, artifact: Artifact, image_ids: Sequence[int]) -> dict[int, bool]:
    """Return those of the pictures that are visible, upwards, and whether each has a row of this version already.

    FOR KEY SHARE: none of them can be removed until the transaction ends.
    """
    has_row = exists().where(Prediction.image_id == Image.id, Prediction.model_version_id == artifact.version_id)
    query = (
        select(Image.id, has_row)
        .where(Image.id == any_(ids_array(image_ids)), Image.state == "READY")
        .order_by(Image.id)
        .with_for_update(read=True, key_share=True, of=Image)
    )
    return {row[0]: row[1] for row in session.execute(query)}


def _side_by_side(
    artifact: Artifact, image_ids: Sequence[int], results: Mapping[int, Scored | str], now: Mapping[int, int]
) -> _Rows:
    scored = [result for image_id in image_ids if isinstance(result := results[image_id], Scored)]
    scores = np.stack([each.scores for each in scored])
    labels = np.array([now.get(label_id, label_id) for label_id in artifact.label_ids], np.int64)
    return _Rows(
        np.array(image_ids, np.int64),
        labels[scores.argmax(axis=1)],
        scores.max(axis=1).clip(0, 1),
        scores,
        np.array([each.latency_ms for each in scored], np.float32),
    )


def _store_scored(session: Session, artifact: Artifact, rows: _Rows, replaces: npt.NDArray[np.bool_], actor: Actor) -> None:
    fresh = rows.only(np.flatnonzero(~replaces))
    if len(fresh.image_ids):
        try:
            with session.begin_nested():
                copy_in(session.connection(), _COPY, _copied(artifact, fresh, actor))
        except IntegrityError as exc:
            # Somebody else has predicted one of them since we looked, and was not seen by this statement.
            if constraint_of(exc) != ONE_A_VERSION:
                raise
            _replace(session, artifact, fresh, actor)
    known = rows.only(np.flatnonzero(replaces))
    if len(known.image_ids):
        _replace(session, artifact, known, actor)


def _copied(artifact: Artifact, rows: _Rows, actor: Actor) -> bytes:
    """Return the rows as COPY takes them: every field behind its length in bytes, numbers with the highest byte first."""
    classes = rows.scores.shape[1]
    element = [("length", ">i4"), ("value", ">f4")]
    creator = [("created_by_length", ">i4")] + ([("created_by", ">i8")] if actor.account_id is not None else [])
    made = np.zeros(
        len(rows.image_ids),
        np.dtype(
            [
                ("fields", ">i2"),
                *(("image_id_length", ">i4"), ("image_id", ">i8")),
                *(("version_length", ">i4"), ("version", ">i8")),
                *(("label_id_length", ">i4"), ("label_id", ">i8")),
                *(("score_length", ">i4"), ("score", ">f4")),
                *(
                    ("scores_length", ">i4"),
                    ("dimensions", ">i4"),
                    ("nulls", ">i4"),
                    ("type", ">i4"),
                    ("size", ">i4"),
                    ("first", ">i4"),
                ),
                ("scores", element, (classes,)),
                *(("latency_length", ">i4"), ("latency", ">f4")),
                *creator,
            ]
        ),
    )
    for name in ("image_id", "version", "label_id"):
        made[f"{name}_length"] = 8
    for name in ("score", "latency"):
        made[f"{name}_length"] = 4
    made["fields"] = 7
    made["image_id"], made["version"], made["label_id"] = rows.image_ids, artifact.version_id, rows.label_ids
    made["score"], made["latency"] = rows.best, rows.latencies
    made["scores_length"] = 20 + 8 * classes
    made["dimensions"], made["type"], made["size"], made["first"] = 1, _REAL_OID, classes, 1
    made["scores"]["length"], made["scores"]["value"] = 4, rows.scores
    made["created_by_length"] = -1 if actor.account_id is None else 8
    if actor.account_id is not None:
        made["created_by"] = actor.account_id
    return made.tobytes()


def _replace(session: Session, artifact: Artifact, rows: _Rows, actor: Actor) -> None:
    session.execute(
        _REPLACE,
        {
            "version": artifact.version_id,
            "classes": rows.scores.shape[1],
            "actor": actor.account_id,
            "images": _array(rows.image_ids),
            "labels": _array(rows.label_ids),
            "best": _array(rows.best),
            "latencies": _array(rows.latencies),
            "scores": _array(rows.scores),
        },
    )


def _array(values: npt.NDArray[np.generic]) -> str:
    """Return the values as the text of an array. A float of 4 bytes as one of 8 has digits enough to come back as it was."""
    return "{" + ",".join(map(repr, values.ravel().tolist())) + "}"


def _store_errors(session: Session, artifact: Artifact, errors: Mapping[int, str], actor: Actor) -> None:
    nothing = dict.fromkeys(RESULT)
    rows = [
        {
            "image_id": image_id,
            "model_version_id": artifact.version_id,
            **nothing,
            "error": error,
            "created_by": actor.account_id,
        }
        for image_id, error in errors.items()
    ]
    session.execute(replacing(insert(Prediction)), rows)
