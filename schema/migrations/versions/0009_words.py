"""Labels and tags get a colour, a description, and a mark for having become another one.

Revision: 0009, after 0008.
"""

import sqlalchemy as sa
from alembic import op

from schema import catalog

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

WORDS = ("label", "tag")
COMMENTS = {"label": "the label that this one was merged into", "tag": "the tag that this one was merged into"}
# Down again, a merged word is a word of its own once more, which nothing has.
VIEWS_BEFORE = ("labels_v1", "tags_v2")
VIEWS = ("labels_v2", "tags_v3")


def upgrade() -> None:
    for table in WORDS:
        op.add_column(table, sa.Column("colour", sa.Text(), nullable=True, comment="#rrggbb, for people"), schema="pixref")
        op.add_column(table, sa.Column("description", sa.Text(), nullable=True, comment="what it means"), schema="pixref")
        op.add_column(
            table,
            sa.Column("merged_into_id", sa.BigInteger(), nullable=True, comment=f"{COMMENTS[table]}: its name is a synonym now"),
            schema="pixref",
        )
        op.create_check_constraint(op.f(f"ck_{table}_colour"), table, "colour ~ '^#[0-9a-f]{6}$'", schema="pixref")
        op.create_check_constraint(
            op.f(f"ck_{table}_description_length"), table, "char_length(description) BETWEEN 1 AND 1000", schema="pixref"
        )
        op.create_check_constraint(op.f(f"ck_{table}_merged_into_another"), table, "merged_into_id <> id", schema="pixref")
        op.create_foreign_key(
            op.f(f"fk_{table}_merged_into_id"),
            table,
            table,
            ["merged_into_id"],
            ["id"],
            source_schema="pixref",
            referent_schema="pixref",
            ondelete="RESTRICT",
        )
        op.create_index(
            f"ix_{table}_merged_into_id",
            table,
            ["merged_into_id"],
            schema="pixref",
            postgresql_where=sa.text("merged_into_id IS NOT NULL"),
        )
    catalog.install(op.execute, *VIEWS)


def downgrade() -> None:
    catalog.remove(op.execute, *VIEWS)
    catalog.install(op.execute, *VIEWS_BEFORE)
    for table in WORDS:
        op.drop_index(f"ix_{table}_merged_into_id", table_name=table, schema="pixref")
        op.drop_constraint(op.f(f"fk_{table}_merged_into_id"), table, schema="pixref")
        for name in ("merged_into_another", "description_length", "colour"):
            op.drop_constraint(op.f(f"ck_{table}_{name}"), table, schema="pixref")
        for column in ("merged_into_id", "description", "colour"):
            op.drop_column(table, column, schema="pixref")
