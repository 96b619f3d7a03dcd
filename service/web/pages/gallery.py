"""The gallery: what matches, newest first, with thumbnails from the rows. The whole state is in the address."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from service.accounts.actor import Role
from service.pictures.search import ImageFilter, list_with_thumbnails, names_in_use
from service.web.access import access
from service.web.context import context
from service.web.pages.blueprint import pages

PAGE_SIZE = 60
# Up to this side, in pixels, a picture is its own thumbnail, and is enlarged with hard edges.
PIXELATED_SIDE = 64


@dataclass(frozen=True, slots=True)
class ActiveFilter:
    """One condition in force, and the address of the gallery without it."""

    name: str
    value: str
    without: str


def wanted() -> ImageFilter:
    """Read what is looked for from the address. Raises `Invalid`."""
    args = request.args
    return ImageFilter(
        label=args.get("label"),
        tag=tuple(dict.fromkeys(args.getlist("tag"))),
        split=args.get("split", "").strip(),
        predicted=args.get("predicted"),
    )


def _address(parts: Mapping[str, Any]) -> str:
    return url_for("pages.gallery", **parts)


def _active(parts: Mapping[str, Any]) -> list[ActiveFilter]:
    found = []
    for name, value in parts.items():
        for one in value if name == "tag" else [value]:
            rest = {**parts, name: [other for other in value if other != one] if name == "tag" else None}
            found.append(ActiveFilter(name, one, _address(rest)))
    return found


@pages.get("/")
@access(Role.VIEWER)
def gallery() -> Response | str:
    """Show a page of pictures."""
    look_for = wanted()
    parts = {name: list(value) if name == "tag" else value for name, value in look_for.active.items()}
    if not all(value.strip() for _, value in request.args.items(multi=True)):
        # A form sends its empty fields too; without them the address says what is shown and can be passed on.
        return redirect(_address(parts))
    after = request.args.get("after")
    sessions = context().sessions
    page = list_with_thumbnails(sessions, look_for, limit=PAGE_SIZE, after=after)
    labels, tags, splits = names_in_use(sessions)
    return render_template(
        "gallery.html",
        items=page.items,
        wanted=look_for,
        active=_active(parts),
        labels=labels,
        tags=tags,
        splits=splits,
        pixelated_side=PIXELATED_SIDE,
        newest=_address(parts) if after else None,
        older=_address({**parts, "after": page.next}) if page.next else None,
    )
