"""The migrations: from nothing to head and back, equal to the tables in code, safe to run twice at once."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.pool import NullPool

from schema import migrate
from schema.errors import InitLocked
from schema.provision import ensure_database, init_lock, provision_database
from schema.revision import HEAD, current_revision
from schema.roles import APP
from schema.session import Sessions
from service.embedded.postgres import PostgresServer
from service.errors import DatabaseUnavailable
from service.upkeep.checks import check_database
from service.web.health import READINESS, Readiness
from tests.conftest import PASSWORD, PASSWORDS, TokenClient, run_as_admin
from tests.factories import execute, one, together


@pytest.fixture
def admin(admin_url: URL) -> Iterator[Engine]:
    engine = create_engine(admin_url, poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def empty(postgres: PostgresServer) -> Iterator[str]:
    """The name of a database that does not exist yet."""
    name = f"e_{uuid4().hex[:12]}"
    yield name
    run_as_admin(postgres, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def relations(connection: Connection) -> set[str]:
    query = "SELECT nspname FROM pg_namespace WHERE nspname IN ('pixref', 'catalog', 'jobs')"
    tables = "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'pixref'"
    functions = "SELECT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname = 'pixref'"
    return {str(name) for part in (query, tables, functions) for name in connection.scalars(text(part))}


def test_tables_in_code_and_in_the_database_are_the_same(admin: Engine) -> None:
    with admin.connect() as connection:
        migrate.check(connection)
        connection.execute(text("ALTER TABLE pixref.image ADD COLUMN stray integer"))
        connection.commit()
        with pytest.raises(Exception, match="stray"):
            migrate.check(connection)


def test_down_to_nothing_and_up_again(admin: Engine) -> None:
    with admin.connect() as connection:
        at_head = relations(connection)
        migrate.downgrade(connection, "base")
        assert current_revision(connection) is None
        left = relations(connection)
        assert left <= {"pixref", "alembic_version", "alembic_version_pkc"}, left
        connection.commit()
        migrate.upgrade(connection)
        assert current_revision(connection) == migrate.head_revision()
        assert relations(connection) == at_head
        migrate.check(connection)


def test_every_constraint_follows_the_naming_convention(admin: Engine) -> None:
    query = """
        SELECT conname, contype, relname FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
        JOIN pg_namespace n ON n.oid = relnamespace
        WHERE nspname = 'pixref' AND relname <> 'alembic_version' AND contype <> 'n'"""
    prefixes = {"p": "pk", "f": "fk", "u": "uq", "c": "ck"}
    with admin.connect() as connection:
        found = connection.execute(text(query)).all()
    assert len(found) > 50
    wrong = [name for name, kind, table in found if not f"{name}_".startswith(f"{prefixes[kind]}_{table}_")]
    assert wrong == []


def test_everything_is_commented(admin: Engine) -> None:
    query = """
        SELECT c.relname, a.attname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
        JOIN pg_attribute a ON a.attrelid = c.oid AND (a.attnum = 1 OR nspname = 'catalog') AND a.attnum > 0
        WHERE (nspname = 'pixref' AND relkind = 'r' AND relname <> 'alembic_version' AND obj_description(c.oid) IS NULL)
           OR (nspname = 'catalog' AND (obj_description(c.oid) IS NULL OR col_description(c.oid, attnum) IS NULL))"""
    with admin.connect() as connection:
        assert connection.execute(text(query)).all() == []


def test_two_inits_of_one_empty_database_take_turns(postgres: PostgresServer, empty: str) -> None:
    admin = postgres.url("postgres", PASSWORD, empty)

    def init(_: int) -> bool:
        made = ensure_database(admin)
        with init_lock(admin):
            provision_database(admin, app_url=postgres.url(APP, PASSWORD, empty), passwords=PASSWORDS)
        return made

    made = together(3, init)
    assert any(made)
    engine = create_engine(admin.replace("postgresql://", "postgresql+psycopg2://"), poolclass=NullPool)
    with engine.connect() as connection:
        assert current_revision(connection) == migrate.head_revision()


def test_an_init_that_finds_the_lock_taken_says_so_in_the_end(postgres: PostgresServer, database: str) -> None:
    admin = postgres.url("postgres", PASSWORD, database)
    with init_lock(admin), pytest.raises(InitLocked, match="another `pixref init` holds the lock"), init_lock(admin, wait_s=0.1):
        pass
    with init_lock(admin, wait_s=0.1):
        pass


def test_a_database_that_is_not_at_head_is_not_ready(
    admin: Engine, anonymous_client: TokenClient, sessions: Sessions, mnist_model: int
) -> None:
    check_database(sessions)
    assert anonymous_client.get("/readyz").status_code == 200
    with admin.connect() as connection:
        migrate.downgrade(connection, "0002")
    anonymous_client.application.extensions[READINESS] = Readiness()
    answer = anonymous_client.get("/readyz")
    assert answer.status_code == 503
    parts = answer.get_json()["parts"]
    assert parts["database"] == "database_unavailable"
    assert parts["bucket"] == "ok"
    with pytest.raises(DatabaseUnavailable, match=r"revision 0002.*pixref init"):
        check_database(sessions)


IMAGE = """
    INSERT INTO pixref.image (sha256, object_key, byte_size, state, width, height, channels, bit_depth, color_type, source, {extra_names})
    VALUES (repeat('a', 64), 'images/k', 1, 'READY', 1, 1, 1, 8, 0, 'test', {extra_values})"""


UNFIT = [
    (IMAGE.format(extra_names="lease_until", extra_values="NULL"), "ck_image_ready_has_ready_at"),
    (IMAGE.format(extra_names="ready_at", extra_values="now()"), "ck_image_pending_has_lease"),
    (
        IMAGE.format(extra_names="ready_at, lease_until, attributes", extra_values="now(), NULL, '[]'"),
        "ck_image_attributes_object",
    ),
    (IMAGE.format(extra_names="ready_at, lease_until, split", extra_values="now(), NULL, E'a\\n'"), "ck_image_split"),
    ("INSERT INTO pixref.label (name) VALUES ('')", "ck_label_name_length"),
    ("INSERT INTO pixref.model (name) VALUES ('A model')", "ck_model_name_form"),
    ("INSERT INTO pixref.image_tag (image_id, tag_id) VALUES (1, 1)", "fk_image_tag_image_id"),
]


def test_the_database_itself_refuses_what_may_not_be(sessions: Sessions) -> None:
    for statement, constraint in UNFIT:
        with pytest.raises(IntegrityError, match=constraint):
            execute(sessions, statement)


FORBIDDEN = [
    "INSERT INTO pixref.label_event (image_id) VALUES (1)",
    "UPDATE pixref.label_event SET database_user = 'nobody'",
    "DELETE FROM pixref.label_event",
    "TRUNCATE pixref.image CASCADE",
    "TRUNCATE pixref.label_event",
    "DROP TABLE pixref.tag",
    "ALTER TABLE pixref.image DISABLE TRIGGER ALL",
    "CREATE TABLE pixref.mine (id int)",
    "CREATE TABLE public.mine (id int)",
    "CREATE TEMPORARY TABLE mine (id int)",
    "UPDATE pixref.alembic_version SET version_num = '0000'",
    "SET ROLE pixref_owner",
]


def test_the_application_may_not_change_history_or_tables(sessions: Sessions) -> None:
    assert one(sessions, "SELECT current_user") == APP
    for statement in FORBIDDEN:
        with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
            execute(sessions, statement)


def test_the_revision_that_the_web_asks_for_is_the_newest() -> None:
    assert migrate.head_revision() == HEAD
