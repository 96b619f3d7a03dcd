"""Evaluations as they are shown: their numbers, confusion, labels, calibration, and the mistakes behind them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from schema.session import Sessions
from service.errors import NotFound

LIST_MAX = 500


@dataclass(frozen=True, slots=True)
class EvaluationInfo:
    """An evaluation as lists show it. Shares are 0 to 1; `log_loss` is in nats; `leaked` None: nobody knows what the version was trained on."""

    id: int
    model: str
    version: int
    snapshot: str
    pictures: int
    failed: int
    correct: int
    accuracy: float | None
    macro_f1: float | None
    log_loss: float | None
    calibration_error: float | None
    leaked: int | None
    leaked_near: int | None
    created_by: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Cell:
    """So many pictures of one label were seen as another, or as the same."""

    label: str
    predicted: str
    pictures: int


@dataclass(frozen=True, slots=True)
class Class:
    """How well a label was recognised; None where there is nothing to divide by."""

    label: str
    pictures: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class Bin:
    """Of the pictures whose best score is between two, how many are right."""

    score_from: float
    score_to: float
    pictures: int
    mean_score: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that an evaluation says. Cells come by label and prediction, labels as people would sort them."""

    info: EvaluationInfo
    cells: list[Cell]
    classes: list[Class]
    bins: list[Bin]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A picture that the version sees as something else than its label, as both are now."""

    image_id: int
    label: str
    predicted: str
    score: float


_INFOS = (
    "SELECT evaluation_id, model, version, snapshot, pictures, failed, correct, accuracy, macro_f1, log_loss, calibration_error, leaked, "
    "leaked_near, created_by, created_at FROM catalog.evaluations "
)
_NUMBERS_FIRST = "(CASE WHEN label ~ '^[0-9]{1,15}$' THEN label::bigint END) NULLS LAST, label"
_CELLS = text(
    f"SELECT label, predicted, pictures FROM catalog.evaluation_cells WHERE evaluation_id = :id ORDER BY {_NUMBERS_FIRST}, predicted"  # noqa: S608
)
_CLASSES = text(
    "SELECT label, pictures, precision, recall, f1 FROM catalog.evaluation_classes "  # noqa: S608
    f"WHERE evaluation_id = :id ORDER BY {_NUMBERS_FIRST}"
)
_BINS = text(
    "SELECT score_from, score_to, pictures, mean_score, accuracy FROM catalog.evaluation_bins "
    "WHERE evaluation_id = :id ORDER BY score_from"
)
_MISTAKES = text(
    """
    SELECT i.id, l.name, pl.name, p.score
    FROM pixref.evaluation e
    JOIN pixref.snapshot_image si ON si.snapshot_id = e.snapshot_id
    JOIN pixref.image i ON i.id = si.image_id AND i.state = 'READY'
    JOIN pixref.prediction p ON p.image_id = i.id AND p.model_version_id = e.model_version_id AND p.label_id <> i.label_id
    JOIN pixref.label l ON l.id = i.label_id
    JOIN pixref.label pl ON pl.id = p.label_id
    WHERE e.id = :id
    ORDER BY p.score DESC, i.id LIMIT :most"""
)


def list_evaluations(
    sessions: Sessions, *, model: str | None = None, limit: int = 50, before: int | None = None
) -> list[EvaluationInfo]:
    """Return evaluations, newest first: those of a model, and those before one of them."""
    query = text(
        _INFOS
        + "WHERE (CAST(:model AS text) IS NULL OR model = :model) AND (CAST(:before AS bigint) IS NULL OR evaluation_id < :before) "
        "ORDER BY evaluation_id DESC LIMIT :limit"
    )
    with sessions() as session:
        found = session.execute(query, {"model": model, "before": before, "limit": limit})
        return [EvaluationInfo(*row) for row in found]


def newest_evaluations(sessions: Sessions) -> dict[tuple[str, int], EvaluationInfo]:
    """Return the newest evaluation of each version that has one with a picture in it, by model and version."""
    query = text(
        f"SELECT DISTINCT ON (model, version) e.* FROM ({_INFOS} WHERE accuracy IS NOT NULL) e ORDER BY model, version, evaluation_id DESC"  # noqa: S608
    )
    with sessions() as session:
        found = [EvaluationInfo(*row) for row in session.execute(query)]
    return {(info.model, info.version): info for info in found}


def find_evaluation(sessions: Sessions, evaluation_id: int) -> Report:
    """Return everything that an evaluation says. Raises `NotFound`."""
    which = {"id": evaluation_id}
    with sessions() as session:
        row = (
            session.execute(text(_INFOS + "WHERE evaluation_id = :id"), which).one_or_none()
            if 0 < evaluation_id < 2**63
            else None
        )
        if row is None:
            raise NotFound(f"there is no evaluation {evaluation_id}: catalog.evaluations and GET /api/v1/evaluations show them")
        cells, classes, bins = (session.execute(query, which).all() for query in (_CELLS, _CLASSES, _BINS))
    return Report(
        EvaluationInfo(*row), [Cell(*each) for each in cells], [Class(*each) for each in classes], [Bin(*each) for each in bins]
    )


def worst_mistakes(sessions: Sessions, evaluation_id: int, *, most: int = 24) -> Sequence[Mistake]:
    """Return the mistakes of which the version was surest."""
    with sessions() as session:
        return [Mistake(*row) for row in session.execute(_MISTAKES, {"id": evaluation_id, "most": most})]
