"""What pictures look like, and which look alike.

Revision: 0011, after 0010.
"""

import sqlalchemy as sa
from alembic import op

from schema import catalog

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

VIEWS = ("duplicates_near_v1",)
TRIGGER = """
CREATE FUNCTION pixref.list_new_pictures() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pixref, pg_temp AS $$
BEGIN
    INSERT INTO image_likeness (image_id) SELECT image_id FROM added ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER thumbnail_list_new_pictures AFTER INSERT ON pixref.thumbnail REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION pixref.list_new_pictures();
"""


def upgrade() -> None:
    op.create_table(
        "image_likeness",
        sa.Column("image_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "phash",
            sa.BigInteger(),
            nullable=True,
            comment="64 bits; NULL for a picture of one colour, or one that could not be decoded",
        ),
        sa.Column(
            "looked_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when this was worked out; NULL: it is still to be done",
        ),
        sa.CheckConstraint("phash IS NULL OR looked_at IS NOT NULL", name=op.f("ck_image_likeness_hash_has_time")),
        sa.ForeignKeyConstraint(["image_id"], ["pixref.image.id"], name=op.f("fk_image_likeness_image_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_image_likeness")),
        schema="pixref",
        comment="What a picture looks like, worked out by the worker from its thumbnail.",
    )
    op.execute("INSERT INTO pixref.image_likeness (image_id) SELECT image_id FROM pixref.thumbnail")
    op.create_index(
        "ix_image_likeness_due",
        "image_likeness",
        ["image_id"],
        schema="pixref",
        postgresql_where=sa.text("looked_at IS NULL"),
    )
    for number in range(4):
        op.create_index(
            f"ix_image_likeness_band_{number}",
            "image_likeness",
            [sa.text(f"((phash >> {16 * number}) & 65535)")],
            schema="pixref",
            postgresql_where=sa.text("phash IS NOT NULL"),
        )
    op.create_table(
        "near_duplicate",
        sa.Column("image_id", sa.BigInteger(), nullable=False),
        sa.Column("other_id", sa.BigInteger(), nullable=False),
        sa.Column("distance", sa.SmallInteger(), nullable=False, comment="bits of the hash that differ"),
        sa.Column("likeness", sa.REAL(), nullable=False, comment="correlation of the two thumbnails' gray levels, 1 at most"),
        sa.CheckConstraint("image_id > other_id", name=op.f("ck_near_duplicate_once")),
        sa.CheckConstraint("distance BETWEEN 0 AND 64", name=op.f("ck_near_duplicate_distance")),
        sa.ForeignKeyConstraint(["image_id"], ["pixref.image.id"], name=op.f("fk_near_duplicate_image_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["other_id"], ["pixref.image.id"], name=op.f("fk_near_duplicate_other_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("image_id", "other_id", name=op.f("pk_near_duplicate")),
        schema="pixref",
        comment="Two pictures that look alike, once: the later is image_id.",
    )
    op.create_index("ix_near_duplicate_other_id", "near_duplicate", ["other_id"], schema="pixref")
    op.execute(TRIGGER)
    op.execute("GRANT SELECT, UPDATE ON pixref.image_likeness TO pixref_app")
    op.execute("GRANT SELECT, INSERT ON pixref.near_duplicate TO pixref_app")
    catalog.install(op.execute, *VIEWS)


def downgrade() -> None:
    catalog.remove(op.execute, *VIEWS)
    op.drop_table("near_duplicate", schema="pixref")
    op.execute("DROP TRIGGER thumbnail_list_new_pictures ON pixref.thumbnail")
    op.execute("DROP FUNCTION pixref.list_new_pictures()")
    op.drop_table("image_likeness", schema="pixref")
