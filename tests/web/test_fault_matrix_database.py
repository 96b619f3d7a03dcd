"""The fault matrix: what every kind of request answers while PostgreSQL is at fault, and how soon."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool
from werkzeug.test import TestResponse

from schema.session import Sessions, open_engine
from service.accounts.actor import Actor, Role
from service.accounts.tokens import create_token
from service.app import create_app
from service.models.serving import ModelRef, ModelServer
from service.settings import Settings
from storage.minio_store import MinioStore
from tests.conftest import TokenClient
from tests.factories import (
    BIG,
    add_image,
    assert_in_step,
    form_of,
    make_png,
    one,
)
from tests.faults.proxy import Fault, Proxy
from tests.web.test_fault_matrix import API, outcome, upload_unread


@dataclass
class Rows:
    """An application on an engine of its own, which waits less than ours, and an administrator to disturb it."""

    app: Flask
    client: TokenClient
    engine: Engine
    proxy: Proxy
    admin: Engine
    database: str
    image_id: int

    def ask(self) -> dict[str, TestResponse]:
        client, picture = self.client, f"{API}/{self.image_id}"
        return {
            "list": client.get(API),
            "detail": client.get(picture),
            "thumbnail": client.get(f"{picture}/thumbnail"),
            "file": client.get(f"{picture}/file"),
            "predict": client.post(f"{picture}/predictions", json={}),
            "upload": client.post(API, data=form_of()),
            "delete": client.delete(picture),
        }

    def change(self, statement: str) -> None:
        """Change the database, and let everybody connect anew."""
        with self.admin.connect() as connection:
            connection.execute(text(statement))
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name AND pid <> pg_backend_pid()"),
                {"name": self.database},
            )
        self.engine.dispose()  # that the pool notices it by itself is another test's matter


@pytest.fixture
def waits() -> dict[str, int]:
    """How long statements and locks may take, in milliseconds."""
    return {"lock_timeout": 100, "statement_timeout": 2000}


@pytest.fixture
def on_rows(
    settings: Settings,
    sessions: Sessions,
    store: MinioStore,
    actor: Actor,
    mnist_model: int,
    database: str,
    admin_url: URL,
    waits: Mapping[str, int],
) -> Iterator[Rows]:
    url = make_url(settings.database_url.get_secret_value())
    with Proxy(url.port or 5432) as proxy:
        engine = open_engine(url.set(port=proxy.port, host="127.0.0.1").render_as_string(hide_password=False))

        @event.listens_for(engine, "connect")
        def shorten(connection: Any, _record: Any) -> None:
            with connection.cursor() as cursor:
                for name, value in waits.items():
                    cursor.execute(f"SET {name} = {value}")
            connection.commit()

        own = Sessions(engine)
        image_id = add_image(sessions, store, actor, make_png(BIG, BIG))
        models = ModelServer(own, store)
        models.get(ModelRef())
        app = create_app(settings, sessions=own, store=store, models=models)
        client = TokenClient(app, app.response_class)
        client.token = create_token(sessions, name="tester", role=Role.EDITOR)
        assert client.get(API).status_code == 200  # from here the token is known for some seconds
        admin = create_engine(admin_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        yield Rows(app, client, engine, proxy, admin, database, image_id)
        engine.dispose()


def assert_answers(rows: Rows, **expected: str) -> None:
    started = time.monotonic()
    found = {name: outcome(answer) for name, answer in rows.ask().items()}
    assert time.monotonic() - started < 3 * len(found)
    assert found == expected


def everything(code: str) -> dict[str, str]:
    return dict.fromkeys(("list", "detail", "thumbnail", "file", "predict", "upload", "delete"), code)


READS = {"list": "200", "detail": "200", "thumbnail": "200", "file": "302"}


def test_postgresql_is_down(on_rows: Rows) -> None:
    on_rows.proxy.fail(Fault("refuse"))
    assert outcome(upload_unread(on_rows.client)) == "503 database_unavailable retry"
    assert_answers(on_rows, **everything("503 database_unavailable retry"))


def test_postgresql_takes_no_more_connections(on_rows: Rows) -> None:
    on_rows.change(f"ALTER DATABASE {on_rows.database} CONNECTION LIMIT 0")
    assert_answers(on_rows, **everything("503 database_busy retry"))
    on_rows.change(f"ALTER DATABASE {on_rows.database} CONNECTION LIMIT -1")
    assert_answers(on_rows, **READS, predict="201", upload="201", delete="204")


@pytest.mark.parametrize(
    "waits",
    [{"lock_timeout": 100, "statement_timeout": 2000}, {"lock_timeout": 0, "statement_timeout": 100}],
    ids=["55P03", "57014"],
)
def test_a_table_is_locked(on_rows: Rows, sessions: Sessions) -> None:
    with on_rows.admin.connect() as connection:
        connection.execution_options(isolation_level="READ COMMITTED")
        with connection.begin():
            connection.execute(text("LOCK TABLE pixref.image IN ACCESS EXCLUSIVE MODE"))
            assert_answers(on_rows, **everything("503 database_timeout retry"))
    assert one(sessions, "SELECT count(*) FROM pixref.image") == 1
    assert_answers(on_rows, **READS, predict="201", upload="201", delete="204")


def test_postgresql_only_reads(on_rows: Rows, sessions: Sessions, store: MinioStore) -> None:
    on_rows.change(f"ALTER DATABASE {on_rows.database} SET default_transaction_read_only = on")
    unavailable = "503 database_unavailable retry"
    assert_answers(on_rows, **READS, predict="200", upload=unavailable, delete=unavailable)
    answer = on_rows.client.post(f"{API}/{on_rows.image_id}/predictions", json={})
    assert answer.get_json()["stored"] is False
    assert one(sessions, "SELECT count(*) FROM pixref.prediction") == 0
    assert_in_step(sessions, store)


FULL = """
CREATE FUNCTION pixref.no_space() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER no_space BEFORE INSERT OR UPDATE ON pixref.image FOR EACH STATEMENT EXECUTE FUNCTION pixref.no_space();
CREATE TRIGGER no_space BEFORE INSERT OR UPDATE ON pixref.prediction FOR EACH STATEMENT EXECUTE FUNCTION pixref.no_space()
"""


def test_the_disk_of_postgresql_is_full(on_rows: Rows, sessions: Sessions, store: MinioStore) -> None:
    with on_rows.admin.connect() as connection:
        connection.exec_driver_sql(FULL)
    predictions = f"{API}/{on_rows.image_id}/predictions"
    assert_answers(on_rows, **READS, predict="200", upload="507 database_full", delete="507 database_full")
    assert on_rows.client.post(predictions, json={}).get_json()["stored"] is False
    with on_rows.admin.connect() as connection:
        connection.exec_driver_sql("DROP FUNCTION pixref.no_space() CASCADE")
    assert on_rows.client.post(predictions, json={}).get_json()["stored"] is True
    assert_in_step(sessions, store)
