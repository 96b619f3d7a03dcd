"""How well a model version did on a frozen set of pictures."""

from sqlalchemy import REAL, CheckConstraint, ForeignKey, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import SCHEMA, AccountRef, Base, CreatedAt, Id

BINS = 15


class Evaluation(Base):
    __tablename__ = "evaluation"
    __table_args__ = (
        Index("ix_evaluation_model_version_id", "model_version_id", "id"),
        Index("ix_evaluation_snapshot_id", "snapshot_id"),
        CheckConstraint("correct BETWEEN 0 AND pictures AND failed >= 0", name="counts"),
        CheckConstraint("calibration_error BETWEEN 0 AND 1", name="calibration_error"),
        {"comment": "What came of measuring a model version by a frozen set of pictures. Never changed."},
    )
    id: Mapped[Id]
    model_version_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.model_version.id", ondelete="RESTRICT"))
    snapshot_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.snapshot.id", ondelete="RESTRICT"))
    pictures: Mapped[int] = mapped_column(comment="that were predicted")
    failed: Mapped[int] = mapped_column(comment="that could not be predicted, or were gone")
    correct: Mapped[int] = mapped_column(comment="whose prediction is the label")
    log_loss: Mapped[float | None] = mapped_column(
        REAL, comment="mean of -ln of the label's score, in nats, over pictures whose label the version knows"
    )
    calibration_error: Mapped[float | None] = mapped_column(
        REAL, comment="expected calibration error: how far scores are from the share that is right, mean over pictures"
    )
    leaked: Mapped[int | None] = mapped_column(
        comment="pictures that the version was trained on; NULL: what it was trained on is not known"
    )
    leaked_near: Mapped[int | None] = mapped_column(comment="pictures that look like one that it was trained on")
    created_by: Mapped[AccountRef]
    created_at: Mapped[CreatedAt]


class EvaluationCell(Base):
    __tablename__ = "evaluation_cell"
    __table_args__ = (
        CheckConstraint("pictures > 0", name="pictures"),
        {"comment": "A cell of the confusion matrix that is not empty."},
    )
    evaluation_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.evaluation.id", ondelete="CASCADE"), primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True, comment="what the pictures show, as the set says")
    predicted: Mapped[str] = mapped_column(primary_key=True, comment="what the version made of them")
    pictures: Mapped[int]


class EvaluationBin(Base):
    __tablename__ = "evaluation_bin"
    __table_args__ = (
        CheckConstraint(f"bin BETWEEN 0 AND {BINS - 1}", name="bin"),
        CheckConstraint("pictures > 0 AND correct BETWEEN 0 AND pictures", name="counts"),
        {"comment": f"Pictures whose best score lies in one of {BINS} equal parts of 0 to 1."},
    )
    evaluation_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.evaluation.id", ondelete="CASCADE"), primary_key=True)
    bin: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    pictures: Mapped[int]
    correct: Mapped[int]
    mean_score: Mapped[float] = mapped_column(REAL)
