"""The API whole: importing this registers every endpoint, then the document that describes them."""

import json
from functools import cache
from importlib.metadata import version
from typing import Any

from flask import Response

from service.web.access import access
from service.web.api import api, editing, images, jobs, learning, models, predictions, sql, uploads, words  # noqa: F401  (registers the endpoints)
from service.web.api.openapi import document
from service.web.context import context

__all__ = ["api"]


PREFIX = "/api/v1"


@cache
def _described(max_upload_bytes: int) -> dict[str, Any]:
    return document(blueprint="api", prefix=PREFIX, version=version("pixref"), max_upload_bytes=max_upload_bytes)


def described() -> dict[str, Any]:
    """Return the OpenAPI document of the running application; not to be changed."""
    return _described(context().settings.max_upload_bytes)


@cache
def _document(max_upload_bytes: int) -> str:
    return json.dumps(_described(max_upload_bytes))


@api.get("/openapi.json")
@access(None)
def openapi() -> Response:
    """The OpenAPI 3.1 document."""
    return Response(_document(context().settings.max_upload_bytes), mimetype="application/json")
