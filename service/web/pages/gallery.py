"""The gallery: what matches, newest first, with thumbnails from the rows. The whole state is in the address."""

from dataclasses import dataclass

from flask import g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from service.accounts.actor import Role
from service.pictures.in_use import names_in_use
from service.pictures.search import Sort, list_tiles
from service.web.access import access
from service.web.context import context
from service.web.pages.blueprint import pages
from service.web.pages.choosing import choices
from service.web.pages.listing import Listing
from service.web.pages.selection import last_change

PAGE_SIZE = 60
# Up to this side, in pixels, a picture is its own thumbnail, and is enlarged with hard edges.
PIXELATED_SIDE = 64


@dataclass(frozen=True, slots=True)
class ActiveFilter:
    """One condition in force, and the address of the gallery without it."""

    name: str
    value: str
    without: str


def _active(listing: Listing) -> list[ActiveFilter]:
    found = []
    for name, value in listing.filters.items():
        for one in value if isinstance(value, list) else [value]:
            rest = {**listing.parts, name: [other for other in value if other != one] if isinstance(value, list) else None}
            found.append(ActiveFilter(name, one, url_for("pages.gallery", **rest)))
    return found


def _posting(endpoint: str, listing: Listing) -> str:
    """Return the address of a form that leads back to this very page."""
    return url_for(endpoint, **listing.parts, after=listing.query.after, before=listing.query.before)


@pages.get("/")
@access(Role.VIEWER)
def gallery() -> Response | str:
    """Show a page of pictures."""
    listing = Listing.of_request()
    query, wanted = listing.query, listing.wanted
    if not all(value.strip() for _, value in request.args.items(multi=True)):
        # A form sends its empty fields too; without them the address says what is shown and can be passed on.
        return redirect(listing.gallery())
    sessions = context().sessions
    page = list_tiles(sessions, wanted, limit=PAGE_SIZE, sort=query.sort, after=query.after, before=query.before)
    labels, tags, splits = names_in_use(sessions)
    return render_template(
        "gallery.html",
        tiles=page.items,
        wanted=wanted,
        active=_active(listing),
        labels=labels,
        tags=tags,
        splits=splits,
        pixelated_side=PIXELATED_SIDE,
        newest_first=query.sort is Sort.NEWEST,
        predict=url_for("pages.ask_for_predictions", **listing.filters),
        listing=listing,
        change_selection=_posting("pages.change_selection", listing),
        undo_selection=_posting("pages.undo_selection", listing),
        change=last_change(),
        choices=choices() if g.actor.role.allows(Role.EDITOR) else [],
        may_delete=bool(context().settings.trash),
        start=listing.gallery() if query.after or query.before else None,
        prev=listing.gallery(before=page.prev) if page.prev else None,
        next=listing.gallery(after=page.next) if page.next else None,
    )
