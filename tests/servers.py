"""Real servers on loopback for the tests: MinIO, Versity S3 Gateway, and a TCP server that answers as it is told.

A binary is looked for in its variable, on the PATH and in `~/go/bin`. A missing one skips the tests that need it, unless
`PIXREF_TEST_REQUIRE_ALL=1`, which makes it a failure.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
import urllib3

from storage.minio_store import MinioStore
from storage.provision import ensure_bucket

_START_S = 30.0
_STOP_S = 10.0


@dataclass(frozen=True)
class S3Server:
    """A running server and its root key. `unpacks`: it expands a tar that is put with the Snowball header."""

    name: str
    endpoint: str
    access_key: str = "test-root"
    secret_key: str = "test-root-secret"
    unpacks: bool = field(default=False, kw_only=True)

    def new_bucket(self) -> str:
        """Make a bucket of its own for a test."""
        bucket = f"test-{uuid4()}"
        ensure_bucket(self.endpoint, access_key=self.access_key, secret_key=self.secret_key, bucket=bucket)
        return bucket

    def store(self, bucket: str) -> MinioStore:
        """Open a bucket with the root key."""
        return MinioStore(self.endpoint, bucket=bucket, access_key=self.access_key, secret_key=self.secret_key)


def find_binary(name: str, variable: str) -> Path:
    """Return the path of a server's binary; skip or fail, as the module says, where there is none."""
    named = os.getenv(variable)
    beside_go = Path.home() / "go" / "bin" / name
    found = named or shutil.which(name) or (str(beside_go) if beside_go.exists() else None)
    if found is None:
        message = f"no {name}: set {variable} or put it on the PATH or into ~/go/bin"
        if os.getenv("PIXREF_TEST_REQUIRE_ALL") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return Path(found)


@contextmanager
def minio_server(data_dir: Path) -> Iterator[S3Server]:
    """Run MinIO on a free port with its data under `data_dir`."""
    binary = find_binary("minio", "MINIO_BIN")
    server = S3Server("minio", f"http://127.0.0.1:{free_port()}", unpacks=True)
    host = server.endpoint.removeprefix("http://")
    command: list[Path | str] = [
        binary,
        "server",
        "--quiet",
        "--address",
        host,
        "--console-address",
        f"127.0.0.1:{free_port()}",
        data_dir,
    ]
    env = {"MINIO_ROOT_USER": server.access_key, "MINIO_ROOT_PASSWORD": server.secret_key, "MINIO_BROWSER": "off"}
    with _running(command, env, lambda: _answers(f"{server.endpoint}/minio/health/cluster", 200)):
        yield server


@contextmanager
def versity_server(data_dir: Path) -> Iterator[S3Server]:
    """Run Versity S3 Gateway on a free port with its data under `data_dir`."""
    binary = find_binary("versitygw", "VERSITYGW_BIN")
    server = S3Server("versity", f"http://127.0.0.1:{free_port()}")
    command: list[Path | str] = [binary, "--quiet", "--port", server.endpoint.removeprefix("http://"), "posix", data_dir]
    env = {"ROOT_ACCESS_KEY": server.access_key, "ROOT_SECRET_KEY": server.secret_key}
    with _running(command, env, lambda: _answers(server.endpoint, 403)):
        yield server


@contextmanager
def tcp_server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Run `answer` on every connection in a thread of its own; yield the endpoint URL.

    The connection is closed when `answer` returns; when the block ends, all of them are.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    open_sockets: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            answer(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                open_sockets.append(connection)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        for opened in (listener, *open_sockets):
            # Shutting down wakes the thread that waits in accept or recv; closing alone would not.
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()


def read_request(connection: socket.socket) -> bytes:
    """Read one HTTP request, head and body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _received(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = (int(lengths[0].partition(b":")[2]) if lengths else 0) - len(body)
    while missing > 0:
        part = _received(connection)
        missing -= len(part)
        data += part
    return data


def http_answer(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """Build an HTTP answer that closes its connection."""
    lines = {"Content-Length": str(len(body)), "Content-Type": "application/xml", "Connection": "close", **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} Status\r\n{head}\r\n".encode() + body


def s3_error(status: int, code: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Build an S3 error answer."""
    return http_answer(status, f"<Error><Code>{code}</Code><Message>told so</Message></Error>".encode(), headers)


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise ConnectionResetError("the client left")
    return data


def _answers(url: str, status: int) -> bool:
    try:
        return urllib3.request("GET", url, retries=False, timeout=2.0).status == status
    except urllib3.exceptions.HTTPError:
        return False


@contextmanager
def _running(command: Sequence[Path | str], env: Mapping[str, str], ready: Callable[[], bool]) -> Iterator[None]:
    child_env = {**os.environ, **env}  # noqa: TID251 - a child's environment is built on ours
    process = subprocess.Popen(command, env=child_env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = bytearray()
    assert process.stdout is not None
    # Somebody has to read: a full pipe would stop the server.
    reader = threading.Thread(target=lambda: output.extend(process.stdout.read()), daemon=True)  # type: ignore[union-attr]
    reader.start()
    try:
        deadline = time.monotonic() + _START_S
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                reader.join(_STOP_S)
                pytest.fail(f"{command[0]} is not ready:\n{output.decode(errors='replace')}")
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(_STOP_S)
        process.stdout.close()
