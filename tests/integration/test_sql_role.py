"""The role alone: every attack raw, as `pixref_door`, without the guard, the transaction or the caps. Rights are what holds."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from schema.hardening import FUNCTIONS
from schema.provision import provision_database
from schema.roles import DOOR, ensure_client, prepare_database
from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.accounts.tokens import create_token
from service.embedded.postgres import PostgresServer
from service.settings import door_password
from storage.base import ObjectStore
from tests.attacks import ATTACKS, LET_THROUGH, REFUSED, TO_ITSELF
from tests.conftest import DOOR_ROLE, PASSWORD, SECRET_KEY
from tests.factories import add_image, execute, one

CANARY = "CANARY-of-a-table-that-is-nobodys-business"
MARK = Path("/tmp/pixref-attack")

# What may answer nevertheless: names of the system catalogue, which PostgreSQL shows to everybody, and settings of one's own session.
STATE = """
    SELECT 'tables', string_agg(schemaname || '.' || relname, ',' ORDER BY 1) FROM pg_stat_user_tables
    UNION ALL SELECT 'views', string_agg(schemaname || '.' || viewname || definition, ',' ORDER BY schemaname, viewname) FROM pg_views
    UNION ALL SELECT 'functions', count(*)::text FROM pg_proc
    UNION ALL SELECT 'schemas', string_agg(nspname, ',' ORDER BY nspname) FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_t%'
    UNION ALL SELECT 'types', count(*)::text FROM pg_type
    UNION ALL SELECT 'roles', string_agg(r::text, ',' ORDER BY rolname) FROM pg_authid r
    UNION ALL SELECT 'members', string_agg(m::text, ',' ORDER BY m::text) FROM pg_auth_members m
    UNION ALL SELECT 'settings', string_agg(s::text, ',' ORDER BY s::text) FROM pg_db_role_setting s
    UNION ALL SELECT 'large objects', count(*)::text FROM pg_largeobject_metadata
    UNION ALL SELECT 'extensions', string_agg(extname, ',') FROM pg_extension
    UNION ALL SELECT 'databases', string_agg(datname, ',' ORDER BY datname) FROM pg_database
    UNION ALL SELECT 'slots', count(*)::text FROM pg_replication_slots
    UNION ALL SELECT 'prepared', count(*)::text FROM pg_prepared_xacts
    UNION ALL SELECT 'pictures', coalesce(string_agg(i::text, ',' ORDER BY id), '') FROM pixref.image i
    UNION ALL SELECT 'tags', coalesce(string_agg(t::text, ',' ORDER BY id), '') FROM pixref.tag t
    UNION ALL SELECT 'labels', coalesce(string_agg(l::text, ',' ORDER BY id), '') FROM pixref.label l
    UNION ALL SELECT 'tokens', coalesce(string_agg(t::text, ',' ORDER BY id), '') FROM pixref.api_token t
    UNION ALL SELECT 'sequence', last_value::text FROM pixref.image_id_seq
