"""Models, their versions and aliases, and what they made of pictures."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    REAL,
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import SCHEMA, SHA256, ZONE, AccountRef, Base, CreatedAt, Id


class Model(Base):
    __tablename__ = "model"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint("name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'", name="name_form"),
        {"comment": "A name under which versions are registered."},
    )
    id: Mapped[Id]
    name: Mapped[str]
    created_at: Mapped[CreatedAt]


class ModelVersion(Base):
    __tablename__ = "model_version"
    __table_args__ = (
        UniqueConstraint("model_id", "number"),
        UniqueConstraint("model_id", "id"),
        UniqueConstraint("artifact_key"),
        UniqueConstraint("litert_key"),
        Index("ix_model_version_snapshot_id", "snapshot_id"),
        CheckConstraint("number > 0", name="number"),
        CheckConstraint("state IN ('PENDING', 'READY', 'RETIRED')", name="state"),
        CheckConstraint(f"artifact_sha256 {SHA256} AND litert_sha256 {SHA256}", name="sha256_hex"),
        CheckConstraint("runtime IN ('litert', 'keras')", name="runtime"),
        CheckConstraint(
            "num_nulls(litert_key, litert_sha256, litert_size) = CASE runtime WHEN 'litert' THEN 0 ELSE 3 END",
            name="runtime_has_file",
        ),
        CheckConstraint("(state = 'RETIRED') = (retired_at IS NOT NULL)", name="retired_has_time"),
        CheckConstraint("damage IN ('lost', 'corrupt')", name="damage"),
        CheckConstraint("(damage IS NULL) = (damaged_at IS NULL)", name="damage_has_time"),
        CheckConstraint(
            "jsonb_typeof(input_spec) = 'object' AND jsonb_typeof(preprocessing) = 'object'", name="recipes_are_objects"
        ),
        {"comment": "Exactly what produced a prediction: file, input, preprocessing, classes."},
    )
    id: Mapped[Id]
    model_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.model.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(Integer)
    state: Mapped[str]
    artifact_key: Mapped[str] = mapped_column(comment="the .keras file in the bucket")
    artifact_sha256: Mapped[str]
    artifact_size: Mapped[int]
    litert_key: Mapped[str | None] = mapped_column(comment="the converted file that the web process runs")
    litert_sha256: Mapped[str | None]
    litert_size: Mapped[int | None]
    input_spec: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="height, width, channels, dtype")
    preprocessing: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="how a picture becomes the input")
    metrics: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    damage: Mapped[str | None] = mapped_column(comment="lost or corrupt: what is wrong with its files in the bucket")
    damaged_at: Mapped[datetime | None]
    verified_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), comment="when its files were last read back and compared with their SHA-256, by fsck"
    )
    retired_at: Mapped[datetime | None] = mapped_column(comment="since when no new prediction is made by it")
    snapshot_id: Mapped[int | None] = mapped_column(
        ForeignKey(f"{SCHEMA}.snapshot.id", ondelete="RESTRICT"),
        comment="the pictures that it was trained on, where they are known",
    )
    created_by: Mapped[AccountRef]
    created_at: Mapped[CreatedAt]
    runtime: Mapped[str] = mapped_column(
        server_default=text("'litert'"), comment="litert, or keras for what cannot be converted: the .keras file is run then"
    )


class ModelClass(Base):
    __tablename__ = "model_class"
    __table_args__ = (
        UniqueConstraint("model_version_id", "label_id"),
        CheckConstraint("position >= 0", name="position"),
        {"comment": "Output number `position` of a version means this label."},
    )
    model_version_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.model_version.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    label_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.label.id", ondelete="RESTRICT"))


class ModelAlias(Base):
    __tablename__ = "model_alias"
    __table_args__ = (
        # Both columns, so that an alias can only point at a version of its own model.
        ForeignKeyConstraint(
            ["model_id", "model_version_id"],
            [f"{SCHEMA}.model_version.model_id", f"{SCHEMA}.model_version.id"],
            name="fk_model_alias_version",
            ondelete="CASCADE",
        ),
        CheckConstraint("alias ~ '^[a-z][a-z0-9_-]{0,31}$'", name="alias_form"),
        {"comment": "A movable name for a version, such as champion."},
    )
    model_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.model.id", ondelete="CASCADE"), primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    model_version_id: Mapped[int]
    updated_by: Mapped[AccountRef]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ModelAliasEvent(Base):
    __tablename__ = "model_alias_event"
    __table_args__ = (
        Index("ix_model_alias_event_model_id_alias_id", "model_id", "alias", "id"),
        CheckConstraint("from_version_id IS DISTINCT FROM to_version_id", name="is_a_change"),
        {"comment": "Every move of an alias, written by a trigger, append-only."},
    )
    id: Mapped[Id]
    model_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.model.id", ondelete="CASCADE"))
    alias: Mapped[str]
    from_version_id: Mapped[int | None] = mapped_column(
        ForeignKey(f"{SCHEMA}.model_version.id", ondelete="CASCADE"), comment="NULL: it named none"
    )
    to_version_id: Mapped[int | None] = mapped_column(
        ForeignKey(f"{SCHEMA}.model_version.id", ondelete="CASCADE"), comment="NULL: it was removed"
    )
    is_rollback: Mapped[bool] = mapped_column(server_default=text("false"))
    account_id: Mapped[AccountRef]
    database_user: Mapped[str] = mapped_column(
        server_default=text("session_user"), comment="who, when the change came by plain SQL"
    )
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Prediction(Base):
    __tablename__ = "prediction"
    __table_args__ = (
        UniqueConstraint("image_id", "model_version_id"),
        Index("ix_prediction_version_label", "model_version_id", "label_id", "image_id"),
        Index("ix_prediction_version_score", "model_version_id", "score", "image_id", postgresql_where=text("error IS NULL")),
        Index(
            "ix_prediction_zone_score",
            "model_version_id",
            ZONE,
            "score",
            "image_id",
            postgresql_where=text("error IS NULL"),
        ),
        CheckConstraint(
            "(error IS NULL) = (label_id IS NOT NULL AND score IS NOT NULL AND scores IS NOT NULL)", name="result_or_error"
        ),
        CheckConstraint("score >= 0 AND score <= 1", name="score"),
        {"comment": "What one model version made of one picture: one row at most."},
    )
    id: Mapped[Id]
    image_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.image.id", ondelete="CASCADE"))
    model_version_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.model_version.id", ondelete="RESTRICT"))
    label_id: Mapped[int | None] = mapped_column(ForeignKey(f"{SCHEMA}.label.id", ondelete="RESTRICT"))
    score: Mapped[float | None] = mapped_column(REAL, comment="of the best class, 0 to 1")
    scores: Mapped[list[float] | None] = mapped_column(
        ARRAY(REAL), comment="of every class, in the order of model_class.position"
    )
    margin: Mapped[float | None] = mapped_column(
        REAL, Computed("pixref.margin_of(scores)", persisted=True), comment="score of the best class less that of the second"
    )
    entropy: Mapped[float | None] = mapped_column(
        REAL, Computed("pixref.entropy_of(scores)", persisted=True), comment="of the scores, in nats"
    )
    error: Mapped[str | None] = mapped_column(comment="why this picture could not be predicted")
    latency_ms: Mapped[float | None] = mapped_column(REAL, comment="preprocessing and model, without fetching the bytes")
    created_by: Mapped[AccountRef]
    created_at: Mapped[CreatedAt]
