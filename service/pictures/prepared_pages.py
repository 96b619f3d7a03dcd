"""The pages that are asked for most: of everything, of one label, of one tag, of what has no label. Their statements are built and planned
once, since that takes longer than running them (docs/decisions/0008), and an index has each in its order whatever the values are.

How many rows they give is written into them: with a parameter there PostgreSQL would take a plan for all values to be the worse one, and plan anew at
every use."""

from functools import cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, Select, Text, bindparam, case, cast, func, literal_column, null, select
from sqlalchemy.dialects.postgresql import aggregate_order_by

from schema.prepared import Prepared
from schema.queries.words import word_id
from schema.tables import Label, Tag
from service.pictures.cursors import Cursor
from service.pictures.filter import ImageFilter, Known
from service.pictures.paging import PAGE_DEFAULT, PAGE_MAX, Place, page_queries
from service.pictures.rows import Shown, page_of

_ANY = "any"
# Pages of any other length are asked for seldom: each connection keeps a plan for each of these.
_USUAL = frozenset({PAGE_DEFAULT, 60, 100, 200, PAGE_MAX})
_SHAPES = {
    (): ImageFilter(),
    ("label",): ImageFilter(label=_ANY),
    ("tag",): ImageFilter(tag=(_ANY,)),
    ("unlabelled",): ImageFilter(unlabelled=True),
}


KEPT = "kept_snapshot"
"""The parameter that says of which snapshot a page is here already; empty: of none."""


def prepared_page(wanted: ImageFilter, place: Place, shown: Shown) -> tuple[Prepared, dict[str, Any]] | None:
    """Return the statement of a page's rows and its values; None for a page that is asked for seldom."""
    shape = tuple(wanted.active)
    if not _is_usual(shape, wanted, place):
        return None
    return _rows(shape, place.limit, place.descending, place.cursor is not None, shown), _values(wanted, place)


def prepared_json(wanted: ImageFilter, place: Place) -> tuple[Prepared, dict[str, Any]] | None:
    """Return the statement of a whole page as JSON text, and its values; None for a page that is asked for seldom.

    It takes `ADDRESS` and `KEPT` beside them, and gives no row where the snapshot is `KEPT`, else one: `snapshot`, None where none can be told
    from another; `items`, in the list's order with commas between them; the `lowest` and `highest` of their ids; and how many were `found`, one
    more than the page takes where there is more.
    """
    shape = tuple(wanted.active)
    if not _is_usual(shape, wanted, place):
        return None
    return _json(shape, place.limit, place.descending, place.cursor is not None, place.backward), _values(wanted, place)


def _is_usual(shape: tuple[str, ...], wanted: ImageFilter, place: Place) -> bool:
    usual = place.limit in _USUAL and place.sort.by == "id" and shape in _SHAPES
    return usual and len(wanted.tag) <= 1 and wanted.unlabelled is not False


def _values(wanted: ImageFilter, place: Place) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if place.cursor is not None:
        values["id"] = place.cursor.id
    if wanted.label:
        values["label"] = wanted.label
    if wanted.tag:
        values["tag"] = wanted.tag[0]
    return values


@cache
def _rows(shape: tuple[str, ...], limit: int, descending: bool, from_cursor: bool, shown: Shown) -> Prepared:
    return Prepared(
        _name(shape, limit, descending, from_cursor, shown.value), _page(shape, limit, descending, from_cursor, shown)
    )


@cache
def _json(shape: tuple[str, ...], limit: int, descending: bool, from_cursor: bool, backward: bool) -> Prepared:
    rows = _page(shape, limit, descending, from_cursor, Shown.JSON).subquery("rows")
    read = func.row_number().over(order_by=rows.c.id.desc() if descending else rows.c.id)
    each = select(rows.c.id, rows.c.item, read.label("place")).subquery("each")
    kept = each.c.place <= literal_column(str(limit), Integer)
    commas: ColumnElement[Any] = aggregate_order_by(literal_column("','"), each.c.place.desc() if backward else each.c.place)
    found = select(
        func.string_agg(each.c.item, commas).filter(kept).label("items"),
        func.min(each.c.id).filter(kept).label("lowest"),
        func.max(each.c.id).filter(kept).label("highest"),
        func.count().label("found"),
    )
    # It has one row; but into what has a limit PostgreSQL pushes no condition, which it would then look at behind all the work.
    page = found.limit(literal_column("1", Integer)).subquery("page")
    # A standby names its running transactions incompletely. (pg_is_in_recovery() tells the same, but is asked anew for each row.)
    snapshot = case((func.current_setting("in_hot_standby") == "on", null()), else_=cast(func.pg_current_snapshot(), Text))
    changed = snapshot.is_distinct_from(bindparam(KEPT, type_=Text))
    name = _name(shape, limit, descending, from_cursor, "json", *["back"] * backward)
    return Prepared(name, select(snapshot.label("snapshot"), page).where(changed))


def _name(shape: tuple[str, ...], limit: int, descending: bool, from_cursor: bool, *rest: str) -> str:
    return "_".join(("pixref_page", *shape, str(limit), "down" if descending else "up", *["on"] * from_cursor, *rest))


def _page(shape: tuple[str, ...], limit: int, descending: bool, from_cursor: bool, shown: Shown) -> Select[Any]:
    labels = word_id(Label, bindparam("label", type_=Text))
    tags = word_id(Tag, bindparam("tag", type_=Text))
    known = Known({_ANY: labels}, {_ANY: tags}, ())  # type: ignore[dict-item]
    cursor = Cursor(bindparam("id", type_=BigInteger)) if from_cursor else None  # type: ignore[arg-type]
    place = Place(cursor=cursor, backward=not descending)
    found = page_queries(_SHAPES[shape], place, known)[0].limit(literal_column(str(limit + 1), Integer))
    return page_of(found, place, shown)
