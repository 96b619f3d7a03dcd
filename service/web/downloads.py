"""Results as files that browsers and programs save."""

from flask import Response

from service.sql import exports
from service.sql.result import Result

MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}


def sql_file(result: Result, form: str, *, escape: bool = True) -> Response:
    """Return a result as `csv` or `parquet`. Raises `Invalid`."""
    data = exports.to_csv(result, escape=escape) if form == "csv" else exports.to_parquet(result)
    response = Response(data, content_type=MEDIA_TYPES[form])
    response.headers["Content-Disposition"] = f'attachment; filename="pixref.{form}"'
    response.headers["X-Pixref-Truncated"] = "true" if result.truncated else "false"
    response.headers["Cache-Control"] = "private, no-store"
    return response
