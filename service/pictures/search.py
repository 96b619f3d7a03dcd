"""Read pictures: one by its id, or a page of those that match. What matches is `filter`'s to say, which of them are on a page `paging`'s."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from schema.session import Sessions, single
from schema.tables import Image, Prediction
from service.errors import Invalid, NotFound
from service.pictures.cursors import BIGINT_MAX, Cursor, Sort, decode_cursor
from service.pictures.filter import ImageFilter, apply_filter, look_up
from service.pictures.paging import PAGE_DEFAULT, PAGE_MAX, Place, ends, page_queries
from service.pictures.prepared_pages import prepared_page
from service.pictures.rows import ImageInfo, Shown, ThumbnailInfo, Tile, info_of, page_of, ready, tile_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items, the cursor of what follows and that of what comes before; None where there is nothing."""

    items: list[T]
    next: str | None
    prev: str | None


def place_of(sort: Sort, limit: int, after: str | None, before: str | None) -> Place:
    """Return which page is meant by what a caller gave. Raises `Invalid`."""
    if after and before:
        raise Invalid("before and after are both given: a page comes after one cursor or before one", field="before")
    if before:
        return Place(sort, limit, decode_cursor(before, sort, field="before"), backward=True)
    return Place(sort, limit, decode_cursor(after, sort, field="after") if after else None)


def read_page(
    sessions: Sessions, wanted: ImageFilter, place: Place, shown: Shown, given: Mapping[str, Any] = MappingProxyType({})
) -> Page[Row[Any]]:
    """Return a page as rows of `shown`; `given` are values that these take."""
    with single(sessions) as connection:
        common = prepared_page(wanted, place, shown)
        if common is not None:
            statement, values = common
            return Page(*ends(place, statement.execute(connection, {**values, **given})))
        known = look_up(connection, wanted, ordering=place.sort.by == "score")
        rows: Sequence[Row[Any]] = []
        for found in page_queries(wanted, place, known):
            rows = connection.execute(page_of(found, place, shown), given).all()
            if len(rows) > place.limit:
                break
    return Page(*ends(place, rows))


def list_images(
    sessions: Sessions,
    wanted: ImageFilter,
    *,
    limit: int = PAGE_DEFAULT,
    after: str | None = None,
    before: str | None = None,
    sort: Sort = Sort.NEWEST,
) -> Page[ImageInfo]:
    """Return a page of pictures: the first, or that after or before a cursor. Raises `Invalid`."""
    page = read_page(sessions, wanted, place_of(sort, limit, after, before), Shown.FACTS)
    return Page([info_of(row) for row in page.items], page.next, page.prev)


def list_tiles(
    sessions: Sessions,
    wanted: ImageFilter,
    *,
    limit: int = PAGE_DEFAULT,
    after: str | None = None,
    before: str | None = None,
    sort: Sort = Sort.NEWEST,
) -> Page[Tile]:
    """Return a page of pictures as a grid shows them, without the bucket. Raises `Invalid`."""
    page = read_page(sessions, wanted, place_of(sort, limit, after, before), Shown.TILES)
    return Page([tile_of(row) for row in page.items], page.next, page.prev)


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The pictures before and after one in a list; None at an end, and where the one has no place in that order."""

    previous: int | None
    next: int | None


def neighbours(sessions: Sessions, wanted: ImageFilter, info: ImageInfo, *, sort: Sort = Sort.NEWEST) -> Neighbours:
    """Return what is before and after a picture among those that match, whether it matches itself or not. Raises `Invalid`."""
    key: datetime | float | None = None
    if sort.by == "date":
        key = info.created_at
    elif sort.by == "score":
        with single(sessions) as connection:
            versions = look_up(connection, wanted, ordering=True).versions
            query = select(Prediction.score).where(Prediction.image_id == info.id, Prediction.model_version_id.in_(versions))
            key = connection.execute(query.limit(1)).scalar()
        if key is None:
            return Neighbours(None, None)
    places = (Place(sort, 1, Cursor(info.id, key), backward=backward) for backward in (True, False))
    before, after = (read_page(sessions, wanted, place, Shown.FACTS).items for place in places)
    return Neighbours(*(found[0].id if found else None for found in (before, after)))


def no_such_image(image_id: int) -> NotFound:
    """Return the error for a picture that is not there, or not any more."""
    return NotFound(f"there is no picture {image_id}")


def read_image(session: Session, image_id: int) -> ImageInfo:
    """Return a visible picture. Raises `NotFound`."""
    row = session.execute(ready().where(Image.id == image_id)).one_or_none() if 0 < image_id <= BIGINT_MAX else None
    if row is None:
        raise no_such_image(image_id)
    return info_of(row)


def get_image(sessions: Sessions, image_id: int) -> ImageInfo:
    """Return a visible picture. Raises `NotFound`."""
    with sessions() as session:
        return read_image(session, image_id)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file says of itself: in its PNG chunks, and in its EXIF block."""

    png: Mapping[str, Any]
    exif: Mapping[str, Any]


def get_file_facts(sessions: Sessions, image_id: int) -> FileFacts:
    """Return what the picture's file says of itself. Raises `NotFound`."""
    query = select(Image.png, Image.exif).where(Image.id == image_id, Image.state == "READY")
    with single(sessions) as connection:
        found = connection.execute(query).one_or_none() if 0 < image_id <= BIGINT_MAX else None
    if found is None:
        raise no_such_image(image_id)
    return FileFacts(found.png, found.exif)


def known_hashes(sessions: Sessions, hashes: Sequence[str]) -> dict[str, int]:
    """Return the picture's id for each of these SHA-256 (hex) that is here."""
    query = select(Image.sha256, Image.id).where(Image.sha256.in_(hashes), Image.state == "READY")
    with sessions() as session:
        return {row.sha256: row.id for row in session.execute(query)}


__all__ = [
    "BIGINT_MAX", "PAGE_DEFAULT", "PAGE_MAX", "ImageFilter", "ImageInfo", "Page", "Sort", "ThumbnailInfo", "apply_filter", "get_image",
    "known_hashes", "list_images", "list_tiles", "no_such_image", "read_image",
]  # fmt: skip
