"""psycopg2 itself, for statements that SQLAlchemy does not know or that run so often that its own work would be the larger part."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import psycopg2.extensions
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


@contextmanager
def driver_cursor(connection: Connection, statement: str) -> Iterator[psycopg2.extensions.cursor]:
    """Give a cursor on the connection, in its transaction. Errors are SQLAlchemy's, as those of any other statement; `statement` is for them."""
    driver: psycopg2.extensions.connection = connection.connection.dbapi_connection  # type: ignore[assignment]
    try:
        with driver.cursor() as cursor:
            yield cursor
    except psycopg2.Error as exc:
        gone = bool(driver.closed)
        error = DBAPIError.instance(
            statement, None, exc, psycopg2.Error, hide_parameters=True, connection_invalidated=gone, dialect=connection.dialect
        )
        if gone:
            connection.invalidate(exc)
        raise error from exc
