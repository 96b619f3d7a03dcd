"""The tables of schema `pixref`. The migrations build them; a test holds the two equal.

    account ─< api_token
    label ─< image >─ account          image ─1 thumbnail, image ─1 image_facts
    image ─< image_tag >─ tag          image ─< label_event
    model ─< model_version ─< model_class >─ label
    model_version ─< model_alias
    image ─< prediction >─ model_version
    account ─< idempotency_key >─ image
    account ─< direct_upload           (objects that clients may still put)
    object_deletion                    (the outbox: objects that must go)
    audit_event >─ account             (what was asked of the SQL door; only added to)

Only rows of `image` in state READY are ever visible. `label_event` is written by triggers alone (migration 0001): the application's role
may not insert, update or delete there, so the history cannot be bent. A label or tag that was merged into another stays as a row, which the
history and its name need; pictures, predictions and classes of models have the other one from then on.
"""

from datetime import datetime, timedelta
from typing import Annotated, Any

from sqlalchemy import (
    ARRAY,
    REAL,
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import SCHEMA, Base, CreatedAt, Id

THUMBNAIL_MAX_BYTES = 16 * 1024
NAME_MAX = 200
DESCRIPTION_MAX = 1_000

# How long a PENDING row is left alone: longer than any upload can take (the store's own deadline is 15 s), so that the sweep never meets a
# living one. By the database's clock: it is the column's default.
LEASE = timedelta(minutes=10)

SHA256 = "~ '^[0-9a-f]{64}$'"
COLOUR = "~ '^#[0-9a-f]{6}$'"
READY = text("state = 'READY'")

# Pictures with neighbouring ids, two to the power of this many, are a zone of the search (docs/decisions/0012).
ZONE_BITS = 12
_ZONE = text(f"(image_id >> {ZONE_BITS})")

AccountRef = Annotated[int | None, mapped_column(ForeignKey(f"{SCHEMA}.account.id", ondelete="SET NULL"))]


class Account(Base):
    __tablename__ = "account"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint(f"char_length(name) BETWEEN 1 AND {NAME_MAX}", name="name_length"),
        {"comment": "A person or program that acts; named in histories."},
    )
    id: Mapped[Id]
    name: Mapped[str]
    created_at: Mapped[CreatedAt]


class ApiToken(Base):
    __tablename__ = "api_token"
    __table_args__ = (
        UniqueConstraint("token_sha256"),
        CheckConstraint("role IN ('viewer', 'editor', 'admin')", name="role"),
        CheckConstraint(f"token_sha256 {SHA256}", name="token_sha256_hex"),
        {"comment": "What a bearer of the token may do. The token itself is never stored."},
    )
    id: Mapped[Id]
    account_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.account.id", ondelete="CASCADE"), index=True)
    token_sha256: Mapped[str] = mapped_column(
        comment="SHA-256 of a token of 256 random bits: nothing to guess, so no slow hash is needed."
    )
    role: Mapped[str]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Label(Base):
    __tablename__ = "label"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint(f"char_length(name) BETWEEN 1 AND {NAME_MAX}", name="name_length"),
        CheckConstraint(f"colour {COLOUR}", name="colour"),
        CheckConstraint(f"char_length(description) BETWEEN 1 AND {DESCRIPTION_MAX}", name="description_length"),
        CheckConstraint("merged_into_id <> id", name="merged_into_another"),
        Index("ix_label_merged_into_id", "merged_into_id", postgresql_where=text("merged_into_id IS NOT NULL")),
        {"comment": "What a picture shows: a picture has at most one label."},
    )
    id: Mapped[Id]
    name: Mapped[str]
    colour: Mapped[str | None] = mapped_column(comment="#rrggbb, for people")
    description: Mapped[str | None] = mapped_column(comment="what it means")
    merged_into_id: Mapped[int | None] = mapped_column(
        ForeignKey(f"{SCHEMA}.label.id", ondelete="RESTRICT"),
        comment="the label that this one was merged into: its name is a synonym now",
    )
    created_at: Mapped[CreatedAt]


