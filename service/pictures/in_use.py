"""The words that pictures have, for forms to suggest."""

from functools import cache

from sqlalchemy import ColumnElement, Integer, ScalarSelect, Select, Text, func, literal_column, select, true

from schema.prepared import Prepared
from schema.session import Sessions, single
from schema.tables import Image, ImageTag, Label, Tag

SUGGESTED_MAX = 200
_READY = Image.state == literal_column("'READY'", Text)


def names_in_use(sessions: Sessions) -> tuple[list[str], list[str], list[str]]:
    """Return labels, tags and splits that pictures have, each in order; at most `SUGGESTED_MAX` of each."""
    with single(sessions) as connection:
        labels, tags, splits = _names().execute(connection, {})[0]
    return labels, tags, sorted(splits)


@cache
def _names() -> Prepared:
    some = literal_column(str(SUGGESTED_MAX), Integer)
    # As values, not as EXISTS and joins: each word looks for one picture in an index. PostgreSQL would join all pictures with all words, or
    # walk through all that are older than a tag's first.
    one = literal_column("1", Integer)
    labelled: ScalarSelect[bool] = select(true()).where(Image.label_id == Label.id, _READY).limit(one).scalar_subquery()
    is_ready = select(_READY).where(Image.id == ImageTag.image_id).correlate(ImageTag).scalar_subquery()
    tagged = select(true()).where(ImageTag.tag_id == Tag.id, is_ready).limit(one).scalar_subquery()
    lists = (
        select(Label.name).where(labelled).order_by(Label.name).limit(some),
        select(Tag.name).where(tagged).order_by(Tag.name).limit(some),
        _splits().limit(some),
    )
    arrays: list[ColumnElement[list[str]]] = [func.array(names.scalar_subquery()) for names in lists]
    return Prepared("pixref_names_in_use", select(*arrays))


def _splits() -> Select[tuple[str]]:
    """Return the query of all splits: one look at the index of splits for each, where DISTINCT would read every picture."""
    smallest = select(func.min(Image.split).label("split")).where(_READY)
    found = smallest.cte("splits", recursive=True)
    following = smallest.where(Image.split > found.c.split).correlate(found).scalar_subquery()
    found = found.union_all(select(following).where(found.c.split.is_not(None)))
    return select(found.c.split).where(found.c.split.is_not(None))
