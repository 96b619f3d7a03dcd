"""Objects on their way into the bucket and out of it."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import SCHEMA, SHA256, Base, CreatedAt, Id


class IdempotencyKey(Base):
    __tablename__ = "idempotency_key"
    __table_args__ = (
        CheckConstraint("char_length(key) BETWEEN 1 AND 255", name="key_length"),
        CheckConstraint(f"fingerprint {SHA256}", name="fingerprint_hex"),
        Index("ix_idempotency_key_image_id", "image_id"),
        Index("ix_idempotency_key_created_at", "created_at"),
        {"comment": "Which picture a client's Idempotency-Key has led to; kept for a day."},
    )
    account_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.account.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(comment="SHA-256 of the request; another one under the same key is refused")
    image_id: Mapped[int | None] = mapped_column(
        ForeignKey(f"{SCHEMA}.image.id", ondelete="SET NULL"), comment="NULL when the picture is gone: the key is not free again"
    )
    created_at: Mapped[CreatedAt]


class DirectUpload(Base):
    __tablename__ = "direct_upload"
    __table_args__ = (
        UniqueConstraint("object_key"),
        Index("ix_direct_upload_lease_until", "lease_until"),
        CheckConstraint(f"sha256 {SHA256}", name="sha256_hex"),
        CheckConstraint("byte_size > 0", name="byte_size"),
        CheckConstraint("jsonb_typeof(description) = 'object'", name="description_object"),
        {"comment": "A presigned upload that has not been completed; after lease_until it is swept."},
    )
    id: Mapped[Id]
    object_key: Mapped[str]
    sha256: Mapped[str]
    byte_size: Mapped[int]
    description: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="name, label, tags, split, attributes")
    account_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.account.id", ondelete="CASCADE"))
    lease_until: Mapped[datetime]
    created_at: Mapped[CreatedAt]


class ObjectDeletion(Base):
    __tablename__ = "object_deletion"
    __table_args__ = (
        UniqueConstraint("object_key"),
        Index("ix_object_deletion_due_at", "due_at"),
        {"comment": "The outbox: an object that must go, written in the transaction that decided so."},
    )
    id: Mapped[Id]
    object_key: Mapped[str]
    reason: Mapped[str]
    due_at: Mapped[CreatedAt]
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    last_error: Mapped[str | None]
    created_at: Mapped[CreatedAt]