class Tag(Base):
    __tablename__ = "tag"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint(f"char_length(name) BETWEEN 1 AND {NAME_MAX}", name="name_length"),
        CheckConstraint(f"colour {COLOUR}", name="colour"),
        CheckConstraint(f"char_length(description) BETWEEN 1 AND {DESCRIPTION_MAX}", name="description_length"),
        CheckConstraint("merged_into_id <> id", name="merged_into_another"),
        Index("ix_tag_merged_into_id", "merged_into_id", postgresql_where=text("merged_into_id IS NOT NULL")),
        {"comment": "A word attached to any number of pictures."},
    )
    id: Mapped[Id]
    name: Mapped[str]
    colour: Mapped[str | None] = mapped_column(comment="#rrggbb, for people")
    description: Mapped[str | None] = mapped_column(comment="what it means")
    merged_into_id: Mapped[int | None] = mapped_column(
        ForeignKey(f"{SCHEMA}.tag.id", ondelete="RESTRICT"),
        comment="the tag that this one was merged into: its name is a synonym now",
    )
    created_at: Mapped[CreatedAt]


class Image(Base):
    __tablename__ = "image"
    __table_args__ = (
        UniqueConstraint("object_key"),
        # Unique among READY rows only: racing uploads of the same bytes each have a PENDING row and a key of their own, and the first to
        # become READY wins (docs/decisions/0002).
        Index("uq_image_sha256_ready", "sha256", unique=True, postgresql_where=READY),
        Index("ix_image_label_id_id", "label_id", "id", postgresql_where=READY),
        Index("ix_image_split_id", "split", "id", postgresql_where=READY),
        Index("ix_image_attributes", "attributes", postgresql_using="gin", postgresql_ops={"attributes": "jsonb_path_ops"}),
        Index("ix_image_lease_until", "lease_until", postgresql_where=text("state = 'PENDING'")),
        CheckConstraint(f"sha256 {SHA256}", name="sha256_hex"),
        CheckConstraint("byte_size > 0", name="byte_size"),
        CheckConstraint("state IN ('PENDING', 'READY', 'DELETING')", name="state"),
        CheckConstraint("(state = 'PENDING') = (lease_until IS NOT NULL)", name="pending_has_lease"),
        CheckConstraint("state <> 'READY' OR ready_at IS NOT NULL", name="ready_has_ready_at"),
        CheckConstraint("width > 0 AND height > 0", name="size"),
        CheckConstraint("channels BETWEEN 1 AND 4", name="channels"),
        CheckConstraint("bit_depth IN (1, 2, 4, 8, 16)", name="bit_depth"),
        CheckConstraint("color_type IN (0, 2, 3, 4, 6)", name="color_type"),
        CheckConstraint("split ~ '^[a-z0-9_-]{1,32}$'", name="split"),
        CheckConstraint("jsonb_typeof(attributes) = 'object'", name="attributes_object"),
        CheckConstraint("damage IN ('lost', 'corrupt')", name="damage"),
        CheckConstraint("(damage IS NULL) = (damaged_at IS NULL)", name="damage_has_time"),
        Index("ix_image_not_ready", "id", postgresql_where=text("state <> 'READY'")),
        Index("ix_image_verified_at", "verified_at", "id", postgresql_where=READY),
        Index("ix_image_damage", "id", postgresql_where=text("damage IS NOT NULL")),
        Index("ix_image_unlabelled", "id", postgresql_where=text("state = 'READY' AND label_id IS NULL")),
        Index("ix_image_created_at_id", "created_at", "id", postgresql_where=READY),
        {"comment": "One row a picture; its bytes are in the bucket under object_key."},
    )
    id: Mapped[Id]
    sha256: Mapped[str] = mapped_column(comment="of the stored bytes, which are the uploaded bytes")
    object_key: Mapped[str] = mapped_column(comment="write-once key in the bucket; never a URL")
    byte_size: Mapped[int]
    state: Mapped[str] = mapped_column(comment="PENDING -> READY -> DELETING -> gone; only READY is visible")
    width: Mapped[int] = mapped_column(Integer, comment="pixels, as stored")
    height: Mapped[int] = mapped_column(Integer, comment="pixels, as stored")
    channels: Mapped[int] = mapped_column(SmallInteger, comment="1 gray, 2 gray+alpha, 3 RGB, 4 RGBA, palette resolved")
    bit_depth: Mapped[int] = mapped_column(SmallInteger, comment="bits a sample as stored in the file")
    color_type: Mapped[int] = mapped_column(SmallInteger, comment="PNG colour type: 0, 2, 3, 4 or 6")
    original_name: Mapped[str | None]
    label_id: Mapped[int | None] = mapped_column(ForeignKey(f"{SCHEMA}.label.id", ondelete="RESTRICT"))
    split: Mapped[str | None] = mapped_column(comment="train, test, validation or a word of your own")
    source: Mapped[str] = mapped_column(comment="how it came in: form, api, mnist, ...")
    attributes: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"), comment="free facts of your own")
    png: Mapped[dict[str, Any]] = mapped_column(
        JSONB, server_default=text("'{}'"), comment="gamma, physical size, text chunks, animation flag"
    )
    exif: Mapped[dict[str, Any]] = mapped_column(
        JSONB, server_default=text("'{}'"), comment="camera, dates, orientation; position is left out"
    )
    taken_at: Mapped[datetime | None]
    created_by: Mapped[AccountRef]
    created_at: Mapped[CreatedAt]
    ready_at: Mapped[datetime | None]
    lease_until: Mapped[datetime | None] = mapped_column(
        server_default=text("now() + interval '10 minutes'"), comment="a PENDING row older than this was abandoned and is swept"
    )
    damage: Mapped[str | None] = mapped_column(comment="lost or corrupt: what is wrong with the bytes in the bucket")
    damaged_at: Mapped[datetime | None]
    verified_at: Mapped[datetime] = mapped_column(
        server_default=func.now(),
        comment="when the bytes in the bucket were last compared with sha256, by the store at upload or by fsck",
    )


