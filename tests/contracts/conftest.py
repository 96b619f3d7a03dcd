"""The servers of the contract suite, and one bucket per test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from storage.minio_store import MinioStore
from tests.servers import S3Server, minio_server, versity_server

RunningServers = Callable[[str], S3Server]

_STARTERS = {"minio": minio_server, "versity": versity_server}


@pytest.fixture(scope="session")
def running_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServers]:
    """Start each server when the first test asks for it; stop all of them at the end."""
    started: dict[str, S3Server] = {}
    with ExitStack() as stack:

        def running(name: str) -> S3Server:
            if name not in started:
                started[name] = stack.enter_context(_STARTERS[name](tmp_path_factory.mktemp(name)))
            return started[name]

        yield running


@pytest.fixture(params=sorted(_STARTERS))
def server(request: pytest.FixtureRequest, running_servers: RunningServers) -> S3Server:
    return running_servers(request.param)


@pytest.fixture
def store(server: S3Server) -> MinioStore:
    """A store on a fresh bucket, once per server."""
    return server.store(server.new_bucket())
