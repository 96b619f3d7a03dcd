"""The roles, made by `pixref init` with an administrator's connection.

pixref_owner    owns the schemas; nobody signs in as it
pixref_app      reads and writes rows, owns nothing; web and worker are members of it
pixref_reader   SELECT on schema `catalog` alone, with limits; what SQL clients sign in as
pixref_analyst  a member of pixref_reader that has beside it a schema of its own, `scratch`
pixref_door     reads the catalogue and does nothing else at all: what the SQL door of web and API signs in as

What SQL is asked as is a table, `CLIENT_ROLES`: a row more is all that another one takes. People's roles have the right to read the catalogue
as members of pixref_reader. The door is no member of it, so that it has none of the rights that a client program needs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy import Connection, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import ProgrammingError

from schema.hardening import MAINTENANCE, Keeper, close_other_databases, revoke_from_public

OWNER = "pixref_owner"
APP = "pixref_app"
READER = "pixref_reader"
ANALYST = "pixref_analyst"
DOOR = "pixref_door"

# What lets `pixref.end_overdue_sessions` see and end other roles' sessions. Superusers' it never can.
WARDEN = ("pg_signal_backend", "pg_read_all_stats")


@dataclass(frozen=True, slots=True)
class ClientRole:
    """One role of SQL clients. Sessions can lift what is in `settings`; the connections, the temporary files and the longest times are firm.

    Sizes and times are PostgreSQL's own: "256MB", "30s". The worker ends sessions whose statement or transaction is older than the longest;
    without these it leaves them alone. `reads` gives a role the views itself, instead of by membership.
    """

    name: str
    connections: int
    settings: Mapping[str, str]
    temp_file_limit: str
    longest_statement: str | None = None
    longest_transaction: str | None = None
    member_of: tuple[str, ...] = ()
    reads: bool = False


CLIENT_ROLES = (
    ClientRole(
        READER,
        connections=16,
        settings=MappingProxyType(
            {
                "default_transaction_read_only": "on",
                "statement_timeout": "30s",
                "lock_timeout": "2s",
                "idle_in_transaction_session_timeout": "60s",
                "work_mem": "16MB",
                "search_path": "catalog",
                "timezone": "UTC",
            }
        ),
        temp_file_limit="256MB",
        longest_statement="60s",
        longest_transaction="5min",
    ),
    ClientRole(
        ANALYST,
        connections=8,
        settings=MappingProxyType(
            {
                "statement_timeout": "2min",
                "lock_timeout": "2s",
                "idle_in_transaction_session_timeout": "5min",
                "work_mem": "32MB",
                "search_path": "scratch, catalog",
                "timezone": "UTC",
            }
        ),
        temp_file_limit="1GB",
        longest_statement="5min",
        longest_transaction="15min",
        member_of=(READER,),
    ),
    # `service.sql.run` sets limits of its own for each question, and lets its connections go; these hold for whoever signs in as it otherwise.
    ClientRole(
        DOOR,
        connections=8,  # four questions at once, and as many connections that are on their way out
        settings=MappingProxyType(
            {
                "default_transaction_read_only": "on",
                "statement_timeout": "2s",
                "lock_timeout": "500ms",
                "idle_in_transaction_session_timeout": "5s",
                "idle_session_timeout": "30s",
                "work_mem": "16MB",
                "hash_mem_multiplier": "1",
                "max_parallel_workers_per_gather": "0",
                "jit": "off",
                "search_path": "catalog",
                "timezone": "UTC",
            }
        ),
        temp_file_limit="64MB",
        reads=True,
    ),
)
ROLES = (OWNER, APP, *(role.name for role in CLIENT_ROLES))


class RolesError(Exception):
    """The administrator's connection cannot make the roles; the message says what is missing."""


_quote = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]


def _literal(value: str) -> str:
    # Role statements take no bound parameters; standard_conforming_strings is on, so doubling the quotes is the whole escape.
    return "'" + value.replace("'", "''") + "'"


