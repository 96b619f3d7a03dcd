"""Frozen sets of pictures, and which of them a model version was trained on.

Revision: 0012, after 0011.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from schema import catalog

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

VIEWS = ("snapshots_v1", "snapshot_images_v1")
# The application may only add rows; and these only with the set that they belong to, in one transaction.
TRIGGER = """
CREATE FUNCTION pixref.snapshot_is_frozen() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pixref, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM added a JOIN snapshot s ON s.id = a.snapshot_id WHERE s.xmin <> pg_current_xact_id()::xid) THEN
        RAISE EXCEPTION 'a snapshot is never added to' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER snapshot_image_is_frozen AFTER INSERT ON pixref.snapshot_image REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION pixref.snapshot_is_frozen();
"""


def upgrade() -> None:
    op.create_table(
        "snapshot",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "digest",
            sa.Text(),
            nullable=False,
            comment="SHA-256 over its lines `sha256 TAB label TAB split LF`, in their order: equal sets have equal digests",
        ),
        sa.Column("pictures", sa.BigInteger(), nullable=False, comment="how many"),
        sa.Column("selection", postgresql.JSONB(), nullable=False, comment="what was asked for when it was first taken"),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("digest ~ '^[0-9a-f]{64}$'", name=op.f("ck_snapshot_digest_hex")),
        sa.CheckConstraint("pictures > 0", name=op.f("ck_snapshot_pictures")),
        sa.CheckConstraint("jsonb_typeof(selection) = 'object'", name=op.f("ck_snapshot_selection_object")),
        sa.ForeignKeyConstraint(["created_by"], ["pixref.account.id"], name=op.f("fk_snapshot_created_by"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_snapshot")),
        sa.UniqueConstraint("digest", name=op.f("uq_snapshot_digest")),
        schema="pixref",
        comment="A frozen set of labelled pictures, each with the label and the split that it had. Never changed.",
    )
    op.create_table(
        "snapshot_image",
        sa.Column("snapshot_id", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of its bytes: says which picture it was, even when it is gone"),
        sa.Column("image_id", sa.BigInteger(), nullable=True, comment="NULL when it is gone"),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("split", sa.Text(), nullable=True),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_snapshot_image_sha256_hex")),
        sa.ForeignKeyConstraint(
            ["snapshot_id"], ["pixref.snapshot.id"], name=op.f("fk_snapshot_image_snapshot_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["pixref.image.id"], name=op.f("fk_snapshot_image_image_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("snapshot_id", "sha256", name=op.f("pk_snapshot_image")),
        schema="pixref",
        comment="A picture of a frozen set. Names are copied: what becomes of a label later changes nothing here.",
    )
    op.create_index("ix_snapshot_image_image_id", "snapshot_image", ["image_id"], schema="pixref")
    op.execute(TRIGGER)
    op.add_column(
        "model_version",
        sa.Column(
            "snapshot_id", sa.BigInteger(), nullable=True, comment="the pictures that it was trained on, where they are known"
        ),
        schema="pixref",
    )
    op.create_foreign_key(
        op.f("fk_model_version_snapshot_id"),
        "model_version",
        "snapshot",
        ["snapshot_id"],
        ["id"],
        source_schema="pixref",
        referent_schema="pixref",
        ondelete="RESTRICT",
    )
    op.create_index("ix_model_version_snapshot_id", "model_version", ["snapshot_id"], schema="pixref")
    op.execute("GRANT SELECT, INSERT ON pixref.snapshot, pixref.snapshot_image TO pixref_app")
    catalog.install(op.execute, *VIEWS)


def downgrade() -> None:
    catalog.remove(op.execute, *reversed(VIEWS))
    op.drop_index("ix_model_version_snapshot_id", "model_version", schema="pixref")
    op.drop_column("model_version", "snapshot_id", schema="pixref")
    op.drop_table("snapshot_image", schema="pixref")
    op.execute("DROP FUNCTION pixref.snapshot_is_frozen()")
    op.drop_table("snapshot", schema="pixref")
