"""Endpoints of the SQL door."""

from datetime import datetime
from typing import Any

from flask import url_for
from pydantic import Field

from service import errors
from service.accounts.actor import Role
from service.settings import KIB
from service.sql import ask, audit, browser
from service.sql.allowed import FUNCTIONS
from service.sql.limits import ANSWER, FILE, Limits
from service.sql.result import Result
from service.web.api import api
from service.web.api.contract import Answer, Shape, Strict, endpoint
from service.web.api.shapes import Links
from service.web.context import actor, context
from service.web.downloads import sql_file


class SqlBody(Strict):
    query: str = Field(description="one SELECT over the views of schema catalog; parameters are $1, $2, ...")
    params: list[Any] = Field(default_factory=list, max_length=100, description="what $1, $2, ... stand for; bound by the server")


class SqlCsvQuery(Strict):
    escape: bool = Field(
        True, description="put a ' before a text that a spreadsheet would take for a formula; false leaves texts as they are"
    )


class SqlResult(Shape):
    """Rows. Values are as JSON has them; what it has no form for is text, as PostgreSQL writes it."""

    columns: list[str]
    types: list[str] = Field(description="PostgreSQL's names for the columns' types")
    rows: list[list[Any]]
    truncated: bool = Field(description="whether there were more rows, or more bytes, than are handed out at once")
    elapsed_ms: int
    links: list[Links | None] | None = Field(
        description="for rows with a column image_id: where each row's picture is, null where there is none; otherwise null"
    )


class SqlColumn(Shape):
    name: str
    type: str
    comment: str


class SqlView(Shape):
    name: str
    comment: str
    columns: list[SqlColumn]


class SqlSchema(Shape):
    views: list[SqlView]
    functions: list[str] = Field(description="those that a question may call, beside operators and SQL's own words")


class SqlAsked(Shape):
    """A question that you have asked."""

    id: int
    query: str
    parameters: list[Any] | None = Field(description="null where they could not be kept")
    started_at: datetime
    duration_ms: float
    rows: int | None = Field(description="null when there was no answer")
    outcome: str = Field(description="ok, truncated, or the code of the error")


class SqlHistory(Shape):
    items: list[SqlAsked]
    next: str | None = Field(description="pass as `after` for the next page; null at the end")


class SqlHistoryQuery(Strict):
    limit: int = Field(50, ge=1, le=audit.PAGE_MAX)
    after: int | None = Field(None, ge=1, le=2**63 - 1, description="`next` of the page before")


def _links(result: Result) -> list[Links | None] | None:
    ids = ask.image_ids(result)
    if ids is None:
        return None
    known = ask.visible(context().sessions, ids)
    return [
        Links.model_construct(
            self=url_for("api.get_image", image_id=image_id),
            file=url_for("api.get_file", image_id=image_id),
            thumbnail=url_for("api.get_thumbnail", image_id=image_id),
        )
        if image_id is not None and image_id in known
        else None
        for image_id in ids
    ]


def _ask(body: SqlBody, limits: Limits) -> Result:
    ctx = context()
    return ask.ask(ctx.sessions, ctx.door, body.query, body.params, actor=actor(), limits=limits)


# A question of 10,000 characters, escaped to the last, and parameters beside it.
MAX_BODY = 128 * KIB
ERRORS = (errors.QueryRefused, errors.QueryError, errors.QueryTimeout, errors.QueryTooLarge, errors.SqlUnavailable, errors.Busy)
FILE_HEADERS = {
    "X-Pixref-Truncated": "true where there was more than is handed out",
    "Content-Disposition": "the name to save under",
}
EXAMPLE = (
    "curl -s -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' -d "
    '\'{"query": "select image_id, label from images where width >= $1 order by image_id limit 3", "params": [20]}\' $PIXREF/api/v1/sql'
)


