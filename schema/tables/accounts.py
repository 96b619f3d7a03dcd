"""Who acts, and what was asked of the SQL door."""

from datetime import datetime
from typing import Any

from sqlalchemy import REAL, CheckConstraint, ForeignKey, Index, Integer, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import NAME_MAX, SCHEMA, SHA256, AccountRef, Base, CreatedAt, Id


class Account(Base):
    __tablename__ = "account"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint(f"char_length(name) BETWEEN 1 AND {NAME_MAX}", name="name_length"),
        {"comment": "A person or program that acts; named in histories."},
    )
    id: Mapped[Id]
    name: Mapped[str]
    created_at: Mapped[CreatedAt]


class ApiToken(Base):
    __tablename__ = "api_token"
    __table_args__ = (
        UniqueConstraint("token_sha256"),
        CheckConstraint("role IN ('viewer', 'editor', 'admin')", name="role"),
        CheckConstraint(f"token_sha256 {SHA256}", name="token_sha256_hex"),
        {"comment": "What a bearer of the token may do. The token itself is never stored."},
    )
    id: Mapped[Id]
    account_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.account.id", ondelete="CASCADE"), index=True)
    token_sha256: Mapped[str] = mapped_column(
        comment="SHA-256 of a token of 256 random bits: nothing to guess, so no slow hash is needed."
    )
    role: Mapped[str]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class AuditEvent(Base):
    __tablename__ = "audit_event"
    __table_args__ = (
        Index("ix_audit_event_account_id", "account_id", "id"),
        Index("ix_audit_event_started_at", "started_at"),
        CheckConstraint("char_length(query) <= 10000", name="query_length"),
        CheckConstraint("jsonb_typeof(parameters) = 'array'", name="parameters_array"),
        CheckConstraint("duration_ms >= 0 AND rows >= 0", name="not_negative"),
        {
            "comment": "What was asked of the SQL door, by whom, and what came of it. The application only adds to it; kept for 90 days."
        },
    )
    id: Mapped[Id]
    account_id: Mapped[AccountRef]
    query: Mapped[str] = mapped_column(comment="the text as it was sent; a longer one is cut")
    parameters: Mapped[list[Any] | None] = mapped_column(
        JSONB(none_as_null=True), comment="what was given for $1, $2, ...; NULL where that was nothing that can be kept"
    )
    started_at: Mapped[datetime]
    duration_ms: Mapped[float] = mapped_column(REAL, comment="from the question to its answer, waiting for a turn included")
    rows: Mapped[int | None] = mapped_column(Integer, comment="rows that were handed out; NULL when there was no answer")
    outcome: Mapped[str] = mapped_column(comment="ok, truncated, or the code of the error")
