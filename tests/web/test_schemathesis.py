"""Schemathesis asks a running `pixref serve` what its OpenAPI text promises, with all checks, and none of it left out.

It reads the document and makes requests that it allows, requests that it forbids, methods that it does not name, and sequences (made, then
deleted, then asked for): each answer must be as the document says.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.accounts.tokens import create_token
from service.embedded.ports import answers_http, free_port
from service.settings import PROJECT_DIR
from storage.base import ObjectStore
from tests.cli.conftest import PIXREF, environment, eventually, variables  # noqa: F401  (two are fixtures)
from tests.factories import add_image, make_png

CONFIG = PROJECT_DIR / "tests" / "web" / "asked" / "schemathesis.toml"
SCHEMATHESIS = (sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG))
OPTIONS = (
    *("--checks", "all", "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "15", "--seed", "1"),
    *("--continue-on-failure", "--generation-database", "none", "--no-color", "--report", "json"),
)
CASES_MIN = 2_000


def document(app: Flask) -> dict[str, Any]:
    found: dict[str, Any] = app.test_client().get("/api/v1/openapi.json").get_json()
    return found


@pytest.mark.timeout(600)
def test_the_api_is_what_its_document_says(
    environment: dict[str, str],  # noqa: F811
    sessions: Sessions,
    store: ObjectStore,
    actor: Actor,
    mnist_model: int,
    app: Flask,
    tmp_path: Path,
    door_url: str,
) -> None:
    for n in range(5):
        add_image(sessions, store, actor, make_png(seed=n + 1000), label=str(n % 2), tags=["a", f"t{n}"], split="train")
    token = create_token(sessions, name="asker", role=Role.ADMIN)
    port = free_port()
    log = tmp_path / "serve.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [PIXREF, "serve"],
            env=environment | {"PIXREF_PORT": str(port), "PIXREF_WEB_WORKERS": "1"},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    report = tmp_path / "report.json"
    try:
        eventually(lambda: answers_http(port, "/livez"))
        document_url = f"http://127.0.0.1:{port}/api/v1/openapi.json"
        bearer = ["--header", f"Authorization: Bearer {token}"]
        asked = subprocess.run(
            [*SCHEMATHESIS, "run", document_url, *OPTIONS, *bearer, "--report-json-path", str(report)],
            cwd=tmp_path,  # it keeps what it learns beside itself
            env=environment | {"SCHEMATHESIS_HOOKS": "tests.web.asked.hooks", "PYTHONPATH": str(PROJECT_DIR)},
            capture_output=True,
            text=True,
            timeout=580,
        )
    finally:
        server.terminate()
        server.wait(30)
    assert asked.returncode == 0, asked.stdout[-20_000:]
    found: dict[str, Any] = json.loads(report.read_text())
    operations = sum(len(methods) for methods in document(app)["paths"].values())
    assert found["operations"]["selected"] == found["operations"]["tested"] == found["operations"]["total"] == operations
    assert found["operations"]["skipped"] == found["operations"]["errored"] == found["filtered"] == 0
    phases = {name: (phase["status"], phase["skip_reason"]) for name, phase in found["phases"].items()}
    assert phases == dict.fromkeys(("examples", "coverage", "fuzzing", "stateful"), ("success", None))
    assert (found["failures"], found["errors"], found["test_cases"]["with_failures"]) == ([], [], 0)
    assert found["test_cases"]["generated"] >= CASES_MIN
    # It reached what is behind the ids, too, and had none of its requests refused for want of a value that fits.
    assert found["warnings"]["validation_mismatch"] == found["warnings"]["low_valid_rate"] == []
    assert "unexpected error" not in log.read_text()
