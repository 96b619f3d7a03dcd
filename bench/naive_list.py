"""A list of pictures, and a page of them, as they are usually begun: Flask, ORM entities with all their columns, relationships loaded where they
are used, OFFSET.

Run by gunicorn with its usual synchronous workers, over Pixref's own tables: `gunicorn 'bench.naive_list:create_app("postgresql://...")'`.
"""

from base64 import b64encode
from typing import Any

from flask import Flask, Response, jsonify, render_template_string, request
from sqlalchemy import Column, ForeignKey, Select, Table, create_engine, select
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


class Thumbnail(Base):
    __tablename__ = "thumbnail"
    __table_args__ = ({"schema": "pixref"},)

    image_id: Mapped[int] = mapped_column(ForeignKey("pixref.image.id"), primary_key=True)
    media_type: Mapped[str]
    data: Mapped[bytes]


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
    thumbnail: Mapped[Thumbnail] = relationship()


_PAGE = """<!doctype html>
<title>Pictures</title>
<ul>
{% for image in images %}
  <li>
    <a href="/images/{{ image.id }}">
      <img src="data:{{ image.thumbnail.media_type }};base64,{{ base64(image.thumbnail.data) }}" alt="{{ image.id }}">
    </a>
    {{ image.label.name if image.label else "no label" }} {{ image.original_name or "" }}
  </li>
{% endfor %}
</ul>
<a href="?offset={{ offset + images | length }}">Next</a>
"""


def create_app(database_url: str) -> Flask:
    """Return the app."""
    app = Flask(__name__)
    engine = create_engine(database_url)

    def page(offset: int, limit: int) -> Select[tuple[Image]]:
        return select(Image).where(Image.state == "READY").order_by(Image.id.desc()).offset(offset).limit(limit)

    @app.get("/gallery")
    def gallery() -> str:
        offset = int(request.args.get("offset", 0))
        with Session(engine) as session:
            images = session.scalars(page(offset, 60)).all()
            return render_template_string(_PAGE, images=images, offset=offset, base64=lambda data: b64encode(data).decode())

    @app.get("/images")
    def list_images() -> Response:
        offset, limit = int(request.args.get("offset", 0)), int(request.args.get("limit", 50))
        with Session(engine) as session:
            query = page(offset, limit)
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
