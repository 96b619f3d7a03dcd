"""Liveness, readiness and version. `/readyz` is 503 unless the database is at head, the bucket answers a signed request and the model is loaded."""

import logging
import threading
import time
from collections.abc import Callable
from importlib.metadata import version

from flask import Blueprint, Response, current_app, json
from flask.blueprints import BlueprintSetupState

from service.errors import PixrefError
from service.upkeep.checks import check_bucket, check_database, check_model
from service.web.access import access
from service.web.context import Context, context

log = logging.getLogger(__name__)

health = Blueprint("health", __name__)

# Probes come every few seconds from several sides; a part is asked at most this often.
CHECK_CACHE_S = 2.0
READINESS = "pixref.readiness"


class Readiness:
    """The last answer of every part, kept for a moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._at = -CHECK_CACHE_S
        self._parts: dict[str, str] = {}

    def parts(self, ctx: Context) -> dict[str, str]:
        """Return "ok" or the code of what is wrong, for every part."""
        # Anybody may ask. While one request waits for a part that hangs, the others get the last answer and hold no thread.
        if not self._lock.acquire(blocking=not self._parts):
            return self._parts
        try:
            if time.monotonic() - self._at >= CHECK_CACHE_S:
                checks: dict[str, Callable[[], None]] = {
                    "database": lambda: check_database(ctx.sessions),
                    "bucket": lambda: check_bucket(ctx.store),
                    "model": lambda: check_model(ctx.models),
                }
                self._parts = {name: _outcome(check) for name, check in checks.items()}
                self._at = time.monotonic()
            return self._parts
        finally:
            self._lock.release()


def _outcome(check: Callable[[], None]) -> str:
    try:
        check()
    except PixrefError as exc:
        # Hosts and names of databases are nobody's business who has not signed in; `pixref doctor` shows them.
        log.warning("not ready", extra={"code": exc.code, "reason": exc.detail})
        return exc.code
    return "ok"


@health.record
def _set_up(state: BlueprintSetupState) -> None:
    # One for each application: its answers are about the parts that this one was given.
    state.app.extensions[READINESS] = Readiness()


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
    readiness: Readiness = current_app.extensions[READINESS]
    parts = readiness.parts(context())
    ready = all(outcome == "ok" for outcome in parts.values())
    return _json({"status": "ok" if ready else "unavailable", "parts": parts}, 200 if ready else 503)


@health.get("/version")
@access(None)
def show_version() -> Response:
    """Which release this is."""
    return _json({"name": "pixref", "version": version("pixref")})
