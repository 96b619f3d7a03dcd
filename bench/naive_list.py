"""A list of pictures as it is usually begun: Flask, ORM entities with all their columns, relationships loaded where they are used, OFFSET.

Run by gunicorn with its usual synchronous workers, over Pixref's own tables: `gunicorn 'bench.naive_list:create_app("postgresql://...")'`.
"""

from typing import Any

from flask import Flask, Response, jsonify, request
from sqlalchemy import Column, ForeignKey, Table, create_engine, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship


class Base(DeclarativeBase):
    pass


_image_tag = Table(
    "image_tag",
    Base.metadata,
    Column("image_id", ForeignKey("pixref.image.id"), primary_key=True),
    Column("tag_id", ForeignKey("pixref.tag.id"), primary_key=True),
    schema="pixref",
)


class Label(Base):
    __tablename__ = "label"
    __table_args__ = ({"schema": "pixref"},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Tag(Base):
    __tablename__ = "tag"
    __table_args__ = ({"schema": "pixref"},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Image(Base):
    __tablename__ = "image"
    __table_args__ = ({"schema": "pixref"},)

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str]
    object_key: Mapped[str]
    byte_size: Mapped[int]
    state: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    channels: Mapped[int]
    bit_depth: Mapped[int]
    original_name: Mapped[str | None]
    split: Mapped[str | None]
    attributes: Mapped[dict[str, Any]] = mapped_column(JSONB)
    label_id: Mapped[int | None] = mapped_column(ForeignKey("pixref.label.id"))
    label: Mapped[Label | None] = relationship()
    tags: Mapped[list[Tag]] = relationship(secondary=_image_tag)


def create_app(database_url: str) -> Flask:
    """Return the app."""
    app = Flask(__name__)
    engine = create_engine(database_url)

    @app.get("/images")
    def list_images() -> Response:
        offset, limit = int(request.args.get("offset", 0)), int(request.args.get("limit", 50))
        with Session(engine) as session:
            query = select(Image).where(Image.state == "READY").order_by(Image.id.desc()).offset(offset).limit(limit)
            return jsonify(
                items=[
                    {
                        "id": image.id,
                        "sha256": image.sha256,
                        "byte_size": image.byte_size,
                        "width": image.width,
                        "height": image.height,
                        "channels": image.channels,
                        "bit_depth": image.bit_depth,
                        "original_name": image.original_name,
                        "label": image.label.name if image.label else None,
                        "tags": sorted(tag.name for tag in image.tags),
                        "split": image.split,
                        "attributes": image.attributes,
                    }
                    for image in session.scalars(query)
                ]
            )

    return app
