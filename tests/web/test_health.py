"""Liveness, readiness and version."""

import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from threading import Event

import pytest
from flask import Flask

from schema.session import Sessions, open_engine
from service.app import create_app
from service.embedded.ports import free_port
from service.errors import StorageUnavailable
from service.models.serving import ModelServer
from service.settings import Settings
from service.web.health import Readiness
from storage.base import ObjectStore
from storage.minio_store import MinioStore
from tests.conftest import ROOT_PASSWORD, ROOT_USER, TokenClient
from tests.factories import execute


def forget(app: Flask) -> None:
    """Let the moment pass for which answers are kept."""
    app.extensions["pixref.readiness"] = Readiness()


def test_ready_when_every_part_is(app: Flask, anonymous_client: TokenClient, sessions: Sessions, mnist_model: int) -> None:
    assert anonymous_client.get("/livez").get_json() == {"status": "ok"}
    answer = anonymous_client.get("/readyz")
    assert (answer.status_code, answer.get_json()) == (
        200,
        {"status": "ok", "parts": {"database": "ok", "bucket": "ok", "model": "ok"}},
    )
    assert anonymous_client.get("/version").get_json() == {"name": "pixref", "version": version("pixref")}
    for path in ("/livez", "/readyz", "/version"):
        assert anonymous_client.get(path).headers["Cache-Control"] == "private, no-store"
    # Asked at most every two seconds, however often probes come.
    execute(sessions, "UPDATE pixref.model_version SET state = 'RETIRED', retired_at = now()")
    assert anonymous_client.get("/readyz").status_code == 200


def test_each_part_at_fault_is_named_and_the_log_has_the_way_out(
    app: Flask, anonymous_client: TokenClient, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    answer = anonymous_client.get("/readyz")
    assert answer.status_code == 503
    assert answer.get_json()["status"] == "unavailable"
    assert answer.get_json()["parts"] == {"database": "ok", "bucket": "ok", "model": "model_unavailable"}
    reasons = [record.__dict__["reason"] for record in caplog.records if record.name == "service.web.health"]
    assert len(reasons) == 1
    assert "pixref init" in reasons[0]


def test_the_bucket_is_gone_or_refuses(settings: Settings, sessions: Sessions, bucket: str, mnist_model: int) -> None:
    for name, secret in (("no-such-bucket-here", ROOT_PASSWORD), (bucket, "wrong-secret")):
        store = MinioStore(settings.s3_endpoint, bucket=name, access_key=ROOT_USER, secret_key=secret)
        app = create_app(settings, sessions=sessions, store=store, models=ModelServer(sessions, store))
        answer = app.test_client().get("/readyz")
        assert answer.status_code == 503
        parts = answer.get_json()["parts"]
        assert parts["database"] == "ok"
        assert parts["bucket"] != "ok"
        assert ROOT_PASSWORD not in answer.text


def test_everything_is_down(settings: Settings, bucket: str) -> None:
    sessions = Sessions(open_engine(f"postgresql://app:Passw0rd@127.0.0.1:{free_port()}/x"))
    store: ObjectStore = MinioStore(
        f"http://127.0.0.1:{free_port()}", bucket=bucket, access_key=ROOT_USER, secret_key=ROOT_PASSWORD, connect_timeout_s=0.3
    )
    app = create_app(settings, sessions=sessions, store=store, models=ModelServer(sessions, store))
    client = app.test_client()
    started = time.monotonic()
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert all(outcome != "ok" for outcome in answer.get_json()["parts"].values())
    assert "Passw0rd" not in answer.text
    assert client.get("/livez").status_code == 200
    assert time.monotonic() - started < 6


def test_while_a_part_hangs_others_get_the_last_answer(
    app: Flask, anonymous_client: TokenClient, mnist_model: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert anonymous_client.get("/readyz").status_code == 200
    monkeypatch.setattr("service.web.health.CHECK_CACHE_S", 0.0)
    asked, answered = Event(), Event()

    def hang(_: ObjectStore) -> None:
        asked.set()
        assert answered.wait(30)
        raise StorageUnavailable("it hung")

    monkeypatch.setattr("service.web.health.check_bucket", hang)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(lambda: app.test_client().get("/readyz"))
        try:
            assert asked.wait(30)
            assert anonymous_client.get("/readyz").status_code == 200
        finally:
            answered.set()
        assert slow.result().get_json()["parts"]["bucket"] == "storage_unavailable"


def test_ready_again_when_the_part_is_back(
    app: Flask, anonymous_client: TokenClient, sessions: Sessions, mnist_model: int
) -> None:
    execute(sessions, "UPDATE pixref.model_version SET state = 'RETIRED', retired_at = now()")
    assert anonymous_client.get("/readyz").status_code == 503
    execute(sessions, "UPDATE pixref.model_version SET state = 'READY', retired_at = NULL")
    forget(app)
    assert anonymous_client.get("/readyz").status_code == 200
