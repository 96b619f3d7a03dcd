"""The three roles, made by `pixref init` with an administrator's connection.

pixref_owner    owns the schemas; nobody signs in as it
pixref_app      reads and writes rows, owns nothing; web and worker are members of it
pixref_reader   SELECT on schema `catalog` alone, with limits; what SQL clients sign in as
"""

from sqlalchemy import Connection, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import ProgrammingError

OWNER = "pixref_owner"
APP = "pixref_app"
READER = "pixref_reader"

READER_CONNECTIONS = 16
READER_LIMITS = {
    "default_transaction_read_only": "on",
    "statement_timeout": "30s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "60s",
    "work_mem": "16MB",
    "search_path": "catalog",
    "timezone": "UTC",
}
READER_TEMP_FILE_LIMIT = "256MB"
LARGE_OBJECT_MAKERS = "pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid), pg_catalog.lo_from_bytea(oid, bytea)"


class RolesError(Exception):
    """The administrator's connection cannot make the roles; the message says what is missing."""


_quote = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]


def _literal(value: str) -> str:
    # Role statements take no bound parameters; standard_conforming_strings is on, so doubling the quotes is the whole escape.
    return "'" + value.replace("'", "''") + "'"


def _run(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def ensure_roles(connection: Connection, *, login: str, login_password: str | None, reader_password: str | None) -> None:
    """Make the roles, passwords and memberships what they should be; safe to repeat.

    `login` is the role that web and worker connect as: `pixref_app` itself, or a role of the user's own, which becomes its member.
    Raises `RolesError` when the connection may not create roles and one is missing.
    """
    present = set(
        connection.scalars(text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:names)"), {"names": [OWNER, APP, READER]})
    )
    may = connection.execute(text("SELECT rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user")).one()
    if not (may.rolsuper or may.rolcreaterole):
        raise RolesError(
            f"the role {connection.scalar(text('SELECT current_user'))!r} may not create roles: "
            "set DATABASE_ADMIN_URL to one that may (CREATEROLE or superuser)"
        )
    for role in (OWNER, APP, READER):
        if role not in present:
            _run(connection, f"CREATE ROLE {role} NOLOGIN")
    me = connection.scalar(text("SELECT current_user"))
    if not may.rolsuper:
        _run(connection, f"GRANT {OWNER} TO {_quote(str(me))}")
    if login == APP:
        if login_password:
            _run(connection, f"ALTER ROLE {APP} LOGIN PASSWORD {_literal(login_password)}")
    elif login not in (me, OWNER):
        _run(connection, f"GRANT {APP} TO {_quote(login)}")
    if reader_password:
        _run(connection, f"ALTER ROLE {READER} LOGIN PASSWORD {_literal(reader_password)} CONNECTION LIMIT {READER_CONNECTIONS}")
    for name, value in READER_LIMITS.items():
        _run(connection, f"ALTER ROLE {READER} SET {name} = {_literal(value)}")
    if may.rolsuper:  # temp_file_limit is for superusers to set
        _run(connection, f"ALTER ROLE {READER} SET temp_file_limit = {_literal(READER_TEMP_FILE_LIMIT)}")


def prepare_database(connection: Connection) -> None:
    """Give the owner its right to make schemas here, and everyone else none. Raises `RolesError` when not allowed."""
    database = _quote(str(connection.scalar(text("SELECT current_database()"))))
    try:
        _run(connection, f"GRANT CREATE, CONNECT, TEMPORARY ON DATABASE {database} TO {OWNER}")
        _run(connection, f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC")
        _run(connection, f"GRANT CONNECT ON DATABASE {database} TO {APP}, {READER}")
        if connection.scalar(text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")):
            # PUBLIC may make large objects: any amount of storage, which the reader's rights on tables say nothing of.
            _run(connection, f"REVOKE EXECUTE ON FUNCTION {LARGE_OBJECT_MAKERS} FROM PUBLIC")
    except ProgrammingError as exc:
        raise RolesError(
            f"the administrator's role does not own the database {database}: set DATABASE_ADMIN_URL to one that does"
        ) from exc
