"""What lists are searched and ordered by: facts that never change in a table of their own, and indexes for every filter and order.

Revision: 0008, after 0007.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Of a name every run of three characters in lower case, which is what pg_trgm would do, which not every server has; of each JSON object its
# uppermost keys, with their values where these are no objects or lists. What contains something has all of its parts. Each part begins with its
# zone, so that one look into the index says whether a zone has any. Long ones are cut, since an index takes no long ones.
PARTS = r"""
CREATE FUNCTION pixref.search_parts(zone bigint, name text, attributes jsonb, exif jsonb, png jsonb) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    parts text[] := '{}';
    low text := lower(name);
    kind text;
    fact record;
BEGIN
    FOR place IN 1 .. coalesce(length(low), 0) - 2 LOOP
        parts := array_append(parts, zone || ':' || substr(low, place, 3));
    END LOOP;
    IF attributes <> '{}' OR exif <> '{}' OR png <> '{}' THEN
        FOR fact IN
            SELECT kind_of.kind, key, jsonb_typeof(value) AS type, value #>> '{}' AS value
            FROM (VALUES ('a', attributes), ('e', exif), ('p', png)) AS kind_of (kind, facts),
                 jsonb_each(CASE WHEN jsonb_typeof(facts) = 'object' THEN facts END)
        LOOP
            parts := array_append(parts, left(zone || fact.kind || fact.key || CASE fact.type
                WHEN 'object' THEN '' WHEN 'array' THEN ''
                WHEN 'number' THEN '=' || trim_scale(fact.value::numeric)
                ELSE '=' || coalesce(fact.value, '') END, 80));
        END LOOP;
    END IF;
    RETURN parts;
END $$;
COMMENT ON FUNCTION pixref.search_parts(bigint, text, jsonb, jsonb, jsonb) IS
    'What names and JSON facts are searched by: an object contains another only if it has all of its parts.';
"""

COPY = """
    INSERT INTO pixref.image_facts
    SELECT id, width, height, byte_size, channels, bit_depth, created_at, taken_at, lower(original_name),
           pixref.search_parts(id >> 12, original_name, attributes, exif, png)
"""

TRIGGERS = f"""
CREATE FUNCTION pixref.copy_facts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pixref, pg_temp AS $$
BEGIN
    {COPY} FROM added;
    RETURN NULL;
END $$;

CREATE FUNCTION pixref.copy_changed_facts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pixref, pg_temp AS $$
BEGIN
    DELETE FROM image_facts WHERE image_id = OLD.id;
    {COPY} FROM pixref.image WHERE id = NEW.id;
    RETURN NULL;
END $$;

CREATE TRIGGER image_copy_facts AFTER INSERT ON pixref.image REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION pixref.copy_facts();
CREATE TRIGGER image_copy_changed_facts
    AFTER UPDATE OF width, height, byte_size, channels, bit_depth, created_at, taken_at, original_name, attributes, exif, png
    ON pixref.image FOR EACH ROW EXECUTE FUNCTION pixref.copy_changed_facts();
"""  # noqa: S608  (our own text)

ZONE = "(image_id >> 12)"
ZONED = {
    "width": ["width"],
    "height": ["height"],
    "byte_size": ["byte_size"],
    "format": ["channels", "bit_depth"],
    "created_at": ["created_at"],
    "taken_at": ["taken_at"],
    "name": ["name"],
}


def upgrade() -> None:
    op.create_table(
        "image_facts",
        sa.Column("image_id", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("byte_size", sa.BigInteger(), nullable=False),
        sa.Column("channels", sa.SmallInteger(), nullable=False),
        sa.Column("bit_depth", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("name", sa.Text(), nullable=True, comment="original_name in lower case"),
        sa.Column(
            "parts",
            postgresql.ARRAY(sa.Text()),
            nullable=True,
            comment="of name, attributes, exif and png, each with its zone: see pixref.search_parts",
        ),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_image_facts")),
        schema="pixref",
        comment="What a picture is searched by and never changes, copied by triggers: apart from image, so that labelling a picture leaves "
        "these indexes alone.",
    )
    op.execute(PARTS)
    op.execute(f"{COPY} FROM pixref.image")
    op.create_foreign_key(
        op.f("fk_image_facts_image_id"),
        "image_facts",
        "image",
        ["image_id"],
        ["id"],
        source_schema="pixref",
        referent_schema="pixref",
        ondelete="CASCADE",
    )
    for name, columns in ZONED.items():
        op.create_index(
            f"ix_image_facts_zone_{name}",
            "image_facts",
            [sa.text(ZONE), *columns, "image_id"],
            schema="pixref",
            postgresql_where=sa.text("taken_at IS NOT NULL") if name == "taken_at" else None,
            postgresql_ops={"name": "text_pattern_ops"} if name == "name" else {},
        )
    op.create_index(
        "ix_image_facts_parts",
        "image_facts",
        ["parts"],
        schema="pixref",
        postgresql_using="gin",
        postgresql_with={"fastupdate": "off"},
    )
    op.execute(TRIGGERS)
    op.execute("GRANT SELECT ON pixref.image_facts TO pixref_app")
    ready = sa.text("state = 'READY'")
    op.create_index(
        "ix_image_unlabelled", "image", ["id"], schema="pixref", postgresql_where=sa.text("state = 'READY' AND label_id IS NULL")
    )
    op.create_index("ix_image_created_at_id", "image", ["created_at", "id"], schema="pixref", postgresql_where=ready)
    predicted = sa.text("error IS NULL")
    op.create_index(
        "ix_prediction_version_score",
        "prediction",
        ["model_version_id", "score", "image_id"],
        schema="pixref",
        postgresql_where=predicted,
    )
    op.create_index(
        "ix_prediction_zone_score",
        "prediction",
        ["model_version_id", sa.text(ZONE), "score", "image_id"],
        schema="pixref",
        postgresql_where=predicted,
    )


def downgrade() -> None:
    for name in ("zone_score", "version_score"):
        op.drop_index(f"ix_prediction_{name}", "prediction", schema="pixref")
    for name in ("created_at_id", "unlabelled"):
        op.drop_index(f"ix_image_{name}", "image", schema="pixref")
    for name in ("copy_changed_facts", "copy_facts"):
        op.execute(f"DROP TRIGGER image_{name} ON pixref.image")
        op.execute(f"DROP FUNCTION pixref.{name}()")
    op.drop_table("image_facts", schema="pixref")
    op.execute("DROP FUNCTION pixref.search_parts(bigint, text, jsonb, jsonb, jsonb)")
