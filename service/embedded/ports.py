"""Ports of this machine: is one free, and if not, who has it."""

import http.client
import socket
import time
from pathlib import Path

from service.embedded.errors import EmbeddedError

LOOPBACK = "127.0.0.1"
_LISTEN = "0A"
_PATIENCE_S = 2.0


def free_port() -> int:
    """Return a port on which nothing listens now; another process may still take it first."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port


def require_free_port(port: int, setting: str) -> None:
    """Raise `EmbeddedError` naming `setting` and, where it can be found out, the process that holds the port.

    A port that is taken gets two seconds, because servers of a run that was killed a moment ago are still ending.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while not _is_free(port):
        if time.monotonic() > deadline:
            raise EmbeddedError(f"port {port} is taken{_by_whom(port)}: set {setting} to a free one")
        time.sleep(0.05)


def answers_http(port: int, path: str, *, statuses: range = range(200, 300)) -> bool:
    """Tell whether GET http://127.0.0.1:port/path is answered with one of `statuses` within two seconds."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status in statuses
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: connections of an earlier run in TIME_WAIT do not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen()
        except PermissionError:
            raise EmbeddedError(f"port {port} may not be opened by this user: use one above 1023") from None
        except OSError:
            return False
    return True


def _by_whom(port: int) -> str:
    """Return " by NAME (process N)" where Linux tells us, else nothing."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not sockets:
        return ""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(fd.readlink()) in sockets for fd in (process / "fd").iterdir()):
                return f" by {(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:
            continue  # ended meanwhile, or another user's
    return ""


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes
