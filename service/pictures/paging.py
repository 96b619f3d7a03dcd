"""Which pictures are on a page: by keyset, in both directions, at a cost that does not grow with the depth or with what matches nothing.

Three ways, because PostgreSQL cannot know where in an order the matches lie, and walks through everything when it guesses wrongly
(docs/decisions/0012):

walk    an index has the matches in the list's order;
zones   the pictures of 4,096 neighbouring ids are one zone, and an index says for each zone whether any match is in it;
sift    first the nearest few thousand pictures are looked at, one by one; where they do not fill the page, matches are few, and all of them
        are found by what they have and then ordered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, cast, column, func, literal, select, true, tuple_, union
from sqlalchemy.orm import aliased

from schema.tables import Image, ImageFacts, ImageTag, Prediction
from service.errors import Invalid
from service.pictures.cursors import BIGINT_MAX, Cursor, Sort, encode_cursor
from service.pictures.filter import (
    ImageEntity,
    ImageFilter,
    Known,
    conditions,
    contents_of,
    facts_in_zone,
    ids_in,
    of_prediction,
    zone_of,
)

PAGE_MAX = 500
PAGE_DEFAULT = 50
NEAR = 5_000
"""How many pictures a sift looks at one by one, before it looks for all that match."""
GLANCE = 1_000
"""How many it looks at where an index by zones comes next."""
READY = "READY"

# What an index has in the order of ids by itself, and what one has by zones. Saying no to one of the former is neither.
_WALKED = frozenset({"label", "unlabelled", "split", "tag", "damaged", "predicted", "model", "version"})
_PREDICTED = frozenset({"predicted", "model", "version"})
_ZONED = frozenset(
    {f"{end}_{size}" for end in ("min", "max") for size in ("width", "height", "byte_size")}
    | {"channels", "bit_depth", "created_from", "created_to", "taken_from", "taken_to"}
    | {"name", "name_prefix", "attributes", "exif", "png"}
)
_CONTENTS = frozenset({"name", "attributes", "exif", "png"})
_ZONED_BY_SCORE = frozenset({"model", "version", "min_score", "max_score"})
_BY_DATE = frozenset({"created_from", "created_to"})


@dataclass(frozen=True, slots=True)
class Place:
    """Which page of a list: at most `limit` pictures after `cursor`, or before it where `backward`; without one, the first."""

    sort: Sort = Sort.NEWEST
    limit: int = PAGE_DEFAULT
    cursor: Cursor | None = None
    backward: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= PAGE_MAX:
            raise Invalid(f"limit must be 1 to {PAGE_MAX}", field="limit")

    @property
    def descending(self) -> bool:
        """Whether rows are read downwards."""
        return self.sort.descending != self.backward


def page_queries(wanted: ImageFilter, place: Place, known: Known) -> list[Select[Any]]:
    """Return queries of the page's rows, `id` and `key`, and one more than asked for where there is more; in the order in which they are read.

    The first that gives more rows than the page takes, or else the last, is right.
    """
    active = frozenset(wanted.active)
    if place.sort.by == "score":
        if not wanted.model:
            raise Invalid(f"sort={place.sort} orders by the scores of one model: give model too", field="model")
        if active <= _ZONED_BY_SCORE:
            return [_by_score(wanted, place, known)]
        return [_near_by_score(wanted, place, known), _all(_by_score(wanted, place, known, limited=False), place)]
    if place.sort.by == "date":
        if active <= _BY_DATE:
            return [_walk(wanted, place, known)]
    elif active <= _WALKED and _in_order(wanted):
        if active == {"tag"} and len(wanted.tag) == 1:
            return [_tagged(wanted.tag[0], place, known)]
        if "predicted" in active and active <= _PREDICTED:
            return [_merged([_predicted(wanted, place, replace(known, versions=[each])) for each in known.versions], place)]
        if "predicted" not in active:
            return [_walk(wanted, place, known)]
    elif active == {"any_tag"}:
        return [_merged([_tagged(tag, place, known) for tag in wanted.any_tag], place)]
    elif active <= _CONTENTS:
        # What many have is found sooner by looking than by asking the index for the thousands in a zone.
        return [_near(wanted, place, known, GLANCE), _zones(wanted, place, known)]
    elif active <= _ZONED or active <= _ZONED_BY_SCORE:
        return [_zones(wanted, place, known)]
    return [_near(wanted, place, known, NEAR), _all(_walk(wanted, place, known, limited=False), place)]


def _in_order(wanted: ImageFilter) -> bool:
    return (not wanted.model or wanted.predicted is not None) and wanted.unlabelled is not False and wanted.damaged is not False


def ends(place: Place, rows: Sequence[Any]) -> tuple[list[Any], str | None, str | None]:
    """Turn the rows as they were read into the page: at most `limit` of them in the list's order, with the cursors of what follows and of
    what comes before; None where nothing does."""
    kept = list(rows[: place.limit])
    if place.backward:
        kept.reverse()
    first, last = (Cursor(row.id, row.key) for row in (kept[0], kept[-1])) if kept else (None, None)
    return kept, *cursors_around(place, first, last, more=len(rows) > place.limit)


def cursors_around(place: Place, first: Cursor | None, last: Cursor | None, *, more: bool) -> tuple[str | None, str | None]:
    """Return the cursors of what follows a page and of what comes before it, None where nothing does.

    `first` and `last` are the page's own in the list's order, None where it is empty; `more` says that its reading met more than it takes.
    """
    if first is None or last is None:
        # Beyond the end: what the cursor names itself is the first that comes before.
        back = None if place.cursor is None else encode_cursor(place.sort, _one_further(place))
        return (back, None) if place.backward else (None, back)
    follows = more if not place.backward else True
    precedes = place.cursor is not None if not place.backward else more
    return encode_cursor(place.sort, last) if follows else None, encode_cursor(place.sort, first) if precedes else None


def _one_further(place: Place) -> Cursor:
    assert place.cursor is not None
    step = -1 if place.descending else 1
    return replace(place.cursor, id=min(max(place.cursor.id + step, 0), BIGINT_MAX))


def _ordered(query: Select[Any], place: Place, key: ColumnElement[Any] | None, image_id: ColumnElement[int]) -> Select[Any]:
    """Order by the key and the id, from the cursor on."""
    columns = [image_id] if key is None else [key, image_id]
    if place.cursor is not None:
        values = [cast(value, each.type) for each, value in zip(columns, _values(place.cursor), strict=True)]
        left, right = (tuple_(*columns), tuple_(*values)) if len(columns) > 1 else (columns[0], values[0])
        query = query.where(left < right if place.descending else left > right)
    return query.order_by(*(each.desc() if place.descending else each for each in columns))


def _values(cursor: Cursor) -> list[Any]:
    return [cursor.id] if cursor.key is None else [cursor.key, cursor.id]


def _key(image: ImageEntity, place: Place) -> ColumnElement[Any] | None:
    return image.created_at if place.sort.by == "date" else None  # type: ignore[return-value]


def _rows(image: ImageEntity, place: Place) -> Select[Any]:
    key = _key(image, place)
    return select(image.id.label("id"), (literal(None) if key is None else key).label("key"))


def _walk(wanted: ImageFilter, place: Place, known: Known, *, limited: bool = True) -> Select[Any]:
    query = _rows(Image, place).where(Image.state == READY, *conditions(wanted, known=known))
    query = _ordered(query, place, _key(Image, place), Image.id)  # type: ignore[arg-type]
    return query.limit(place.limit + 1) if limited else query.order_by(None)


def _tagged(tag: str, place: Place, known: Known) -> Select[Any]:
    return _linked(ImageTag.image_id, [ImageTag.tag_id == known.tags[tag]], place)


def _predicted(wanted: ImageFilter, place: Place, known: Known) -> Select[Any]:
    return _linked(Prediction.image_id, of_prediction(wanted, known=known), place)


def _linked(image_id: Any, linked: list[ColumnElement[bool]], place: Place) -> Select[Any]:
    """Return a walk through rows of another table that refer to pictures. The state is asked for one by one: in a join the planner may walk
    through the pictures instead and ask each for its link."""
    state = select(Image.state).where(Image.id == image_id).scalar_subquery()
    query: Select[Any] = select(image_id.label("id"), literal(None).label("key")).where(*linked, state == READY)
    return _ordered(query, place, None, image_id).limit(place.limit + 1)


def _merged(walks: list[Select[Any]], place: Place) -> Select[Any]:
    """Return the beginning of several walks together, each picture once."""
    if len(walks) == 1:
        return walks[0]
    together = union(*(select(each.subquery()) for each in walks)).subquery("together")
    return _ordered(select(together), replace(place, cursor=None), None, together.c.id).limit(place.limit + 1)


def _near(wanted: ImageFilter, place: Place, known: Known, count: int) -> Select[Any]:
    nearest = _ordered(select(Image).where(Image.state == READY), place, _key(Image, place), Image.id).limit(count)  # type: ignore[arg-type]
    near = aliased(Image, nearest.subquery("near"))
    query = _rows(near, place).where(*conditions(wanted, image=near, known=known))
    return _ordered(query, replace(place, cursor=None), _key(near, place), near.id).limit(place.limit + 1)  # type: ignore[arg-type]


def _all(matches: Select[Any], place: Place) -> Select[Any]:
    # MATERIALIZED: all matches are found first, and not by walking in the list's order.
    found = matches.cte("found").prefix_with("MATERIALIZED")
    query = select(found.c.id, found.c.key)
    key = None if place.sort.by == "id" else found.c.key
    return _ordered(query, replace(place, cursor=None), key, found.c.id).limit(place.limit + 1)


def _zones(wanted: ImageFilter, place: Place, known: Known) -> Select[Any]:
    zones = _each_zone(place)
    zone = zones.c.zone
    if wanted.model or wanted.min_score is not None or wanted.max_score is not None:
        image_id: Any = Prediction.image_id
        # Without the range of ids the planner may walk through all of them for each zone.
        exact = [ids_in(zone), zone_of(image_id) == zone, *of_prediction(wanted, known=known)]
    else:
        fitting = _ordered(select(ImageFacts.image_id).where(*facts_in_zone(wanted, zone)), place, None, ImageFacts.image_id)  # type: ignore[arg-type]
        # OFFSET 0: the pictures of a zone are fetched in their order and only where the facts fit, whatever the planner thinks of that.
        image_id = fitting.offset(0).correlate(zones).lateral("fitting").c.image_id
        exact = contents_of(wanted)
    inner: Select[Any] = select(image_id.label("id")).join(Image, Image.id == image_id).where(Image.state == READY, *exact)
    if len(known.versions) > 1:  # else a picture with predictions by several of them would be there as often
        inner = inner.distinct()
    inside = _ordered(inner, place, None, image_id).limit(place.limit + 1).lateral("inside")
    query = select(inside.c.id.label("id"), literal(None).label("key")).select_from(zones.join(inside, true()))
    order = (zones.c.zone, inside.c.id)
    return query.order_by(*(part.desc() if place.descending else part for part in order)).limit(place.limit + 1)


def _each_zone(place: Place) -> Subquery:
    """Return all zones in the order of the list, from that of the cursor on."""
    newest, oldest = (zone_of(select(end(Image.id)).scalar_subquery()) for end in (func.max, func.min))
    first, last, step = (newest, oldest, -1) if place.descending else (oldest, newest, 1)
    if place.cursor is not None and place.sort.by == "id":
        first = zone_of(cast(place.cursor.id, Image.id.type))
        # A cursor of long ago or from afar does not make us walk through zones where nothing is.
        first = func.least(first, newest) if place.descending else func.greatest(first, oldest)
    each = func.generate_series(first, last, step).table_valued(column("zone", Image.id.type)).render_derived("each")
    return select(each.c.zone).order_by(each.c.zone.desc() if place.descending else each.c.zone).subquery("zones")


def _by_score(wanted: ImageFilter, place: Place, known: Known, *, limited: bool = True) -> Select[Any]:
    columns: list[Any] = [Prediction.image_id.label("id"), Prediction.score.label("key")]
    query = select(*columns).join(Image, Image.id == Prediction.image_id)
    query = query.where(Image.state == READY, *of_prediction(wanted, known=known), *_but_prediction(wanted, known))
    query = _ordered(query, place, Prediction.score, Prediction.image_id)  # type: ignore[arg-type]
    return query.limit(place.limit + 1) if limited else query.order_by(None)


def _near_by_score(wanted: ImageFilter, place: Place, known: Known) -> Select[Any]:
    version = of_prediction(ImageFilter(model=wanted.model, version=wanted.version), known=known)
    nearest = _ordered(select(Prediction).where(*version), place, Prediction.score, Prediction.image_id).limit(NEAR)  # type: ignore[arg-type]
    near = aliased(Prediction, nearest.subquery("near"))
    query = (
        select(near.image_id.label("id"), near.score.label("key"))
        .join(Image, Image.id == near.image_id)
        .where(Image.state == READY, *of_prediction(wanted, prediction=near, known=known), *_but_prediction(wanted, known))
    )
    return _ordered(query, replace(place, cursor=None), near.score, near.image_id).limit(place.limit + 1)  # type: ignore[arg-type]


def _but_prediction(wanted: ImageFilter, known: Known) -> list[ColumnElement[bool]]:
    """Return the conditions that are not of the prediction that the list is ordered by."""
    others = replace(wanted, predicted=None, model=None, version=None, min_score=None, max_score=None, agrees=None)
    return conditions(others, known=known)
