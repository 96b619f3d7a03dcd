"""What a newcomer meets first: `make`, `make env`, and a Python that does not fit."""

import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(PROJECT / "Makefile", tmp_path)
    return tmp_path


def make(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["make", *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_help_is_the_default_and_lists_every_target(folder: Path) -> None:
    answer = make(folder)
    [phony] = re.findall(r"^\.PHONY: (.+)$", (folder / "Makefile").read_text(), re.MULTILINE)
    assert re.findall(r"^  make (\w+)  +\S", answer.stdout, re.MULTILINE) == phony.split()


def test_env_replaces_every_change_me_and_nothing_else(folder: Path) -> None:
    (folder / ".env.example").write_text("# KEY=change-me\nA=change-me\nPIXREF_PORT=8000\nB=change-me\nC=do-not-change-me\n")
    assert make(folder, "env").returncode == 0
    lines = (folder / ".env").read_text().splitlines()
    assert [lines[0], lines[2], lines[4]] == ["# KEY=change-me", "PIXREF_PORT=8000", "C=do-not-change-me"]
    secrets = [line.partition("=")[2] for line in (lines[1], lines[3])]
    assert all(re.fullmatch("[0-9a-f]{40}", secret) for secret in secrets)
    assert secrets[0] != secrets[1]
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600


def test_env_never_overwrites(folder: Path) -> None:
    (folder / ".env.example").write_text("A=change-me\n")
    (folder / ".env").write_text("A=mine\n")
    assert "left as it is" in make(folder, "env").stdout
    assert (folder / ".env").read_text() == "A=mine\n"


@pytest.mark.parametrize(("body", "shown"), [("echo Python 3.9.2; exit 1", "Python 3.9.2"), (None, "not found")])
def test_python_that_does_not_fit_is_named_with_the_way_out(folder: Path, body: str | None, shown: str) -> None:
    python = folder / "python-old"
    if body:
        python.write_text(f"#!/bin/sh\n{body}\n")
        python.chmod(0o755)
    (folder / "requirements.txt").touch()
    (folder / "pyproject.toml").touch()
    answer = make(folder, "run", f"PYTHON={python}")
    assert answer.returncode != 0
    [sentence] = [line for line in answer.stderr.splitlines() if line.startswith("Pixref")]
    assert sentence.startswith("Pixref needs Python 3.11 to 3.13")
    assert shown in sentence
    assert sentence.endswith("make run PYTHON=python3.12")
    assert not (folder / ".venv").exists()
