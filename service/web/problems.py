"""One handler for everything that goes wrong: problem+json (RFC 9457) for the API, a readable page for people."""

import logging
from typing import Any

from flask import Flask, Response, json, redirect, render_template, request, url_for
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from service.errors import NotFound, NotSignedIn, PixrefError, RangeNotSatisfiable, TooLarge
from service.faults import translate
from service.web.edge import request_id
from storage.base import StoreError

log = logging.getLogger(__name__)

_HTTP_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}
PROBLEM_TYPE = "urn:pixref:problem:"


def _wants_json() -> bool:
    if request.path.startswith("/api/") and request.blueprint != "pages":
        return True
    best = request.accept_mimetypes.best_match(["text/html", "application/json"])
    return best == "application/json"


def _body(*, code: str, status: int, title: str, detail: str, retryable: bool, extra: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": PROBLEM_TYPE + code,
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": retryable,
        "request_id": request_id(),
        **extra,
    }


def _render(body: dict[str, Any], headers: dict[str, str]) -> Response:
    if _wants_json():
        response = Response(json.dumps(body), status=body["status"], mimetype="application/problem+json")
    else:
        response = Response(render_template("error.html", problem=body), status=body["status"], mimetype="text/html")
    response.headers.update(headers)
    return response


def problem_body(error: PixrefError) -> dict[str, Any]:
    """Return the problem of one error, for answers that carry several."""
    extra = dict(error.extra)
    if error.field:
        extra["field"] = error.field
    return _body(
        code=error.code, status=error.status, title=error.title, detail=error.detail, retryable=error.retryable, extra=extra
    )


def _on_error(error: PixrefError) -> AnyResponse:
    if isinstance(error, NotSignedIn) and not _wants_json() and request.method == "GET":
        return redirect(url_for("pages.sign_in", next=request.full_path.rstrip("?")))
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, NotSignedIn):
        headers["WWW-Authenticate"] = "Bearer"
    return _render(problem_body(error), headers)


def _on_dependency(exc: Exception) -> AnyResponse:
    error = translate(exc)
    if error is None:
        return _on_bug(exc)
    log.warning("a dependency failed", extra={"code": error.code, "reason": str(exc).splitlines()[0]})
    return _on_error(error)


def _on_http(exc: HTTPException) -> AnyResponse:
    status = exc.code or 500
    if status < 400:
        return exc.get_response()
    if status == 404:
        return _on_error(NotFound("there is nothing at this address"))
    if status == 413:
        limit = request.max_content_length
        return _on_error(TooLarge(f"the request is larger than the limit of {limit} bytes", field="body"))
    if status == 416:
        return _on_error(RangeNotSatisfiable("the file ends before the range begins: ask without Range, or HEAD for its size"))
    code = _HTTP_CODES.get(status, "http_error")
    body = _body(code=code, status=status, title=exc.name, detail=exc.description or exc.name, retryable=False, extra={})
    headers = {name: value for name, value in exc.get_headers() if name in ("Allow", "Retry-After")}
    return _render(body, headers)


def _on_bug(exc: Exception) -> AnyResponse:
    log.error("unexpected error", exc_info=exc)
    return _render(problem_body(PixrefError("the error was written to the log under this request id")), {})


def install(app: Flask) -> None:
    """Register the handlers."""
    app.register_error_handler(PixrefError, _on_error)
    app.register_error_handler(StoreError, _on_dependency)
    app.register_error_handler(SQLAlchemyError, _on_dependency)
    app.register_error_handler(OSError, _on_dependency)
    app.register_error_handler(HTTPException, _on_http)
    app.register_error_handler(Exception, _on_bug)
