"""Aliases: movable names for the versions of a model, moved by compare-and-swap, with a history that only grows; and versions that are retired.

Whoever moves an alias says what it must be now, so that two people who promote at once do not take each other's decision away unseen. The moves of
one model take turns: each holds the model's row.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from schema.session import Sessions
from schema.tables import Account, Model, ModelAlias, ModelAliasEvent, ModelVersion
from service.accounts.actor import Actor
from service.errors import Conflict, Invalid, NotFound
from service.models.registry import ALIAS_PATTERN, CHAMPION, is_name
from service.pictures.labels import name_actor


class Anything(Enum):
    """Stands for an expectation that nobody has."""

    ANYTHING = "anything"


ANYTHING: Final = Anything.ANYTHING
"""Whatever the alias names now is right."""


@dataclass(frozen=True, slots=True)
class Move:
    """Where an alias was and where it is; None: nowhere. Equal where nothing had to be done."""

    model: str
    alias: str
    from_version: int | None
    to_version: int | None


@dataclass(frozen=True, slots=True)
class AliasEvent:
    """A move of an alias as its history has it."""

    id: int
    alias: str
    from_version: int | None
    to_version: int | None
    is_rollback: bool
    changed_by: str
    changed_at: datetime


def check_alias(alias: str) -> None:
    """Raise `Invalid` unless an alias may be called this."""
    if not re.fullmatch(ALIAS_PATTERN, alias):
        raise Invalid("an alias is 1 to 32 of a-z, 0-9, '_' and '-', the first a letter", field="alias")


def move_alias(
    sessions: Sessions, model: str, alias: str, version: int, *, expected: int | Anything | None = ANYTHING, actor: Actor
) -> Move:
    """Let an alias name a version, if it names the `expected` one now (None: if there is no such alias).

    Raises `Conflict` with what it names where that is another, or where the version cannot serve; `NotFound`, `Invalid`.
    """
    check_alias(alias)
    with sessions() as session, session.begin():
        model_id = _hold(session, model)
        target = _version(session, model_id, model, version)
        _require_fit(target)
        now = _named(session, model_id, alias)
        number = now.number if now else None
        if expected is not ANYTHING and expected != number:
            is_now = f"names version {number}" if now else "does not exist"
            raise Conflict(f"the alias {alias!r} of {model} {is_now} and not {_words(expected)}: look again, then decide anew")
        _point(session, model_id, alias, target, actor)
        return Move(model, alias, number, version)


def roll_back(sessions: Sessions, model: str, alias: str = CHAMPION, *, actor: Actor) -> Move:
    """Let an alias name the version again that it named before; once more, and it is the one before that.

    Versions that were retired since or whose files are damaged are passed over. Raises `Conflict` where there is none to go back to; `NotFound`.
    """
    with sessions() as session, session.begin():
        model_id = _hold(session, model)
        now = _named(session, model_id, alias)
        if now is None:
            raise NotFound(f"{model} has no alias {alias!r}", field="alias")
        for version_id in reversed(_line(session, model_id, alias)[:-1]):
            earlier = session.get_one(ModelVersion, version_id)
            if earlier.state == "READY" and earlier.damage is None and earlier.id != now.id:
                session.execute(select(func.set_config("pixref.is_rollback", "yes", True)))
                _point(session, model_id, alias, earlier, actor)
                return Move(model, alias, now.number, earlier.number)
    raise Conflict(f"the alias {alias!r} of {model} named no version before {now.number} that can serve: promote one instead")


def remove_alias(sessions: Sessions, model: str, alias: str, *, expected: int | Anything = ANYTHING, actor: Actor) -> Move:
    """Remove an alias; the versions stay. The champion is what everybody gets who names none, so that it can be moved and not removed.

    Raises `Conflict`, `NotFound`.
    """
    if alias == CHAMPION:
        raise Conflict(f"the alias {CHAMPION} is what everybody gets who names no version: move it instead")
    with sessions() as session, session.begin():
        model_id = _hold(session, model)
        now = _named(session, model_id, alias)
        if now is None:
            raise NotFound(f"{model} has no alias {alias!r}", field="alias")
        if expected is not ANYTHING and expected != now.number:
            raise Conflict(
                f"the alias {alias!r} of {model} names version {now.number} and not {expected}: look again, then decide anew"
            )
        name_actor(session, actor)
        session.execute(delete(ModelAlias).where(ModelAlias.model_id == model_id, ModelAlias.alias == alias))
        return Move(model, alias, now.number, None)


def retire(sessions: Sessions, model: str, version: int) -> None:
    """Let no new prediction be made by a version; those that it made stay, and so does the version. Again is no error.

    Raises `Conflict` while an alias names it; `NotFound`.
    """
    with sessions() as session, session.begin():
        model_id = _hold(session, model)
        row = _version(session, model_id, model, version)
        aliases = session.scalars(
            select(ModelAlias.alias).where(ModelAlias.model_version_id == row.id).order_by(ModelAlias.alias)
        ).all()
        if aliases:
            raise Conflict(f"{model} version {version} is {', '.join(aliases)}: let the alias name another version first")
        if row.state == "READY":
            session.execute(update(ModelVersion).where(ModelVersion.id == row.id).values(state="RETIRED", retired_at=func.now()))


def restore(sessions: Sessions, model: str, version: int) -> None:
    """Take a retired version back into service. Again is no error. Raises `NotFound`."""
    with sessions() as session, session.begin():
        model_id = _hold(session, model)
        row = _version(session, model_id, model, version)
        if row.state == "RETIRED":
            session.execute(update(ModelVersion).where(ModelVersion.id == row.id).values(state="READY", retired_at=None))


def history(sessions: Sessions, model: str) -> list[AliasEvent]:
    """Return every move of a model's aliases, newest first. Raises `NotFound`."""
    left, reached = aliased(ModelVersion), aliased(ModelVersion)
    query = (
        select(
            ModelAliasEvent.id,
            ModelAliasEvent.alias,
            left.number,
            reached.number,
            ModelAliasEvent.is_rollback,
            func.coalesce(Account.name, ModelAliasEvent.database_user),
            ModelAliasEvent.changed_at,
        )
        .join(Model, Model.id == ModelAliasEvent.model_id)
        .outerjoin(left, left.id == ModelAliasEvent.from_version_id)
        .outerjoin(reached, reached.id == ModelAliasEvent.to_version_id)
        .outerjoin(Account, Account.id == ModelAliasEvent.account_id)
        .where(Model.name == (model if is_name(model) else ""))
        .order_by(ModelAliasEvent.id.desc())
    )
    with sessions() as session:
        found = [AliasEvent(*row) for row in session.execute(query)]
        if not found:
            _hold(session, model)
        return found


