"""Which stored pictures are meant by work on many of them, and the walk over their ids."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import any_, select

from schema.session import Sessions
from schema.tables import Image
from service.accounts.actor import Actor
from service.errors import Invalid
from service.pictures.bulk_changes import allow_time, ids_array
from service.pictures.search import ImageFilter, apply_filter
from service.sql.ask import Door, ask
from service.sql.limits import Limits

IDS_MAX = 10_000
PAGE = 5_000
# A condition may have to look at every picture.
_LIMITS = Limits(time_s=30.0, rows=PAGE, bytes=5_000_000)
_TIMES = ("created_from", "created_to", "taken_from", "taken_to")


@dataclass(frozen=True, slots=True)
class Selection:
    """All pictures, those with these ids, those that match a filter, or those for which a condition on `catalog.images` holds, in SQL."""

    wanted: ImageFilter | None = None
    ids: Sequence[int] | None = None
    where: str | None = None

    def __post_init__(self) -> None:
        if sum(part is not None for part in (self.wanted, self.ids, self.where)) > 1:
            raise Invalid("give one of filter, ids and where", field="where")
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
        return {} if self.where is None else {"where": self.where}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read a selection that was kept."""
        if (kept := data.get("filter")) is not None:
            times = {name: datetime.fromisoformat(kept[name]) for name in _TIMES if name in kept}
            return cls(wanted=ImageFilter(**{**kept, **times}))
        return cls(ids=data.get("ids"), where=data.get("where"))


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else list(value) if isinstance(value, tuple) else value


def pages(sessions: Sessions, door: Door, selection: Selection, *, actor: Actor) -> Iterator[list[int]]:
    """Walk over the ids of all pictures that are meant, upwards, in lists of at most 5,000. What is added meanwhile is met or not."""
    after = 0
    while ids := _page(sessions, door, selection, after, actor):
        yield ids
        if len(ids) < PAGE:
            return
        after = ids[-1]


def _page(sessions: Sessions, door: Door, selection: Selection, after: int, actor: Actor) -> list[int]:
    if selection.where is not None:
        from service.sql.condition import paging

        return [
            int(row[0]) for row in ask(sessions, door, paging(selection.where, PAGE), [after], actor=actor, limits=_LIMITS).rows
        ]
    with sessions() as session, session.begin():
        allow_time(session)
        return list(session.scalars(_among(selection).where(Image.id > after).order_by(Image.id).limit(PAGE)))


def _among(selection: Selection) -> Any:
    query = select(Image.id).where(Image.state == "READY")
    if selection.wanted is not None:
        return apply_filter(query, selection.wanted)
    return query if selection.ids is None else query.where(Image.id == any_(ids_array(selection.ids)))
