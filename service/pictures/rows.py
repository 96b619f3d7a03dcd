"""A picture as lists and pages show it, and the statements that read it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, Text, bindparam, cast, func, literal_column, select

from schema.tables import Image, ImageTag, Label, Tag, Thumbnail
from service.pictures.paging import Place


class ImageInfo(NamedTuple):
    """A picture as lists and pages show it. Sizes in pixels and bytes; times in UTC."""

    id: int
    sha256: str
    byte_size: int
    width: int
    height: int
    channels: int
    bit_depth: int
    original_name: str | None
    label: str | None
    tags: list[str]
    split: str | None
    attributes: dict[str, Any]
    created_at: datetime
    damage: str | None


@dataclass(frozen=True, slots=True)
class ThumbnailInfo:
    """The small picture that the row carries."""

    media_type: str
    width: int
    height: int
    data: bytes


class Tile(NamedTuple):
    """A picture as a grid shows it, without the bucket. Sizes in pixels, the picture's own."""

    id: int
    width: int
    height: int
    original_name: str | None
    label: str | None
    thumbnail: ThumbnailInfo


_TAGS = func.array(
    select(Tag.name)
    .join(ImageTag, ImageTag.tag_id == Tag.id)
    .where(ImageTag.image_id == Image.id)
    .order_by(Tag.name)
    .correlate(Image)
    .scalar_subquery()
).label("tags")
COLUMNS = (
    Image.id,
    Image.sha256,
    Image.byte_size,
    Image.width,
    Image.height,
    Image.channels,
    Image.bit_depth,
    Image.original_name,
    Label.name.label("label"),
    _TAGS,
    Image.split,
    Image.attributes,
    Image.created_at,
    Image.damage,
)


_TILE = (Image.id, Image.width, Image.height, Image.original_name, Label.name.label("label"))
_THUMBNAIL = (Thumbnail.media_type, Thumbnail.width, Thumbnail.height, Thumbnail.data)
ADDRESS = "address"


class Shown(Enum):
    """What a page shows of each picture: its facts, a tile of a grid, or its facts as the JSON text that clients get."""

    FACTS = "facts"
    TILES = "tiles"
    JSON = "json"


def _as_json(address: ColumnElement[str]) -> ColumnElement[str]:
    """Return a picture as JSON text. PostgreSQL writes it, so that a page need not be taken apart and written anew here."""
    link = address.concat("/").concat(cast(Image.id, Text))
    links = {"self": link, "file": link.concat("/file"), "thumbnail": link.concat("/thumbnail")}
    moment = func.to_char(func.timezone("UTC", Image.created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    facts: dict[str, Any] = dict(zip(ImageInfo._fields, COLUMNS, strict=True)) | {"created_at": moment}
    return cast(_object(facts | {"links": _object(links)}), Text)


def _object(values: Mapping[str, Any]) -> ColumnElement[Any]:
    parts: list[ColumnElement[Any]] = []
    for name, value in values.items():
        parts += [literal_column(f"'{name}'"), value]
    return func.json_build_object(*parts)


def _columns(shown: Shown) -> tuple[Any, ...]:
    match shown:
        case Shown.FACTS:
            return COLUMNS
        case Shown.TILES:
            return (*_TILE, *_THUMBNAIL)
        case Shown.JSON:
            return (Image.id, _as_json(bindparam(ADDRESS, type_=Text)).label("item"))


def ready() -> Select[Any]:
    """Return the query of every visible picture."""
    return select(*COLUMNS).outerjoin(Label, Label.id == Image.label_id).where(Image.state == "READY")


def page_of(found: Select[Any], place: Place, shown: Shown) -> Select[Any]:
    """Return the query of what a page shows, in the order in which its rows are found; the last column is their key.

    JSON has links, which begin with the value of the parameter `ADDRESS`.
    """
    page = found.subquery("page")
    query = select(*_columns(shown), page.c.key)
    query = query.select_from(page).join(Image, Image.id == page.c.id).outerjoin(Label, Label.id == Image.label_id)
    if shown is Shown.TILES:
        query = query.join(Thumbnail, Thumbnail.image_id == Image.id)
    order = [page.c.id] if place.sort.by == "id" else [page.c.key, page.c.id]
    return query.order_by(*(each.desc() if place.descending else each for each in order))


def info_of(row: Row[Any] | Sequence[Any]) -> ImageInfo:
    """Return the picture of a row that begins with `COLUMNS`."""
    return ImageInfo._make(row[: len(COLUMNS)])


def tile_of(row: Row[Any] | Sequence[Any]) -> Tile:
    """Return the tile of a row of `Shown.TILES`."""
    media_type, width, height, data = row[len(_TILE) : len(_TILE) + len(_THUMBNAIL)]
    return Tile._make((*row[: len(_TILE)], ThumbnailInfo(media_type, width, height, bytes(data))))
