"""Headers on every answer, and a real server that meets clients who lie about their bodies."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import urllib3
from flask import Flask

from schema.session import Sessions
from service.accounts.actor import Role
from service.accounts.tokens import create_token
from service.embedded.minio import MinioServer
from service.embedded.ports import answers_http, free_port
from service.settings import PROJECT_DIR, Settings
from service.web.access import access
from storage.base import ObjectStore
from tests.conftest import ROOT_PASSWORD, ROOT_USER, TokenClient, client_with
from tests.factories import make_png, objects, rows
from tests.web.test_access_matrix import calls

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def test_every_answer_has_the_headers(app: Flask, sessions: Sessions) -> None:
    everything = [*calls(app), ("none", "GET", "/nothing-here"), ("none", "GET", "/api/v1/nothing"), ("none", "PATCH", "/livez")]
    for role in (None, Role.ADMIN):
        client = client_with(app, sessions, role)
        for endpoint, method, path in everything:
            answer = client.open(path, method=method)
            where = (endpoint, method, role, answer.status_code)
            for name, value in HEADERS.items():
                assert answer.headers.get(name) == value, where
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy, where
            assert "unsafe-inline" not in policy, where
            assert answer.headers["X-Request-Id"], where
            assert "Server" not in answer.headers, where
            if answer.mimetype == "text/html":
                assert "frame-ancestors 'none'" in policy, where
                assert "no-store" in answer.headers["Cache-Control"], where


def test_a_bug_has_the_headers_and_says_nothing(app: Flask, sessions: Sessions, settings: Settings) -> None:
    @access(None)
    def broken() -> str:
        raise RuntimeError(f"secret {settings.database_url.get_secret_value()}")

    app.add_url_rule("/broken", "broken", broken)
    answer = client_with(app, sessions, None).get("/broken", headers={"Accept": "application/json"})
    assert answer.status_code == 500
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "secret" not in answer.text
    assert "RuntimeError" not in answer.text


def test_request_ids_are_echoed_only_when_harmless(anonymous_client: TokenClient) -> None:
    assert anonymous_client.get("/livez", headers={"X-Request-Id": "abc-1.2_Z"}).headers["X-Request-Id"] == "abc-1.2_Z"
    for hostile in ("", "a b", "<script>", "x" * 65, "\xe4"):
        echoed = anonymous_client.get("/livez", headers={"X-Request-Id": hostile}).headers["X-Request-Id"]
        assert echoed != hostile
        assert len(echoed) == 32


def test_links_come_from_the_settings_and_not_from_the_host_header(viewer_client: TokenClient) -> None:
    for headers in ({"Host": "evil.example"}, {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}):
        for path in ("/api/v1/images", "/", "/api/v1/openapi.json"):
            answer = viewer_client.get(path, headers=headers)
            assert "evil.example" not in answer.text + str(answer.headers)


def test_tokens_do_not_reach_the_request_log(anonymous_client: TokenClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", logger="pixref.request"):
        anonymous_client.get("/sign-in?token=pixref_Secret-of-mine")
        anonymous_client.get("/api/v1/images?label=Secret-of-mine", headers={"Authorization": "Bearer Secret-of-mine"})
    assert len(caplog.records) == 2
    for record in caplog.records:
        assert "Secret-of-mine" not in str(record.__dict__)
        assert record.__dict__["request_id"]


@pytest.fixture
def server(database_url: str, bucket: str, minio: MinioServer) -> Iterator[int]:
    """The real server, started as a user starts it; the port."""
    port = free_port()
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "S3_ENDPOINT": minio.endpoint,
        "S3_BUCKET": bucket,
        "S3_ACCESS_KEY": ROOT_USER,
        "S3_SECRET_KEY": ROOT_PASSWORD,
        "PIXREF_SECRET_KEY": "k" * 40,
        "PIXREF_PORT": str(port),
        "PIXREF_WEB_WORKERS": "1",
    }
    command = [sys.executable, "-c", "from service.cli import main; main()", "serve"]
    with subprocess.Popen(
        command, cwd=PROJECT_DIR, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as child:
        try:
            deadline = time.monotonic() + 30
            while not answers_http(port, "/livez"):
                assert child.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield port
        finally:
            child.terminate()
            child.wait(30)


def talk(port: int, request: bytes, *, leave: bool = False, end: bool = False) -> bytes:
    """Send raw bytes; then leave, or say that no more will come, and wait for the whole answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        if leave:
            return b""
        if end:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
        return answer


def test_a_real_server_keeps_nothing_of_a_body_that_ends_early(server: int, sessions: Sessions, store: ObjectStore) -> None:
    token = create_token(sessions, name="client", role=Role.EDITOR)
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + make_png() + b"\r\n--b--\r\n"

    def request(length: int | None, sent: bytes) -> bytes:
        head = [
            "POST /api/v1/images HTTP/1.1",
            f"Host: 127.0.0.1:{server}",
            f"Authorization: Bearer {token}",
            "Content-Type: multipart/form-data; boundary=b",
            "Connection: close",
        ]
        head.append("Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}")
        return "\r\n".join(head).encode() + b"\r\n\r\n" + sent

    chunked = b"%x\r\n" % len(body) + body[: len(body) // 2]
    for cut in (1, 2, 8, len(body) // 2):
        for leave in (True, False):
            answer = talk(server, request(len(body), body[:-cut]), leave=leave, end=True)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer[:200]
    talk(server, request(None, chunked), leave=True)
    talk(server, request(len(body) + 1_000_000, body), leave=True)
    # A whole one behind them is answered, so the server has dealt with all of them or refuses them still.
    whole = talk(server, request(len(body), body))
    assert whole.startswith(b"HTTP/1.1 201"), whole[:300]
    too_large = talk(server, request(30 * 1024 * 1024, b""))
    assert too_large == b"" or too_large.startswith(b"HTTP/1.1 413"), too_large[:200]
    assert len(rows(sessions, "SELECT id FROM pixref.image")) == 1
    assert len(objects(store)) == 1


def test_a_real_server_answers_as_the_application_does(server: int) -> None:
    base = f"http://127.0.0.1:{server}"
    answer = urllib3.request("GET", f"{base}/api/v1/images")
    assert answer.status == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert not any(char.isdigit() for char in answer.headers.get("Server", ""))  # no version
    for raw in (b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n"):
        reply = talk(server, raw)
        assert reply == b"" or reply.startswith(b"HTTP/1.1 4"), reply[:200]
