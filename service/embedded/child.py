"""One supervised child process: started, awaited until it answers, stopped within bounds."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from service.embedded.errors import ChildDied, EmbeddedError

_LAUNCHER = Path(__file__).with_name("launch.py")
_POLL_S = 0.03
_LOG_LIMIT_BYTES = 8 * 1024 * 1024
_TAIL_BYTES = 64 * 1024


class Child:
    """A program with its log file, readiness probe and way of stopping.

    It runs in a session of its own, so that Ctrl-C in the terminal reaches us alone and we choose the order. On Linux the
    kernel sends it `stop_signals[0]` when the thread that started it ends: start children in the main thread.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log_path: Path,
        env: Mapping[str, str] | None = None,
        ready: Callable[[], bool] | None = None,
        ready_timeout_s: float = 60.0,
        stop_signals: Sequence[signal.Signals] = (signal.SIGTERM,),
        stop_timeout_s: float = 10.0,
    ) -> None:
        """Describe the child; nothing runs before `start`.

        `argv[0]` is the absolute path of the program; `env` is its whole environment (default: ours). `ready` is asked until it
        is true. `stop` sends `stop_signals` one after the other, each with `stop_timeout_s` to obey, and SIGKILL in the end.
        """
        self.name = name
        self.argv = [str(part) for part in argv]
        self.log_path = log_path
        self.env = env
        self._ready = ready
        self.ready_timeout_s = ready_timeout_s
        self.stop_signals = tuple(stop_signals)
        self.stop_timeout_s = stop_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def prepare(self) -> None:
        """Make what the program needs before it can start; raise `EmbeddedError` where that is impossible."""

    def is_ready(self) -> bool:
        """Tell whether the child answers; raise `EmbeddedError` where it never will."""
        return self._ready is None or self._ready()

    def command_prefix(self) -> list[str]:
        """Return a command that runs the rest of its line with other rights; usually none."""
        return []

    def start(self) -> Self:
        """Start the program and wait until it is ready. Whatever interrupts the wait, a started program is stopped again."""
        self.launch()
        self.wait_until_ready()
        return self

    def launch(self) -> None:
        """Start the program without waiting; `wait_until_ready` must follow."""
        self.prepare()
        self._spawn()

    def wait_until_ready(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until the program answers; stop it and raise `EmbeddedError` with its last log lines where it does not.

        `meanwhile` is called again and again during the wait, and ends it by raising.
        """
        deadline = time.monotonic() + self.ready_timeout_s
        try:
            # Asked in this order: what answers may be another program that has our port, and a one-shot may be done already.
            while not (self.is_ready() and self.poll() in (None, 0)):
                if self.poll() is not None:
                    raise self.died()
                meanwhile()
                if time.monotonic() > deadline:
                    raise EmbeddedError(f"{self.name} did not answer within {self.ready_timeout_s:g} s{self._log_hint()}")
                time.sleep(_POLL_S)
        except BaseException:
            self.stop()
            raise

    def wait(self) -> int:
        """Wait until the program ends by itself and return its exit code."""
        return self._started().wait()

    def poll(self) -> int | None:
        """Return the exit code (minus the signal's number), or None while the program runs or was never started."""
        return None if self._process is None else self._process.poll()

    @property
    def pid(self) -> int:
        return self._started().pid

    def stop(self) -> None:
        """End the program and whatever is left of its process group; do nothing where it is not running."""
        process = self._process
        if process is None:
            return
        for number in self.stop_signals:
            if process.poll() is not None:
                break
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self.stop_timeout_s)
        self.kill()
        process.wait()
        self._process = None

    def kill(self) -> None:
        """Send SIGKILL to the whole process group, at once."""
        if self._process is not None:
            # EPERM is macOS's answer for a group of which only zombies are left.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def last_lines(self, count: int = 10) -> list[str]:
        """Return the last log lines that the program wrote since it was started."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(self._log_start, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
                text = log.read().decode(errors="replace")
        except FileNotFoundError:
            return []
        return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]

    def died(self) -> ChildDied:
        """Return the error for a child that ended unasked."""
        code = self._started().wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return ChildDied(f"{self.name} {how}{self._log_hint()}")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process

    def _log_hint(self) -> str:
        lines = "".join(f"\n    {line}" for line in self.last_lines())
        return f"; its log {self.log_path} ends with:{lines}" if lines else f"; its log is {self.log_path}"

    def _spawn(self) -> None:
        self.log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.log_path.exists() and self.log_path.stat().st_size > _LOG_LIMIT_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), str(int(self.stop_signals[0]))]
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [*self.command_prefix(), *launcher, *self.argv],
                cwd="/",
                env=None if self.env is None else dict(self.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
