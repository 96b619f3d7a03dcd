"""Every move of a model's alias, and versions that are retired.

Revision: 0015, after 0014.
"""

import sqlalchemy as sa
from alembic import op

from schema import catalog

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

VIEWS = ("alias_history_v1",)
# Whoever moves an alias, by whatever way; a rollback says that it is one. What goes with its model leaves no history.
TRIGGER = """
CREATE FUNCTION pixref.record_alias_moves() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pixref, pg_temp AS $$
DECLARE
    left_id bigint := CASE WHEN TG_OP <> 'INSERT' THEN OLD.model_version_id END;
    reached_id bigint := CASE WHEN TG_OP <> 'DELETE' THEN NEW.model_version_id END;
BEGIN
    IF left_id IS DISTINCT FROM reached_id THEN
        INSERT INTO model_alias_event (model_id, alias, from_version_id, to_version_id, is_rollback, account_id)
        SELECT m.id, coalesce(NEW.alias, OLD.alias), left_id, reached_id, current_setting('pixref.is_rollback', true) IS NOT DISTINCT FROM 'yes',
               nullif(current_setting('pixref.account_id', true), '')::bigint
        FROM model m WHERE m.id = coalesce(NEW.model_id, OLD.model_id);
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER model_alias_moves AFTER INSERT OR UPDATE OR DELETE ON pixref.model_alias
    FOR EACH ROW EXECUTE FUNCTION pixref.record_alias_moves();
"""


def upgrade() -> None:
    op.create_table(
        "model_alias_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("from_version_id", sa.BigInteger(), nullable=True, comment="NULL: it named none"),
        sa.Column("to_version_id", sa.BigInteger(), nullable=True, comment="NULL: it was removed"),
        sa.Column("is_rollback", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "database_user",
            sa.Text(),
            server_default=sa.text("session_user"),
            nullable=False,
            comment="who, when the change came by plain SQL",
        ),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("from_version_id IS DISTINCT FROM to_version_id", name=op.f("ck_model_alias_event_is_a_change")),
        sa.ForeignKeyConstraint(
            ["model_id"], ["pixref.model.id"], name=op.f("fk_model_alias_event_model_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["from_version_id"],
            ["pixref.model_version.id"],
            name=op.f("fk_model_alias_event_from_version_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["to_version_id"], ["pixref.model_version.id"], name=op.f("fk_model_alias_event_to_version_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["pixref.account.id"], name=op.f("fk_model_alias_event_account_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_alias_event")),
        schema="pixref",
        comment="Every move of an alias, written by a trigger, append-only.",
    )
    op.create_index("ix_model_alias_event_model_id_alias_id", "model_alias_event", ["model_id", "alias", "id"], schema="pixref")
    op.execute(
        "INSERT INTO pixref.model_alias_event (model_id, alias, to_version_id, account_id, changed_at) "
        "SELECT model_id, alias, model_version_id, updated_by, updated_at FROM pixref.model_alias"
    )
    op.execute(TRIGGER)
    op.execute("GRANT SELECT ON pixref.model_alias_event TO pixref_app")
    op.add_column(
        "model_version",
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True, comment="since when no new prediction is made by it"),
        schema="pixref",
    )
    op.execute("UPDATE pixref.model_version SET retired_at = now() WHERE state = 'RETIRED'")
    op.create_check_constraint(
        op.f("ck_model_version_retired_has_time"),
        "model_version",
        "(state = 'RETIRED') = (retired_at IS NOT NULL)",
        schema="pixref",
    )
    catalog.install(op.execute, *VIEWS)


def downgrade() -> None:
    catalog.remove(op.execute, *VIEWS)
    op.drop_constraint(op.f("ck_model_version_retired_has_time"), "model_version", schema="pixref")
    op.drop_column("model_version", "retired_at", schema="pixref")
    op.execute("DROP TRIGGER model_alias_moves ON pixref.model_alias")
    op.execute("DROP FUNCTION pixref.record_alias_moves()")
    op.drop_table("model_alias_event", schema="pixref")
