"""A version that was running when a process died is put aside, longer each time; one that was only loaded is not to blame."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import ModelUnavailable
from service.models.crashes import PAUSES_S, REMEMBERED_S, CrashBook

# Watches a version, runs it or does not, and dies by a signal, or by the fault that a broken kernel makes.
DYING = """
import ctypes, os, sys
from pathlib import Path
from service.models.crashes import CrashBook
folder, key, running, number = sys.argv[1:]
watch = CrashBook(Path(folder)).watch(key)
idle, slot = watch.slot(), watch.slot()
with idle:
    pass
if running == "yes":
    slot.__enter__()
if number == "fault":
    ctypes.string_at(0)
elif number != "none":
    os.kill(os.getpid(), int(number))
"""


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(tmp_path: Path, clock: Clock) -> CrashBook:
    return CrashBook(tmp_path / "running", clock=clock)


def die(folder: Path, key: str, *, running: bool, by: int | str) -> None:
    argv = [
        sys.executable,
        "-c",
        DYING,
        str(folder / "running"),
        key,
        "yes" if running else "no",
        str(int(by) if by != "fault" and by != "none" else by),
    ]
    died = subprocess.run(argv, timeout=60, capture_output=True)
    assert died.returncode == {"none": 0, "fault": -signal.SIGSEGV}.get(str(by), -int(by) if not isinstance(by, str) else 0)


@pytest.mark.parametrize("by", [signal.SIGKILL, "fault"])
def test_who_dies_running_a_version_puts_it_aside(tmp_path: Path, book: CrashBook, clock: Clock, by: int | str) -> None:
    die(tmp_path, "bad", running=True, by=by)
    with pytest.raises(ModelUnavailable, match=r"digits version 2 .* once within an hour.* in 6 s"):
        book.require_sound("bad", "digits version 2")
    book.require_sound("good", "digits version 1")
    clock.now += PAUSES_S[0] + 1
    book.require_sound("bad", "digits version 2")


def test_each_death_makes_the_pause_longer_and_an_hour_ends_it(tmp_path: Path, book: CrashBook, clock: Clock) -> None:
    for pause in (*PAUSES_S, PAUSES_S[-1]):
        die(tmp_path, "bad", running=True, by=signal.SIGKILL)
        with pytest.raises(ModelUnavailable, match=f"in {pause} s"):
            book.require_sound("bad", "it")
        clock.now += pause + 1
        book.require_sound("bad", "it")
    clock.now += REMEMBERED_S
    book.require_sound("bad", "it")
    assert list((tmp_path / "running").iterdir()) == []
    # A clock that was set back does not lock a version away.
    die(tmp_path, "bad", running=True, by=signal.SIGKILL)
    with pytest.raises(ModelUnavailable, match="in 6 s"):
        book.require_sound("bad", "it")
    clock.now -= 7 * 24 * 3600
    with pytest.raises(ModelUnavailable, match="in 6 s"):
        book.require_sound("bad", "it")


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGSEGV, "none"])
def test_who_dies_otherwise_blames_nobody(tmp_path: Path, book: CrashBook, by: int | str) -> None:
    die(tmp_path, "idle", running=False, by=by)
    book.require_sound("idle", "it")
    assert list((tmp_path / "running").iterdir()) == []


def test_a_version_that_is_running_now_is_not_dead(tmp_path: Path, book: CrashBook) -> None:
    watch = book.watch("busy")
    with watch.slot():
        book.require_sound("busy", "it")
        assert len(list((tmp_path / "running").iterdir())) == 1
    del watch
    assert list((tmp_path / "running").iterdir()) == []


def test_without_a_folder_models_run_unwatched(tmp_path: Path, book: CrashBook, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "running").write_text("in the way")
    with book.watch("any").slot():
        book.require_sound("any", "it")
    assert "unwatched" in caplog.text
