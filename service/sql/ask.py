"""Ask the catalogue a question in SQL, for a person or a program that is signed in."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from schema.session import Sessions
from schema.tables import Image
from service.accounts.actor import Actor
from service.admission import Admission
from service.errors import PixrefError
from service.sql import audit
from service.sql.limits import ANSWER, Limits
from service.sql.result import Result

# Of all web processes together; each has its share, and one at least.
AT_ONCE = 4
WAITING = 1
WAIT_S = 1.0
REFUSAL = "this process is answering {at_once} questions in SQL already: ask yours again in a few seconds"

IMAGE_ID = "image_id"
_ID_MAX = 2**63 - 1

log = logging.getLogger(__name__)


def places(processes: int) -> Admission:
    """Return the turns of one of so many web processes."""
    return Admission(at_once=max(1, AT_ONCE // processes), waiting=WAITING, wait_s=WAIT_S, refusal=REFUSAL)


@dataclass(frozen=True, slots=True)
class Door:
    """Where questions are put, as `pixref_door`, and how many at once. The URL has the password in it."""

    url: str = field(repr=False)
    places: Admission


def ask(
    sessions: Sessions, door: Door, query: str, params: Sequence[Any] = (), *, actor: Actor, limits: Limits = ANSWER
) -> Result:
    """Answer a question, and keep that it was asked. Raises what `service.sql.guard.check` and `service.sql.run.run` raise, and `Busy`."""
    started = monotonic()
    try:
        result = _answer(door, query, params, limits)
    except Exception as exc:
        code = exc.code if isinstance(exc, PixrefError) else PixrefError.code
        _record_failure(sessions, actor, query, params, monotonic() - started, code)
        raise
    outcome = "truncated" if result.truncated else "ok"
    # Nobody gets an answer of which no trace is kept.
    audit.record(sessions, actor, query, params, duration_s=monotonic() - started, rows=len(result.rows), outcome=outcome)
    return result


def _answer(door: Door, query: str, params: Sequence[Any], limits: Limits) -> Result:
    # PostgreSQL's parser and its second driver: a web process that nobody asks has neither.
    from service.sql.guard import check
    from service.sql.run import run

    question = check(query)
    with door.places.place():
        return run(door.url, question, params, limits=limits)


def _record_failure(sessions: Sessions, actor: Actor, query: str, params: Sequence[Any], duration_s: float, code: str) -> None:
    try:
        audit.record(sessions, actor, query, params, duration_s=duration_s, rows=None, outcome=code)
    except SQLAlchemyError:
        log.warning("a question that failed could not be kept", extra={"code": code})


def image_ids(result: Result) -> list[int | None] | None:
    """Return the picture that each row is about, None where it is none; None for rows without a column `image_id`."""
    place = next((place for place, column in enumerate(result.columns) if column.name == IMAGE_ID), None)
    if place is None:
        return None
    values = [row[place] for row in result.rows]
    return [value if type(value) is int and 0 < value <= _ID_MAX else None for value in values]


def visible(sessions: Sessions, ids: Iterable[int | None]) -> frozenset[int]:
    """Return those of the ids that are pictures: a question can make up numbers."""
    wanted = sorted({value for value in ids if value is not None})
    if not wanted:
        return frozenset()
    with sessions() as session:
        return frozenset(session.scalars(select(Image.id).where(Image.id.in_(wanted), Image.state == "READY")))
