"""Which stored pictures are meant by work on many of them, and the walk over their ids."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import ColumnElement, Select, any_, case, func, select

from schema.session import Sessions
from schema.tables import Image, Snapshot, SnapshotImage
from service.accounts.actor import Actor
from service.errors import Invalid
from service.pictures.bulk_changes import allow_time, ids_array
from service.pictures.search import ImageFilter, apply_filter
from service.png.thumbnail import ORIGINAL_SIDE
from service.sql.ask import Door, ask
from service.sql.limits import Limits

IDS_MAX = 10_000
PAGE = 20_480
# A condition may have to look at every picture.
_LIMITS = Limits(time_s=30.0, rows=PAGE, bytes=5_000_000)
FETCHED = 64 * 1024
"""What fetching a picture costs, in bytes of one that need not be: a millisecond or so."""
_WEIGHT = Image.byte_size + case((func.greatest(Image.width, Image.height) > ORIGINAL_SIDE, FETCHED), else_=0)
_TIMES = ("created_from", "created_to", "taken_from", "taken_to")


@dataclass(frozen=True, slots=True)
class Selection:
    """All pictures, those with these ids, those that match a filter, those for which a condition on `catalog.images` holds, in SQL, or those
    of a snapshot, by its digest: all, or those that had this split."""

    wanted: ImageFilter | None = None
    ids: Sequence[int] | None = None
    where: str | None = None
    snapshot: str | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        if sum(part is not None for part in (self.wanted, self.ids, self.where, self.snapshot)) > 1:
            raise Invalid("give one of filter, ids, where and snapshot", field="where")
        if self.ids is not None and len(self.ids) > IDS_MAX:
            raise Invalid(f"ids has {len(self.ids)} ids: at most {IDS_MAX} at once, or a filter", field="ids")
        if self.where is not None:
            from service.sql.condition import check_condition  # PostgreSQL's parser, which most processes never need

            check_condition(self.where)

    def to_json(self) -> dict[str, Any]:
        """Give a JSON object from which `from_json` makes an equal selection."""
        if self.wanted is not None:
            return {"filter": {name: _plain(value) for name, value in self.wanted.active.items()}}
        if self.ids is not None:
            return {"ids": list(self.ids)}
        return {name: value for name in ("where", "snapshot", "split") if (value := getattr(self, name)) is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read a selection that was kept."""
        if (kept := data.get("filter")) is not None:
            times = {name: datetime.fromisoformat(kept[name]) for name in _TIMES if name in kept}
            return cls(wanted=ImageFilter(**{**kept, **times}))
        return cls(ids=data.get("ids"), where=data.get("where"), snapshot=data.get("snapshot"), split=data.get("split"))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, slots=True)
class Page:
    """A part of what is meant: how many pictures it has, and those of them that are still to be done, upwards, each with its weight: its size
    in bytes, and where these are to be fetched, `FETCHED` more."""

    seen: int
    todo: list[tuple[int, int]]


def pages(sessions: Sessions, door: Door, selection: Selection, done: ColumnElement[bool], *, actor: Actor) -> Iterator[Page]:
    """Walk over all pictures that are meant, upwards, at most `PAGE` at a time; `done` is true of rows of `image` that need nothing more.

    What is added meanwhile is met or not.
    """
    after = 0
    while True:
        query = _among(selection)
        if selection.where is not None:
            if not (ids := _ids_where(sessions, door, selection.where, after, actor)):
                return
            query = query.where(Image.id == any_(ids_array(ids)))
            full, last_id = len(ids) == PAGE, ids[-1]
        else:
            query = query.where(Image.id > after)
            full, last_id = False, after
        columns = query.with_only_columns(Image.id, _WEIGHT, done).order_by(Image.id).limit(PAGE)
        with sessions() as session, session.begin():
            allow_time(session)
            found = session.execute(columns).all()
        if found and selection.where is None:
            full, last_id = len(found) == PAGE, found[-1][0]
        yield Page(len(found), [(image_id, weight) for image_id, weight, ready in found if not ready])
        if not full:
            return
        after = last_id


def count(sessions: Sessions, door: Door, selection: Selection, done: ColumnElement[bool], *, actor: Actor) -> tuple[int, int]:
    """Return how many pictures are meant, and how many of them need nothing more."""
    if selection.where is not None:
        found = [(page.seen, page.seen - len(page.todo)) for page in pages(sessions, door, selection, done, actor=actor)]
        return sum(seen for seen, _ in found), sum(ready for _, ready in found)
    columns = _among(selection).with_only_columns(func.count(), func.count().filter(done))
    with sessions() as session, session.begin():
        allow_time(session)
        selected, ready = session.execute(columns).one()
    return selected, ready


def chosen(sessions: Sessions, door: Door, selection: Selection, *, actor: Actor) -> Select[Any]:
    """Return the query of the ids of all that is meant; a condition in SQL is asked here and now."""
    query = _among(selection)
    if selection.where is None:
        return query
    ids: list[int] = []
    while found := _ids_where(sessions, door, selection.where, ids[-1] if ids else 0, actor):
        ids += found
        if len(found) < PAGE:
            break
    return query.where(Image.id == any_(ids_array(ids)))


def _ids_where(sessions: Sessions, door: Door, where: str, after: int, actor: Actor) -> list[int]:
    from service.sql.condition import paging

    found = ask(sessions, door, paging(where, PAGE), [after], actor=actor, limits=_LIMITS)
    return [int(row[0]) for row in found.rows]


def _among(selection: Selection) -> Select[Any]:
    query = select(Image.id).where(Image.state == "READY")
    if selection.wanted is not None:
        return apply_filter(query, selection.wanted)
    if selection.snapshot is not None:
        frozen = (
            select(SnapshotImage.image_id)
            .join(Snapshot, Snapshot.id == SnapshotImage.snapshot_id)
            .where(Snapshot.digest == selection.snapshot, SnapshotImage.image_id.is_not(None))
        )
        if selection.split is not None:
            frozen = frozen.where(SnapshotImage.split == selection.split)
        return query.where(Image.id.in_(frozen))
    return query if selection.ids is None else query.where(Image.id == any_(ids_array(selection.ids)))
