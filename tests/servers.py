"""What the tests run against: an S3 server with its root key, and a TCP server that answers as it is told."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import uuid4

import pytest

from storage.minio_store import MinioStore
from storage.provision import ensure_bucket

T = TypeVar("T")


@dataclass(frozen=True)
class S3Server:
    """A running server and its root key. `unpacks`: it expands a tar that is put with the Snowball header."""

    name: str
    endpoint: str
    access_key: str
    secret_key: str
    unpacks: bool = field(default=False, kw_only=True)

    def new_bucket(self) -> str:
        """Make a bucket of its own for a test."""
        bucket = f"test-{uuid4()}"
        ensure_bucket(self.endpoint, access_key=self.access_key, secret_key=self.secret_key, bucket=bucket)
        return bucket

    def store(self, bucket: str) -> MinioStore:
        """Open a bucket with the root key."""
        return MinioStore(self.endpoint, bucket=bucket, access_key=self.access_key, secret_key=self.secret_key)


def require(found: T | None, missing: str) -> T:
    """Return what a test needs; skip the test where it is missing, or fail it where everything must run."""
    if found is None:
        if os.getenv("PIXREF_TEST_REQUIRE_ALL") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return found


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


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise ConnectionResetError("the client left")
    return data
