"""What `pixref_reader` may do: read the catalogue over TCP with a password, within limits, and nothing else."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from schema.provision import provision_database
from schema.roles import READER, RolesError
from schema.session import Sessions
from service.embedded.postgres import PostgresServer
from tests.conftest import PASSWORD, PASSWORDS, run_as_admin
from tests.factories import execute

VIEWS = ["images", "labels", "tags", "image_tags", "label_history", "models", "predictions"]
NOT_ALLOWED = ("permission denied", "not automatically updatable")


@pytest.fixture
def reader(reader_url: URL) -> Iterator[Connection]:
    with create_engine(reader_url, poolclass=NullPool).connect() as connection:
        yield connection


def refused(connection: Connection, statement: str) -> str:
    with pytest.raises(DBAPIError) as caught:
        connection.exec_driver_sql(statement)
    connection.rollback()
    return str(caught.value.orig)


def test_reads_every_view_by_its_short_name(reader: Connection) -> None:
    assert reader.scalar(text("SELECT current_user")) == "pixref_reader"
    known = reader.scalars(text("SELECT table_name FROM information_schema.views WHERE table_schema = 'catalog'")).all()
    assert sorted(known) == sorted(VIEWS)
    for view in VIEWS:
        assert reader.execute(text(f"SELECT * FROM {view}")).all() == []


def test_needs_its_password(reader_url: URL) -> None:
    for password in ("wrong", None):
        with pytest.raises(OperationalError, match="password"):
            create_engine(reader_url.set(password=password or ""), poolclass=NullPool).connect()


def test_sees_no_table_and_writes_nothing(reader: Connection) -> None:
    for statement in (
        "SELECT * FROM pixref.image",
        "SELECT * FROM pixref.api_token",
        "SELECT * FROM jobs.procrastinate_jobs",
        "TABLE pixref.object_deletion",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT query_to_xml('SELECT * FROM pixref.api_token', true, true, '')",
        "SET ROLE pixref_app",
    ):
        assert "permission denied" in refused(reader, statement)
    writes = [
        "INSERT INTO labels (label) VALUES ('x')",
        "UPDATE images SET split = 'x'",
        "DELETE FROM images",
        "CREATE TABLE public.mine (id int)",
        "CREATE TEMPORARY TABLE mine (id int)",
        "SELECT lo_creat(-1)",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'x')",
    ]
    for statement in writes:
        reason = refused(reader, statement)
        assert any(word in reason for word in ("read-only transaction", *NOT_ALLOWED)), statement
    reader.exec_driver_sql("SET default_transaction_read_only = off")
    reader.commit()
    # Read-only is a courtesy that anyone can switch off; the rights are what holds.
    for statement in [*writes, "TRUNCATE pixref.image"]:
        reason = refused(reader, statement)
        assert any(word in reason for word in NOT_ALLOWED), statement


def test_has_limits(reader: Connection) -> None:
    wanted = {
        "statement_timeout": "30s",
        "lock_timeout": "2s",
        "idle_in_transaction_session_timeout": "1min",
        "default_transaction_read_only": "on",
        "temp_file_limit": "256MB",
    }
    assert {name: reader.scalar(text(f"SHOW {name}")) for name in wanted} == wanted
    assert reader.scalar(text("SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user")) == 16
    assert "temp_file_limit" in refused(reader, "SET temp_file_limit = -1")


def test_repeating_init_sets_a_new_password(postgres: PostgresServer, database: str, database_url: str, reader_url: URL) -> None:
    admin = postgres.url("postgres", PASSWORD, database)
    tricky = 'it\'s \\ "quoted" %s'
    try:
        provision_database(admin, app_url=database_url, passwords={READER: tricky})
        with create_engine(reader_url.set(password=tricky), poolclass=NullPool).connect() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
        with pytest.raises(OperationalError, match="password"):
            create_engine(reader_url, poolclass=NullPool).connect()
    finally:
        provision_database(admin, app_url=database_url, passwords=PASSWORDS)


def test_a_login_of_ones_own_becomes_a_member_of_the_app_role(postgres: PostgresServer, database: str) -> None:
    login = f"own_{database}"
    run_as_admin(postgres, f"CREATE ROLE {login} LOGIN PASSWORD '{PASSWORD}'")
    try:
        own = postgres.url(login, PASSWORD, database)
        provision_database(postgres.url("postgres", PASSWORD, database), app_url=own, passwords={})
        engine = create_engine(make_url(own).set(drivername="postgresql+psycopg2"), poolclass=NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql("INSERT INTO pixref.tag (name) VALUES ('mine')")
            connection.rollback()
            assert "permission denied" in refused(connection, "DELETE FROM pixref.label_event")
    finally:
        run_as_admin(postgres, f"DROP ROLE {login}")


def test_an_administrator_without_rights_is_told_so(postgres: PostgresServer, database_url: str) -> None:
    with pytest.raises(RolesError, match="DATABASE_ADMIN_URL"):
        provision_database(database_url, app_url=database_url, passwords={})


def test_a_statement_that_takes_too_long_is_ended(reader: Connection, sessions: Sessions) -> None:
    execute(sessions, "SELECT 1")
    reader.exec_driver_sql("SET statement_timeout = '50ms'")
    assert "statement timeout" in refused(reader, "SELECT count(*) FROM generate_series(1, 1000000000)")
