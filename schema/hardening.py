"""What PostgreSQL gives to everybody and SQL clients must not have: taken from PUBLIC, given back to those who need it.

Only a superuser can; it concerns this database alone, and is repeated by every `pixref init`.
"""

from collections.abc import Mapping, Sequence
from enum import Enum

from sqlalchemy import Connection, text


class Keeper(Enum):
    """Who keeps a function that PUBLIC loses: the service's own roles, or people's SQL clients as well."""

    SERVICE = "service"
    CLIENTS = "clients"


# Functions of pg_catalog, by name, and who keeps them; members of a role that PostgreSQL has made for the purpose keep them too.
FUNCTIONS: tuple[tuple[str, Keeper, str | None], ...] = (
    ("^pg_(try_)?advisory_", Keeper.SERVICE, None),  # locks that outlive a transaction, and that others wait for
    (
        "^(lo_.*|lowrite|loread)$",
        Keeper.SERVICE,
        None,
    ),  # large objects: any amount of storage, which rights on tables say nothing of
    ("^pg_terminate_backend$", Keeper.SERVICE, "pg_signal_backend"),  # other people's sessions of the same role
    ("^pg_logical_emit_message$", Keeper.SERVICE, None),  # writes into the WAL, as much as one likes
    ("^pg_export_snapshot$", Keeper.SERVICE, None),  # a file for each call, until the transaction ends
    ("^(pg_current_xact_id|txid_current)$", Keeper.SERVICE, None),  # uses up transaction numbers
    # psql, pgAdmin and drivers call these; nothing that the SQL door is asked needs them.
    ("^(set_config|pg_sleep.*)$", Keeper.CLIENTS, None),
    ("^pg_cancel_backend$", Keeper.CLIENTS, "pg_signal_backend"),
    ("^pg_notify$", Keeper.CLIENTS, None),
    ("^pg_stat_get(_backend)?_activity$", Keeper.CLIENTS, "pg_monitor"),
)
# A block of PL/pgSQL can catch its own cancellation, and a function in a table's constraint runs as whoever restores the table.
LANGUAGES = ("plpgsql", "sql")
# Made by initdb for administrators, open to everybody: a client could make temporary tables there, or hold locks.
MAINTENANCE = ("postgres", "template1")


def revoke_from_public(connection: Connection, keepers: Mapping[Keeper, Sequence[str]]) -> None:
    """Take the functions and languages from PUBLIC and give them to the roles that keep them."""
    public = text("""
        SELECT oid::regprocedure::text FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ :pattern
          AND EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner))) a WHERE a.grantee = 0)""")
    for pattern, keeper, purpose in FUNCTIONS:
        # Only what is open: each REVOKE rewrites a row of the catalogue, and some functions were never for everybody.
        functions = ", ".join(connection.scalars(public, {"pattern": pattern}))
        if functions:
            roles = ", ".join([*keepers[keeper], *([purpose] if purpose else [])])
            connection.exec_driver_sql(f"GRANT EXECUTE ON FUNCTION {functions} TO {roles}")
            connection.exec_driver_sql(f"REVOKE EXECUTE ON FUNCTION {functions} FROM PUBLIC")
    roles = ", ".join(keepers[Keeper.SERVICE])
    for language in LANGUAGES:
        connection.exec_driver_sql(f"GRANT USAGE ON LANGUAGE {language} TO {roles}")
        connection.exec_driver_sql(f"REVOKE USAGE ON LANGUAGE {language} FROM PUBLIC")
    connection.exec_driver_sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")


def close_other_databases(connection: Connection, *, ours: Sequence[str]) -> None:
    """Keep SQL clients out of the maintenance databases, where nobody but `ours` and superusers signs in to this server at all.

    On a server that serves others too, who may connect where is its administrator's to say.
    """
    others = text("SELECT count(*) FROM pg_roles WHERE rolcanlogin AND NOT rolsuper AND rolname <> ALL (:ours)")
    if connection.scalar(others, {"ours": list(ours)}):
        return
    present = connection.scalars(
        text("SELECT datname FROM pg_database WHERE datname = ANY (:names)"), {"names": list(MAINTENANCE)}
    )
    for name in present.all():
        connection.exec_driver_sql(f"REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC")
