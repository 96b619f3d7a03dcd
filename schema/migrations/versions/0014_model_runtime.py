"""Models that LiteRT cannot run: such a version has no converted file, and Keras runs it.

Revision: 0014, after 0013.
"""

import sqlalchemy as sa
from alembic import op

from schema import catalog

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

VIEWS_BEFORE = ("model_versions_v1",)
VIEWS = ("model_versions_v2",)
FILE = ("litert_key", "litert_sha256", "litert_size")


def upgrade() -> None:
    op.add_column(
        "model_version",
        sa.Column(
            "runtime",
            sa.Text(),
            server_default=sa.text("'litert'"),
            nullable=False,
            comment="litert, or keras for what cannot be converted: the .keras file is run then",
        ),
        schema="pixref",
    )
    for column in FILE:
        op.alter_column("model_version", column, nullable=True, schema="pixref")
    op.create_check_constraint(
        op.f("ck_model_version_runtime"), "model_version", "runtime IN ('litert', 'keras')", schema="pixref"
    )
    op.create_check_constraint(
        op.f("ck_model_version_runtime_has_file"),
        "model_version",
        "num_nulls(litert_key, litert_sha256, litert_size) = CASE runtime WHEN 'litert' THEN 0 ELSE 3 END",
        schema="pixref",
    )
    catalog.install(op.execute, *VIEWS)


def downgrade() -> None:
    # The view loses a column, which `CREATE OR REPLACE` does not do.
    catalog.remove(op.execute, *VIEWS)
    catalog.install(op.execute, *VIEWS_BEFORE)
    # What was predicted by these versions goes with them: without Keras nobody could say what made it.
    op.execute(
        "DELETE FROM pixref.prediction WHERE model_version_id IN (SELECT id FROM pixref.model_version WHERE runtime = 'keras')"
    )
    op.execute(
        "INSERT INTO pixref.object_deletion (object_key, reason) "
        "SELECT artifact_key, 'the release before knows no models for Keras' FROM pixref.model_version WHERE runtime = 'keras' "
        "ON CONFLICT DO NOTHING"
    )
    op.execute("DELETE FROM pixref.model_version WHERE runtime = 'keras'")
    for name in ("runtime_has_file", "runtime"):
        op.drop_constraint(op.f(f"ck_model_version_{name}"), "model_version", schema="pixref")
    for column in FILE:
        op.alter_column("model_version", column, nullable=False, schema="pixref")
    op.drop_column("model_version", "runtime", schema="pixref")
