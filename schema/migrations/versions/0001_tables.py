"""Tables of schema `pixref`, the label history's triggers and the outbox trigger.

Revision: 0001, the first.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STORAGE = "ALTER TABLE pixref.thumbnail ALTER COLUMN data SET STORAGE EXTERNAL"  # PNG and WebP do not compress further

# Statement-level with transition tables: one INSERT for a whole bulk load, not one a row. SECURITY DEFINER, so that the history can be
# written through these functions alone. Who: the account that the transaction has named in pixref.account_id; session_user is kept beside it.
LABEL_HISTORY = """
CREATE FUNCTION pixref.record_first_labels() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pixref, pg_temp AS $$
BEGIN
    INSERT INTO label_event (image_id, old_label_id, new_label_id, account_id)
    SELECT id, NULL, label_id, created_by FROM added WHERE label_id IS NOT NULL;
    RETURN NULL;
END $$;

CREATE FUNCTION pixref.record_label_changes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pixref, pg_temp AS $$
BEGIN
    INSERT INTO label_event (image_id, old_label_id, new_label_id, account_id)
    SELECT after.id, before.label_id, after.label_id, nullif(current_setting('pixref.account_id', true), '')::bigint
    FROM before JOIN after USING (id)
    WHERE before.label_id IS DISTINCT FROM after.label_id;
    RETURN NULL;
END $$;

CREATE TRIGGER image_first_labels AFTER INSERT ON pixref.image REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION pixref.record_first_labels();
CREATE TRIGGER image_label_changes AFTER UPDATE ON pixref.image REFERENCING OLD TABLE AS before NEW TABLE AS after
    FOR EACH STATEMENT EXECUTE FUNCTION pixref.record_label_changes();
"""

# A DELETE by anyone starts the deletion that the worker ends: the row leaves the visible ones at once and its object is queued. The worker's
# own DELETE, of a row in state DELETING, passes. The object of a PENDING row is not due before its lease ends: its PUT may be on its way.
DELETE_BY_OUTBOX = """
CREATE FUNCTION pixref.delete_by_outbox() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'DELETING' THEN
        RETURN OLD;
    END IF;
    INSERT INTO pixref.object_deletion (object_key, reason, due_at)
    VALUES (OLD.object_key, 'SQL DELETE', coalesce(OLD.lease_until, now()))
    ON CONFLICT (object_key) DO NOTHING;
    UPDATE pixref.image SET state = 'DELETING', lease_until = NULL WHERE id = OLD.id;
    RETURN NULL;
END $$;

CREATE TRIGGER image_delete_by_outbox BEFORE DELETE ON pixref.image FOR EACH ROW EXECUTE FUNCTION pixref.delete_by_outbox();
"""

GRANTS = """
GRANT USAGE ON SCHEMA pixref TO pixref_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON
    pixref.account, pixref.api_token, pixref.label, pixref.tag, pixref.image, pixref.thumbnail, pixref.image_tag, pixref.model,
    pixref.model_version, pixref.model_class, pixref.model_alias, pixref.prediction, pixref.object_deletion TO pixref_app;
