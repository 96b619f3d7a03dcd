"""Which revision this code needs and which one a database has, without Alembic: every web process asks, and Alembic takes long to import."""

from sqlalchemy import Connection, Select, Text, select, table
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.sql import column

from schema.base import SCHEMA

# The newest file in schema/migrations/versions; a test compares the two.
HEAD = "0017"

_UNDEFINED = frozenset({"42P01", "3F000"})  # undefined_table, invalid_schema_name
_VERSION: Select[str] = select(column("version_num", Text)).select_from(table("alembic_version", schema=SCHEMA))


def current_revision(connection: Connection) -> str | None:
    """Return the revision that the database is at, None for one without our tables."""
    try:
        return connection.scalar(_VERSION)
    except ProgrammingError as exc:
        if getattr(exc.orig, "pgcode", None) not in _UNDEFINED:
            raise
        connection.rollback()
        return None
