"""Statements that PostgreSQL plans once a connection, for the few that run with every request.

psycopg2 sends each statement as text, and PostgreSQL plans each anew; for a short statement that takes longer than running it. `PREPARE` and
`EXECUTE` are what SQL itself offers against that (https://www.postgresql.org/docs/current/sql-prepare.html). A pooler between us and the server
must keep a connection for a session, not for a transaction: the statement timeouts that are set at connecting need the same.
"""

from functools import cached_property
from typing import Any

from sqlalchemy import Connection, CursorResult, Executable
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

_KNOWN = "pixref.prepared"


class Prepared:
    """A statement under a name, prepared on each connection at its first use there.

    Values are given by the names of its `bindparam`s, which must have types: PostgreSQL learns them from here.
    """

    def __init__(self, name: str, statement: Executable) -> None:
        self.name = name
        self._statement = statement

    @cached_property
    def _compiled(self) -> SQLCompiler:
        # Of the dialects, asyncpg's is the one that writes parameters as PREPARE wants them: $1::BIGINT. It is not imported for that.
        assert isinstance(self._statement, ClauseElement)
        compiled = self._statement.compile(dialect=asyncpg.dialect())  # type: ignore[no-untyped-call]
        assert isinstance(compiled, SQLCompiler)
        return compiled

    @cached_property
    def _call(self) -> tuple[str, list[str], dict[str, Any]]:
        order = self._compiled.positiontup or []
        return f"EXECUTE {self.name} ({', '.join(['%s'] * len(order))})", order, dict(self._compiled.params)

    def execute(self, connection: Connection, values: dict[str, Any]) -> CursorResult[Any]:
        """Run the statement on a psycopg2 connection; rows have the statement's column names. Raises what any statement does."""
        known: set[str] = connection.info.setdefault(_KNOWN, set())
        if self.name not in known:
            connection.exec_driver_sql(f"PREPARE {self.name} AS {self._compiled}")
            known.add(self.name)  # stays prepared even if the transaction around it is rolled back
        call, order, constants = self._call
        given = constants | values
        return connection.exec_driver_sql(call, tuple(given[name] for name in order))