"""


def state(admin: Engine) -> dict[str, str]:
    """Return everything that an attack could have changed."""
    with admin.connect() as connection:
        return {str(name): str(value) for name, value in connection.execute(text(STATE))}


@pytest.fixture
def admin(admin_url: URL) -> Iterator[Engine]:
    engine = create_engine(admin_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE public.secrets AS SELECT '{CANARY}' AS secret")
        connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
    yield engine
    engine.dispose()


@pytest.fixture
def token(sessions: Sessions, store: ObjectStore, actor: Actor) -> str:
    """A picture with a label and a tag, and a token; returns what the database keeps of it."""
    add_image(sessions, store, actor, label="giraffe", tags=["savanna"])
    create_token(sessions, name="somebody", role=Role.ADMIN)
    return str(one(sessions, "SELECT token_sha256 FROM pixref.api_token"))


@pytest.fixture
def forbidden(token: str, sessions: Sessions) -> tuple[str, ...]:
    """Texts that no answer may have in it."""
    return (
        token,
        CANARY,
        str(one(sessions, "SELECT object_key FROM pixref.image")),
        "root:",
        "SCRAM-SHA-256",
        "nobody-elses-query",
    )


def connect(url: str, **settings: str) -> Any:
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    connection = psycopg2.connect(url, options=options)
    connection.autocommit = True
    return connection


def attempt(url: str, attack: str, **settings: str) -> tuple[str, str]:
    """Run an attack as it stands, on a connection of its own. Returns what came back and why it was refused; one of them is empty."""
    # A second, so that the test comes to an end: limits on time are another layer.
    with closing(connect(url, statement_timeout="1s", **settings)) as connection, connection.cursor() as cursor:
        try:
            cursor.execute(attack)
            rows = cursor.fetchmany(50) if cursor.description else []
        except psycopg2.Error as exc:
            return "", f"{exc.pgcode}: {exc}"
        return str(rows) or "[]", ""


@pytest.mark.parametrize("read_only", ["on", "off"])
def test_nothing_is_read_that_is_not_in_the_catalogue_and_nothing_is_changed(
    admin: Engine, door_url: str, forbidden: tuple[str, ...], read_only: str
) -> None:
    """Also where the session has made its transactions writable, as anybody can with SET."""
    MARK.unlink(missing_ok=True)
    before = state(admin)
    with closing(connect(door_url)) as victim, victim.cursor() as watching:
        watching.execute("SELECT pg_backend_pid() /* nobody-elses-query */")
        (pid,) = watching.fetchone()
        refused = 0
        for attack in REFUSED + LET_THROUGH:
            if attack in TO_ITSELF and read_only == "off":
                continue
            answer, reason = attempt(door_url, attack.replace("{pid}", str(pid)), default_transaction_read_only=read_only)
            for secret in forbidden:
                assert secret not in answer, attack
            refused += bool(reason)
        # The others' session lives, and what it asks is still answered.
        watching.execute("SELECT 1")
        assert watching.fetchone() == (1,)
    assert state(admin) == before
    assert not MARK.exists()
    # What is not refused by rights shows names of the system catalogue, or settings of a session that has ended.
    assert refused >= 230


def test_what_it_does_to_itself_harms_nobody_else_and_is_undone_by_init(
    postgres: PostgresServer, database: str, admin: Engine, door_url: str, database_url: str
) -> None:
    before = state(admin)
    with closing(connect(door_url, default_transaction_read_only="off")) as connection, connection.cursor() as cursor:
        for attack in sorted(TO_ITSELF, reverse=True):
            cursor.execute(attack)
    with pytest.raises(psycopg2.OperationalError, match="password"):
        connect(door_url)
    provision_database(
        postgres.url("postgres", PASSWORD, database),
        app_url=database_url,
        passwords={DOOR: door_password(SECRET_KEY)},
    )
    with closing(connect(door_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM images")
        cursor.execute("SHOW work_mem")
        assert cursor.fetchone() == ("16MB",)
    after = state(admin)
    assert {name for name in before if before[name] != after[name]} <= {"roles"}  # a password of the same text has another salt


HELD = [attack for attack in ATTACKS if "advisory" in attack]


def test_no_lock_is_held_and_none_of_ours_is_in_the_way(door_url: str, sessions: Sessions) -> None:
    with closing(connect(door_url, statement_timeout="1s")) as connection, connection.cursor() as cursor:
        for attack in [*HELD, "SELECT * FROM images FOR UPDATE", "BEGIN; LOCK TABLE pixref.image", "BEGIN; LOCK TABLE images"]:
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(attack)
            cursor.execute("ROLLBACK")
        assert one(sessions, "SELECT pg_try_advisory_lock(1346917464)") is True
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = :pid"
        assert one(sessions, locks, pid=connection.info.backend_pid) == 0


def test_sessions_of_others_cannot_be_ended_or_watched(door_url: str) -> None:
    with closing(connect(door_url)) as victim, closing(connect(door_url)) as attacker, attacker.cursor() as cursor:
        pid = victim.info.backend_pid
        for attack in (
            f"SELECT pg_terminate_backend({pid})",
            f"SELECT pg_cancel_backend({pid})",
            "SELECT query FROM pg_stat_activity",
            "SELECT * FROM pg_stat_get_activity(NULL)",
            f"SELECT pg_stat_get_backend_activity({pid})",
            "SELECT pg_notify('a', 'b')",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(attack)
        with victim.cursor() as living:
            living.execute("SELECT 1")


def test_it_reads_every_view_and_no_more(door_url: str, admin: Engine) -> None:
    with admin.connect() as connection:
        readable = connection.execute(
            text(
                "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relkind IN ('r', 'v', 'm', 'p', 'f', 'S') "
                f"AND has_table_privilege('{DOOR}', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') "
                f"AND has_schema_privilege('{DOOR}', n.oid, 'USAGE')"
            )
        ).all()
        views = connection.execute(text("SELECT schemaname, viewname FROM pg_views WHERE schemaname = 'catalog'")).all()
        assert sorted(readable) == sorted(views)
        writable = f"SELECT nspname FROM pg_namespace WHERE has_schema_privilege('{DOOR}', oid, 'CREATE')"
        assert connection.scalars(text(writable)).all() == []
        assert connection.scalars(text(f"SELECT 1 FROM pg_auth_members WHERE member = '{DOOR}'::regrole")).all() == []
        rights = connection.execute(
            text(
                "SELECT rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit "
                f"FROM pg_roles WHERE rolname = '{DOOR}'"
            )
        ).one()
        assert tuple(rights) == (False, False, False, False, True, False, False, DOOR_ROLE.connections)
    with closing(connect(door_url)) as connection, connection.cursor() as cursor:
        for _, view in views:
            cursor.execute(f"SELECT * FROM {view}")


def test_functions_that_were_closed_are_open_to_those_who_need_them(door_url: str, sessions: Sessions) -> None:
    patterns = [pattern for pattern, _, _ in FUNCTIONS]
    query = """
        SELECT count(*), count(*) FILTER (WHERE has_function_privilege('pixref_door', oid, 'EXECUTE')),
               count(*) FILTER (WHERE has_function_privilege('pixref_app', oid, 'EXECUTE'))
        FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ ANY(:patterns)
          AND proname NOT IN ('lo_import', 'lo_export')  -- superusers' alone from the beginning"""
    with sessions() as session:
        known, door, app = session.execute(text(query), {"patterns": patterns}).one()
    assert known >= len(patterns)
    assert (door, app) == (0, known)


def test_no_more_sessions_than_it_may_have(door_url: str, sessions: Sessions) -> None:
    held = [connect(door_url) for _ in range(DOOR_ROLE.connections)]
    try:
        with pytest.raises(psycopg2.OperationalError, match="too many connections"):
            connect(door_url)
        execute(sessions, "SELECT 1")
    finally:
        for connection in held:
            connection.close()


def test_temporary_files_have_a_limit_that_it_cannot_lift(door_url: str) -> None:
    with closing(connect(door_url)) as connection, connection.cursor() as cursor:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("SET temp_file_limit = -1")
        cursor.execute("SET statement_timeout = '60s'")
        with pytest.raises(psycopg2.errors.ConfigurationLimitExceeded):
            cursor.execute("SELECT * FROM generate_series(1, 20000000) g ORDER BY -g")


def test_repeating_init_changes_nothing_about_it(admin: Engine, door_url: str) -> None:
    before = state(admin)
    with admin.begin() as connection:
        ensure_client(connection, DOOR_ROLE, password=None, superuser=True)
        prepare_database(connection)
    assert state(admin) == before
    connect(door_url).close()
