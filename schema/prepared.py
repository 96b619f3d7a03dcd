"""Statements that PostgreSQL plans once a connection, for the few that run with every request.

psycopg2 sends each statement as text, and PostgreSQL plans each anew; for a short statement that takes longer than running it. `PREPARE` and
`EXECUTE` are what SQL itself offers against that (https://www.postgresql.org/docs/current/sql-prepare.html). A pooler between us and the server
must keep a connection for a session, not for a transaction: the statement timeouts that are set at connecting need the same. They go to
psycopg2 directly: SQLAlchemy's part in a short statement takes as long as PostgreSQL's.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Executable
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from schema.driver import driver_cursor

_KNOWN = "pixref.prepared"


class Prepared:
    """A statement under a name, prepared on each connection at its first use there.

    Values are given by the names of its `bindparam`s, which must have types: PostgreSQL learns them from here.
    """

    def __init__(self, name: str, statement: Executable) -> None:
        self.name = name
        self._statement = statement
        self._make: Callable[[Iterable[Any]], Any] | None = None

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
        places = f" ({', '.join(['%s'] * len(order))})" if order else ""
        return f"EXECUTE {self.name}{places}", order, dict(self._compiled.params)

    def execute(self, connection: Connection, values: Mapping[str, Any]) -> list[Any]:
        """Run the statement on a psycopg2 connection; rows are named tuples of its columns. Raises what any statement does."""
        known: set[str] = connection.info.setdefault(_KNOWN, set())
        call, order, constants = self._call
        with driver_cursor(connection, call) as cursor:
            if self.name not in known:
                cursor.execute(f"PREPARE {self.name} AS {self._compiled}")
                known.add(self.name)  # stays prepared even if the transaction around it is rolled back
            given = {**constants, **values}
            cursor.execute(call, [given[name] for name in order])
            rows = cursor.fetchall()
            if self._make is None:
                names = [column.name for column in cursor.description or ()]
                self._make = namedtuple("Row", names, rename=True)._make  # type: ignore[attr-defined]
        return list(map(self._make, rows))

    def one_or_none(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        """Return the row of a statement that gives one at most, None where there is none."""
        rows = self.execute(connection, values)
        return rows[0] if rows else None
