"""Find pictures: one by id, or a page of those that match. Pages are by keyset, so that page 10,000 costs what page 1 costs."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Row, Select, exists, func, select
from sqlalchemy.orm import Session

from schema.session import Sessions
from schema.tables import Image, ImageTag, Label, Model, ModelAlias, ModelVersion, Prediction, Tag, Thumbnail
from service.errors import Invalid, NotFound
from service.names import clean_name, clean_split

PAGE_MAX = 500
PAGE_DEFAULT = 50
BIGINT_MAX = 2**63 - 1
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ImageInfo:
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


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """What to look for; None and empty mean anything. `tag` means all of them. Names are cleaned as they were when they were kept; raises
    `Invalid` naming the field.

    `predicted` is a label by the champion version of `model`, or of any model; `model` alone means predicted by it at all.
    """

    label: str | None = None
    tag: Sequence[str] = ()
    split: str | None = None
    min_width: int | None = None
    max_width: int | None = None
    min_height: int | None = None
    max_height: int | None = None
    predicted: str | None = None
    model: str | None = None

    def __post_init__(self) -> None:
        for name in ("label", "predicted", "model"):
            value = getattr(self, name)
            object.__setattr__(self, name, clean_name(value, field=name) if value and value.strip() else None)
        object.__setattr__(self, "tag", tuple(clean_name(tag, field="tag") for tag in self.tag if tag.strip()))
        object.__setattr__(self, "split", clean_split(self.split))

    @property
    def active(self) -> dict[str, Any]:
        """The parts that restrict anything, by name."""
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) not in (None, (), [], "")}


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items and the cursor of what follows; None at the end."""

    items: list[T]
    next: str | None