@endpoint(
    api,
    "POST",
    "/sql",
    Role.VIEWER,
    summary="Ask in SQL",
    body=SqlBody,
    answers={200: SqlResult},
    errors=ERRORS,
    max_body=MAX_BODY,
    example=EXAMPLE,
)
def run_sql(body: SqlBody) -> Answer:
    """One SELECT, of PostgreSQL's own kind, over the views of schema `catalog`: CTEs, window functions, set operations, JSON, arrays and some 400
    functions. It has 2 seconds, and brings back at most 1,000 rows and 5 MB; `truncated` says that there was more. Parameters are bound to
    `$1`, `$2`, ... by the server: a list becomes an array, or JSON where JSON is wanted, an object JSON.

    Whole numbers, `real`, `double precision` and `numeric` are numbers (NaN, Infinity and what is beyond a double are texts), arrays are lists,
    `json` and `jsonb` are themselves, times with a time zone are RFC 3339 in UTC, everything else is text as PostgreSQL writes it. Rows with a column
    `image_id` come with `links` to their pictures.

    422 `query_refused` with `reason` and `position` (characters from 1) for what cannot be asked here, `query_error` with PostgreSQL's message,
    `sqlstate`, `position` and `hint`, `query_timeout`, `query_too_large`. 503 `busy` when too many ask at once, `sql_unavailable`. Every question is
    kept for 90 days, with who asked."""
    result = _ask(body, ANSWER)
    return SqlResult.model_construct(
        columns=[column.name for column in result.columns],
        types=[column.type for column in result.columns],
        rows=result.rows,
        truncated=result.truncated,
        elapsed_ms=result.elapsed_ms,
        links=_links(result),
    )


@endpoint(
    api,
    "POST",
    "/sql/csv",
    Role.VIEWER,
    summary="Ask in SQL, for a CSV file",
    query=SqlCsvQuery,
    body=SqlBody,
    answers={200: "text/csv"},
    errors=ERRORS,
    max_body=MAX_BODY,
    headers=FILE_HEADERS,
)
def sql_csv(query: SqlCsvQuery, body: SqlBody) -> Answer:
    """At most 50,000 rows and 5 MB; the header `X-Pixref-Truncated` says whether there was more. UTF-8 with a header line: NULL is an empty field,
    arrays and objects are JSON. A text that a spreadsheet would take for a formula gets a `'` in front, unless `escape=false`."""
    return sql_file(_ask(body, FILE), "csv", escape=query.escape)


@endpoint(
    api,
    "POST",
    "/sql/parquet",
    Role.VIEWER,
    summary="Ask in SQL, for a Parquet file",
    body=SqlBody,
    answers={200: "application/vnd.apache.parquet"},
    errors=ERRORS,
    max_body=MAX_BODY,
    headers=FILE_HEADERS,
)
def sql_parquet(body: SqlBody) -> Answer:
    """At most 50,000 rows and 5 MB; the header `X-Pixref-Truncated` says whether there was more. Columns have types, and names of their own;
    `numeric` is a double, what Parquet has no form for is text."""
    return sql_file(_ask(body, FILE), "parquet")


@endpoint(api, "GET", "/sql/schema", Role.VIEWER, summary="What can be asked in SQL", answers={200: SqlSchema})
def sql_schema() -> Answer:
    """Every view with its columns, types and comments, and the functions that a question may call."""
    views = [SqlView.model_validate(view) for view in browser.views(context().sessions)]
    return SqlSchema(views=views, functions=sorted(FUNCTIONS))


@endpoint(
    api,
    "GET",
    "/sql/history",
    Role.VIEWER,
    summary="What you have asked in SQL",
    query=SqlHistoryQuery,
    answers={200: SqlHistory},
)
def sql_history(query: SqlHistoryQuery) -> Answer:
    """Your own questions, the last first, with what came of them. They are kept for 90 days."""
    asked = audit.history(context().sessions, actor(), limit=query.limit, before=query.after)
    following = str(asked[-1].id) if len(asked) == query.limit else None
    return SqlHistory(items=[SqlAsked.model_validate(item) for item in asked], next=following)