class ImageFacts(Base):
    __tablename__ = "image_facts"
    __table_args__ = (
        Index("ix_image_facts_zone_width", _ZONE, "width", "image_id"),
        Index("ix_image_facts_zone_height", _ZONE, "height", "image_id"),
        Index("ix_image_facts_zone_byte_size", _ZONE, "byte_size", "image_id"),
        Index("ix_image_facts_zone_format", _ZONE, "channels", "bit_depth", "image_id"),
        Index("ix_image_facts_zone_created_at", _ZONE, "created_at", "image_id"),
        Index("ix_image_facts_zone_taken_at", _ZONE, "taken_at", "image_id", postgresql_where=text("taken_at IS NOT NULL")),
        # Finds beginnings whatever the database's collation.
        Index("ix_image_facts_zone_name", _ZONE, "name", "image_id", postgresql_ops={"name": "text_pattern_ops"}),
        # Without a list of what is still to be put in, which each of many searches in zones would have to read.
        Index("ix_image_facts_parts", "parts", postgresql_using="gin", postgresql_with={"fastupdate": "off"}),
        {
            "comment": "What a picture is searched by and never changes, copied by triggers: apart from image, so that labelling a picture leaves "
            "these indexes alone."
        },
    )
    image_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.image.id", ondelete="CASCADE"), primary_key=True)
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)
    byte_size: Mapped[int]
    channels: Mapped[int] = mapped_column(SmallInteger)
    bit_depth: Mapped[int] = mapped_column(SmallInteger)
    created_at: Mapped[datetime]
    taken_at: Mapped[datetime | None]
    name: Mapped[str | None] = mapped_column(comment="original_name in lower case")
    parts: Mapped[list[str] | None] = mapped_column(
        ARRAY(Text), comment="of name, attributes, exif and png, each with its zone: see pixref.search_parts"
    )


class Thumbnail(Base):
    __tablename__ = "thumbnail"
    __table_args__ = (
        CheckConstraint(f"octet_length(data) BETWEEN 1 AND {THUMBNAIL_MAX_BYTES}", name="data_size"),
        CheckConstraint("media_type IN ('image/png', 'image/webp')", name="media_type"),
        CheckConstraint("width > 0 AND height > 0", name="size"),
        {"comment": "A table of its own, so that scans of image stay small."},
    )
    image_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.image.id", ondelete="CASCADE"), primary_key=True)
    media_type: Mapped[str]
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)
    recipe: Mapped[str] = mapped_column(comment="how it was made; 'original' means these are the picture's own bytes")
    data: Mapped[bytes] = mapped_column(LargeBinary)


class ImageTag(Base):
    __tablename__ = "image_tag"
    __table_args__ = (
        Index("ix_image_tag_tag_id_image_id", "tag_id", "image_id"),
        {"comment": "Which pictures have which tags."},
    )
    image_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.image.id", ondelete="CASCADE"), primary_key=True)
    tag_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.tag.id", ondelete="RESTRICT"), primary_key=True)


class LabelEvent(Base):
    __tablename__ = "label_event"
    __table_args__ = (
        CheckConstraint("old_label_id IS DISTINCT FROM new_label_id", name="is_a_change"),
        Index("ix_label_event_image_id_id", "image_id", "id"),
        {"comment": "Every change of a label, written by triggers, append-only."},
    )
    id: Mapped[Id]
    image_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.image.id", ondelete="CASCADE"))
    old_label_id: Mapped[int | None] = mapped_column(ForeignKey(f"{SCHEMA}.label.id", ondelete="RESTRICT"))
    new_label_id: Mapped[int | None] = mapped_column(ForeignKey(f"{SCHEMA}.label.id", ondelete="RESTRICT"))
    account_id: Mapped[AccountRef]
    database_user: Mapped[str] = mapped_column(
        server_default=text("session_user"), comment="who, when the change came by plain SQL"
    )
    changed_at: Mapped[CreatedAt]


