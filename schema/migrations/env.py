"""Alembic's entry: always on the connection that `schema.migrate` hands over, never on a URL of its own."""

from typing import Any

from alembic import context
from sqlalchemy import Connection, text

import schema.tables  # noqa: F401  (fills the metadata)
from schema import catalog
from schema.base import SCHEMA, Base
from schema.roles import OWNER

# A migration that waits for a lock blocks everybody behind it: give up instead, and try again when it is quiet.
LOCK_TIMEOUT = "10s"
STATEMENT_TIMEOUT = "15min"


def include_name(name: str | None, kind: str, _parents: Any) -> bool:
    return name == SCHEMA if kind == "schema" else True


def run(connection: Connection) -> None:
    connection.exec_driver_sql(f"SET ROLE {OWNER}")
    connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
    connection.exec_driver_sql(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'")
    connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    connection.commit()
    try:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            version_table_schema=SCHEMA,
            include_schemas=True,
            include_name=include_name,
            transaction_per_migration=True,
            compare_server_default=False,
        )
        with context.begin_transaction():
            context.run_migrations()
        catalog.tidy(lambda statement: connection.execute(text(statement)))
        connection.commit()
    finally:
        connection.rollback()
        for setting in ("ROLE", "lock_timeout", "statement_timeout"):
            connection.exec_driver_sql(f"RESET {setting}")
        connection.commit()


run(context.config.attributes["connection"])
