"""Everything that can go wrong, as clients see it: one shape, the right status, a way out, and no internals."""

import threading
import time
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

import storage.base as base
from schema.session import Sessions, open_engine
from service.accounts.actor import Actor, Role
from service.accounts.tokens import create_token
from service.app import create_app
from service.embedded.ports import free_port
from service.errors import PixrefError
from service.faults import translate
from service.models.serving import ModelServer
from service.settings import Settings
from service.upkeep.sweep import sweep
from storage.base import ObjectStore, StoreError
from tests.conftest import TokenClient, client_with
from tests.factories import (
    BIG,
    StepStore,
    add_image,
    assert_in_step,
    assert_problem,
    expire_leases,
    form_of,
    make_png,
    raising,
    rows,
)

API = "/api/v1/images"


def test_addresses_and_methods_that_do_not_exist(viewer_client: TokenClient) -> None:
    assert_problem(viewer_client.get("/api/v1/nothing"), 404, "not_found")
    answer = viewer_client.patch(API)
    assert_problem(answer, 405, "method_not_allowed")
    assert {"GET", "POST"} <= set(answer.headers["Allow"].split(", "))
    body = assert_problem(viewer_client.get("/api/v1/nothing", headers={"X-Request-Id": "mine-1"}), 404, "not_found")
    assert body["request_id"] == "mine-1"
    assert not body["retryable"]


def test_people_get_a_page_and_programs_get_json(viewer_client: TokenClient) -> None:
    for accept, mimetype in (
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("application/json", "application/problem+json"),
    ):
        answer = viewer_client.get("/images/987654321", headers={"Accept": accept})
        assert (answer.status_code, answer.mimetype) == (404, mimetype)
        assert answer.headers["X-Request-Id"] in answer.text
        assert "Traceback" not in answer.text
    assert_problem(viewer_client.get(f"{API}/987654321", headers={"Accept": "text/html"}), 404, "not_found")


def test_a_page_fails_as_a_page_wherever_its_address_begins(viewer_client: TokenClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_names: object, **_values: object) -> str:
        raise RuntimeError("a bug")

    monkeypatch.setattr("service.web.pages.api_docs.render_template", fail)
    answer = viewer_client.get("/api/docs", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.mimetype) == (500, "text/html")


STORE_FAULTS = [
    (base.StoreUnavailable, 503, "storage_unavailable", True),
    (base.StoreBusy, 503, "storage_busy", True),
    (base.StoreTimeout, 504, "storage_timeout", True),
    (base.StoreFull, 507, "storage_full", False),
    (base.StoreDenied, 503, "storage_auth", False),
    (base.StoreClockSkew, 503, "storage_clock_skew", False),
    (base.BucketMissing, 503, "storage_misconfigured", False),
    (base.ChecksumMismatch, 503, "storage_unavailable", True),
]


def test_faults_of_the_store(settings: Settings, sessions: Sessions, store: ObjectStore) -> None:
    for error, status, code, retryable in STORE_FAULTS:
        fault = error("told to", "secret-bucket", "http://secret-host", "images/secret-key")
        failing = StepStore(store, before=raising(fault, at="put"))
        app = create_app(settings, sessions=sessions, store=failing, models=ModelServer(sessions, failing))
        answer = client_with(app, sessions, Role.EDITOR).post(API, data=form_of())
        body = assert_problem(answer, status, code)
        assert body["retryable"] == retryable
        assert ("Retry-After" in answer.headers) == retryable
        assert "secret" not in answer.text
    assert rows(sessions, "SELECT image_id FROM catalog.images") == []
    expire_leases(sessions)
    sweep(sessions, store)
    assert_in_step(sessions, store)


def app_on(settings: Settings, sessions: Sessions, store: ObjectStore) -> Flask:
    return create_app(settings, sessions=sessions, store=store, models=ModelServer(sessions, store))


def test_the_database_is_down(settings: Settings, store: ObjectStore, bucket: str) -> None:
    url = f"postgresql://app:Passw0rd@127.0.0.1:{free_port()}/pixref"
    app = app_on(settings, Sessions(open_engine(url)), store)
    client = app.test_client()
    started = time.monotonic()
    headers = {"Authorization": "Bearer something"}
    for method, path, data in (("GET", API, None), ("POST", API, form_of()), ("DELETE", f"{API}/1", None)):
        answer = client.open(path, method=method, data=data, headers=headers)
        assert assert_problem(answer, 503, "database_unavailable")["retryable"]
        assert answer.headers["Retry-After"]
        assert "Passw0rd" not in answer.text
        assert "127.0.0.1" not in answer.text
    page = client.get("/", headers={**headers, "Accept": "text/html"})
    assert (page.status_code, page.mimetype) == (503, "text/html")
    assert client.get("/livez").status_code == 200
    assert time.monotonic() - started < 3 * 4
    assert client.get("/readyz").status_code == 503


