"""Long work: what was asked for, how far it is, what came of it."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import AccountRef, Base, CreatedAt, Id


class Job(Base):
    __tablename__ = "job"
    __table_args__ = (
        CheckConstraint("task ~ '^[a-z][a-z_]{0,31}$'", name="task_form"),
        CheckConstraint("state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="state"),
        CheckConstraint("(state = 'running') = (runner IS NOT NULL AND heartbeat_at IS NOT NULL)", name="running_has_runner"),
        CheckConstraint("(state IN ('queued', 'running')) = (finished_at IS NULL)", name="ended_has_time"),
        CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name="failed_has_error"),
        CheckConstraint("done >= 0 AND failed >= 0 AND total >= 0", name="not_negative"),
        CheckConstraint("jsonb_typeof(parameters) = 'object'", name="parameters_object"),
        Index("ix_job_task_id", "task", "id"),
        Index("ix_job_unfinished", "id", postgresql_where=text("state IN ('queued', 'running')")),
        {"comment": "Long work that somebody asked for. The queue in schema jobs only wakes workers; this row is the truth."},
    )
    id: Mapped[Id]
    task: Mapped[str] = mapped_column(comment="what is to be done, such as predict")
    state: Mapped[str] = mapped_column(server_default=text("'queued'"), comment="queued, running, succeeded, failed or cancelled")
    parameters: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"), comment="what was asked for")
    total: Mapped[int | None] = mapped_column(comment="how much there is to do, once that is known")
    done: Mapped[int] = mapped_column(server_default=text("0"), comment="how much of it is done, what failed included")
    failed: Mapped[int] = mapped_column(server_default=text("0"), comment="parts that could not be done while the rest went on")
    message: Mapped[str | None] = mapped_column(comment="where it is, for people")
    error: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True), comment="code and detail of what made it fail")
    result: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True), comment="what came of it")
    runner: Mapped[str | None] = mapped_column(comment="who is at it: changes with every claim")
    heartbeat_at: Mapped[datetime | None] = mapped_column(comment="the runner's last sign of life; after 30 s another may go on")
    deaths: Mapped[int] = mapped_column(server_default=text("0"), comment="runners that died over it; the third ends it")
    cancel_requested_at: Mapped[datetime | None]
    created_by: Mapped[AccountRef]
    created_at: Mapped[CreatedAt]
    started_at: Mapped[datetime | None] = mapped_column(comment="when it was first begun")
    finished_at: Mapped[datetime | None]
