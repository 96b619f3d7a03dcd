"""Become another program that the kernel signals when our parent dies: launch.py PARENT_PID SIGNAL PROGRAM [ARGUMENT...]

Run as a file by an isolated interpreter (`python -I -S`), so it imports the standard library only. It stands between `fork` and
the program because a hook inside the forking process (`preexec_fn`) may deadlock as soon as that process has threads.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, death_signal: int, program: list[str]) -> None:
    if sys.platform == "linux":
        import ctypes

        if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
            raise SystemExit(f"prctl failed: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        raise SystemExit("the parent died before its child could start")
    # A shell starts background jobs with SIGINT ignored, and what is ignored stays so across exec.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(program[0], program)
    except OSError as exc:
        raise SystemExit(f"{program[0]} cannot be run: {exc.strerror}") from None


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
