"""The places at which a test may end the process: what arms them, and that the documentation lists them all."""

import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from service.failpoints import arm, failpoint
from service.settings import PROJECT_DIR

_CALL = re.compile(r'failpoint\("([^"]*)"\)')


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    arm("")


def places() -> list[str]:
    return [name for file in sorted((PROJECT_DIR / "service").rglob("*.py")) for name in _CALL.findall(file.read_text())]


def passes_before_death(actions: str) -> tuple[int, int]:
    """Let a process pass the place `here` again and again; return its exit code and how often it got past."""
    program = (
        "from service.failpoints import arm, failpoint\n"
        f"arm({actions!r})\n"
        "for number in range(5):\n"
        "    failpoint('here')\n"
        "    print('past', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT_DIR, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.count("past")


@pytest.mark.parametrize(
    ("actions", "passed"), [("here=kill", 0), ("here=kill:1", 0), ("here=kill:3", 2), ("there=kill,here=kill:2", 1)]
)
def test_kill_ends_the_process_at_the_given_time(actions: str, passed: int) -> None:
    assert passes_before_death(actions) == (-signal.SIGKILL, passed)


def test_a_place_that_is_not_armed_does_nothing() -> None:
    assert passes_before_death("there=kill,here=kill:9") == (0, 5)


def test_sleep_holds_the_process() -> None:
    arm("here=sleep:0.05")
    started = time.monotonic()
    failpoint("here")
    assert time.monotonic() - started >= 0.05


def test_arming_replaces_what_was_armed() -> None:
    arm("here=sleep:60")
    arm("there=sleep:60")
    failpoint("here")
    arm("")
    failpoint("there")


@pytest.mark.parametrize("text", ["here", "here=", "here=stop", "here=kill:soon", "here=sleep", "here=sleep:long", "=,"])
def test_what_is_not_understood_is_refused_and_changes_nothing(text: str) -> None:
    arm("there=sleep:0.05")
    with pytest.raises(ValueError, match=r"is not NAME=kill|invalid literal|could not convert"):
        arm(text)
    started = time.monotonic()
    failpoint("there")
    assert time.monotonic() - started >= 0.05


def test_every_place_has_a_name_of_its_own() -> None:
    found = places()
    assert len(found) >= 25
    assert [name for name, count in Counter(found).items() if count > 1] == []
    assert [name for name in found if not re.fullmatch(r"[a-z_]+\.[a-z_]+", name)] == []


def test_the_documentation_lists_every_place() -> None:
    listed = re.findall(
        r"^\| `([a-z_]+\.(?!py`)[a-z_]+)` \|", (PROJECT_DIR / "docs" / "reliability.md").read_text(), re.MULTILINE
    )
    assert sorted(listed) == sorted(places())
