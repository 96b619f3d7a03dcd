"""End SQL clients' sessions that go on too long: the limits in their settings are theirs to lift, this one is not."""

import logging
from collections.abc import Sequence

from sqlalchemy import text

from schema.roles import CLIENT_ROLES, ClientRole
from schema.session import Sessions

END = text("SELECT pixref.end_overdue_sessions(:client, CAST(:statement AS interval), CAST(:transaction AS interval))")

log = logging.getLogger(__name__)


def end_overdue_sessions(sessions: Sessions, roles: Sequence[ClientRole] = CLIENT_ROLES) -> int | None:
    """Return how many were ended; None where `pixref init` was not run by a superuser, so that none can be."""
    ended = 0
    for role in roles:
        if role.longest_statement is None or role.longest_transaction is None:
            continue
        with sessions() as session, session.begin():
            limits = {"statement": role.longest_statement, "transaction": role.longest_transaction}
            done: int | None = session.scalar(END, {"client": role.name, **limits})
        if done is None:
            return None
        if done:
            log.warning("sessions that went on too long were ended", extra={"role": role.name, "sessions": done, **limits})
        ended += done
    return ended
