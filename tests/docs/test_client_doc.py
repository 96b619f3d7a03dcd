"""docs/client.md and the README's example: every block runs as it stands and prints what stands under it."""

import contextlib
import io
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from pixref import Client, errors
from schema.session import Sessions
from service.accounts.actor import Role
from service.accounts.tokens import create_token
from service.settings import PROJECT_DIR
from tests.client.conftest import serving

TEXT = (PROJECT_DIR / "docs" / "client.md").read_text()
README = (PROJECT_DIR / "README.md").read_text()
BLOCK = re.compile(r"^```python\n(.+?)^```\n(?:\n```text\n(.+?)^```\n)?", re.DOTALL | re.MULTILINE)


@pytest.fixture
def beside_the_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PROJECT_DIR / "samples" / "photos", tmp_path / "samples" / "photos")
    shutil.copy(PROJECT_DIR / "README.md", tmp_path)
    monkeypatch.chdir(tmp_path)


def run(blocks: list[tuple[str, str]], url: str) -> dict[str, Any]:
    """Run blocks one after the other in one namespace, comparing what each prints."""
    names: dict[str, Any] = {}
    assert blocks
    for code, expected in blocks:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(code, "an example", "exec"), names)  # noqa: S102
        assert out.getvalue().replace(url, "http://127.0.0.1:8000") == expected, code
    return names


@pytest.mark.usefixtures("beside_the_samples", "mnist_model", "door_url")
@pytest.mark.parametrize("text", [TEXT, README], ids=["docs/client.md", "README.md"])
def test_every_block_runs_and_prints_what_stands_under_it(
    app: Flask, sessions: Sessions, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("PIXREF_TOKEN", create_token(sessions, name="me", role=Role.EDITOR))
    with serving(app) as url:
        monkeypatch.setenv("PIXREF_URL", url)
        run(BLOCK.findall(text), url)


def test_every_method_and_exception_is_described() -> None:
    methods = {name for name in vars(Client) if not name.startswith("_")} - {"url"}
    assert {name for name in methods if f"client.{name}(" not in TEXT and f"`{name}` is" not in TEXT} == set()
    kinds = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.PixrefError)}
    assert {name for name in kinds if f"`{name}`" not in TEXT} == set()
