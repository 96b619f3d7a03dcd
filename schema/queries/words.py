"""Labels and tags by name, made when missing. A name whose word was merged into another leads to that one."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from sqlalchemy import BindParameter, Connection, ScalarSelect, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from schema.tables import Label, Tag

Word: TypeAlias = type[Label] | type[Tag]


def word_id(table: Word, name: str | BindParameter[str]) -> ScalarSelect[int]:
    """Return the query of the id behind a name; NULL where there is none."""
    return select(func.coalesce(table.merged_into_id, table.id)).where(table.name == name).scalar_subquery()


def find_words(session: Session | Connection, table: Word, names: Iterable[str]) -> Mapping[str, int]:
    """Return the id behind each of these names that is there."""
    query = select(table.name, func.coalesce(table.merged_into_id, table.id)).where(table.name.in_(sorted(set(names))))
    return dict(session.execute(query).all())


def ensure_words(session: Session, table: Word, names: Iterable[str]) -> Mapping[str, int]:
    """Return the id behind each name, missing ones made; until the transaction ends they can be neither merged, renamed nor deleted.

    Always before any lock on a picture or prediction, and in the order of names: so that no two writers wait for each other.
    """
    wanted = sorted(set(names))
    known = _held(session, table, wanted)
    while missing := [name for name in wanted if name not in known]:
        session.execute(insert(table).values([{"name": name} for name in missing]).on_conflict_do_nothing())
        known |= _held(session, table, missing)
    return known


def _held(session: Session, table: Word, names: Sequence[str]) -> dict[str, int]:
    # KEY SHARE is what a foreign key's own check takes; taken here, what was read of `merged_into_id` stays true.
    query = (
        select(table.name, func.coalesce(table.merged_into_id, table.id))
        .where(table.name.in_(names))
        .order_by(table.name)
        .with_for_update(read=True, key_share=True)
    )
    return dict(session.execute(query).all()) if names else {}


def hold_words(session: Session, table: Word, ids: Iterable[int]) -> Mapping[int, int]:
    """Return, for words by id, the ids of what they are now, held as by `ensure_words`; those that are gone are missing."""
    query = (
        select(table.id, func.coalesce(table.merged_into_id, table.id))
        .where(table.id.in_(sorted(set(ids))))
        .order_by(table.name)
        .with_for_update(read=True, key_share=True)
    )
    return dict(session.execute(query).all())


def current_names(session: Session, table: Word, names: Iterable[str]) -> Mapping[str, str]:
    """Return, for each of these names that is there, the name of what it leads to."""
    target = aliased(table)
    query = (
        select(table.name, func.coalesce(target.name, table.name))
        .outerjoin(target, target.id == table.merged_into_id)
        .where(table.name.in_(sorted(set(names))))
    )
    return dict(session.execute(query).all())
