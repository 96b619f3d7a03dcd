"""How we talk HTTP to the store: our own time limits and one retry.

The vendor's defaults wait 30 minutes for a silent server (300 s, six times).
"""

import secrets
from time import time
from typing import Any

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Retry, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection

from storage.clock import StoreClock

CONNECT_TIMEOUT_S = 1.0
READ_TIMEOUT_S = 5.0
SEND_TIMEOUT_S = 5.0


class RetryOnce(Retry):
    """One more try after a pause of 50 to 250 ms, so that clients that failed together do not come back together.

    The base class would retry at once the first time.
    """

    def get_backoff_time(self) -> float:
        return (50 + secrets.randbelow(200)) / 1000


def _allow_time_to_send(connection: HTTPConnection) -> None:
    """Give the server more time to take a request than to open a connection.

    urllib3 has one limit for both, and a disk that pauses for a second in the middle of an upload is no failure.
    """
    if connection.sock is None:
        connection.connect()
    connection.timeout = SEND_TIMEOUT_S
    connection.sock.settimeout(SEND_TIMEOUT_S)


class _HTTPConnection(HTTPConnection):
    def request(self, *args: Any, **kwargs: Any) -> None:
        _allow_time_to_send(self)
        super().request(*args, **kwargs)


class _HTTPSConnection(HTTPSConnection):
    def request(self, *args: Any, **kwargs: Any) -> None:
        _allow_time_to_send(self)
        super().request(*args, **kwargs)


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class _ClockedPool(PoolManager):
    """Tells a clock when each answer was given."""

    def __init__(self, clock: StoreClock, **options: Any) -> None:
        super().__init__(**options)
        self._clock = clock

    def urlopen(self, *args: Any, **kwargs: Any) -> BaseHTTPResponse:
        asked_at = time()
        response = super().urlopen(*args, **kwargs)
        self._clock.learn(response.headers.get("date"), asked_at, time())
        return response


def new_pool(
    *,
    max_connections: int,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    read_timeout_s: float = READ_TIMEOUT_S,
    clock: StoreClock | None = None,
) -> PoolManager:
    """Make a connection pool whose requests fail, or end after one retry, within twice the time limits.

    `read_timeout_s` bounds each wait for the server, not a whole transfer. `clock` learns from the answers.
    """
    retry_once = RetryOnce(
        total=1,
        redirect=False,
        allowed_methods=None,  # every request that we send may be sent twice
        status_forcelist=(500, 502, 503, 504),
        raise_on_status=False,  # the answer comes back and keeps its S3 error code
        respect_retry_after_header=False,  # MinIO asks for 60 s; who waits for a page is told instead
    )
    timeout = Timeout(connect=connect_timeout_s, read=read_timeout_s)
    pool = _ClockedPool(clock or StoreClock(), num_pools=2, maxsize=max_connections, timeout=timeout, retries=retry_once)
    pool.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
    return pool
