"""Frozen sets of pictures: what a model was trained on, what it was measured by."""

from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import SCHEMA, SHA256, AccountRef, Base, CreatedAt, Id


class Snapshot(Base):
    __tablename__ = "snapshot"
    __table_args__ = (
        UniqueConstraint("digest"),
        CheckConstraint(f"digest {SHA256}", name="digest_hex"),
        CheckConstraint("pictures > 0", name="pictures"),
        CheckConstraint("jsonb_typeof(selection) = 'object'", name="selection_object"),
        {"comment": "A frozen set of labelled pictures, each with the label and the split that it had. Never changed."},
    )
    id: Mapped[Id]
    digest: Mapped[str] = mapped_column(
        comment="SHA-256 over its lines `sha256 TAB label TAB split LF`, in their order: equal sets have equal digests"
    )
    pictures: Mapped[int] = mapped_column(comment="how many")
    selection: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="what was asked for when it was first taken")
    created_by: Mapped[AccountRef]
    created_at: Mapped[CreatedAt]


class SnapshotImage(Base):
    __tablename__ = "snapshot_image"
    __table_args__ = (
        Index("ix_snapshot_image_image_id", "image_id"),
        CheckConstraint(f"sha256 {SHA256}", name="sha256_hex"),
        {"comment": "A picture of a frozen set. Names are copied: what becomes of a label later changes nothing here."},
    )
    snapshot_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.snapshot.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True, comment="of its bytes: says which picture it was, even when it is gone")
    image_id: Mapped[int | None] = mapped_column(
        ForeignKey(f"{SCHEMA}.image.id", ondelete="SET NULL"), comment="NULL when it is gone"
    )
    label: Mapped[str]
    split: Mapped[str | None]
