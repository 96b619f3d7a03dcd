"""What was asked of the SQL door is kept. Its role and what that may read are made anew by every `pixref init` (schema/roles.py).

Revision: 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# The application adds rows and can neither change nor remove one: what is older than 90 days goes by this function, which looks at nothing else.
FORGETTING = """
CREATE FUNCTION pixref.forget_audit_events() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
    WITH gone AS (DELETE FROM pixref.audit_event WHERE started_at < now() - interval '90 days' RETURNING 1) SELECT count(*) FROM gone
$$;
COMMENT ON FUNCTION pixref.forget_audit_events() IS 'Removes rows of audit_event that are older than 90 days; returns how many.';
REVOKE EXECUTE ON FUNCTION pixref.forget_audit_events() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pixref.forget_audit_events() TO pixref_app;
"""


def upgrade() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column("query", sa.Text(), nullable=False, comment="the text as it was sent; a longer one is cut"),
        sa.Column(
            "parameters",
            postgresql.JSONB(),
            nullable=True,
            comment="what was given for $1, $2, ...; NULL where that was nothing that can be kept",
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "duration_ms", sa.REAL(), nullable=False, comment="from the question to its answer, waiting for a turn included"
        ),
        sa.Column("rows", sa.Integer(), nullable=True, comment="rows that were handed out; NULL when there was no answer"),
        sa.Column("outcome", sa.Text(), nullable=False, comment="ok, truncated, or the code of the error"),
        sa.CheckConstraint("char_length(query) <= 10000", name=op.f("ck_audit_event_query_length")),
        sa.CheckConstraint("jsonb_typeof(parameters) = 'array'", name=op.f("ck_audit_event_parameters_array")),
        sa.CheckConstraint("duration_ms >= 0 AND rows >= 0", name=op.f("ck_audit_event_not_negative")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["pixref.account.id"], name=op.f("fk_audit_event_account_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_event")),
        schema="pixref",
        comment="What was asked of the SQL door, by whom, and what came of it. The application only adds to it; kept for 90 days.",
    )
    op.create_index("ix_audit_event_account_id", "audit_event", ["account_id", "id"], schema="pixref")
    op.create_index("ix_audit_event_started_at", "audit_event", ["started_at"], schema="pixref")
    op.execute("GRANT SELECT, INSERT ON pixref.audit_event TO pixref_app")
    op.execute(FORGETTING)


def downgrade() -> None:
    op.execute("DROP FUNCTION pixref.forget_audit_events()")
    op.drop_table("audit_event", schema="pixref")
