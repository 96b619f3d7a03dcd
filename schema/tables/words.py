"""Labels and tags."""

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import COLOUR, DESCRIPTION_MAX, NAME_MAX, SCHEMA, Base, CreatedAt, Id


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
