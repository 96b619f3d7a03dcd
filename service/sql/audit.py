"""What was asked: a row for every question, those that were refused and those that failed included. Rows are only added (migration 0007)."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from schema.session import Sessions
from schema.tables import AuditEvent
from service.accounts.actor import Actor

QUERY_MAX = 10_000
PARAMETERS_MAX = 100_000
PAGE_MAX = 500
# The database keeps neither; a query with one of them was refused.
_NOT_KEPT = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of somebody's own, and what came of it. `parameters` is None where they could not be kept, `rows` where there was no answer."""

    id: int
    query: str
    parameters: list[Any] | None
    started_at: datetime
    duration_ms: float
    rows: int | None
    outcome: str


def record(
    sessions: Sessions, actor: Actor, query: str, params: Sequence[Any], *, duration_s: float, rows: int | None, outcome: str
) -> None:
    """Keep what was asked. `outcome` is ok, truncated, or the code of the error."""
    row = {
        "account_id": actor.account_id,
        "query": _NOT_KEPT.sub("\N{REPLACEMENT CHARACTER}", query[:QUERY_MAX]),
        "parameters": _kept(params),
        # By the database's clock, as everything else.
        "started_at": func.now() - timedelta(seconds=duration_s),
        "duration_ms": duration_s * 1000,
        "rows": rows,
        "outcome": outcome,
    }
    with sessions() as session, session.begin():
        session.execute(insert(AuditEvent).values(row))


def _kept(params: Sequence[Any]) -> list[Any] | None:
    try:
        text = json.dumps(list(params), ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        return None
    return list(params) if len(text) <= PARAMETERS_MAX and "\\u0000" not in text and not _NOT_KEPT.search(text) else None


def history(sessions: Sessions, actor: Actor, *, limit: int = 50, before: int | None = None) -> list[Asked]:
    """Return what this account has asked, the last first; `before` is the id of a row to go on behind."""
    found = select(
        *(getattr(AuditEvent, name) for name in ("id", "query", "parameters", "started_at", "duration_ms", "rows", "outcome"))
    ).where(AuditEvent.account_id == actor.account_id)
    if before is not None:
        found = found.where(AuditEvent.id < before)
    with sessions() as session:
        return [Asked(*row) for row in session.execute(found.order_by(AuditEvent.id.desc()).limit(limit))]


def forget_old(session: Session) -> int:
    """Remove rows that are older than 90 days; return how many."""
    return int(session.scalars(select(func.pixref.forget_audit_events())).one())
