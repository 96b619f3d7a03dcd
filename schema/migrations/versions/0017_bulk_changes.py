"""What a person changed of many pictures at once, so that it can be taken back.

Revision: 0017, after 0016.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bulk_change",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("word_id", sa.BigInteger(), nullable=True, comment="the label or tag that was given or taken; NULL: none"),
        sa.Column("image_ids", ARRAY(sa.BigInteger()), nullable=False, comment="the pictures that were changed by it"),
        sa.Column("before", ARRAY(sa.BigInteger()), nullable=True, comment="the label that each of them had"),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("kind IN ('label', 'tag', 'untag', 'delete')", name=op.f("ck_bulk_change_kind")),
        sa.CheckConstraint("before IS NULL OR cardinality(before) = cardinality(image_ids)", name=op.f("ck_bulk_change_before")),
        sa.ForeignKeyConstraint(
            ["created_by"], ["pixref.account.id"], name=op.f("fk_bulk_change_created_by"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_change")),
        schema="pixref",
        comment="A change of many pictures that can be taken back; forgotten after a day.",
    )
    op.create_index("ix_bulk_change_created_at", "bulk_change", ["created_at"], schema="pixref")
    op.execute("GRANT SELECT, INSERT, DELETE ON pixref.bulk_change TO pixref_app")


def downgrade() -> None:
    op.drop_table("bulk_change", schema="pixref")
