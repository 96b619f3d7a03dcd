"""Load on a server by wrk: as many clients as wished, each sending its next request as soon as the last one is answered."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

SCRIPT = Path(__file__).with_name("requests.lua")
THREADS = 2
# A naive server answers the last of 32 clients after seconds, which is slow and not wrong.
TIMEOUT_S = 30


class BenchError(Exception):
    """A measurement cannot be made, or what it measured is wrong; the message says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, ready to send."""

    path: str
    body: bytes
    content_type: str
    token: str | None = None
    method: str = "POST"

    def raw(self, host: str) -> bytes:
        """Return the bytes on the wire."""
        lines = [
            f"{self.method} {self.path} HTTP/1.1",
            f"Host: {host}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            *([f"Authorization: Bearer {self.token}"] if self.token else []),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it. Latencies are in milliseconds, as seen by clients that wait for each answer."""

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float


def get(path: str, token: str | None = None) -> Request:
    """Return a GET."""
    return Request(path, b"", "text/plain", token, "GET")


def multipart(data: bytes, *, name: str = "picture.png") -> tuple[bytes, str]:
    """Return a multipart body with one PNG in the part `file`, and its content type."""
    boundary = uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: image/png\r\n\r\n'
    return head.encode() + data + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def require_wrk() -> str:
    """Return the path of wrk. Raises `BenchError`."""
    found = shutil.which("wrk")
    if found is None:
        raise BenchError("wrk is not installed, and nothing else loads a server well enough: apt install wrk")
    return found


def write_requests(path: Path, requests: Sequence[Request], host: str) -> None:
    """Write what the Lua script sends."""
    with path.open("wb") as out:
        for request in requests:
            raw = request.raw(host)
            out.write(b"%d\n" % len(raw) + raw)


def run_wrk(port: int, requests: Path, *, clients: int, duration_s: int) -> Load:
    """Load the server on 127.0.0.1 for a while. Raises `BenchError` when a request failed or was refused: such a rate means nothing."""
    command = [
        require_wrk(),
        f"--threads={THREADS}",
        f"--connections={clients}",
        f"--duration={duration_s}s",
        f"--timeout={TIMEOUT_S}s",
        f"--script={SCRIPT}",
        f"http://127.0.0.1:{port}/",
        "--",
        str(requests),
        str(THREADS),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if done.returncode != 0 or line is None:
        raise BenchError(f"wrk failed: {(done.stderr or done.stdout).strip()}")
    return parse(line)


def parse(line: str) -> Load:
    """Read the line that the Lua script prints at the end. Raises `BenchError` when it counts errors."""
    found = json.loads(line.removeprefix("RESULT "))
    if found["failed"] or found["refused"]:
        raise BenchError(f"{found['failed']} requests failed and {found['refused']} were refused, of {found['requests']}")
    if not found["requests"]:
        raise BenchError("no request was answered within the time")
    return Load(found["requests"], found["requests"] * 1e6 / found["duration_us"], found["p50_us"] / 1000, found["p99_us"] / 1000)
