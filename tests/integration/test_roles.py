"""What SQL clients may do: read the catalogue over TCP with a password, within limits, and nothing else."""

import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace

import psycopg2
import pytest
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from schema.hardening import FUNCTIONS, MAINTENANCE, Keeper
from schema.provision import provision_database
from schema.roles import ANALYST, CLIENT_ROLES, DOOR, READER, ClientRole, RolesError
from schema.session import Sessions
from service.embedded.postgres import PostgresServer
from service.upkeep.sessions import end_overdue_sessions
from tests.cli.conftest import eventually
from tests.conftest import PASSWORD, PASSWORDS, run_as_admin
from tests.factories import one

VIEWS = [
    "alias_history",
    "champion_predictions",
    "confusion",
    "disagreements",
    "duplicates_near",
    "evaluation_bins",
    "evaluation_cells",
    "evaluation_classes",
    "evaluations",
    "image_metadata",
    "image_tags",
    "images",
    "jobs",
    "label_history",
    "labels",
    "model_versions",
    "models",
    "predictions",
    "snapshot_images",
    "snapshots",
    "storage_use",
    "tags",
    "uncertain",
    "unlabelled",
    "version_comparisons",
]
NOT_ALLOWED = (
    "permission denied",
    "not automatically updatable",
    "cannot insert into column",
    "can only be updated",
    "must be owner",
)
OURS = "('pixref', 'jobs', 'scratch', 'catalog')"
TABLE_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")


@pytest.fixture
def reader(reader_url: URL) -> Iterator[Connection]:
    with create_engine(reader_url, poolclass=NullPool).connect() as connection:
        # Read-only is a courtesy that anyone can switch off; the rights are what holds.
        connection.exec_driver_sql("SET default_transaction_read_only = off")
        connection.commit()
        yield connection


