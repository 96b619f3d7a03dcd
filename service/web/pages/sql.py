"""The SQL page: a question, its rows with their pictures, what there is to ask, and what one has asked before."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from service.accounts.actor import Role
from service.errors import Busy, Invalid, PixrefError, SqlUnavailable
from service.sql import ask, audit, browser
from service.sql.exports import NUMERIC
from service.sql.limits import ANSWER, FILE, Limits
from service.sql.result import Result
from service.web.access import access
from service.web.context import actor, context
from service.web.downloads import MEDIA_TYPES, sql_file
from service.web.pages.blueprint import pages
from service.web.pages.words import json_text

HISTORY_READ = 100
HISTORY_SHOWN = 20
# A cell shows so many characters; the files have them all.
CELL_MAX = 300
# Longer addresses are cut by proxies and chats: whoever writes such a query passes the query on.
LINK_MAX = 8_000
_SHOWN = (Invalid, Busy, SqlUnavailable)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a query something is wrong: the line, counted from 1, and its text in three parts."""

    line: int
    before: str
    at: str
    after: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it is shown. `image_id` is a picture that is there, else None."""

    image_id: int | None
    cells: list[str | None]


@dataclass(frozen=True, slots=True)
class Table:
    """A result as it is shown; `numeric` says of each column whether its values stand to the right."""

    result: Result
    pictures: bool
    numeric: list[bool]
    rows: list[Row]


def place_of(query: str, position: int | None) -> Place | None:
    """Return the line that `position` (characters from 1) is in, parted around the word that begins there."""
    if position is None or not 1 <= position <= len(query):
        return None
    start = query.rfind("\n", 0, position - 1) + 1
    line = query[start:].split("\n", 1)[0].rstrip("\r")
    column = position - 1 - start
    end = column + 1
    while end < len(line) and (line[column].isalnum() or line[column] == "_") and (line[end].isalnum() or line[end] == "_"):
        end += 1
    return Place(query.count("\n", 0, start) + 1, line[:column], line[column:end] or " ", line[end:])


def cell_text(value: Any) -> str | None:
    """Return a value as a cell shows it, None for NULL."""
    if value is None:
        return None
    text = ("true" if value else "false") if isinstance(value, bool) else json_text(value)
    return text if len(text) <= CELL_MAX else f"{text[:CELL_MAX]}…"


def _table(result: Result) -> Table:
    ids = ask.image_ids(result)
    known = ask.visible(context().sessions, ids or ())
    rows = [
        Row(image_id if image_id in known else None, [cell_text(value) for value in row])
        for image_id, row in zip(ids or [None] * len(result.rows), result.rows, strict=True)
    ]
    return Table(result, ids is not None, [column.type in NUMERIC for column in result.columns], rows)


def _params(text: str) -> list[Any]:
    if not text.strip():
        return []
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or len(found) > 100:
        raise Invalid('parameters are a JSON list of at most 100 values, such as ["giraffe", 3]', field="params")
    return found


def _ask(limits: Limits) -> Result:
    ctx = context()
    return ask.ask(ctx.sessions, ctx.door, _query(), _params(_typed_params()), actor=actor(), limits=limits)


def _query() -> str:
    # Browsers send line ends as CR LF; positions are counted in what was typed.
    return request.values.get("query", "").replace("\r\n", "\n")


def _typed_params() -> str:
    return request.values.get("params", "")


def _latest(asked: Sequence[audit.Asked]) -> list[audit.Asked]:
    """Return the last time that each query was asked."""
    found: dict[str, audit.Asked] = {}
    for item in asked:
        found.setdefault(item.query, item)
    return list(found.values())[:HISTORY_SHOWN]


def _link() -> str | None:
    """Return the address that asks this question again, None where it would be too long."""
    link = url_for("pages.sql", query=_query(), params=_typed_params().strip() or None, run=1)
    return link if len(link) <= LINK_MAX else None


def _opened_by_a_person() -> bool:
    """Tell whether somebody opened this very address, by a bookmark, by typing, from a message or from a page of ours.

    Another site's page could otherwise have its visitors ask whatever it likes: it would read nothing, but take their places at the door and be
    in their history. A browser that says nothing, as over plain HTTP, might come from there (https://www.w3.org/TR/fetch-metadata/).
    """
    return request.headers.get("Sec-Fetch-Site") in ("none", "same-origin") and "Sec-Purpose" not in request.headers


def _page(*, table: Table | None = None, error: PixrefError | None = None) -> tuple[str, int]:
    sessions = context().sessions
    query = _query()
    shown = render_template(
        "sql.html",
        query=query if query or request.method == "POST" else browser.EXAMPLES[0].query,
        params=_typed_params(),
        table=table,
        error=error,
        place=place_of(query, error.extra.get("position")) if error else None,
        views=browser.views(sessions),
        examples=browser.EXAMPLES,
        history=_latest(audit.history(sessions, actor(), limit=HISTORY_READ)),
        limits=ANSWER,
        file_limits=FILE,
        link=_link() if table else None,
        waits="run" in request.args and not (table or error),
    )
    return shown, error.status if error else 200


@pages.route("/sql", methods=["GET", "POST"])
@access(Role.VIEWER)
def sql() -> tuple[str, int]:
    """Show the editor, with a query where the address has one; posted, or opened by a link with `run`, ask it."""
    if request.method != "POST" and not ("run" in request.args and _opened_by_a_person()):
        return _page()
    try:
        table = _table(_ask(ANSWER))
    except _SHOWN as error:
        return _page(error=error)
    return _page(table=table)


@pages.route("/sql/download", methods=["GET", "POST"])
@access(Role.VIEWER)
def download_sql() -> Response | tuple[str, int]:
    """Answer with a file; where that cannot be, with the page that says why. Without a question, as by a reload, back to the page."""
    form = request.args.get("format", "")
    if request.method != "POST" or form not in MEDIA_TYPES:
        return redirect(url_for("pages.sql"), 303)
    try:
        return sql_file(_ask(FILE), form)
    except _SHOWN as error:
        return _page(error=error)