def encode_cursor(image_id: int) -> str:
    """Return an opaque cursor that continues after this picture."""
    return base64.urlsafe_b64encode(f"i{image_id}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> int:
    """Return the picture that a cursor continues after. Raises `Invalid`."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        number = int(text.removeprefix("i")) if text.startswith("i") and text[1:].isdecimal() else -1
    except (ValueError, binascii.Error):
        number = -1
    if not 0 < number <= BIGINT_MAX:
        raise Invalid("after is not a cursor: pass on the value of `next` as it came", field="after")
    return number


_TAGS = func.array(
    select(Tag.name)
    .join(ImageTag, ImageTag.tag_id == Tag.id)
    .where(ImageTag.image_id == Image.id)
    .order_by(Tag.name)
    .correlate(Image)
    .scalar_subquery()
).label("tags")
_COLUMNS = (
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


def _info(row: Row[Any]) -> ImageInfo:
    return ImageInfo(*row[: len(_COLUMNS)])


def _ready(*columns: Any) -> Select[Any]:
    return select(*_COLUMNS, *columns).outerjoin(Label, Label.id == Image.label_id).where(Image.state == "READY")


def _predicted(query: Select[Any], wanted: ImageFilter) -> Select[Any]:
    prediction = (
        select(Prediction.id)
        .join(ModelVersion, ModelVersion.id == Prediction.model_version_id)
        .join(Model, Model.id == ModelVersion.model_id)
        .where(Prediction.image_id == Image.id, Prediction.error.is_(None))
        .correlate(Image)
    )
    if wanted.model:
        prediction = prediction.where(Model.name == wanted.model)
    if wanted.predicted:
        champion = exists().where(ModelAlias.model_version_id == ModelVersion.id, ModelAlias.alias == "champion")
        prediction = prediction.where(
            champion, Prediction.label_id == select(Label.id).where(Label.name == wanted.predicted).scalar_subquery()
        )
    return query.where(prediction.exists())


def apply_filter(query: Select[Any], wanted: ImageFilter) -> Select[Any]:
    """Restrict a query on `image` to what is looked for."""
    if wanted.label:
        query = query.where(Image.label_id == select(Label.id).where(Label.name == wanted.label).scalar_subquery())
    for tag in wanted.tag:
        tag_id = select(Tag.id).where(Tag.name == tag).scalar_subquery()
        query = query.where(exists().where(ImageTag.image_id == Image.id, ImageTag.tag_id == tag_id))
    if wanted.split:
        query = query.where(Image.split == wanted.split)
    if wanted.min_width is not None:
        query = query.where(Image.width >= wanted.min_width)
    if wanted.max_width is not None:
        query = query.where(Image.width <= wanted.max_width)
    if wanted.min_height is not None:
        query = query.where(Image.height >= wanted.min_height)
    if wanted.max_height is not None:
        query = query.where(Image.height <= wanted.max_height)
    if wanted.predicted or wanted.model:
        query = _predicted(query, wanted)
    return query


def _page_query(wanted: ImageFilter, limit: int, after: str | None, *columns: Any) -> Select[Any]:
    if not 1 <= limit <= PAGE_MAX:
        raise Invalid(f"limit must be 1 to {PAGE_MAX}", field="limit")
    query = apply_filter(_ready(*columns), wanted)
    if after:
        query = query.where(Image.id < decode_cursor(after))
    return query.order_by(Image.id.desc()).limit(limit + 1)


def list_images(
    sessions: Sessions, wanted: ImageFilter, *, limit: int = PAGE_DEFAULT, after: str | None = None
) -> Page[ImageInfo]:
    """Return a page of pictures, newest first. Raises `Invalid`."""
    with sessions() as session:
        rows = session.execute(_page_query(wanted, limit, after)).all()
    items = [_info(row) for row in rows[:limit]]
    return Page(items, encode_cursor(items[-1].id) if len(rows) > limit else None)


def list_with_thumbnails(
    sessions: Sessions, wanted: ImageFilter, *, limit: int = PAGE_DEFAULT, after: str | None = None
) -> Page[tuple[ImageInfo, ThumbnailInfo]]:
    """Return a page of pictures with their thumbnails, by one query and without the bucket. Raises `Invalid`."""
    columns = (Thumbnail.media_type, Thumbnail.width, Thumbnail.height, Thumbnail.data)
    query = _page_query(wanted, limit, after, *columns).join(Thumbnail, Thumbnail.image_id == Image.id)
    with sessions() as session:
        rows = session.execute(query).all()
    n = len(_COLUMNS)
    items = [(_info(row), ThumbnailInfo(row[n], row[n + 1], row[n + 2], bytes(row[n + 3]))) for row in rows[:limit]]
    return Page(items, encode_cursor(items[-1][0].id) if len(rows) > limit else None)


def no_such_image(image_id: int) -> NotFound:
    """Return the error for a picture that is not there, or not any more."""
    return NotFound(f"there is no picture {image_id}")


def read_image(session: Session, image_id: int) -> ImageInfo:
    """Return a visible picture. Raises `NotFound`."""
    row = session.execute(_ready().where(Image.id == image_id)).one_or_none() if 0 < image_id <= BIGINT_MAX else None
    if row is None:
        raise no_such_image(image_id)
    return _info(row)


def get_image(sessions: Sessions, image_id: int) -> ImageInfo:
    """Return a visible picture. Raises `NotFound`."""
    with sessions() as session:
        return read_image(session, image_id)


def known_hashes(sessions: Sessions, hashes: Sequence[str]) -> dict[str, int]:
    """Return the picture's id for each of these SHA-256 (hex) that is here."""
    query = select(Image.sha256, Image.id).where(Image.sha256.in_(hashes), Image.state == "READY")
    with sessions() as session:
        return {row.sha256: row.id for row in session.execute(query)}


def _splits_in_use() -> Select[tuple[str]]:
    """Return the query of all splits, in order: one look at the index of splits for each, where DISTINCT would read every picture."""
    smallest = select(func.min(Image.split).label("split")).where(Image.state == "READY")
    found = smallest.cte("splits", recursive=True)
    following = smallest.where(Image.split > found.c.split).correlate(found).scalar_subquery()
    found = found.union_all(select(following).where(found.c.split.is_not(None)))
    return select(found.c.split).where(found.c.split.is_not(None))


def names_in_use(sessions: Sessions) -> tuple[list[str], list[str], list[str]]:
    """Return labels, tags and splits that pictures have, for a form's suggestions; at most 200 of each."""
    label = select(Label.name).where(exists().where(Image.label_id == Label.id, Image.state == "READY"))
    tag = select(Tag.name).where(exists().where(ImageTag.tag_id == Tag.id, Image.id == ImageTag.image_id, Image.state == "READY"))
    with sessions() as session:
        return (
            list(session.scalars(label.order_by(Label.name).limit(200))),
            list(session.scalars(tag.order_by(Tag.name).limit(200))),
            sorted(session.scalars(_splits_in_use().limit(200))),
        )
