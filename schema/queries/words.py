"""Labels and tags by name, made when missing."""

from collections.abc import Iterable, Mapping

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from schema.tables import Label, Tag


def ensure_words(session: Session, table: type[Label] | type[Tag], names: Iterable[str]) -> Mapping[str, int]:
    """Return the id of each label or tag, missing ones made. Names are made in one order, so that two writers cannot deadlock."""
    wanted = sorted(set(names))
    if not wanted:
        return {}
    known = {row.name: row.id for row in session.execute(select(table.name, table.id).where(table.name.in_(wanted)))}
    missing = [name for name in wanted if name not in known]
    if missing:
        session.execute(insert(table).values([{"name": name} for name in missing]).on_conflict_do_nothing())
        known |= {row.name: row.id for row in session.execute(select(table.name, table.id).where(table.name.in_(missing)))}
    return known
