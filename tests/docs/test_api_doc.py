"""docs/api.md is what the endpoints say of themselves, whole, and its commands work as they stand."""

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.serving import make_server

import service.web.api.routes  # noqa: F401  (registers the endpoints)
from schema.session import Sessions
from service import errors
from service.accounts.actor import Actor, Role
from service.accounts.tokens import create_token
from service.settings import PROJECT_DIR
from service.web.api.contract import ENDPOINTS
from service.web.api.reference import reference
from storage.base import ObjectStore
from tests.factories import add_image, make_png

TEXT = (PROJECT_DIR / "docs" / "api.md").read_text()


def test_the_file_is_what_the_endpoints_say() -> None:
    assert reference() == TEXT, "docs/api.md is not what the endpoints say: `make reference`"


def test_every_endpoint_is_described() -> None:
    missing = []
    for endpoint in ENDPOINTS["api"]:
        path = "/api/v1" + re.sub(r"<(\w+)>", r"{\1}", re.sub(r"<int:\w+>", "{id}", endpoint.path))
        if f"### `{endpoint.method.upper()} {path}` ({endpoint.role})" not in TEXT or not endpoint.description:
            missing.append(f"{endpoint.method.upper()} {path}")
    assert not missing


def test_every_parameter_and_field_is_named() -> None:
    missing = {
        f"{endpoint.name}: {name}"
        for endpoint in ENDPOINTS["api"]
        for model in (endpoint.query, endpoint.form, endpoint.body)
        if model is not None
        for name in model.model_fields
        if f"| `{name}` |" not in TEXT
    }
    assert not missing


def _catalogue(kind: type[errors.PixrefError]) -> set[str]:
    return {kind.code}.union(*(_catalogue(child) for child in kind.__subclasses__()))


def test_every_error_code_is_listed() -> None:
    # The base of what depends on others; `pixref doctor` uses it, the API does not.
    missing = {code for code in _catalogue(errors.PixrefError) if f"| `{code}` |" not in TEXT} - {"unavailable"}
    assert not missing


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("door_url")
def test_every_command_works(
    address: str, sessions: Sessions, store: ObjectStore, actor: Actor, mnist_model: int, tmp_path: Path
) -> None:
    """The page's commands one after the other, as somebody types them who begins at the top."""
    for seed in (1, 2):
        add_image(sessions, store, actor, make_png(seed=seed), tags=["animal"])
    (tmp_path / "samples").symlink_to(PROJECT_DIR / "samples")
    token = create_token(sessions, name="reader of the docs", role=Role.EDITOR)
    commands = [block for block in re.findall(r"^```\n(.+?)^```", TEXT, flags=re.DOTALL | re.MULTILINE) if "curl" in block]
    assert len(commands) == sum(endpoint.example is not None for endpoint in ENDPOINTS["api"]) >= 10
    for command in commands:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PIXREF": address, "TOKEN": token},
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == 0, (command, done.stderr)
        if "-o picture.png" in command:
            assert (tmp_path / "picture.png").read_bytes() == make_png(seed=1)
        else:
            answer = json.loads(done.stdout)
            assert "code" not in answer, (command, answer)
