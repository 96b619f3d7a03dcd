"""The application on a real port, with connections kept open as in production, and the Python client before it."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest
from flask import Flask
from werkzeug.serving import WSGIRequestHandler, make_server

from pixref import Client
from schema.session import Sessions
from service.accounts.actor import Role
from service.accounts.tokens import create_token
from tests.cli.conftest import environment, variables  # noqa: F401  (fixtures)

Served = Callable[[Flask], str]
Connect = Callable[..., Client]


class Handler(WSGIRequestHandler):
    """Keeps connections open, and never waits longer for a client than a test does."""

    protocol_version = "HTTP/1.1"
    timeout = 30


@contextmanager
def serving(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def served() -> Iterator[Served]:
    """Serves an application until the test ends; returns its address."""
    with ExitStack() as stack:
        yield lambda app: stack.enter_context(serving(app))


@pytest.fixture
def address(app: Flask, served: Served) -> str:
    return served(app)


@pytest.fixture
def connect(sessions: Sessions) -> Iterator[Connect]:
    """Opens a client with a role at an address."""
    with ExitStack() as stack:

        def open_one(url: str, role: Role = Role.EDITOR, **options: object) -> Client:
            token = create_token(sessions, name=f"a client that is {role}", role=role)
            return stack.enter_context(Client(url, token, **options))  # type: ignore[arg-type]

        yield open_one


@pytest.fixture
def api(address: str, connect: Connect) -> Client:
    """Signed in as editor."""
    return connect(address)


@dataclass
class Requests(logging.Handler):
    """What the service was asked, as its own log has it."""

    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(logging.INFO)

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(f"{record.method} {record.path.removeprefix('/api/v1/')} {record.status}")  # type: ignore[attr-defined]

    def count(self, start: str) -> int:
        return sum(line.startswith(start) for line in self.seen)

    __hash__ = logging.Handler.__hash__


@pytest.fixture
def requests() -> Iterator[Requests]:
    log, handler = logging.getLogger("pixref.request"), Requests()
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)
    log.setLevel(level)
