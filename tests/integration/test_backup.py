"""The backup and restore of docs/operations.md, by the server's own pg_dump and pg_restore, onto a machine without data."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from schema import migrate
from schema.provision import ensure_database, provision_database
from schema.roles import ANALYST, APP, READER
from schema.session import Sessions
from service.accounts.actor import Actor
from service.embedded.ports import free_port
from service.embedded.postgres import PostgresServer, find_binaries
from service.settings import PROJECT_DIR
from storage.base import ObjectStore
from tests.conftest import PASSWORD, PASSWORDS
from tests.factories import add_image

DOCUMENTED = re.findall(
    r"docker compose exec -T db (pg_\w+) (.+?) [<>] pixref.dump", (PROJECT_DIR / "docs" / "operations.md").read_text()
)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[PostgresServer]:
    """A server of another machine: no database, no roles."""
    with PostgresServer(
        tmp_path / "pg", port=free_port(), superuser_password=PASSWORD, log_path=tmp_path / "pg.log", durable=False
    ) as server:
        yield server


def engine_of(server: PostgresServer, role: str, database: str) -> Engine:
    return create_engine(make_url(server.url(role, PASSWORD, database)).set(drivername="postgresql+psycopg2"), poolclass=NullPool)


def run(server: PostgresServer, program: str, options: str, database: str, **pipes: int) -> None:
    """Run a documented command as it stands, but by TCP and with this test's database."""
    words = [word.replace("=pixref", f"={database}") if word == "--dbname=pixref" else word for word in options.split()]
    words = [database if word == "pixref" else word for word in words]
    command = [find_binaries() / program, "--host=127.0.0.1", f"--port={server.port}", *words]
    done = subprocess.run(
        command, env={**os.environ, "PGPASSWORD": PASSWORD}, stderr=subprocess.PIPE, text=True, timeout=120, check=False, **pipes
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_restored_database_is_what_was_backed_up(
    postgres: PostgresServer,
    database: str,
    elsewhere: PostgresServer,
    sessions: Sessions,
    store: ObjectStore,
    actor: Actor,
    mnist_model: int,
    tmp_path: Path,
) -> None:
    giraffe = add_image(sessions, store, actor, label="giraffe", tags=["tall"])
    with engine_of(postgres, ANALYST, database).begin() as analyst:
        analyst.execute(text("CREATE TABLE jokes (image_id bigint PRIMARY KEY, joke text CHECK (joke <> ''))"))
        analyst.execute(text("INSERT INTO jokes VALUES (:id, 'Long story, short legs.')"), {"id": giraffe})
        analyst.execute(text("CREATE VIEW told AS SELECT image_id, label, joke FROM images JOIN jokes USING (image_id)"))
        analyst.execute(text("CREATE MATERIALIZED VIEW counts AS SELECT label, count(*) AS images FROM images GROUP BY label"))
    dump = tmp_path / "pixref.dump"
    (backup, backup_options), *restores = DOCUMENTED
    assert [backup, *(program for program, _ in restores)] == ["pg_dump", "pg_restore", "pg_restore"]
    with dump.open("wb") as out:
        run(postgres, backup, backup_options, database, stdout=out.fileno())

    admin = elsewhere.url("postgres", PASSWORD, "restored")
    app = elsewhere.url(APP, PASSWORD, "restored")
    ensure_database(admin)
    provision_database(admin, app_url=app, passwords=PASSWORDS)
    for program, options in restores:
        with dump.open("rb") as source:
            run(elsewhere, program, options, "restored", stdin=source.fileno())
    # The containers start again, and `init` first of them.
    assert provision_database(admin, app_url=app, passwords=PASSWORDS) == []

    with engine_of(elsewhere, "postgres", "restored").connect() as connection:
        migrate.check(connection)
        owners = "SELECT tableowner FROM pg_tables WHERE schemaname = 'scratch'"
        assert connection.scalars(text(owners)).all() == [ANALYST]
    with engine_of(elsewhere, READER, "restored").connect() as reader:
        assert reader.execute(text("SELECT image_id, label, tags FROM images")).all() == [(giraffe, "giraffe", ["tall"])]
        assert reader.execute(text("SELECT model, champion FROM models")).all() == [("mnist", 1)]
        for forbidden in ("SELECT * FROM scratch.jokes", "SELECT * FROM pixref.image", "SELECT pg_advisory_lock(1)"):
            with pytest.raises(DBAPIError, match="permission denied"):
                reader.execute(text(forbidden))
            reader.rollback()
    with engine_of(elsewhere, ANALYST, "restored").begin() as analyst:
        assert analyst.execute(text("TABLE told")).all() == [(giraffe, "giraffe", "Long story, short legs.")]
        assert analyst.execute(text("TABLE counts")).all() == [("giraffe", 1)]
        analyst.execute(text("DROP TABLE jokes CASCADE"))
        analyst.execute(text("CREATE TABLE more (n int)"))
    with engine_of(elsewhere, APP, "restored").begin() as application:
        application.execute(text("INSERT INTO pixref.tag (name) VALUES ('new')"))
        assert application.scalar(text("SELECT pixref.end_overdue_sessions('pixref_reader', '1h', '1h')")) == 0


def test_what_analysts_have_made_never_runs_as_the_superuser_who_restores(
    postgres: PostgresServer, database: str, elsewhere: PostgresServer, tmp_path: Path
) -> None:
    """A constraint is evaluated as whoever loads the rows: it would be theirs to do as the superuser what they please."""
    with engine_of(postgres, ANALYST, database).begin() as analyst:
        analyst.execute(text("CREATE TABLE trap (n int)"))
        analyst.execute(text("INSERT INTO trap VALUES (1)"))
        analyst.execute(text("ALTER TABLE trap ADD CHECK (current_user = 'pixref_analyst' AND session_user = 'pixref_analyst')"))
    dump = tmp_path / "pixref.dump"
    (backup, backup_options), *restores = DOCUMENTED
    with dump.open("wb") as out:
        run(postgres, backup, backup_options, database, stdout=out.fileno())
    admin = elsewhere.url("postgres", PASSWORD, "restored")
    ensure_database(admin)
    provision_database(admin, app_url=elsewhere.url(APP, PASSWORD, "restored"), passwords=PASSWORDS)
    for program, options in restores:
        with dump.open("rb") as source:
            run(elsewhere, program, options, "restored", stdin=source.fileno())
    with engine_of(elsewhere, ANALYST, "restored").connect() as analyst:
        assert analyst.scalar(text("SELECT n FROM trap")) == 1


def test_an_administrator_who_is_no_superuser_does_what_he_can_and_says_what_he_cannot(elsewhere: PostgresServer) -> None:
    with engine_of(elsewhere, "postgres", "postgres").connect() as connection:
        connection.execute(text(f"CREATE ROLE boss LOGIN CREATEROLE CREATEDB PASSWORD '{PASSWORD}'"))
        connection.commit()
    admin, app = (elsewhere.url(role, PASSWORD, "managed") for role in ("boss", APP))
    ensure_database(admin)
    for _ in range(2):
        missing = provision_database(admin, app_url=app, passwords=PASSWORDS)
        assert [what.split(" (")[0] for what in missing] == [
            "sessions of SQL clients that go on too long are not ended",
            "SQL clients may take advisory locks and make large objects, and have no limit on temporary files",
            "SQL clients may use other databases of this server",
        ]
    with engine_of(elsewhere, APP, "managed").connect() as application:
        assert application.scalar(text("SELECT pixref.end_overdue_sessions('pixref_reader', '0', '0')")) is None
    with engine_of(elsewhere, READER, "managed").connect() as reader:
        assert reader.execute(text("SELECT * FROM images")).all() == []
        with pytest.raises(DBAPIError, match="permission denied"):
            reader.execute(text("SELECT * FROM pixref.image"))
    with engine_of(elsewhere, ANALYST, "managed").begin() as analyst:
        analyst.execute(text("CREATE TABLE jokes (n int)"))
    # Later a superuser's: all is done but what would lock `boss` out of databases that may be his.
    for url in (elsewhere.url("postgres", PASSWORD, "managed"), admin):
        (left,) = provision_database(url, app_url=app, passwords=PASSWORDS)
        assert left.startswith(
            "SQL clients may use other databases of this server (REVOKE CONNECT ON DATABASE postgres, template1 "
        )