def _hold(session: Session, model: str) -> int:
    """Return the model's id; until the transaction ends nobody else moves its aliases or retires its versions."""
    found = session.scalar(select(Model.id).where(Model.name == model).with_for_update()) if is_name(model) else None
    if found is None:
        raise NotFound(f"there is no model {model!r}: `pixref models list` shows them", field="model")
    return found


def _version(session: Session, model_id: int, model: str, number: int) -> ModelVersion:
    query = select(ModelVersion).where(
        ModelVersion.model_id == model_id, ModelVersion.number == number, ModelVersion.state != "PENDING"
    )
    row = session.scalar(query) if 0 < number < 2**31 else None
    if row is None:
        raise NotFound(f"there is no version {number} of {model}: `pixref models list` shows them", field="version")
    return row


def _named(session: Session, model_id: int, alias: str) -> ModelVersion | None:
    query = select(ModelVersion).join(ModelAlias, ModelAlias.model_version_id == ModelVersion.id)
    return session.scalar(query.where(ModelAlias.model_id == model_id, ModelAlias.alias == alias))


def _require_fit(version: ModelVersion) -> None:
    if version.state == "RETIRED":
        raise Conflict(f"version {version.number} is retired: restore it first")
    if version.damage is not None:
        raise Conflict(f"the files of version {version.number} are damaged: register the same .keras file again, which heals it")


def _point(session: Session, model_id: int, alias: str, version: ModelVersion, actor: Actor) -> None:
    name_actor(session, actor)
    new = {"model_version_id": version.id, "updated_by": actor.account_id}
    statement = insert(ModelAlias).values(model_id=model_id, alias=alias, **new)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["model_id", "alias"],
            set_={**new, "updated_at": func.now()},
            where=ModelAlias.model_version_id != version.id,
        )
    )


def _line(session: Session, model_id: int, alias: str) -> list[int]:
    """Return the versions that an alias named, one after the other up to now, without what was taken back."""
    query = (
        select(ModelAliasEvent.to_version_id, ModelAliasEvent.is_rollback)
        .where(ModelAliasEvent.model_id == model_id, ModelAliasEvent.alias == alias)
        .order_by(ModelAliasEvent.id)
    )
    line: list[int] = []
    for reached, is_rollback in session.execute(query):
        if reached is None:
            line = []
        elif is_rollback and reached in line:
            while line[-1] != reached:
                line.pop()
        else:
            line.append(reached)
    return line


def _words(expected: int | Anything | None) -> str:
    return "missing" if expected is None else f"version {expected}"