GRANT SELECT ON pixref.label_event, pixref.alembic_version TO pixref_app;
"""


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 200", name=op.f("ck_account_name_length")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("name", name=op.f("uq_account_name")),
        schema="pixref",
        comment="A person or program that acts; named in histories.",
    )
    op.create_table(
        "label",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 200", name=op.f("ck_label_name_length")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label")),
        sa.UniqueConstraint("name", name=op.f("uq_label_name")),
        schema="pixref",
        comment="What a picture shows: a picture has at most one label.",
    )
    op.create_table(
        "model",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'", name=op.f("ck_model_name_form")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")),
        sa.UniqueConstraint("name", name=op.f("uq_model_name")),
        schema="pixref",
        comment="A name under which versions are registered.",
    )
    op.create_table(
        "object_deletion",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_object_deletion")),
        sa.UniqueConstraint("object_key", name=op.f("uq_object_deletion_object_key")),
        schema="pixref",
        comment="The outbox: an object that must go, written in the transaction that decided so.",
    )
    op.create_index("ix_object_deletion_due_at", "object_deletion", ["due_at"], unique=False, schema="pixref")
    op.create_table(
        "tag",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 200", name=op.f("ck_tag_name_length")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tag")),
        sa.UniqueConstraint("name", name=op.f("uq_tag_name")),
        schema="pixref",
        comment="A word attached to any number of pictures.",
    )
    op.create_table(
        "api_token",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "token_sha256",
            sa.Text(),
            nullable=False,
            comment="SHA-256 of a token of 256 random bits: nothing to guess, so no slow hash is needed.",
        ),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('viewer', 'editor', 'admin')", name=op.f("ck_api_token_role")),
        sa.CheckConstraint("token_sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_api_token_token_sha256_hex")),
        sa.ForeignKeyConstraint(["account_id"], ["pixref.account.id"], name=op.f("fk_api_token_account_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_token")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_api_token_token_sha256")),
        schema="pixref",
        comment="What a bearer of the token may do. The token itself is never stored.",
    )
    op.create_index(op.f("ix_api_token_account_id"), "api_token", ["account_id"], unique=False, schema="pixref")
    op.create_table(
        "image",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of the stored bytes, which are the uploaded bytes"),
        sa.Column("object_key", sa.Text(), nullable=False, comment="write-once key in the bucket; never a URL"),
        sa.Column("byte_size", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="PENDING -> READY -> DELETING -> gone; only READY is visible"),
        sa.Column("width", sa.Integer(), nullable=False, comment="pixels, as stored"),
        sa.Column("height", sa.Integer(), nullable=False, comment="pixels, as stored"),
        sa.Column("channels", sa.SmallInteger(), nullable=False, comment="1 gray, 2 gray+alpha, 3 RGB, 4 RGBA, palette resolved"),
        sa.Column("bit_depth", sa.SmallInteger(), nullable=False, comment="bits a sample as stored in the file"),
        sa.Column("color_type", sa.SmallInteger(), nullable=False, comment="PNG colour type: 0, 2, 3, 4 or 6"),
        sa.Column("original_name", sa.Text(), nullable=True),
        sa.Column("label_id", sa.BigInteger(), nullable=True),
        sa.Column("split", sa.Text(), nullable=True, comment="train, test, validation or a word of your own"),
        sa.Column("source", sa.Text(), nullable=False, comment="how it came in: form, api, mnist, ..."),
        sa.Column(
            "attributes",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="free facts of your own",
        ),
        sa.Column(
            "png",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="gamma, physical size, text chunks, animation flag",
        ),
        sa.Column(
            "exif",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="camera, dates, orientation; position is left out",
        ),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "lease_until",
            sa.DateTime(timezone=True),
            server_default=sa.text("now() + interval '10 minutes'"),
            nullable=True,
            comment="a PENDING row older than this was abandoned and is swept",
        ),
        sa.CheckConstraint("(state = 'PENDING') = (lease_until IS NOT NULL)", name=op.f("ck_image_pending_has_lease")),
        sa.CheckConstraint("jsonb_typeof(attributes) = 'object'", name=op.f("ck_image_attributes_object")),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_image_sha256_hex")),
        sa.CheckConstraint("split ~ '^[a-z0-9_-]{1,32}$'", name=op.f("ck_image_split")),
        sa.CheckConstraint("state <> 'READY' OR ready_at IS NOT NULL", name=op.f("ck_image_ready_has_ready_at")),
        sa.CheckConstraint("state IN ('PENDING', 'READY', 'DELETING')", name=op.f("ck_image_state")),
        sa.CheckConstraint("bit_depth IN (1, 2, 4, 8, 16)", name=op.f("ck_image_bit_depth")),
        sa.CheckConstraint("byte_size > 0", name=op.f("ck_image_byte_size")),
        sa.CheckConstraint("channels BETWEEN 1 AND 4", name=op.f("ck_image_channels")),
        sa.CheckConstraint("color_type IN (0, 2, 3, 4, 6)", name=op.f("ck_image_color_type")),
        sa.CheckConstraint("width > 0 AND height > 0", name=op.f("ck_image_size")),
        sa.ForeignKeyConstraint(["created_by"], ["pixref.account.id"], name=op.f("fk_image_created_by"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["label_id"], ["pixref.label.id"], name=op.f("fk_image_label_id"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_image")),
        sa.UniqueConstraint("object_key", name=op.f("uq_image_object_key")),
        schema="pixref",
        comment="One row a picture; its bytes are in the bucket under object_key.",
    )
    op.create_index(
        "ix_image_attributes",
        "image",
        ["attributes"],
        unique=False,
        schema="pixref",
        postgresql_using="gin",
        postgresql_ops={"attributes": "jsonb_path_ops"},
    )
    op.create_index(
        "ix_image_label_id_id",
        "image",
        ["label_id", "id"],
        unique=False,
        schema="pixref",
        postgresql_where=sa.text("state = 'READY'"),
    )
    op.create_index(
        "ix_image_lease_until",
        "image",
        ["lease_until"],
        unique=False,
        schema="pixref",
        postgresql_where=sa.text("state = 'PENDING'"),
    )
    op.create_index(
        "ix_image_split_id", "image", ["split", "id"], unique=False, schema="pixref", postgresql_where=sa.text("state = 'READY'")
    )
    op.create_index(
        "uq_image_sha256_ready", "image", ["sha256"], unique=True, schema="pixref", postgresql_where=sa.text("state = 'READY'")
    )
    op.create_table(
        "model_version",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("artifact_key", sa.Text(), nullable=False, comment="the .keras file in the bucket"),
        sa.Column("artifact_sha256", sa.Text(), nullable=False),
        sa.Column("artifact_size", sa.BigInteger(), nullable=False),
        sa.Column("litert_key", sa.Text(), nullable=False, comment="the converted file that the web process runs"),
        sa.Column("litert_sha256", sa.Text(), nullable=False),
        sa.Column("litert_size", sa.BigInteger(), nullable=False),
        sa.Column(
            "input_spec", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="height, width, channels, dtype"
        ),
        sa.Column(
            "preprocessing", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="how a picture becomes the input"
        ),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "artifact_sha256 ~ '^[0-9a-f]{64}$' AND litert_sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_model_version_sha256_hex")
        ),
        sa.CheckConstraint(
            "jsonb_typeof(input_spec) = 'object' AND jsonb_typeof(preprocessing) = 'object'",
            name=op.f("ck_model_version_recipes_are_objects"),
        ),
        sa.CheckConstraint("state IN ('PENDING', 'READY', 'RETIRED')", name=op.f("ck_model_version_state")),
        sa.CheckConstraint("number > 0", name=op.f("ck_model_version_number")),
        sa.ForeignKeyConstraint(
            ["created_by"], ["pixref.account.id"], name=op.f("fk_model_version_created_by"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["model_id"], ["pixref.model.id"], name=op.f("fk_model_version_model_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model_version")),
        sa.UniqueConstraint("artifact_key", name=op.f("uq_model_version_artifact_key")),
        sa.UniqueConstraint("litert_key", name=op.f("uq_model_version_litert_key")),
        sa.UniqueConstraint("model_id", "id", name=op.f("uq_model_version_model_id_id")),
        sa.UniqueConstraint("model_id", "number", name=op.f("uq_model_version_model_id_number")),
        schema="pixref",
        comment="Exactly what produced a prediction: file, input, preprocessing, classes.",
    )
    op.create_table(
        "image_tag",
        sa.Column("image_id", sa.BigInteger(), nullable=False),
        sa.Column("tag_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["pixref.image.id"], name=op.f("fk_image_tag_image_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tag_id"], ["pixref.tag.id"], name=op.f("fk_image_tag_tag_id"), ondelete="RESTRICT"),
        sa.PrimaryKeyConstraint("image_id", "tag_id", name=op.f("pk_image_tag")),
        schema="pixref",
        comment="Which pictures have which tags.",
    )
    op.create_index("ix_image_tag_tag_id_image_id", "image_tag", ["tag_id", "image_id"], unique=False, schema="pixref")
    op.create_table(
        "label_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("image_id", sa.BigInteger(), nullable=False),
        sa.Column("old_label_id", sa.BigInteger(), nullable=True),
        sa.Column("new_label_id", sa.BigInteger(), nullable=True),
        sa.Column("account_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "database_user",
            sa.Text(),
            server_default=sa.text("session_user"),
            nullable=False,
            comment="who, when the change came by plain SQL",
        ),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("old_label_id IS DISTINCT FROM new_label_id", name=op.f("ck_label_event_is_a_change")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["pixref.account.id"], name=op.f("fk_label_event_account_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["pixref.image.id"], name=op.f("fk_label_event_image_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["new_label_id"], ["pixref.label.id"], name=op.f("fk_label_event_new_label_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["old_label_id"], ["pixref.label.id"], name=op.f("fk_label_event_old_label_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_event")),
        schema="pixref",
        comment="Every change of a label, written by triggers, append-only.",
    )
    op.create_index("ix_label_event_image_id_id", "label_event", ["image_id", "id"], unique=False, schema="pixref")
    op.create_table(
        "model_alias",
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("model_version_id", sa.BigInteger(), nullable=False),
        sa.Column("updated_by", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("alias ~ '^[a-z][a-z0-9_-]{0,31}$'", name=op.f("ck_model_alias_alias_form")),
        sa.ForeignKeyConstraint(
            ["model_id", "model_version_id"],
            ["pixref.model_version.model_id", "pixref.model_version.id"],
            name="fk_model_alias_version",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["model_id"], ["pixref.model.id"], name=op.f("fk_model_alias_model_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["updated_by"], ["pixref.account.id"], name=op.f("fk_model_alias_updated_by"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("model_id", "alias", name=op.f("pk_model_alias")),
        schema="pixref",
        comment="A movable name for a version, such as champion.",
    )
    op.create_table(
        "model_class",
        sa.Column("model_version_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("label_id", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("position >= 0", name=op.f("ck_model_class_position")),
        sa.ForeignKeyConstraint(["label_id"], ["pixref.label.id"], name=op.f("fk_model_class_label_id"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(
            ["model_version_id"], ["pixref.model_version.id"], name=op.f("fk_model_class_model_version_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("model_version_id", "position", name=op.f("pk_model_class")),
        sa.UniqueConstraint("model_version_id", "label_id", name=op.f("uq_model_class_model_version_id_label_id")),
        schema="pixref",
        comment="Output number `position` of a version means this label.",
    )
    op.create_table(
        "prediction",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("image_id", sa.BigInteger(), nullable=False),
        sa.Column("model_version_id", sa.BigInteger(), nullable=False),
        sa.Column("label_id", sa.BigInteger(), nullable=True),
        sa.Column("score", sa.REAL(), nullable=True, comment="of the best class, 0 to 1"),
        sa.Column("scores", sa.ARRAY(sa.REAL()), nullable=True, comment="of every class, in the order of model_class.position"),
        sa.Column("error", sa.Text(), nullable=True, comment="why this picture could not be predicted"),
        sa.Column("latency_ms", sa.REAL(), nullable=True, comment="preprocessing and model, without fetching the bytes"),
        sa.Column("created_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "(error IS NULL) = (label_id IS NOT NULL AND score IS NOT NULL AND scores IS NOT NULL)",
            name=op.f("ck_prediction_result_or_error"),
        ),
        sa.CheckConstraint("score >= 0 AND score <= 1", name=op.f("ck_prediction_score")),
        sa.ForeignKeyConstraint(
            ["created_by"], ["pixref.account.id"], name=op.f("fk_prediction_created_by"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["image_id"], ["pixref.image.id"], name=op.f("fk_prediction_image_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["label_id"], ["pixref.label.id"], name=op.f("fk_prediction_label_id"), ondelete="RESTRICT"),
        sa.ForeignKeyConstraint(
            ["model_version_id"], ["pixref.model_version.id"], name=op.f("fk_prediction_model_version_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prediction")),
        sa.UniqueConstraint("image_id", "model_version_id", name=op.f("uq_prediction_image_id_model_version_id")),
        schema="pixref",
        comment="What one model version made of one picture: one row at most.",
    )
    op.create_index(
        "ix_prediction_version_label", "prediction", ["model_version_id", "label_id", "image_id"], unique=False, schema="pixref"
    )
    op.create_table(
        "thumbnail",
        sa.Column("image_id", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column(
            "recipe", sa.Text(), nullable=False, comment="how it was made; 'original' means these are the picture's own bytes"
        ),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("media_type IN ('image/png', 'image/webp')", name=op.f("ck_thumbnail_media_type")),
        sa.CheckConstraint("octet_length(data) BETWEEN 1 AND 16384", name=op.f("ck_thumbnail_data_size")),
        sa.CheckConstraint("width > 0 AND height > 0", name=op.f("ck_thumbnail_size")),
        sa.ForeignKeyConstraint(["image_id"], ["pixref.image.id"], name=op.f("fk_thumbnail_image_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_thumbnail")),
        schema="pixref",
        comment="A table of its own, so that scans of image stay small.",
    )
    for statement in (STORAGE, LABEL_HISTORY, DELETE_BY_OUTBOX, GRANTS):
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("thumbnail", schema="pixref")
    op.drop_index("ix_prediction_version_label", table_name="prediction", schema="pixref")
    op.drop_table("prediction", schema="pixref")
    op.drop_table("model_class", schema="pixref")
    op.drop_table("model_alias", schema="pixref")
    op.drop_index("ix_label_event_image_id_id", table_name="label_event", schema="pixref")
    op.drop_table("label_event", schema="pixref")
    op.drop_index("ix_image_tag_tag_id_image_id", table_name="image_tag", schema="pixref")
    op.drop_table("image_tag", schema="pixref")
    op.drop_table("model_version", schema="pixref")
    op.drop_index("uq_image_sha256_ready", table_name="image", schema="pixref", postgresql_where=sa.text("state = 'READY'"))
    op.drop_index("ix_image_split_id", table_name="image", schema="pixref", postgresql_where=sa.text("state = 'READY'"))
    op.drop_index("ix_image_lease_until", table_name="image", schema="pixref", postgresql_where=sa.text("state = 'PENDING'"))
    op.drop_index("ix_image_label_id_id", table_name="image", schema="pixref", postgresql_where=sa.text("state = 'READY'"))
    op.drop_index(
        "ix_image_attributes",
        table_name="image",
        schema="pixref",
        postgresql_using="gin",
        postgresql_ops={"attributes": "jsonb_path_ops"},
    )
    op.drop_table("image", schema="pixref")
    op.drop_index(op.f("ix_api_token_account_id"), table_name="api_token", schema="pixref")
    op.drop_table("api_token", schema="pixref")
    op.drop_table("tag", schema="pixref")
    op.drop_index("ix_object_deletion_due_at", table_name="object_deletion", schema="pixref")
    op.drop_table("object_deletion", schema="pixref")
    op.drop_table("model", schema="pixref")
    op.drop_table("label", schema="pixref")
    op.drop_table("account", schema="pixref")
    for function in ("delete_by_outbox", "record_label_changes", "record_first_labels"):
        op.execute(f"DROP FUNCTION pixref.{function}()")
