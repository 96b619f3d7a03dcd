"""Rows in and out of PostgreSQL as COPY has them in its binary format: no text is made and read again, and a statement takes thousands of rows.

https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format". Errors are SQLAlchemy's, as those of any other statement.
"""

import io

from sqlalchemy import Connection

from schema.driver import driver_cursor

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END = b"\xff\xff"


def copy_in(connection: Connection, target: str, rows: bytes) -> None:
    """Add rows to `target`, a table with its columns: each the number of its fields, and each field its length and its bytes.

    Raises what an INSERT raises.
    """
    statement = f"COPY {target} FROM STDIN (FORMAT binary)"
    with driver_cursor(connection, statement) as cursor:
        cursor.copy_expert(statement, io.BytesIO(b"".join((HEADER, rows, END))))


def copy_out(connection: Connection, query: str) -> bytes:
    """Return the rows of a query, without header and end. `query` is text that nobody else has a part in: COPY takes no parameters."""
    statement = f"COPY ({query}) TO STDOUT (FORMAT binary)"
    found = io.BytesIO()
    with driver_cursor(connection, statement) as cursor:
        cursor.copy_expert(statement, found)
    return found.getvalue()[len(HEADER) : -len(END)]
