"""Connections for one statement, and statements that are planned once a connection."""

import pytest
from sqlalchemy import BigInteger, bindparam, select, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from schema.prepared import Prepared
from schema.session import Sessions, single
from schema.tables import Tag
from tests.factories import one

DOUBLE = Prepared("test_double", select((bindparam("n", type_=BigInteger) * 2).label("twice")))


def plans(sessions: Sessions) -> int:
    with sessions() as session:
        return session.execute(text("SELECT count(*) FROM pg_prepared_statements WHERE name = 'test_double'")).scalar_one()


def test_a_prepared_statement_is_planned_once_and_gives_named_columns(sessions: Sessions) -> None:
    for n in (1, 2, -3):
        with single(sessions) as connection:
            assert DOUBLE.one_or_none(connection, {"n": n}).twice == 2 * n
    assert plans(sessions) == 1


def test_it_stays_through_a_rollback_and_comes_back_on_a_new_connection(sessions: Sessions) -> None:
    with sessions() as session, pytest.raises(ProgrammingError), session.begin():
        assert DOUBLE.one_or_none(session.connection(), {"n": 4}).twice == 8
        session.execute(text("SELECT nothing"))
    assert plans(sessions) == 1
    with single(sessions) as connection:
        assert DOUBLE.one_or_none(connection, {"n": 5}).twice == 10
    with sessions() as session:
        session.connection().invalidate()
    with single(sessions) as connection:
        assert DOUBLE.one_or_none(connection, {"n": 6}).twice == 12


def test_it_outlives_a_connection_that_the_server_ended(sessions: Sessions) -> None:
    with single(sessions) as connection:
        DOUBLE.execute(connection, {"n": 1})
    with pytest.raises(DBAPIError), single(sessions) as connection:
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
    with single(sessions) as connection:
        assert DOUBLE.one_or_none(connection, {"n": 7}).twice == 14


def test_a_single_statement_commits_and_leaves_the_connection_as_it_was(sessions: Sessions) -> None:
    with pytest.raises(ProgrammingError), single(sessions) as connection:
        connection.execute(Tag.__table__.insert().values(name="kept"))
        connection.exec_driver_sql("SELECT nothing")
    assert one(sessions, "SELECT count(*) FROM pixref.tag WHERE name = 'kept'") == 1
    with pytest.raises(ProgrammingError), sessions() as session, session.begin():
        session.execute(Tag.__table__.insert().values(name="taken back"))
        session.execute(text("SELECT nothing"))
    assert one(sessions, "SELECT count(*) FROM pixref.tag WHERE name = 'taken back'") == 0