def test_no_connection_is_free(settings: Settings, sessions: Sessions, store: ObjectStore, database_url: str) -> None:
    engine = open_engine(database_url, pool_size=1)
    app = app_on(settings, Sessions(engine), store)
    client = client_with(app, sessions, Role.EDITOR)
    with engine.connect():
        started = time.monotonic()
        assert_problem(client.get(API), 503, "database_busy")
        assert time.monotonic() - started < 3
    assert client.get(API).status_code == 200
    engine.dispose()


def test_the_server_takes_no_more_connections(
    settings: Settings, sessions: Sessions, store: ObjectStore, database_url: str, admin_url: URL, database: str
) -> None:
    token = create_token(sessions, name="x", role=Role.VIEWER)
    with create_engine(admin_url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as admin:
        admin.execute(text(f"ALTER DATABASE {database} CONNECTION LIMIT 0"))
        engine = open_engine(database_url)
        answer = app_on(settings, Sessions(engine), store).test_client().get(API, headers={"Authorization": f"Bearer {token}"})
        assert_problem(answer, 503, "database_busy")
        admin.execute(text(f"ALTER DATABASE {database} CONNECTION LIMIT -1"))
        engine.dispose()


def test_a_lock_that_lasts(
    editor_client: TokenClient, sessions: Sessions, store: ObjectStore, actor: Actor, admin_url: URL
) -> None:
    image_id = add_image(sessions, store, actor)
    with create_engine(admin_url, poolclass=NullPool).begin() as admin:
        admin.execute(text("SELECT 1 FROM pixref.image WHERE id = :id FOR UPDATE"), {"id": image_id})
        started = time.monotonic()
        assert_problem(editor_client.put(f"{API}/{image_id}/label", json={"label": "x"}), 503, "database_timeout")
        assert time.monotonic() - started < 5
    assert editor_client.put(f"{API}/{image_id}/label", json={"label": "x"}).status_code == 200


def test_a_database_that_only_reads(
    editor_client: TokenClient, sessions: Sessions, store: ObjectStore, actor: Actor, admin_url: URL, database: str
) -> None:
    image_id = add_image(sessions, store, actor, make_png(BIG, BIG))
    assert editor_client.get(f"{API}/{image_id}").status_code == 200
    with create_engine(admin_url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as admin:
        admin.execute(text(f"ALTER DATABASE {database} SET default_transaction_read_only = on"))
        admin.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :name AND pid <> pg_backend_pid()"
            ),
            {"name": database},
        )
    # The pool notices that its connections are gone; reading goes on.
    assert editor_client.get(f"{API}/{image_id}").status_code == 200
    assert_problem(editor_client.put(f"{API}/{image_id}/label", json={"label": "x"}), 503, "database_unavailable")
    assert_problem(editor_client.post(API, data=form_of()), 503, "database_unavailable")
    assert_problem(editor_client.delete(f"{API}/{image_id}"), 503, "database_unavailable")


def test_many_at_once_are_all_answered(
    client: TokenClient, sessions: Sessions, store: ObjectStore, actor: Actor, app: Flask
) -> None:
    add_image(sessions, store, actor)
    statuses: list[int] = []
    tokens = {"Authorization": f"Bearer {client.token}"}

    def ask() -> None:
        statuses.append(app.test_client().get(API, headers=tokens).status_code)

    threads = [threading.Thread(target=ask) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 24


def every_error() -> list[type[PixrefError]]:
    found: list[type[PixrefError]] = []
    waiting: list[type[PixrefError]] = [PixrefError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return found


def test_the_catalogue_is_in_order() -> None:
    codes = [kind.code for kind in every_error()]
    assert len(set(codes)) == len(codes)
    for kind in every_error():
        assert 400 <= kind.status <= 599
        assert kind.title[0].isupper()
        assert not kind.title.endswith(".")
        assert kind.retryable or kind.retry_after_s is None


def test_every_error_of_the_store_has_a_translation() -> None:
    waiting: list[type[StoreError]] = [StoreError]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        error = translate(kind("why", "the-bucket", "http://endpoint", "key"))
        assert error is not None
        assert error.status >= 400
        assert not any(word in error.detail for word in ("the-bucket", "endpoint"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_is_never_written_with_nan(app: Flask, value: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        app.json.dumps({"x": value})
