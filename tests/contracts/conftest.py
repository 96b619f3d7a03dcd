"""The contract suite runs on every server, with one bucket per test."""

import pytest

from storage.minio_store import MinioStore
from tests.servers import S3Server


@pytest.fixture(params=["s3_minio", "s3_versity"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def store(server: S3Server) -> MinioStore:
    """A store on a fresh bucket, once per server."""
    return server.store(server.new_bucket())
