"""How long `pixref serve` takes from the start of its process until /readyz answers 200."""

import http.client
import subprocess
import time
from collections.abc import Mapping

from bench.stack import PIXREF
from bench.wrk import BenchError
from service.embedded.ports import LOOPBACK

_POLL_S = 0.005
_LIMIT_S = 60.0


def boot_s(environment: Mapping[str, str], port: int) -> float:
    """Start the web server, wait until it is ready, stop it, and return the seconds of the wait."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [PIXREF, "serve"], env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        while not _ready(port):
            if process.poll() is not None or time.perf_counter() - started > _LIMIT_S:
                raise BenchError("pixref serve did not become ready")
            time.sleep(_POLL_S)
        return time.perf_counter() - started
    finally:
        process.terminate()
        process.wait()


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_LIMIT_S)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
