"""The gallery: what matches, newest first, with thumbnails from the rows. The whole state is in the address."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import redirect, render_template, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from service.accounts.actor import Role
from service.pictures.search import ImageFilter, Sort, list_with_thumbnails, names_in_use
from service.web.access import access
from service.web.api.requests import TextReader
from service.web.api.shapes import PlaceQuery
from service.web.context import context
from service.web.pages.blueprint import pages

PAGE_SIZE = 60
# Up to this side, in pixels, a picture is its own thumbnail, and is enlarged with hard edges.
PIXELATED_SIDE = 64
_READER = TextReader(PlaceQuery)


@dataclass(frozen=True, slots=True)
class ActiveFilter:
    """One condition in force, and the address of the gallery without it."""

    name: str
    value: str
    without: str


def _parts(query: PlaceQuery, wanted: ImageFilter) -> dict[str, Any]:
    """Return the parts of the address that say what is shown, in the form in which they are kept."""
    parts: dict[str, Any] = {}
    for name, value in wanted.active.items():
        parts[name] = list(value) if isinstance(value, tuple) else value if isinstance(value, str) else request.args[name]
    return parts | ({"sort": query.sort.value} if query.sort is not Sort.NEWEST else {})


def _address(parts: Mapping[str, Any]) -> str:
    return url_for("pages.gallery", **parts)


def _active(parts: Mapping[str, Any]) -> list[ActiveFilter]:
    found = []
    for name, value in parts.items():
        if name == "sort":
            continue
        for one in value if isinstance(value, list) else [value]:
            rest = {**parts, name: [other for other in value if other != one] if isinstance(value, list) else None}
            found.append(ActiveFilter(name, one, _address(rest)))
    return found


@pages.get("/")
@access(Role.VIEWER)
def gallery() -> Response | str:
    """Show a page of pictures."""
    given = MultiDict((name, value) for name, value in request.args.items(multi=True) if value.strip())
    query = _READER.read(given)
    wanted = query.filter()
    parts = _parts(query, wanted)
    if not all(value.strip() for _, value in request.args.items(multi=True)):
        # A form sends its empty fields too; without them the address says what is shown and can be passed on.
        return redirect(_address(parts))
    sessions = context().sessions
    page = list_with_thumbnails(sessions, wanted, limit=PAGE_SIZE, sort=query.sort, after=query.after, before=query.before)
    labels, tags, splits = names_in_use(sessions)
    return render_template(
        "gallery.html",
        items=page.items,
        wanted=wanted,
        active=_active(parts),
        labels=labels,
        tags=tags,
        splits=splits,
        pixelated_side=PIXELATED_SIDE,
        newest_first=query.sort is Sort.NEWEST,
        predict=url_for("pages.ask_for_predictions", **{name: value for name, value in parts.items() if name != "sort"}),
        start=_address(parts) if query.after or query.before else None,
        prev=_address({**parts, "before": page.prev}) if page.prev else None,
        next=_address({**parts, "after": page.next}) if page.next else None,
    )
