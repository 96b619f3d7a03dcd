"""The pages that are asked for most: of everything, of one label, of one tag, of what has no label. Their statements are built and planned
once, since that takes longer than running them (docs/decisions/0008), and an index has each in its order whatever the values are.

How many rows they give is written into them: with a parameter there PostgreSQL would take a plan for all values to be the worse one, and plan anew at
every use."""

from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Integer, Text, bindparam, literal_column

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


def prepared_page(wanted: ImageFilter, place: Place, shown: Shown) -> tuple[Prepared, dict[str, Any]] | None:
    """Return the page's statement and its values; None for a page that is asked for seldom."""
    shape = tuple(wanted.active)
    usual = place.limit in _USUAL and place.sort.by == "id" and shape in _SHAPES
    if not usual or len(wanted.tag) > 1 or wanted.unlabelled is False:
        return None
    values: dict[str, Any] = {}
    if place.cursor is not None:
        values["id"] = place.cursor.id
    if wanted.label:
        values["label"] = wanted.label
    if wanted.tag:
        values["tag"] = wanted.tag[0]
    return _statement(shape, place.limit, place.descending, place.cursor is not None, shown), values


@cache
def _statement(shape: tuple[str, ...], limit: int, descending: bool, from_cursor: bool, shown: Shown) -> Prepared:
    labels = word_id(Label, bindparam("label", type_=Text))
    tags = word_id(Tag, bindparam("tag", type_=Text))
    known = Known({_ANY: labels}, {_ANY: tags}, ())  # type: ignore[dict-item]
    cursor = Cursor(bindparam("id", type_=BigInteger)) if from_cursor else None  # type: ignore[arg-type]
    place = Place(cursor=cursor, backward=not descending)
    found = page_queries(_SHAPES[shape], place, known)[0].limit(literal_column(str(limit + 1), Integer))
    name = "_".join(("pixref_page", *shape, str(limit), "down" if descending else "up", *["on"] * from_cursor, shown.value))
    return Prepared(name, page_of(found, place, shown))
