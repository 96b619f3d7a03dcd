"""The whole catalogue, schema `scratch` for the analysts, and the function that ends sessions which go on too long.

Revision: 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op

from schema import catalog

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

VIEWS = (
    "models_v2",
    "model_versions_v1",
    "image_metadata_v1",
    "champion_predictions_v1",
    "confusion_v1",
    "disagreements_v1",
    "unlabelled_v1",
    "uncertain_v1",
    "storage_use_v1",
    "jobs_v1",
)

# How sure a prediction is, computed once: asked for a million rows at a time, it takes a minute to find out anew.
UNCERTAINTY = """
CREATE FUNCTION pixref.margin_of(scores real[]) RETURNS real LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    score real;
    best real := 0;
    second real := 0;
BEGIN
    FOREACH score IN ARRAY scores LOOP
        IF score > best THEN
            second := best;
            best := score;
        ELSIF score > second THEN
            second := score;
        END IF;
    END LOOP;
    RETURN best - second;
END $$;
CREATE FUNCTION pixref.entropy_of(scores real[]) RETURNS real LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    score double precision;
    entropy double precision := 0;
BEGIN
    FOREACH score IN ARRAY scores LOOP
        IF score > 0 THEN
            entropy := entropy - score * ln(score);
        END IF;
    END LOOP;
    RETURN greatest(entropy, 0);
END $$;
ALTER TABLE pixref.prediction
    ADD COLUMN margin real GENERATED ALWAYS AS (pixref.margin_of(scores)) STORED,
    ADD COLUMN entropy real GENERATED ALWAYS AS (pixref.entropy_of(scores)) STORED;
COMMENT ON COLUMN pixref.prediction.margin IS 'score of the best class less that of the second';
COMMENT ON COLUMN pixref.prediction.entropy IS 'of the scores, in nats';
"""

SCRATCH = """
CREATE SCHEMA IF NOT EXISTS scratch;
COMMENT ON SCHEMA scratch IS 'Tables and views of the analysts (pixref_analyst); nothing of the service is here.';
GRANT USAGE, CREATE ON SCHEMA scratch TO pixref_analyst;
"""

# Only members of pixref_reader can be ended with it, whoever calls: SQL clients, never the application. Without pg_read_all_stats the times of
# other roles' sessions are hidden and nothing would ever look overdue, so that is said instead.
END_OVERDUE = """
CREATE FUNCTION pixref.end_overdue_sessions(client text, statement_limit interval, transaction_limit interval) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT pg_has_role(current_user, 'pg_signal_backend', 'USAGE') OR NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT count(*) FILTER (WHERE pg_terminate_backend(a.pid))
        FROM pg_stat_activity a
        JOIN pg_roles r ON r.oid = a.usesysid AND r.rolname = client AND NOT r.rolsuper AND pg_has_role(r.oid, 'pixref_reader', 'MEMBER')
        WHERE a.datname = current_database()
          AND a.backend_type = 'client backend'
          AND (a.xact_start < clock_timestamp() - transaction_limit
               OR a.state = 'active' AND a.query_start < clock_timestamp() - statement_limit)
    );
END $$;
COMMENT ON FUNCTION pixref.end_overdue_sessions(text, interval, interval) IS
    'Ends this SQL role''s sessions whose statement or transaction is older; how many, or NULL where this server does not let it.';
REVOKE EXECUTE ON FUNCTION pixref.end_overdue_sessions(text, interval, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pixref.end_overdue_sessions(text, interval, interval) TO pixref_app;
"""

# The way back must not take people's tables with it.
LEAVE_SCRATCH = """
DO $$
BEGIN
    DROP SCHEMA scratch;
EXCEPTION WHEN dependent_objects_still_exist THEN
    RAISE NOTICE 'schema scratch is not empty and stays';
END $$
"""


def upgrade() -> None:
    op.create_index("ix_image_not_ready", "image", ["id"], schema="pixref", postgresql_where=sa.text("state <> 'READY'"))
    op.execute(UNCERTAINTY)
    catalog.remove(op.execute, "models_v1")
    catalog.install(op.execute, "tags_v2", *VIEWS)
    op.execute(SCRATCH)
    op.execute(END_OVERDUE)


def downgrade() -> None:
    op.execute("DROP FUNCTION pixref.end_overdue_sessions(text, interval, interval)")
    op.execute(LEAVE_SCRATCH)
    catalog.remove(op.execute, *VIEWS)
    catalog.remove(op.execute, "tags_v2")
    catalog.install(op.execute, "models_v1", "tags_v1")
    for column in ("entropy", "margin"):
        op.drop_column("prediction", column, schema="pixref")
        op.execute(f"DROP FUNCTION pixref.{column}_of(real[])")
    op.drop_index("ix_image_not_ready", table_name="image", schema="pixref", postgresql_where=sa.text("state <> 'READY'"))
