"""Damaged model files are marked, as damaged pictures are.

Revision: 0005, after 0004.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "model_version",
        sa.Column("damage", sa.Text(), nullable=True, comment="lost or corrupt: what is wrong with its files in the bucket"),
        schema="pixref",
    )
    op.add_column("model_version", sa.Column("damaged_at", sa.DateTime(timezone=True), nullable=True), schema="pixref")
    op.add_column(
        "model_version",
        sa.Column(
            "verified_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when its files were last read back and compared with their SHA-256, by fsck",
        ),
        schema="pixref",
    )
    op.create_check_constraint(op.f("ck_model_version_damage"), "model_version", "damage IN ('lost', 'corrupt')", schema="pixref")
    op.create_check_constraint(
        op.f("ck_model_version_damage_has_time"),
        "model_version",
        "(damage IS NULL) = (damaged_at IS NULL)",
        schema="pixref",
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_model_version_damage_has_time"), "model_version", schema="pixref")
    op.drop_constraint(op.f("ck_model_version_damage"), "model_version", schema="pixref")
    for column in ("verified_at", "damaged_at", "damage"):
        op.drop_column("model_version", column, schema="pixref")
