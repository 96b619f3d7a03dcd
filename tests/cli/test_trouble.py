"""What can be foreseen ends in one sentence that names the setting and the way out, with an exit code, never in a traceback."""

import subprocess
import sys

import pytest
from sqlalchemy import make_url

from service.embedded.ports import free_port
from service.embedded.postgres import PostgresServer
from tests.cli.conftest import PIXREF, Pixref
from tests.conftest import PASSWORD

DATABASE_TROUBLE = {
    "closed port": (1, "Connection refused", "check DATABASE_URL"),
    "unknown host": (1, "could not translate host name", "check DATABASE_URL"),
    "wrong password": (1, "password authentication failed", "check DATABASE_URL"),
    "no such database": (1, "does not exist", "check DATABASE_URL"),
    "not initialised": (2, "does not exist", "run `pixref init`"),
    "another scheme": (2, "DATABASE_URL", "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
    "no database": (2, "DATABASE_URL", "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
    "port is a word": (2, "DATABASE_URL", "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
    "port is too high": (2, "DATABASE_URL", "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
}


@pytest.fixture
def wrong_urls(postgres: PostgresServer, variables: dict[str, str]) -> dict[str, str]:
    good = make_url(variables["DATABASE_URL"])

    def text(**changes: object) -> str:
        return good.set(**changes).render_as_string(hide_password=False)  # type: ignore[arg-type]

    return {
        "closed port": text(port=free_port()),
        "unknown host": text(host="nowhere.invalid"),
        "wrong password": text(password="wrong"),
        "no such database": text(database="nowhere"),
        "not initialised": postgres.url("postgres", PASSWORD, "postgres"),
        "another scheme": "mysql://user:hidden-password@localhost/pixref",
        "no database": "postgresql://user:hidden-password@localhost",
        "port is a word": "postgresql://user:hidden-password@localhost:port/pixref",
        "port is too high": "postgresql://user:hidden-password@localhost:99999/pixref",
    }


@pytest.mark.parametrize("trouble", DATABASE_TROUBLE)
def test_a_wrong_database_url(pixref: Pixref, wrong_urls: dict[str, str], trouble: str) -> None:
    code, *said = DATABASE_TROUBLE[trouble]
    result = pixref("token", "list", env={"DATABASE_URL": wrong_urls[trouble]})
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("pixref: ")
    assert all(part in result.err for part in said)
    assert result.err.count("\n") == 1
    assert "hidden-password" not in result.err


@pytest.mark.parametrize(
    ("env", "code", "said"),
    [
        ({"S3_SECRET_KEY": "not-the-secret"}, 2, "check S3_ACCESS_KEY, S3_SECRET_KEY and S3_BUCKET"),
        ({"S3_ACCESS_KEY": "nobody"}, 2, "check S3_ACCESS_KEY, S3_SECRET_KEY and S3_BUCKET"),
        ({"S3_BUCKET": "no-such-bucket"}, 2, "check S3_BUCKET"),
        ({"S3_ENDPOINT": "http://127.0.0.1:1"}, 1, "check S3_ENDPOINT"),
        ({"S3_ENDPOINT": "127.0.0.1:9000"}, 2, "S3_ENDPOINT: give scheme, host and port only"),
        ({"S3_SECRET_KEY": "change-me"}, 2, "S3_SECRET_KEY: is empty or a well-known default"),
    ],
)
def test_a_wrong_store(pixref: Pixref, env: dict[str, str], code: int, said: str) -> None:
    result = pixref("load", "mnist", "--count", "2", env=env)
    assert (result.code, result.out) == (code, "")
    assert said in result.err
    assert result.err.count("\n") == 1


def test_missing_settings_are_all_named_with_the_way_out(pixref: Pixref) -> None:
    missing = ("DATABASE_URL", "S3_ENDPOINT", "S3_ACCESS_KEY", "S3_SECRET_KEY", "PIXREF_SECRET_KEY")
    result = pixref("token", "list", env=dict.fromkeys(missing))
    assert result.code == 2
    assert all(f"{name}: is not set" in result.err for name in missing)
    assert "`make run`" in result.err


def test_a_child_process_ends_without_a_traceback(environment: dict[str, str], wrong_urls: dict[str, str]) -> None:
    environment["DATABASE_URL"] = wrong_urls["closed port"]
    for command in (["token", "list"], ["work"], ["sql", "select 1"], ["init"]):
        done = subprocess.run([PIXREF, *command], env=environment, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert "check DATABASE_URL" in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("host", ["no such host", "203.0.113.7"])
def test_an_address_that_cannot_be_listened_on(pixref: Pixref, host: str) -> None:
    result = pixref("serve", env={"PIXREF_HOST": host, "PIXREF_PORT": str(free_port())})
    assert result.code == 2
    assert "PIXREF_HOST" in result.err


def test_help_and_cheap_commands_import_little() -> None:
    program = (
        "import sys; from importlib import import_module; import service.cli; loaded = set(sys.modules); "
        "[import_module(f'service.cli.{name}') for name in sys.argv[1:]]; print(*sys.modules if len(sys.argv) > 1 else loaded)"
    )

    def imported(*commands: str) -> set[str]:
        return set(
            subprocess.run([sys.executable, "-c", program, *commands], capture_output=True, text=True, check=True).stdout.split()
        )

    assert not imported() & {"sqlalchemy", "pydantic", "rich", "flask", "minio"}
    heavy = {"tensorflow", "keras", "ai_edge_litert", "matplotlib", "flask", "granian", "procrastinate", "alembic"}
    assert not imported("token", "sql", "load", "models", "serve", "dev") & heavy
    assert not imported("predict") & (heavy - {"ai_edge_litert"})


def test_every_command_has_help(pixref: Pixref) -> None:
    from service.cli import COMMANDS

    overview = pixref("--help").out
    for name in COMMANDS:
        assert name in overview
        shown = pixref(name, "--help")
        assert shown.code == 0
        assert shown.out.startswith("Usage: pixref")
    assert pixref("--version").out.startswith("pixref, version")
    assert pixref("nonsense").code == 2
