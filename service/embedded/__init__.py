"""Real servers as child processes, for `make run` and the tests: no Docker, no system service, nothing to install beforehand.

Every server is a `Child`: started in a session of its own, its output in a log file, ready when it answers, and ended by the
kernel should this process be killed. `Supervisor` starts children in order and stops them in reverse. Nothing here reads a
setting; ports, paths and passwords come from the caller. Linux and macOS; the kernel's help after a SIGKILL is Linux only.
"""
