"""Liveness, readiness and version. `/readyz` is 503 unless the database is at head, the bucket answers a signed request and the model runs."""

import threading
import time
from collections.abc import Callable
from importlib.metadata import version

from flask import Blueprint, Response, json

from service.errors import PixrefError
from service.upkeep.checks import check_bucket, check_database, check_model
from service.web.access import access
from service.web.context import Context, context

health = Blueprint("health", __name__)

# Probes come every few seconds from several sides; a part is asked at most this often.
CHECK_CACHE_S = 2.0


class Readiness:
    """The last answer of every part, kept for a moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at = -CHECK_CACHE_S
        self._parts: dict[str, str] = {}

    def parts(self, ctx: Context) -> dict[str, str]:
        """Return "ok" or what is wrong for every part."""
        with self._lock:
            if time.monotonic() - self._at >= CHECK_CACHE_S:
                checks: dict[str, Callable[[], None]] = {
                    "database": lambda: check_database(ctx.sessions),
                    "bucket": lambda: check_bucket(ctx.store),
                    "model": lambda: check_model(ctx.models),
                }
                self._parts = {name: _outcome(check) for name, check in checks.items()}
                self._at = time.monotonic()
            return self._parts


def _outcome(check: Callable[[], None]) -> str:
    try:
        check()
    except PixrefError as exc:
        return exc.detail
    return "ok"


_readiness = Readiness()


def _json(body: object, status: int = 200) -> Response:
    return Response(json.dumps(body), status=status, mimetype="application/json")


@health.get("/livez")
@access(None)
def livez() -> Response:
    """The process answers."""
    return _json({"status": "ok"})


@health.get("/readyz")
@access(None)
def readyz() -> Response:
    """Everything that a request needs works."""
    parts = _readiness.parts(context())
    ready = all(outcome == "ok" for outcome in parts.values())
    return _json({"status": "ok" if ready else "unavailable", "parts": parts}, 200 if ready else 503)


@health.get("/version")
@access(None)
def show_version() -> Response:
    """Which release this is."""
    return _json({"name": "pixref", "version": version("pixref")})
