"""Engines and sessions with our limits, and the names of what can go wrong with them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from select import POLLIN, poll
from time import monotonic
from typing import Any

import psycopg2
import psycopg2.extensions
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

CONNECT_TIMEOUT_S = 2
POOL_TIMEOUT_S = 2.0
STATEMENT_TIMEOUT_MS = 3_000
LOCK_TIMEOUT_MS = 2_000
# How long a connection may lie unused before it is asked whether it still lives.
REST_S = 0.5
_USED_AT = "pixref.used_at"
# A server whose machine or network is gone says nothing, and its own time limits end nothing here: after ten seconds the kernel gives the
# connection up, instead of after a quarter of an hour.
_DEAD_PEER = {"keepalives_idle": 4, "keepalives_interval": 2, "keepalives_count": 3, "tcp_user_timeout": 10_000}


class Sessions(sessionmaker[Session]):
    """What use cases open a session with: `with sessions() as s, s.begin(): ...` commits on success, else rolls back."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine, expire_on_commit=False)
        self.engine = engine


def open_engine(url: str, *, pool_size: int = 8, application_name: str = "pixref", search_path: str | None = None) -> Engine:
    """Return an engine that fails within seconds instead of SQLAlchemy's 30; nothing connects before the first use."""
    options = {"statement_timeout": STATEMENT_TIMEOUT_MS, "lock_timeout": LOCK_TIMEOUT_MS, "timezone": "UTC"}
    if search_path:
        options["search_path"] = search_path
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg2"),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        # Values are people's data: they belong neither into logs nor into error texts.
        hide_parameters=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            **_DEAD_PEER,
            "application_name": application_name,
            "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
        },
    )
    _ping_after_rest(engine)
    return engine


def _ping_after_rest(engine: Engine) -> None:
    """Ask a connection that has rested whether it still lives: after a restart of PostgreSQL no request meets a dead one.

    SQLAlchemy's own `pool_pre_ping` asks at every use, a round trip that costs as much as a short query. A connection that was used within
    `REST_S` is asked only where its socket has something to read: a server that goes says so, or closes it.
    """

    @event.listens_for(engine, "checkin")
    def remember(_connection: Any, record: ConnectionPoolEntry) -> None:
        record.info[_USED_AT] = monotonic()

    @event.listens_for(engine, "checkout")
    def ask(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        used_at = record.info.get(_USED_AT)
        if used_at is not None and (monotonic() - used_at > REST_S or _has_something_to_say(connection)):
            try:
                alive = engine.dialect.do_ping(connection)
            except engine.dialect.dbapi.Error as exc:  # type: ignore[union-attr]
                raise DisconnectionError("the connection has died") from exc
            if not alive:
                raise DisconnectionError("the connection has died")


def _has_something_to_say(connection: Any) -> bool:
    waiting = poll()  # not select(), which takes no descriptors beyond 1,023
    waiting.register(connection.fileno(), POLLIN)
    return bool(waiting.poll(0))


@contextmanager
def single(sessions: Sessions) -> Iterator[Connection]:
    """Give a connection for one statement, which is a transaction of its own: no BEGIN and COMMIT, two round trips less.

    SQLAlchemy's isolation level AUTOCOMMIT does the same, but asks the server to forget it again behind each use, a round trip of its own.
    """
    with sessions.engine.connect() as connection:
        driver: psycopg2.extensions.connection = connection.connection.dbapi_connection  # type: ignore[assignment]
        driver.autocommit = True
        try:
            yield connection
        finally:
            if not driver.closed:
                driver.autocommit = False


class DatabaseTrouble(Enum):
    """Why a statement failed for a reason that is not the caller's."""

    UNAVAILABLE = "cannot be reached"
    BUSY = "has no free connection"
    TIMEOUT = "did not answer in time"
    FULL = "has no space left"
    READ_ONLY = "only reads"


_STATES = {
    "57014": DatabaseTrouble.TIMEOUT,  # query_canceled: statement_timeout
    "55P03": DatabaseTrouble.TIMEOUT,  # lock_not_available: lock_timeout
    "40P01": DatabaseTrouble.TIMEOUT,  # deadlock_detected
    "53300": DatabaseTrouble.BUSY,  # too_many_connections
    "53100": DatabaseTrouble.FULL,  # disk_full
    "25006": DatabaseTrouble.READ_ONLY,  # read_only_sql_transaction: a standby
    "28P01": DatabaseTrouble.UNAVAILABLE,  # invalid_password
    "28000": DatabaseTrouble.UNAVAILABLE,  # invalid_authorization_specification
    "3D000": DatabaseTrouble.UNAVAILABLE,  # invalid_catalog_name: no such database
}

# Of the server, of a database, of a role; and what is left is reserved for administrators.
_TOO_MANY = re.compile("too many (?:clients|connections)|remaining connection slots")


def trouble_of(exc: Exception) -> DatabaseTrouble | None:
    """Say what kind of database trouble an exception is, or None when it is a fault of the statement or its values."""
    if isinstance(exc, PoolTimeout):
        return DatabaseTrouble.BUSY
    if not isinstance(exc, DBAPIError):
        return None
    state = getattr(exc.orig, "pgcode", None) or ""
    if state in _STATES:
        return _STATES[state]
    if state.startswith(("08", "57P")):  # connection_exception; admin_shutdown, crash_shutdown, cannot_connect_now
        return DatabaseTrouble.UNAVAILABLE
    if not state and (isinstance(exc.orig, psycopg2.OperationalError) or type(exc.orig) is psycopg2.DatabaseError):
        # No SQLSTATE: libpq failed before or while talking to the server. In the middle of a COPY psycopg2 has no better name for it.
        return DatabaseTrouble.BUSY if _TOO_MANY.search(str(exc.orig)) else DatabaseTrouble.UNAVAILABLE
    return None


def constraint_of(exc: DBAPIError) -> str | None:
    """Name the constraint that an IntegrityError is about."""
    diag = getattr(exc.orig, "diag", None)
    return getattr(diag, "constraint_name", None)
