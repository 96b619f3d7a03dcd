"""`pixref` on the test's own database and bucket: in this process for speed, as a child where signals, pipes and tracebacks matter."""

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from service.cli import main
from service.settings import Settings
from tests.conftest import PASSWORD

PIXREF = Path(sys.executable).with_name("pixref")
OURS = ("PIXREF_", "S3_", "MINIO_", "DATABASE_", "DB_PORT")


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


class Pixref(Protocol):
    """Runs `pixref` with these arguments, with settings that are changed (None: not set) on top of the test's own."""

    def __call__(self, *arguments: str | Path, env: Mapping[str, str | None] = {}) -> Result: ...


@pytest.fixture
def variables(settings: Settings, tmp_path: Path) -> dict[str, str]:
    """The settings of a service on this test's database and bucket, by environment name."""
    return {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "S3_ENDPOINT": settings.s3_endpoint,
        "S3_ACCESS_KEY": settings.s3_access_key,
        "S3_SECRET_KEY": settings.s3_secret_key.get_secret_value(),
        "S3_BUCKET": settings.s3_bucket,
        "PIXREF_SECRET_KEY": settings.secret_key.get_secret_value(),
        "PIXREF_READER_PASSWORD": PASSWORD,
        "PIXREF_ANALYST_PASSWORD": PASSWORD,
        "PIXREF_STATE_DIR": str(tmp_path / "var"),
    }


@pytest.fixture
def environment(variables: dict[str, str]) -> dict[str, str]:
    """The whole environment of a child process."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)} | variables


@pytest.fixture
def pixref(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Pixref:
    def run(*arguments: str | Path, env: Mapping[str, str | None] = {}) -> Result:
        with monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(OURS)]:
                patch.delenv(name)
            for name, value in {**variables, **env}.items():
                if value is not None:
                    patch.setenv(name, value)
            # A .env of whoever runs the tests must not reach into them.
            patch.setattr("service.settings.ENV_FILE", tmp_path / "no.env")
            patch.setattr(sys, "argv", ["pixref", *map(str, arguments)])
            capsys.readouterr()
            code = exit_code(main)
        written = capsys.readouterr()
        return Result(code, written.out, written.err)

    return run


def exit_code(call: Callable[[], Any]) -> int:
    try:
        call()
    except SystemExit as exc:
        assert exc.code is None or isinstance(exc.code, int)
        return exc.code or 0
    return 0


def eventually(condition: Callable[[], bool], *, within_s: float = 30.0) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"this did not come true within {within_s:g} s"
        time.sleep(0.02)
