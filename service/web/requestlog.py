"""One structured line a request: what, outcome, how long, who. Never a query string, a header or a body: signatures and tokens live there."""

import logging
import time

from flask import Flask, Response, g, request

from service.web.security import ASSETS

log = logging.getLogger("pixref.request")
QUIET = frozenset({"health.livez", "health.readyz"}) | ASSETS


def _start() -> None:
    g.started = time.perf_counter()


def _write(response: Response) -> Response:
    level = logging.DEBUG if request.endpoint in QUIET and response.status_code < 400 else logging.INFO
    if log.isEnabledFor(level):
        known = g.get("actor")
        log.log(
            level,
            "request",
            extra={
                "method": request.method,
                "path": request.path,
                "status": response.status_code,
                "ms": round((time.perf_counter() - g.get("started", time.perf_counter())) * 1000, 1),
                "request_id": g.get("request_id"),
                "account": known.name if known else None,
            },
        )
    return response


def install(app: Flask) -> None:
    """Write the line behind every answer."""
    app.before_request(_start)
    app.after_request(_write)
