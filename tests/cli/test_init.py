"""`pixref init`."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from schema.roles import APP
from schema.session import Sessions, open_engine
from service.accounts.tokens import actor_of_token
from service.embedded.postgres import PostgresServer
from service.settings import PROJECT_DIR
from tests.cli.conftest import PIXREF, Pixref
from tests.conftest import PASSWORD, ROOT_PASSWORD, ROOT_USER, run_as_admin

TOKEN = "first-token-of-this-installation"


@pytest.fixture
def fresh(postgres: PostgresServer) -> Iterator[dict[str, str]]:
    """Settings for `init` on a database and a bucket that do not exist yet, with a key that nobody has made."""
    name = f"t_{uuid4().hex[:12]}"
    yield {
        "DATABASE_URL": postgres.url(APP, PASSWORD, name),
        "DATABASE_ADMIN_URL": postgres.url("postgres", PASSWORD, name),
        "MINIO_ROOT_USER": ROOT_USER,
        "MINIO_ROOT_PASSWORD": ROOT_PASSWORD,
        "S3_BUCKET": name.replace("_", "-"),
        "S3_ACCESS_KEY": f"app-{name}",
        "S3_SECRET_KEY": "app-secret-of-a-test",
        "PIXREF_ADMIN_TOKEN": TOKEN,
    }
    run_as_admin(postgres, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def test_two_at_once_from_nothing_and_once_more(pixref: Pixref, environment: dict[str, str], fresh: dict[str, str]) -> None:
    both = [
        subprocess.Popen([PIXREF, "init"], env=environment | fresh, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    written = [child.communicate(timeout=120) for child in both]
    assert [child.returncode for child in both] == [0, 0], written
    for out, err in [*written, (lambda again: (again.out, again.err))(pixref("init", env=fresh))]:
        assert err == ""
        assert [line for line in out.splitlines() if line != "database: created"] == [
            "database: roles and tables are at head",
            f"bucket: {fresh['S3_BUCKET']} is ready",
            "model: mnist version 1 is registered",
            "sign-in: the token of PIXREF_ADMIN_TOKEN is registered",
        ]
    engine = open_engine(fresh["DATABASE_URL"], application_name="tests")
    actor = actor_of_token(Sessions(engine), TOKEN)
    engine.dispose()
    assert actor is not None
    assert actor.role == "admin"
    assert pixref("doctor", env=fresh).code == 0


def test_models_of_the_folder_are_registered_and_a_bad_one_stops_nothing(
    pixref: Pixref, fresh: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setattr("service.cli.init.MODELS", folder)
    for name in ("mnist.keras", "mnist.json"):
        shutil.copy(PROJECT_DIR / "models" / name, folder)
    (folder / "broken.keras").write_bytes(b"no archive")
    (folder / "broken.json").write_text('{"labels": ["a", "b"]}')
    (folder / "alone\x1b.keras").write_bytes(b"no archive")
    for again in (False, True):
        result = pixref("init", env=fresh)
        assert result.code == 0
        assert "model: mnist version 1 is registered\n" in result.out
        assert result.out.endswith("sign-in: the token of PIXREF_ADMIN_TOKEN is registered\n")
        alone, broken = result.err.splitlines()
        assert alone.startswith(r"model: alone\x1b was not registered: alone\x1b.json is missing"), again
        assert broken.startswith("model: broken was not registered: ")


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ({"DATABASE_ADMIN_URL": "postgresql://postgres:wrong@127.0.0.1:{port}/x"}, 1, "check DATABASE_ADMIN_URL"),
        ({"DATABASE_ADMIN_URL": "postgresql://postgres:wrong@127.0.0.1:1/x"}, 1, "check DATABASE_ADMIN_URL"),
        (
            {"DATABASE_ADMIN_URL": "postgresql://pixref_app:{password}@127.0.0.1:{port}/template_pixref"},
            2,
            "set DATABASE_ADMIN_URL",
        ),
        ({"MINIO_ROOT_PASSWORD": "not-the-password"}, 2, "MINIO_ROOT_USER, MINIO_ROOT_PASSWORD: "),
        ({"S3_ACCESS_KEY": ROOT_USER}, 2, "S3_ACCESS_KEY: is MINIO_ROOT_USER"),
        ({"PIXREF_ADMIN_TOKEN": "short"}, 2, "PIXREF_ADMIN_TOKEN"),
    ],
)
def test_wrong_settings(
    pixref: Pixref, postgres: PostgresServer, database: str, fresh: dict[str, str], change: dict[str, str], code: int, said: str
) -> None:
    # On a database that is at head, so that only the setting under test is wrong.
    ready = {
        "DATABASE_URL": postgres.url(APP, PASSWORD, database),
        "DATABASE_ADMIN_URL": postgres.url("postgres", PASSWORD, database),
    }
    changed = {name: value.format(port=postgres.port, password=PASSWORD) for name, value in change.items()}
    result = pixref("init", env=fresh | ready | changed)
    assert result.code == code
    assert said in result.err
    assert result.err.count("\n") == 1
