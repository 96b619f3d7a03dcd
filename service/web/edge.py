"""The outermost layer, around Flask: numbers every request, puts the same headers on every answer, and writes one structured line about it.

A WSGI middleware and not Flask's hooks, because they are several calls a request, and answers that Flask gives without them need all this too.
"""

import logging
import os
import re
from collections.abc import Iterable
from time import perf_counter
from types import TracebackType
from typing import Any, TypeAlias
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import request

log = logging.getLogger("pixref.request")

_REQUEST_ID = "pixref.request_id"
_ACCOUNT = "pixref.account"

_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Probes and assets come often and say little.
_QUIET = ("/livez", "/readyz", "/static/", "/bootstrap/static/")
# Bootstrap's own pages and the API need nothing else.
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cache-Control": "private, no-store",
}

_Raised: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class Edge:
    """Wraps a WSGI application. A header that the application gives itself is left as it is."""

    def __init__(self, app: WSGIApplication, *, content_security_policy: str) -> None:
        self._app = app
        headers = _HEADERS | {"Content-Security-Policy": content_security_policy}
        self._headers = [(name.lower(), (name, value)) for name, value in headers.items()]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        started = perf_counter()
        given = environ.get("HTTP_X_REQUEST_ID", "")
        number = given if _GIVEN_ID.fullmatch(given) else os.urandom(16).hex()
        environ[_REQUEST_ID] = number

        def answer(status: str, headers: list[tuple[str, str]], exc_info: _Raised | None = None) -> Any:
            there = {name.lower() for name, _ in headers}
            headers += [pair for name, pair in self._headers if name not in there]
            headers.append(("X-Request-Id", number))
            _write(environ, int(status[:3]), perf_counter() - started)
            return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

        return self._app(environ, answer)


def _write(environ: WSGIEnvironment, status: int, duration_s: float) -> None:
    """Write the line: what, outcome, how long, who. Never a query string, a header or a body: signatures and tokens live there."""
    path = environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace")  # WSGI hands UTF-8 over as Latin-1
    level = logging.DEBUG if status < 400 and path.startswith(_QUIET) else logging.INFO
    if log.isEnabledFor(level):
        log.log(
            level,
            "request",
            extra={
                "method": environ["REQUEST_METHOD"],
                "path": path,
                "status": status,
                "ms": round(duration_s * 1000, 1),
                "request_id": environ[_REQUEST_ID],
                "account": environ.get(_ACCOUNT),
            },
        )


def request_id() -> str:
    """Return the number of the current request; empty where an application runs without its edge."""
    return str(request.environ.get(_REQUEST_ID, ""))


def remember_account(name: str) -> None:
    """Say whose request the current one is, for the log."""
    request.environ[_ACCOUNT] = name
