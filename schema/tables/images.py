"""Pictures: what is known of each, what it is searched by, its thumbnail, tags and label history."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    ForeignKey,
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

from schema.base import READY, SCHEMA, SHA256, THUMBNAIL_MAX_BYTES, ZONE, AccountRef, Base, CreatedAt, Id


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
        Index("ix_image_facts_zone_width", ZONE, "width", "image_id"),
        Index("ix_image_facts_zone_height", ZONE, "height", "image_id"),
        Index("ix_image_facts_zone_byte_size", ZONE, "byte_size", "image_id"),
        Index("ix_image_facts_zone_format", ZONE, "channels", "bit_depth", "image_id"),
        Index("ix_image_facts_zone_created_at", ZONE, "created_at", "image_id"),
        Index("ix_image_facts_zone_taken_at", ZONE, "taken_at", "image_id", postgresql_where=text("taken_at IS NOT NULL")),
        # Finds beginnings whatever the database's collation.
        Index("ix_image_facts_zone_name", ZONE, "name", "image_id", postgresql_ops={"name": "text_pattern_ops"}),
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
