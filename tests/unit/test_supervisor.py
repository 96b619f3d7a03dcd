"""Children as one program: order, death, signals, and what is left when the supervising process is killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from service.embedded.child import Child
from service.embedded.errors import ChildDied, EmbeddedError
from service.embedded.supervisor import Supervisor

PROJECT = Path(__file__).resolve().parents[2]
WITHIN_S = 15.0

# Says that it is ready, then appends its name to a file when it is asked to stop.
OBEDIENT = """
import pathlib, signal, sys, time
name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
def stop(number, frame):
    with (folder / "stopped").open("a") as out:
        out.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
(folder / (name + ".ready")).touch()
while True:
    time.sleep(60)
"""

# Ignores every polite signal and has a child of its own that does so too.
STUBBORN = """
import pathlib, signal, subprocess, sys, time
name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
own = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
(folder / (name + ".child")).write_text(str(own.pid))
(folder / (name + ".ready")).touch()
while True:
    time.sleep(60)
"""

FAILS = "import sys; print('no such host: db.example'); sys.exit(7)"

# A program of two children that prints their process numbers.
PROGRAM = """
import sys
from pathlib import Path
from service.embedded.child import Child
from service.embedded.supervisor import Supervisor
folder = Path(sys.argv[1])
def child(name):
    ready = folder / (name + ".ready")
    argv = [sys.executable, "-c", sys.argv[2], name, folder]
    return Child(name, argv, log_path=folder / (name + ".log"), ready=ready.exists, stop_timeout_s=float(sys.argv[3]))
with Supervisor(say=lambda text: None) as supervisor:
    children = [child("first"), child("second")]
    supervisor.start(*children)
    print(*(each.pid for each in children), flush=True)
    supervisor.run_until_signal()