class Model(Base):
    __tablename__ = "model"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint("name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'", name="name_form"),
        {"comment": "A name under which versions are registered."},
    )
    id: Mapped[Id]
    name: Mapped[str]
    created_at: Mapped[CreatedAt]


class ModelVersion(Base):
    __tablename__ = "model_version"
    __table_args__ = (
        UniqueConstraint("model_id", "number"),
        UniqueConstraint("model_id", "id"),
        UniqueConstraint("artifact_key"),
        UniqueConstraint("litert_key"),
        CheckConstraint("number > 0", name="number"),
        CheckConstraint("state IN ('PENDING', 'READY', 'RETIRED')", name="state"),
        CheckConstraint(f"artifact_sha256 {SHA256} AND litert_sha256 {SHA256}", name="sha256_hex"),
        CheckConstraint("damage IN ('lost', 'corrupt')", name="damage"),
        CheckConstraint("(damage IS NULL) = (damaged_at IS NULL)", name="damage_has_time"),
        CheckConstraint(
            "jsonb_typeof(input_spec) = 'object' AND jsonb_typeof(preprocessing) = 'object'", name="recipes_are_objects"
        ),
        {"comment": "Exactly what produced a prediction: file, input, preprocessing, classes."},
    )
    id: Mapped[Id]
    model_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.model.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(Integer)
    state: Mapped[str]
    artifact_key: Mapped[str] = mapped_column(comment="the .keras file in the bucket")
    artifact_sha256: Mapped[str]
    artifact_size: Mapped[int]
    litert_key: Mapped[str] = mapped_column(comment="the converted file that the web process runs")
    litert_sha256: Mapped[str]
    litert_size: Mapped[int]
    input_spec: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="height, width, channels, dtype")
    preprocessing: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="how a picture becomes the input")
    metrics: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    damage: Mapped[str | None] = mapped_column(comment="lost or corrupt: what is wrong with its files in the bucket")
    damaged_at: Mapped[datetime | None]
    verified_at: Mapped[datetime] = mapped_column(
        server_default=func.now(), comment="when its files were last read back and compared with their SHA-256, by fsck"
    )
    created_by: Mapped[AccountRef]
    created_at: Mapped[CreatedAt]


class ModelClass(Base):
    __tablename__ = "model_class"
    __table_args__ = (
        UniqueConstraint("model_version_id", "label_id"),
        CheckConstraint("position >= 0", name="position"),
        {"comment": "Output number `position` of a version means this label."},
    )
    model_version_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.model_version.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    label_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.label.id", ondelete="RESTRICT"))


class ModelAlias(Base):
    __tablename__ = "model_alias"
    __table_args__ = (
        # Both columns, so that an alias can only point at a version of its own model.
        ForeignKeyConstraint(
            ["model_id", "model_version_id"],
            [f"{SCHEMA}.model_version.model_id", f"{SCHEMA}.model_version.id"],
            name="fk_model_alias_version",
            ondelete="CASCADE",
        ),
        CheckConstraint("alias ~ '^[a-z][a-z0-9_-]{0,31}$'", name="alias_form"),
        {"comment": "A movable name for a version, such as champion."},
    )
    model_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.model.id", ondelete="CASCADE"), primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    model_version_id: Mapped[int]
    updated_by: Mapped[AccountRef]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Prediction(Base):
    __tablename__ = "prediction"
    __table_args__ = (
        UniqueConstraint("image_id", "model_version_id"),
        Index("ix_prediction_version_label", "model_version_id", "label_id", "image_id"),
        Index("ix_prediction_version_score", "model_version_id", "score", "image_id", postgresql_where=text("error IS NULL")),
        Index(
            "ix_prediction_zone_score",
            "model_version_id",
            _ZONE,
            "score",
            "image_id",
            postgresql_where=text("error IS NULL"),
        ),
        CheckConstraint(
            "(error IS NULL) = (label_id IS NOT NULL AND score IS NOT NULL AND scores IS NOT NULL)", name="result_or_error"
        ),
        CheckConstraint("score >= 0 AND score <= 1", name="score"),
        {"comment": "What one model version made of one picture: one row at most."},
    )
    id: Mapped[Id]
    image_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.image.id", ondelete="CASCADE"))
    model_version_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.model_version.id", ondelete="RESTRICT"))
    label_id: Mapped[int | None] = mapped_column(ForeignKey(f"{SCHEMA}.label.id", ondelete="RESTRICT"))
    score: Mapped[float | None] = mapped_column(REAL, comment="of the best class, 0 to 1")
    scores: Mapped[list[float] | None] = mapped_column(
        ARRAY(REAL), comment="of every class, in the order of model_class.position"
    )
    margin: Mapped[float | None] = mapped_column(
        REAL, Computed("pixref.margin_of(scores)", persisted=True), comment="score of the best class less that of the second"
    )
    entropy: Mapped[float | None] = mapped_column(
        REAL, Computed("pixref.entropy_of(scores)", persisted=True), comment="of the scores, in nats"
    )
    error: Mapped[str | None] = mapped_column(comment="why this picture could not be predicted")
    latency_ms: Mapped[float | None] = mapped_column(REAL, comment="preprocessing and model, without fetching the bytes")
    created_by: Mapped[AccountRef]
    created_at: Mapped[CreatedAt]


class IdempotencyKey(Base):
    __tablename__ = "idempotency_key"
    __table_args__ = (
        CheckConstraint("char_length(key) BETWEEN 1 AND 255", name="key_length"),
        CheckConstraint(f"fingerprint {SHA256}", name="fingerprint_hex"),
        Index("ix_idempotency_key_image_id", "image_id"),
        Index("ix_idempotency_key_created_at", "created_at"),
        {"comment": "Which picture a client's Idempotency-Key has led to; kept for a day."},
    )
    account_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.account.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(comment="SHA-256 of the request; another one under the same key is refused")
    image_id: Mapped[int | None] = mapped_column(
        ForeignKey(f"{SCHEMA}.image.id", ondelete="SET NULL"), comment="NULL when the picture is gone: the key is not free again"
    )
    created_at: Mapped[CreatedAt]


class DirectUpload(Base):
    __tablename__ = "direct_upload"
    __table_args__ = (
        UniqueConstraint("object_key"),
        Index("ix_direct_upload_lease_until", "lease_until"),
        CheckConstraint(f"sha256 {SHA256}", name="sha256_hex"),
        CheckConstraint("byte_size > 0", name="byte_size"),
        CheckConstraint("jsonb_typeof(description) = 'object'", name="description_object"),
        {"comment": "A presigned upload that has not been completed; after lease_until it is swept."},
    )
    id: Mapped[Id]
    object_key: Mapped[str]
    sha256: Mapped[str]
    byte_size: Mapped[int]
    description: Mapped[dict[str, Any]] = mapped_column(JSONB, comment="name, label, tags, split, attributes")
    account_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.account.id", ondelete="CASCADE"))
    lease_until: Mapped[datetime]
    created_at: Mapped[CreatedAt]


class ObjectDeletion(Base):
    __tablename__ = "object_deletion"
    __table_args__ = (
        UniqueConstraint("object_key"),
        Index("ix_object_deletion_due_at", "due_at"),
        {"comment": "The outbox: an object that must go, written in the transaction that decided so."},
    )
    id: Mapped[Id]
    object_key: Mapped[str]
    reason: Mapped[str]
    due_at: Mapped[CreatedAt]
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    last_error: Mapped[str | None]
    created_at: Mapped[CreatedAt]


class AuditEvent(Base):
    __tablename__ = "audit_event"
    __table_args__ = (
        Index("ix_audit_event_account_id", "account_id", "id"),
        Index("ix_audit_event_started_at", "started_at"),
        CheckConstraint("char_length(query) <= 10000", name="query_length"),
        CheckConstraint("jsonb_typeof(parameters) = 'array'", name="parameters_array"),
        CheckConstraint("duration_ms >= 0 AND rows >= 0", name="not_negative"),
        {
            "comment": "What was asked of the SQL door, by whom, and what came of it. The application only adds to it; kept for 90 days."
        },
    )
    id: Mapped[Id]
    account_id: Mapped[AccountRef]
    query: Mapped[str] = mapped_column(comment="the text as it was sent; a longer one is cut")
    parameters: Mapped[list[Any] | None] = mapped_column(
        JSONB(none_as_null=True), comment="what was given for $1, $2, ...; NULL where that was nothing that can be kept"
    )
    started_at: Mapped[datetime]
    duration_ms: Mapped[float] = mapped_column(REAL, comment="from the question to its answer, waiting for a turn included")
    rows: Mapped[int | None] = mapped_column(Integer, comment="rows that were handed out; NULL when there was no answer")
    outcome: Mapped[str] = mapped_column(comment="ok, truncated, or the code of the error")
