"""MinIO as a child process: found, else built from its archived source once.

`python -m service.embedded.minio [PATH]` does only that and prints where the binary is; PATH stands for MINIO_BIN.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from service.embedded.child import Child
from service.embedded.errors import EmbeddedError
from service.embedded.gobin import find_program, go_compiler
from service.embedded.ports import LOOPBACK, answers_http, require_free_port

SOURCE = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
_VERSION = re.compile(r"^(minio|silo)\b.*\bversion\b", re.IGNORECASE)
_BUILD_LOG_LINES = 10


def find_minio(explicit: Path | None, *, say: Callable[[str], None]) -> Path:
    """Return a MinIO server binary: `explicit` (MINIO_BIN), else one that is installed, else a newly built one.

    `say` is told what takes minutes. Raises `EmbeddedError` naming every way where there is none.
    """
    if explicit is not None:
        if not _is_server(explicit):
            raise EmbeddedError(
                f"MINIO_BIN names {explicit}, which is not a MinIO server: give the path of a `silo` or `minio` binary"
            )
        return explicit.absolute()
    return _installed() or _build(say)


def _installed() -> Path | None:
    return next((program for program in find_program("silo", "minio") if _is_server(program)), None)


def _is_server(program: Path) -> bool:
    """Tell MinIO from anything else that happens to bear its name."""
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return False
    return answer.returncode == 0 and _VERSION.match(answer.stdout) is not None


def _build(say: Callable[[str], None]) -> Path:
    ways = "put a `silo` or `minio` binary on the PATH, name one by MINIO_BIN, or set S3_ENDPOINT to an S3 server of your own"
    go = go_compiler()
    if go is None:
        raise EmbeddedError(f"there is no MinIO on this machine, and no Go compiler to build it with: install Go, {ways}")
    say("building MinIO once (2-3 minutes)")
    build = subprocess.run([go, "install", SOURCE], capture_output=True, text=True, cwd="/", check=False)
    if build.returncode != 0:
        tail = "\n".join(f"    {line}" for line in build.stderr.splitlines()[-_BUILD_LOG_LINES:])
        raise EmbeddedError(f"MinIO could not be built with `go install {SOURCE}`: {ways}\n{tail}")
    program = _installed()
    if program is None:
        raise EmbeddedError(f"`go install {SOURCE}` ended well, but its program is in none of Go's folders: {ways}")
    return program


class MinioServer(Child):
    """A MinIO server on 127.0.0.1 with its objects in `data_dir`; no console, no calls to the outside."""

    def __init__(
        self,
        binary: Path,
        data_dir: Path,
        *,
        port: int,
        root_user: str,
        root_password: str,
        log_path: Path,
        port_setting: str = "S3_PORT",
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port
        self._port_setting = port_setting
        # An empty folder of our own: certificates in the user's ~/.minio would turn this server to https.
        self._certs_dir = self.data_dir.with_name(self.data_dir.name + "-certs")
        argv: list[str | Path] = [
            binary.absolute(),
            "server",
            "--quiet",
            "--address",
            f"{LOOPBACK}:{port}",
            "--certs-dir",
            self._certs_dir,
            self.data_dir,
        ]
        super().__init__("minio", argv, log_path=log_path, env=_environment(os.environ, root_user, root_password))

    @property
    def endpoint(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        require_free_port(self.port, self._port_setting)
        for folder in (self.data_dir, self._certs_dir):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def is_ready(self) -> bool:
        # `live` is answered before the object layer exists; `cluster` only once writes are possible.
        return answers_http(self.port, "/minio/health/live") and answers_http(self.port, "/minio/health/cluster")


def _environment(inherited: Mapping[str, str], root_user: str, root_password: str) -> dict[str, str]:
    """Return the server's environment: a MINIO_ variable of the user's own installation must not reach into ours."""
    kept = {name: value for name, value in inherited.items() if not name.startswith("MINIO_")}
    off = dict.fromkeys(("MINIO_BROWSER", "MINIO_UPDATE", "MINIO_CALLHOME_ENABLE"), "off")
    return {**kept, **off, "MINIO_ROOT_USER": root_user, "MINIO_ROOT_PASSWORD": root_password}


def main(arguments: list[str]) -> int:
    """Print the path of a MinIO server binary, building it where there is none; return the exit code."""
    explicit = Path(arguments[0]) if arguments and arguments[0] else None
    try:
        program = find_minio(explicit, say=lambda text: click.echo(text, err=True))
    except EmbeddedError as exc:
        click.echo(str(exc), err=True)
        return exc.exit_code
    click.echo(program)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
