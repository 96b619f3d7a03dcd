"""JSON under /api/v1. One file a noun; every endpoint declares its contract (`contract.endpoint`)."""

from flask import Blueprint

api = Blueprint("api", __name__, url_prefix="/api/v1")