@pytest.fixture
def admin(admin_url: URL) -> Iterator[Connection]:
    with create_engine(admin_url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as connection:
        yield connection


def refused(connection: Connection, statement: str) -> str:
    with pytest.raises(DBAPIError) as caught:
        connection.execute(text(statement))
    connection.rollback()
    return str(caught.value.orig)


def assert_not_allowed(connection: Connection, *statements: str) -> None:
    for statement in statements:
        reason = refused(connection, statement)
        assert any(word in reason for word in NOT_ALLOWED), (statement, reason)


def test_reads_every_view_by_its_short_name(reader: Connection) -> None:
    assert reader.scalar(text("SELECT current_user")) == READER
    known = reader.scalars(text("SELECT table_name FROM information_schema.views WHERE table_schema = 'catalog'")).all()
    assert sorted(known) == VIEWS
    for view in VIEWS:
        found = reader.execute(text(f"SELECT * FROM {view}")).all()
        assert len(found) == (5 if view == "storage_use" else 0)


def test_needs_its_password(reader_url: URL, analyst_url: URL) -> None:
    for url in (reader_url, analyst_url):
        for password in ("wrong", ""):
            with pytest.raises(OperationalError, match="password"):
                create_engine(url.set(password=password), poolclass=NullPool).connect()


def test_has_no_right_on_anything_but_the_views(reader: Connection, admin: Connection) -> None:
    query = f"""
        SELECT n.nspname, c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname IN {OURS} AND c.relkind IN ('r', 'v', 'm', 'S', 'p', 'f')"""
    relations = admin.execute(text(query)).all()
    assert {("pixref", "api_token"), ("jobs", "procrastinate_jobs")} < {(schema, name) for schema, name, _ in relations}
    for schema, name, kind in relations:
        allowed = {
            right
            for right in TABLE_RIGHTS
            if kind != "S" and admin.scalar(text(f"SELECT has_table_privilege('{READER}', '{schema}.{name}', '{right}')"))
        }
        assert allowed == ({"SELECT"} if schema == "catalog" else set()), (schema, name)
        if schema == "catalog":
            column = reader.scalar(
                text(f"SELECT attname FROM pg_attribute WHERE attrelid = '{schema}.{name}'::regclass AND attnum = 1")
            )
            assert_not_allowed(
                reader,
                f"DELETE FROM {name}",
                f"UPDATE {name} SET {column} = {column}",
                f"INSERT INTO {name} SELECT * FROM {name}",
                f"DROP VIEW {name}",
                f"CREATE OR REPLACE VIEW {name} AS SELECT 1",
                f"COMMENT ON VIEW {name} IS 'mine'",
            )
        else:
            assert_not_allowed(reader, f"SELECT * FROM {schema}.{name}", f"SELECT count(*) FROM {schema}.{name}")


def test_calls_no_function_of_ours(reader: Connection, admin: Connection) -> None:
    query = f"""SELECT n.nspname || '.' || proname FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
                WHERE n.nspname IN {OURS} AND prorettype <> 'trigger'::regtype"""
    functions = admin.scalars(text(query)).all()
    assert "pixref.end_overdue_sessions" in functions
    for function in functions:
        assert "permission denied for schema" in refused(reader, f"SELECT {function}()")


def test_holds_no_lock_and_writes_nothing_by_a_function(reader: Connection, admin: Connection) -> None:
    """Every function of the listed kinds, as it is in this server: none is open to the reader."""
    query = text(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ ANY (:p)"
    )
    functions = admin.scalars(query, {"p": [pattern for pattern, keeper, _ in FUNCTIONS if keeper is Keeper.SERVICE]}).all()
    assert len(functions) > 40
    for function in functions:
        if "trigger" in function:
            continue
        name, _, arguments = function.partition("(")
        given = ", ".join(f"CAST('1' AS {kind})" for kind in arguments.rstrip(")").split(",") if kind)
        assert "permission denied for function" in refused(reader, f"SELECT {name}({given})"), function


def test_locks_no_table_but_as_reading_does(reader: Connection) -> None:
    modes = [
        "ROW SHARE",
        "ROW EXCLUSIVE",
        "SHARE UPDATE EXCLUSIVE",
        "SHARE",
        "SHARE ROW EXCLUSIVE",
        "EXCLUSIVE",
        "ACCESS EXCLUSIVE",
    ]
    assert_not_allowed(
        reader,
        *(
            f"LOCK TABLE {table} IN {mode} MODE"
            for mode in modes
            for table in ("catalog.images", "pixref.image", "pg_catalog.pg_class")
        ),
        "LOCK TABLE catalog.images",
        "SELECT * FROM images FOR UPDATE",
        "SELECT * FROM images FOR NO KEY UPDATE",
        "SELECT * FROM images FOR SHARE",
        "SELECT * FROM images FOR KEY SHARE",
        "SELECT * FROM pg_class FOR UPDATE",
    )


MAKES = [
    "CREATE TABLE mine (id int)",
    "CREATE TABLE {schema}.mine (id int)",
    "CREATE VIEW {schema}.mine AS SELECT 1",
    "CREATE MATERIALIZED VIEW {schema}.mine AS SELECT 1 AS n",
    "CREATE SEQUENCE {schema}.mine",
    "CREATE TYPE {schema}.mine AS (n int)",
    "CREATE FUNCTION {schema}.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SELECT 1 AS n INTO {schema}.mine",
]
MAKES_ANYWHERE = [
    "CREATE TEMPORARY TABLE mine (id int)",
    "CREATE SCHEMA mine",
    "CREATE DATABASE mine",
    "CREATE ROLE mine",
    "DO $$ BEGIN NULL; END $$",
    "COPY (SELECT 1) TO '/tmp/mine'",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT query_to_xml('SELECT * FROM pixref.api_token', true, true, '')",
    "SELECT pg_reload_conf()",
    "SELECT pg_switch_wal()",
    "SELECT * FROM pg_authid",
    "SET ROLE pixref_app",
    "SET SESSION AUTHORIZATION postgres",
    "SET session_replication_role = replica",
    "SET temp_file_limit = -1",
    "ALTER ROLE pixref_reader CONNECTION LIMIT -1",
    "ALTER SYSTEM SET work_mem = '1GB'",
    "ALTER DATABASE {database} SET work_mem = '1GB'",
]


def test_makes_nothing_anywhere(reader: Connection, database: str) -> None:
    for schema in ("public", "catalog", "pixref", "jobs", "scratch", "pg_catalog", "information_schema"):
        for statement in MAKES:
            reason = refused(reader, statement.format(schema=schema))
            assert any(word in reason for word in (*NOT_ALLOWED, "no schema has been selected", "System catalog")), (
                statement,
                schema,
            )
    for statement in MAKES_ANYWHERE:
        reason = refused(reader, statement.format(database=database))
        assert any(word in reason for word in ("permission denied", "must be", "transaction block")), (statement, reason)


def test_is_not_let_into_the_maintenance_databases(reader_url: URL, analyst_url: URL) -> None:
    for url in (reader_url, analyst_url):
        for name in MAINTENANCE:
            with pytest.raises(OperationalError, match="permission denied for database"):
                create_engine(url.set(database=name), poolclass=NullPool).connect()


@pytest.mark.parametrize("role", CLIENT_ROLES, ids=lambda role: role.name)
def test_has_limits(postgres: PostgresServer, database: str, role: ClientRole, reader_url: URL, door_url: str) -> None:
    url = reader_url.set(username=role.name) if role.name != DOOR else make_url(door_url).set(drivername="postgresql+psycopg2")
    with ExitStack() as stack:
        connection = stack.enter_context(create_engine(url, poolclass=NullPool).connect())
        for name, value in {**role.settings, "temp_file_limit": role.temp_file_limit}.items():
            set_to = connection.execute(
                text("SELECT setting, unit FROM pg_settings WHERE lower(name) = :name"), {"name": name}
            ).one()
            equal = text(
                "SELECT current_setting(:name) = CAST(:value AS text) OR current_setting(:name)::interval = CAST(:value AS interval)"
            )
            if set_to.unit in ("ms", "s"):
                assert connection.scalar(equal, {"name": name, "value": value}), name
            else:
                assert connection.scalar(text(f"SHOW {name}")) == value
        for _ in range(role.connections - 1):
            stack.enter_context(create_engine(url, poolclass=NullPool).connect())
        with pytest.raises(OperationalError, match=f'too many connections for role "{role.name}"'):
            create_engine(url, poolclass=NullPool).connect()


def test_temporary_files_are_limited(reader: Connection) -> None:
    reader.exec_driver_sql("SET work_mem = '64kB'")
    assert "temporary file size exceeds" in refused(
        reader, "SELECT count(*) FROM (SELECT repeat('x', 900) || g AS t FROM generate_series(1, 600000) g ORDER BY 1) t"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits private memory alone")
@pytest.mark.parametrize(
    "greedy",
    [
        "SELECT length(string_agg(repeat('x', 1000), '')) FROM generate_series(1, 900000)",
        "SELECT count(*) FROM (SELECT DISTINCT repeat(md5(g::text), 10) FROM generate_series(1, 2000000) g) x",
    ],
)
def test_memory_is_limited_whatever_a_session_sets(reader: Connection, sessions: Sessions, greedy: str) -> None:
    reader.exec_driver_sql("SET work_mem = '4GB'")
    assert "out of memory" in refused(reader, greedy)
    assert reader.scalar(text("SELECT 1")) == 1
    assert one(sessions, "SELECT 1") == 1


def test_a_statement_that_takes_too_long_is_ended(reader: Connection) -> None:
    reader.exec_driver_sql("SET statement_timeout = '50ms'")
    assert "statement timeout" in refused(reader, "SELECT count(*) FROM generate_series(1, 1000000000)")


# What libpq says depends on whether it has read the server's last words before it wrote.
ENDED = "terminating connection|server closed the connection"


def impatient(*, longest_statement: str = "1h", longest_transaction: str = "1h") -> list[ClientRole]:
    limits = {"longest_statement": longest_statement, "longest_transaction": longest_transaction}
    return [replace(role, **limits) for role in CLIENT_ROLES]


@pytest.mark.parametrize("role", [READER, ANALYST])
def test_a_statement_beyond_the_firm_limit_ends_with_its_session(
    postgres: PostgresServer, database: str, sessions: Sessions, admin: Connection, role: str
) -> None:
    """Whatever it has set: the limits in a role's settings are the session's to lift, this one is not."""
    asleep = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'")
    line = postgres.url(role, PASSWORD, database)
    with ThreadPoolExecutor() as pool, closing(psycopg2.connect(line)) as connection, connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        sleep = pool.submit(cursor.execute, "SELECT pg_sleep(60)")
        eventually(lambda: admin.scalar(asleep) == 1)
        assert end_overdue_sessions(sessions) == 0
        assert end_overdue_sessions(sessions, impatient(longest_statement="1ms")) == 1
        with pytest.raises(psycopg2.OperationalError, match=ENDED):
            sleep.result(10)


def test_a_transaction_beyond_the_firm_limit_ends_though_it_does_nothing(reader: Connection, sessions: Sessions) -> None:
    reader.exec_driver_sql("SET idle_in_transaction_session_timeout = 0")
    reader.execute(text("SELECT * FROM images"))
    time.sleep(0.2)
    assert end_overdue_sessions(sessions, impatient(longest_statement="100ms")) == 0
    assert end_overdue_sessions(sessions, impatient(longest_transaction="100ms")) == 1
    with pytest.raises(DBAPIError, match=ENDED):
        reader.execute(text("SELECT 1"))
    reader.invalidate()


def test_nobody_elses_session_can_be_ended(sessions: Sessions, admin_url: URL, database_url: str) -> None:
    own = make_url(database_url).set(drivername="postgresql+psycopg2")
    with ExitStack() as stack:
        held = [stack.enter_context(create_engine(url, poolclass=NullPool).connect()) for url in (own, admin_url)]
        for connection in held:
            connection.execute(text("SELECT 1"))
        time.sleep(0.05)
        for client in ("pixref_app", "postgres", "pixref_owner", "nobody"):
            assert one(sessions, "SELECT pixref.end_overdue_sessions(:client, '0', '0')", client=client) == 0
        for connection in held:
            assert connection.scalar(text("SELECT 1")) == 1


def test_repeating_init_sets_a_new_password(postgres: PostgresServer, database: str, database_url: str, reader_url: URL) -> None:
    admin = postgres.url("postgres", PASSWORD, database)
    tricky = 'it\'s \\ "quoted" %s'
    try:
        assert provision_database(admin, app_url=database_url, passwords={READER: tricky}) == []
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


def test_roles_are_a_table_in_which_each_stands_once() -> None:
    assert len({role.name for role in CLIENT_ROLES}) == len(CLIENT_ROLES)
    # Whose sessions may be ended is decided by that membership (migration 0006); the door reads by itself.
    people = [role for role in CLIENT_ROLES if not role.reads]
    assert {role.name for role in people} == {READER, ANALYST}
    assert all(role.name == READER or READER in role.member_of for role in people)
    assert all(
        re.fullmatch(r"\d+(s|min)", str(limit)) for role in people for limit in (role.longest_statement, role.longest_transaction)
    )
