"""`pixref serve` as a process: it ends what it has begun when it is told to stop, and slow clients hold nobody up."""

import http.client
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from schema.session import Sessions
from service.accounts.actor import Role
from service.accounts.tokens import create_token
from service.cli.serve import THREADS
from service.embedded.ports import LOOPBACK, answers_http, free_port
from service.settings import Settings
from service.web.pace import READERS
from storage.base import ObjectStore
from tests.cli.conftest import PIXREF, eventually
from tests.factories import BIG, assert_in_step, make_png, rows
from tests.servers import read_request, tcp_server

pytestmark = pytest.mark.timeout(120)

HEAD = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
TAIL = b"\r\n--x--\r\n"


class Gate:
    """Stands before the real store and holds PUT requests back until it is opened."""

    def __init__(self, endpoint: str) -> None:
        self._target = urlsplit(endpoint)
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        request = read_request(connection)
        if request.startswith(b"PUT"):
            self.reached.set()
            assert self.open.wait(60)
        with socket.create_connection((self._target.hostname, self._target.port), 5) as server:
            server.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            connection.sendall(b"".join(iter(lambda: server.recv(65_536), b"")))


class Server:
    """A running `pixref serve` with one worker."""

    def __init__(self, environment: dict[str, str], folder: Path, token: str) -> None:
        self.port, self.token = free_port(), token
        self._log = folder / "serve.log"
        with self._log.open("w") as out:
            self.process = subprocess.Popen(
                [PIXREF, "serve"],
                env=environment | {"PIXREF_PORT": str(self.port), "PIXREF_WEB_WORKERS": "1"},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        eventually(lambda: answers_http(self.port, "/livez"))

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(LOOPBACK, self.port, timeout=60)

    def begin(self, length: int) -> socket.socket:
        """Announce an upload of this length, and send none of it."""
        head = (
            f"POST /api/v1/images HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}\r\n"
            f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {length}\r\n\r\n"
        )
        connection = socket.create_connection((LOOPBACK, self.port), 60)
        connection.sendall(head.encode())
        return connection

    def upload(self, data: bytes) -> tuple[int, dict[str, object]]:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "multipart/form-data; boundary=x"}
        with closing(self.connect()) as connection:
            connection.request("POST", "/api/v1/images", HEAD + data + TAIL, headers)
            answer = connection.getresponse()
            return answer.status, json.load(answer)

    def list_s(self) -> float:
        """Return how long a list takes."""
        started = time.monotonic()
        with closing(self.connect()) as connection:
            connection.request("GET", "/api/v1/images", headers={"Authorization": f"Bearer {self.token}"})
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
        return time.monotonic() - started

    def refuses(self) -> bool:
        try:
            socket.create_connection((LOOPBACK, self.port), 5).close()
        except ConnectionRefusedError:
            return True
        return False

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def await_end(self, within_s: float) -> int:
        return self.process.wait(within_s)


@pytest.fixture
def gate(settings: Settings) -> Gate:
    return Gate(settings.s3_endpoint)


@pytest.fixture
def server(environment: dict[str, str], gate: Gate, sessions: Sessions, tmp_path: Path) -> Iterator[Server]:
    token = create_token(sessions, name="tester", role=Role.EDITOR)
    with tcp_server(gate) as endpoint:
        running = Server(environment | {"S3_ENDPOINT": endpoint}, tmp_path, token)
        yield running
        gate.open.set()
        running.stop()
        running.await_end(60)


def test_what_is_under_way_is_ended_before_the_server_stops(
    server: Server, gate: Gate, sessions: Sessions, store: ObjectStore
) -> None:
    answers: list[tuple[int, dict[str, object]]] = []
    upload = threading.Thread(target=lambda: answers.append(server.upload(make_png(BIG, BIG))))
    upload.start()
    assert gate.reached.wait(30)
    assert rows(sessions, "SELECT state FROM pixref.image") == [("PENDING",)]
    server.stop()
    eventually(server.refuses)
    assert server.process.poll() is None
    assert answers == []
    gate.open.set()
    upload.join(30)
    assert [status for status, _ in answers] == [201]
    assert server.await_end(30) == 0
    assert rows(sessions, "SELECT state FROM pixref.image") == [("READY",)]
    assert_in_step(sessions, store)


def test_slow_clients_hold_nobody_up(server: Server, gate: Gate) -> None:
    gate.open.set()
    form = HEAD + make_png(BIG, BIG) + TAIL
    with ExitStack() as exits:
        slow = [exits.enter_context(server.begin(len(form))) for _ in range(2 * THREADS)]
        # As many as may are being waited for; the others are sent away.
        eventually(lambda: sum(was_refused(each) for each in slow) == len(slow) - READERS)
        assert max(server.list_s() for _ in range(10)) < 2.0
        # Those who are being waited for have lost nothing.
        waiting = [each for each in slow if not was_refused(each)]
        for each in waiting:
            each.sendall(form)
        assert sorted(each.recv(12) for each in waiting) == [b"HTTP/1.1 200"] * (READERS - 1) + [b"HTTP/1.1 201"]


def was_refused(client: socket.socket) -> bool:
    client.settimeout(0.02)
    try:
        return client.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 503"
    except TimeoutError:
        return False
    finally:
        client.settimeout(60)
