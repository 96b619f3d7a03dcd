"""Bring a database from nothing to head: the database itself, the roles, the migrations. One at a time, however many start at once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from schema.errors import InitLocked
from schema.migrate import upgrade
from schema.roles import ensure_roles, let_read, missing_guards, prepare_database
from schema.session import CONNECT_TIMEOUT_S

# Any constant will do, as long as every release has the same.
INIT_LOCK = 0x5049_5852
# duplicate_database; unique_violation when two make it in the same moment
_ALREADY_MADE = frozenset({"42P04", "23505"})
LOCK_NOT_AVAILABLE = "55P03"
# An init takes seconds, a migration of many rows minutes.
INIT_LOCK_WAIT_S = 300


def _engine(url: URL, **options: str) -> Engine:
    # No pool and no statement timeout: a migration may take long.
    return create_engine(
        url.set(drivername="postgresql+psycopg2"),
        poolclass=NullPool,
        connect_args={"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "pixref init"},
        **options,
    )


def ensure_database(admin_url: str) -> bool:
    """Create the database that the URL names, where it is missing; True when it was made."""
    url = make_url(admin_url)
    try:
        with _engine(url).connect():
            return False
    except OperationalError as exc:
        if f'database "{url.database}" does not exist' not in str(exc.orig):
            raise
    maintenance = _engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with maintenance.connect() as connection:
        quoted = maintenance.dialect.identifier_preparer.quote(str(url.database))
        try:
            connection.exec_driver_sql(f"CREATE DATABASE {quoted}")
        except DBAPIError as exc:
            if getattr(exc.orig, "pgcode", None) not in _ALREADY_MADE:
                raise
    return True


@contextmanager
def init_lock(admin_url: str, *, wait_s: float = INIT_LOCK_WAIT_S) -> Iterator[None]:
    """Hold the lock that makes inits of one database take turns; it goes with the connection, however this process ends.

    Raises `InitLocked` when it is not free within `wait_s` seconds.
    """
    engine = _engine(make_url(admin_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("SELECT set_config('lock_timeout', :wait, false)"), {"wait": f"{wait_s * 1000:.0f}ms"})
        try:
            connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": INIT_LOCK})
        except OperationalError as exc:
            if getattr(exc.orig, "pgcode", None) != LOCK_NOT_AVAILABLE:
                raise
            raise InitLocked(
                f"another `pixref init` holds the lock for more than {wait_s / 60:g} minutes, or a client holds advisory lock {INIT_LOCK}: "
                "pg_locks names its session (locktype 'advisory'); end that, or wait, and start again"
            ) from exc
        yield


def provision_database(admin_url: str, *, app_url: str, passwords: Mapping[str, str]) -> list[str]:
    """Make roles and rights, and migrate to head; returns what is left open to SQL clients.

    `passwords` are those of SQL clients' roles, by name. Raises `RolesError`, or SQLAlchemy's errors.
    """
    app = make_url(app_url)
    with _engine(make_url(admin_url)).connect() as connection:
        with connection.begin():
            ensure_roles(
                connection,
                login=str(app.username or ""),
                login_password=str(app.password) if app.password else None,
                passwords=passwords,
            )
            prepare_database(connection)
        upgrade(connection)
        with connection.begin():
            let_read(connection)
        return missing_guards(connection)