def _run(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def _is_superuser(connection: Connection) -> bool:
    return bool(connection.scalar(text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")))


def ensure_roles(connection: Connection, *, login: str, login_password: str | None, passwords: Mapping[str, str]) -> None:
    """Make the roles, passwords and memberships what they should be; safe to repeat.

    `login` is the role that web and worker connect as: `pixref_app` itself, or a role of the user's own, which becomes its member.
    `passwords` are those of client roles, by name; one without a password cannot sign in until it gets one.
    Raises `RolesError` when the connection may not create roles and one is missing.
    """
    present = set(connection.scalars(text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:names)"), {"names": list(ROLES)}))
    me, superuser, may_create = connection.execute(
        text("SELECT rolname, rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user")
    ).one()
    if not (superuser or may_create):
        raise RolesError(
            f"the role {me!r} may not create roles: set DATABASE_ADMIN_URL to one that may (CREATEROLE or superuser)"
        )
    for role in ROLES:
        if role not in present:
            _run(connection, f"CREATE ROLE {role} NOLOGIN")
    if not superuser:
        _run(connection, f"GRANT {OWNER} TO {_quote(me)}")
    if login == APP:
        if login_password:
            _run(connection, f"ALTER ROLE {APP} LOGIN PASSWORD {_literal(login_password)}")
    elif login not in (me, OWNER):
        _run(connection, f"GRANT {APP} TO {_quote(login)}")
    for client in CLIENT_ROLES:
        ensure_client(connection, client, password=passwords.get(client.name), superuser=superuser)


def ensure_client(connection: Connection, client: ClientRole, *, password: str | None, superuser: bool) -> None:
    """Make a role's limits and memberships what they should be, and its password where one is given; safe to repeat."""
    inherits = "NOINHERIT" if client.reads else "INHERIT"
    _run(connection, f"ALTER ROLE {client.name} {inherits} CONNECTION LIMIT {client.connections}")
    if password:
        _run(connection, f"ALTER ROLE {client.name} LOGIN PASSWORD {_literal(password)}")
    for name, value in client.settings.items():
        # A search path is a list of names; as one literal it would be a single, odd name.
        written = value if name == "search_path" else _literal(value)
        _run(connection, f"ALTER ROLE {client.name} SET {name} = {written}")
    if superuser:  # temp_file_limit is for superusers to set
        _run(connection, f"ALTER ROLE {client.name} SET temp_file_limit = {_literal(client.temp_file_limit)}")
    for group in client.member_of:
        _run(connection, f"GRANT {group} TO {client.name}")


def let_read(connection: Connection) -> None:
    """Give the views to the roles that have them by themselves; after migrations, which make new ones.

    In a transaction, as the owner of the views. A role can give up rights of its own, so this is repeated by every init.
    """
    _run(connection, f"SET LOCAL ROLE {OWNER}")
    for client in CLIENT_ROLES:
        if client.reads:
            _run(connection, f"GRANT USAGE ON SCHEMA catalog TO {client.name}")
            _run(connection, f"GRANT SELECT ON ALL TABLES IN SCHEMA catalog TO {client.name}")


def prepare_database(connection: Connection) -> None:
    """Give the owner its right to make schemas here, the roles theirs to come in, and everyone else none.

    Raises `RolesError` when not allowed. What only a superuser can do is left out for others: `missing_guards` names it.
    """
    database = _quote(str(connection.scalar(text("SELECT current_database()"))))
    superuser = _is_superuser(connection)
    try:
        _run(connection, f"GRANT CREATE, CONNECT, TEMPORARY ON DATABASE {database} TO {OWNER}")
        _run(connection, f"REVOKE CREATE, TEMPORARY ON DATABASE {database} FROM PUBLIC")
        _run(connection, f"GRANT CONNECT ON DATABASE {database} TO {APP}, {', '.join(role.name for role in CLIENT_ROLES)}")
    except ProgrammingError as exc:
        raise RolesError(
            f"the administrator's role does not own the database {database}: set DATABASE_ADMIN_URL to one that does"
        ) from exc
    if superuser:
        revoke_from_public(connection, {Keeper.SERVICE: (OWNER, APP), Keeper.CLIENTS: (OWNER, APP, READER)})
        close_other_databases(connection, ours=ROLES)
    _appoint_warden(connection)


def _appoint_warden(connection: Connection) -> None:
    """Let the owner's function end sessions, where this administrator can give that away."""
    for role in WARDEN:
        attempt = connection.begin_nested()
        try:
            _run(connection, f"GRANT {role} TO {OWNER}")
        except ProgrammingError:
            attempt.rollback()
        else:
            attempt.commit()


def missing_guards(connection: Connection) -> list[str]:
    """Name what is open to SQL clients, because this administrator is no superuser or the server serves others too; empty where nothing is."""
    missing = []
    able = text("SELECT bool_and(pg_has_role(:owner, rolname, 'USAGE')) FROM pg_roles WHERE rolname = ANY(:roles)")
    if not connection.scalar(able, {"owner": OWNER, "roles": list(WARDEN)}):
        missing.append(f"sessions of SQL clients that go on too long are not ended (GRANT {', '.join(WARDEN)} TO {OWNER})")
    if connection.scalar(text("SELECT has_function_privilege(:role, 'pg_advisory_lock(bigint)', 'EXECUTE')"), {"role": READER}):
        missing.append(
            "SQL clients may take advisory locks and make large objects, and have no limit on temporary files (needs a superuser)"
        )
    open_to_all = text(
        "SELECT string_agg(datname, ', ' ORDER BY datname) FROM pg_database WHERE datname = ANY(:names) AND datallowconn "
        "AND has_database_privilege(:role, datname, 'CONNECT')"
    )
    if names := connection.scalar(open_to_all, {"names": list(MAINTENANCE), "role": READER}):
        missing.append(
            f"SQL clients may use other databases of this server (REVOKE CONNECT ON DATABASE {names} FROM PUBLIC, if nobody needs them)"
        )
    return missing
