"""The API whole: importing this registers every endpoint, then the document that describes them."""

import json
from functools import cache
from importlib.metadata import version

from flask import Response

from service.web.access import access
from service.web.api import api, images, predictions, sql, uploads  # noqa: F401  (registers the endpoints)
from service.web.api.openapi import document

__all__ = ["api"]


@cache
def _document() -> str:
    return json.dumps(document(blueprint="api", prefix="/api/v1", version=version("pixref")))


@api.get("/openapi.json")
@access(None)
def openapi() -> Response:
    """The OpenAPI 3.1 document."""
    return Response(_document(), mimetype="application/json")