print("stopped by", supervisor.stopped_by.name, flush=True)
"""


@pytest.fixture
def child(tmp_path: Path) -> Callable[..., Child]:
    def make(name: str, code: str, *, stop_timeout_s: float = 5.0) -> Child:
        argv: list[str | Path] = [sys.executable, "-c", code, name, tmp_path]
        ready = (tmp_path / f"{name}.ready").exists
        return Child(
            name, argv, log_path=tmp_path / f"{name}.log", ready=ready, ready_timeout_s=WITHIN_S, stop_timeout_s=stop_timeout_s
        )

    return make


@pytest.fixture
def run_program(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    started: list[subprocess.Popen[str]] = []

    def run(code: str, *, stop_timeout_s: float = 5.0) -> "subprocess.Popen[str]":
        argv = [sys.executable, "-c", PROGRAM, str(tmp_path), code, str(stop_timeout_s)]
        program = subprocess.Popen(argv, cwd=PROJECT, stdout=subprocess.PIPE, text=True, start_new_session=True)
        started.append(program)
        return program

    yield run
    for program in started:
        with program:  # closes its pipe too
            program.kill()


def children_of(program: "subprocess.Popen[str]") -> list[int]:
    assert program.stdout is not None
    return [int(pid) for pid in program.stdout.readline().split()]


def await_gone(*pids: int) -> None:
    deadline = time.monotonic() + WITHIN_S
    while alive := [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]:
        assert time.monotonic() < deadline, f"still running: {alive}"
        time.sleep(0.02)


def stopped(folder: Path) -> list[str]:
    return (folder / "stopped").read_text().split()


def test_children_stop_in_reverse_order(child: Callable[..., Child], tmp_path: Path) -> None:
    said: list[str] = []
    with Supervisor(say=said.append) as supervisor:
        supervisor.start(child("database", OBEDIENT))
        supervisor.start(child("store", OBEDIENT), child("web", OBEDIENT))
    assert stopped(tmp_path) == ["web", "store", "database"]
    assert [line.split(" is ready")[0] for line in said] == ["database", "store", "web"]


def test_death_of_one_stops_the_others_and_is_reported(child: Callable[..., Child], tmp_path: Path) -> None:
    victim = child("victim", "print('disk on fire', flush=True)\n" + OBEDIENT)
    with pytest.raises(ChildDied) as caught, Supervisor(say=lambda text: None) as supervisor:
        supervisor.start(child("other", OBEDIENT), victim)
        os.kill(victim.pid, signal.SIGKILL)
        supervisor.run_until_signal()
    assert "victim was killed by SIGKILL" in str(caught.value)
    assert "disk on fire" in str(caught.value)
    assert caught.value.exit_code == 1
    assert stopped(tmp_path) == ["other"]


def test_failed_start_stops_what_was_started(child: Callable[..., Child], tmp_path: Path) -> None:
    with pytest.raises(ChildDied) as caught, Supervisor(say=lambda text: None) as supervisor:
        supervisor.start(child("first", OBEDIENT))
        supervisor.start(child("broken", FAILS))
    assert "broken ended with exit code 7" in str(caught.value)
    assert "no such host: db.example" in str(caught.value)
    assert stopped(tmp_path) == ["first"]


def test_death_of_one_ends_the_wait_for_another(child: Callable[..., Child], tmp_path: Path) -> None:
    silent = Child("silent", [sys.executable, "-c", OBEDIENT, "silent", tmp_path], log_path=tmp_path / "log", ready=lambda: False)
    mortal = child(
        "mortal", OBEDIENT.replace("time.sleep(60)", "(folder / 'silent.ready').exists() and sys.exit(3); time.sleep(0.05)")
    )
    with pytest.raises(ChildDied, match="mortal ended with exit code 3"), Supervisor(say=lambda text: None) as supervisor:
        supervisor.start(mortal)
        supervisor.start(silent)


def test_child_that_never_answers_is_stopped(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import time; time.sleep(600)"]
    mute = Child("mute", argv, log_path=tmp_path / "log", ready=lambda: False, ready_timeout_s=0.2)
    with pytest.raises(EmbeddedError, match=r"mute did not answer within 0\.2 s"):
        mute.start()
    assert mute.poll() is None


def test_missing_program_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ChildDied, match="/nowhere/minio cannot be run: No such file or directory"):
        Child("store", ["/nowhere/minio"], log_path=tmp_path / "log", ready=lambda: False).start()


def test_run_waits_for_the_end_and_passes_failure_on(child: Callable[..., Child], tmp_path: Path) -> None:
    log = tmp_path / "once.log"
    with Supervisor(say=lambda text: None) as supervisor:
        supervisor.start(child("server", OBEDIENT))
        supervisor.run(Child("once", [sys.executable, "-c", "print('migrated')"], log_path=log))
        assert log.read_text() == "migrated\n"
        with pytest.raises(ChildDied, match="once ended with exit code 7"):
            supervisor.run(Child("once", [sys.executable, "-c", FAILS], log_path=log))


def test_stop_kills_a_stubborn_child_and_its_children(child: Callable[..., Child], tmp_path: Path) -> None:
    stubborn = child("stubborn", STUBBORN, stop_timeout_s=0.2).start()
    pids = [stubborn.pid, int((tmp_path / "stubborn.child").read_text())]
    stubborn.stop()
    await_gone(*pids)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_signal_ends_every_child_in_order(
    run_program: Callable[..., "subprocess.Popen[str]"], tmp_path: Path, number: signal.Signals
) -> None:
    program = run_program(OBEDIENT)
    pids = children_of(program)
    program.send_signal(number)
    rest, _ = program.communicate(timeout=WITHIN_S)
    assert (program.returncode, rest) == (0, f"stopped by {number.name}\n")
    await_gone(*pids)
    assert stopped(tmp_path) == ["second", "first"]


def test_echo_of_a_signal_does_not_kill(run_program: Callable[..., "subprocess.Popen[str]"], tmp_path: Path) -> None:
    program = run_program(OBEDIENT)
    children_of(program)
    for _ in range(3):
        program.send_signal(signal.SIGINT)
    assert program.wait(WITHIN_S) == 0
    assert stopped(tmp_path) == ["second", "first"]


def test_second_signal_kills_at_once(run_program: Callable[..., "subprocess.Popen[str]"]) -> None:
    program = run_program(STUBBORN, stop_timeout_s=600.0)
    pids = children_of(program)
    began = time.monotonic()
    while program.poll() is None:
        assert time.monotonic() - began < WITHIN_S
        program.send_signal(signal.SIGINT)
        time.sleep(0.3)
    assert program.returncode == 0
    await_gone(*pids)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_children_end_when_the_program_is_killed(run_program: Callable[..., "subprocess.Popen[str]"], tmp_path: Path) -> None:
    program = run_program(OBEDIENT)
    pids = children_of(program)
    program.kill()
    await_gone(*pids)
    assert sorted(stopped(tmp_path)) == ["first", "second"]
