"""Long work as rows: what was asked for, how far it is, what came of it. The view of jobs shows these instead of the queue's own.

Revision: 0010, after 0009.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from schema import catalog

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

VIEWS_BEFORE = ("jobs_v1",)
VIEWS = ("jobs_v2",)


def upgrade() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("task", sa.Text(), nullable=False, comment="what is to be done, such as predict"),
        sa.Column(
            "state",
            sa.Text(),
            server_default=sa.text("'queued'"),
            nullable=False,
            comment="queued, running, succeeded, failed or cancelled",
        ),
        sa.Column("parameters", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False, comment="what was asked for"),
        sa.Column("total", sa.BigInteger(), nullable=True, comment="how much there is to do, once that is known"),
        sa.Column(
            "done",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="how much of it is done, what failed included",
        ),
        sa.Column(
            "failed",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="parts that could not be done while the rest went on",
        ),
        sa.Column("message", sa.Text(), nullable=True, comment="where it is, for people"),
        sa.Column("error", postgresql.JSONB(), nullable=True, comment="code and detail of what made it fail"),
        sa.Column("result", postgresql.JSONB(), nullable=True, comment="what came of it"),
        sa.Column("runner", sa.Text(), nullable=True, comment="who is at it: changes with every claim"),
        sa.Column(
            "heartbeat_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="the runner's last sign of life; after 30 s another may go on",
        ),
        sa.Column(
            "deaths",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="runners that died over it; the third ends it",
        ),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True, comment="when it was first begun"),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("task ~ '^[a-z][a-z_]{0,31}$'", name=op.f("ck_job_task_form")),
        sa.CheckConstraint("state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name=op.f("ck_job_state")),
        sa.CheckConstraint(
            "(state = 'running') = (runner IS NOT NULL AND heartbeat_at IS NOT NULL)", name=op.f("ck_job_running_has_runner")
        ),
        sa.CheckConstraint("(state IN ('queued', 'running')) = (finished_at IS NULL)", name=op.f("ck_job_ended_has_time")),
        sa.CheckConstraint("(state = 'failed') = (error IS NOT NULL)", name=op.f("ck_job_failed_has_error")),
        sa.CheckConstraint("done >= 0 AND failed >= 0 AND total >= 0", name=op.f("ck_job_not_negative")),
        sa.CheckConstraint("jsonb_typeof(parameters) = 'object'", name=op.f("ck_job_parameters_object")),
        sa.ForeignKeyConstraint(["created_by"], ["pixref.account.id"], name=op.f("fk_job_created_by"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        schema="pixref",
        comment="Long work that somebody asked for. The queue in schema jobs only wakes workers; this row is the truth.",
    )
    op.create_index("ix_job_task_id", "job", ["task", "id"], schema="pixref")
    op.create_index(
        "ix_job_unfinished", "job", ["id"], schema="pixref", postgresql_where=sa.text("state IN ('queued', 'running')")
    )
    op.execute("GRANT SELECT, INSERT, UPDATE ON pixref.job TO pixref_app")
    catalog.remove(op.execute, *VIEWS_BEFORE)
    catalog.install(op.execute, *VIEWS)


def downgrade() -> None:
    catalog.remove(op.execute, *VIEWS)
    catalog.install(op.execute, *VIEWS_BEFORE)
    op.drop_table("job", schema="pixref")
