"""What keeps pictures safe: damage and fixity, trash, idempotency keys, direct uploads.

Revision: 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from schema import catalog

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# A deleted picture's row and object stay for a while, so that it can be restored; an upload under way waits for its lease.
TRASHING = """
CREATE OR REPLACE FUNCTION pixref.delete_by_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'DELETING' THEN
        RETURN OLD;
    END IF;
    INSERT INTO pixref.object_deletion (object_key, reason, due_at)
    VALUES (OLD.object_key, 'SQL DELETE', coalesce(OLD.lease_until, now() + interval '{trash}'))
    ON CONFLICT (object_key) DO NOTHING;
    UPDATE pixref.image SET state = 'DELETING', lease_until = NULL WHERE id = OLD.id;
    RETURN NULL;
END $$;
"""

GRANTS = "GRANT SELECT, INSERT, UPDATE, DELETE ON pixref.idempotency_key, pixref.direct_upload TO pixref_app"


def upgrade() -> None:
    op.add_column(
        "image",
        sa.Column("damage", sa.Text(), nullable=True, comment="lost or corrupt: what is wrong with the bytes in the bucket"),
        schema="pixref",
    )
    op.add_column("image", sa.Column("damaged_at", sa.DateTime(timezone=True), nullable=True), schema="pixref")
    op.add_column(
        "image",
        sa.Column(
            "verified_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="when the bytes in the bucket were last compared with sha256, by the store at upload or by fsck",
        ),
        schema="pixref",
    )
    op.create_check_constraint(op.f("ck_image_damage"), "image", "damage IN ('lost', 'corrupt')", schema="pixref")
    op.create_check_constraint(
        op.f("ck_image_damage_has_time"), "image", "(damage IS NULL) = (damaged_at IS NULL)", schema="pixref"
    )
    op.create_index(
        "ix_image_verified_at", "image", ["verified_at", "id"], schema="pixref", postgresql_where=sa.text("state = 'READY'")
    )
    op.create_index("ix_image_damage", "image", ["id"], schema="pixref", postgresql_where=sa.text("damage IS NOT NULL"))
    op.create_table(
        "idempotency_key",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column(
            "fingerprint", sa.Text(), nullable=False, comment="SHA-256 of the request; another one under the same key is refused"
        ),
        sa.Column("image_id", sa.BigInteger(), nullable=True, comment="NULL when the picture is gone: the key is not free again"),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("char_length(key) BETWEEN 1 AND 255", name=op.f("ck_idempotency_key_key_length")),
        sa.CheckConstraint("fingerprint ~ '^[0-9a-f]{64}$'", name=op.f("ck_idempotency_key_fingerprint_hex")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["pixref.account.id"], name=op.f("fk_idempotency_key_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["pixref.image.id"], name=op.f("fk_idempotency_key_image_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("account_id", "key", name=op.f("pk_idempotency_key")),
        schema="pixref",
        comment="Which picture a client's Idempotency-Key has led to; kept for a day.",
    )
    op.create_index("ix_idempotency_key_image_id", "idempotency_key", ["image_id"], schema="pixref")
    op.create_index("ix_idempotency_key_created_at", "idempotency_key", ["created_at"], schema="pixref")
    op.create_table(
        "direct_upload",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("byte_size", sa.BigInteger(), nullable=False),
        sa.Column("description", postgresql.JSONB(), nullable=False, comment="name, label, tags, split, attributes"),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_direct_upload_sha256_hex")),
        sa.CheckConstraint("byte_size > 0", name=op.f("ck_direct_upload_byte_size")),
        sa.CheckConstraint("jsonb_typeof(description) = 'object'", name=op.f("ck_direct_upload_description_object")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["pixref.account.id"], name=op.f("fk_direct_upload_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_direct_upload")),
        sa.UniqueConstraint("object_key", name=op.f("uq_direct_upload_object_key")),
        schema="pixref",
        comment="A presigned upload that has not been completed; after lease_until it is swept.",
    )
    op.create_index("ix_direct_upload_lease_until", "direct_upload", ["lease_until"], schema="pixref")
    op.execute(GRANTS)
    op.execute(TRASHING.format(trash="7 days"))
    # Replaced in place, with a column more: views of people's own that build on it stay.
    catalog.install(op.execute, "images_v2")


def downgrade() -> None:
    catalog.remove(op.execute, "images_v2")
    catalog.install(op.execute, "images_v1")
    op.execute(TRASHING.format(trash="0"))
    op.drop_table("direct_upload", schema="pixref")
    op.drop_table("idempotency_key", schema="pixref")
    op.drop_index("ix_image_damage", table_name="image", schema="pixref")
    op.drop_index("ix_image_verified_at", table_name="image", schema="pixref")
    op.drop_constraint(op.f("ck_image_damage_has_time"), "image", schema="pixref")
    op.drop_constraint(op.f("ck_image_damage"), "image", schema="pixref")
    for column in ("verified_at", "damaged_at", "damage"):
        op.drop_column("image", column, schema="pixref")
