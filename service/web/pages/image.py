"""The page of one picture: everything that the rows know of it."""

from dataclasses import dataclass

from flask import g, render_template

from service.accounts.actor import Role
from service.models.predictions import predictions_of
from service.pictures import fetch, labels, search
from service.pictures.in_use import names_in_use
from service.pictures.likeness import alike
from service.pictures.search import ImageInfo, ThumbnailInfo
from service.web.access import access
from service.web.context import context
from service.web.pages.blueprint import pages
from service.web.pages.choosing import choices
from service.web.pages.file_words import file_in_words
from service.web.pages.listing import Listing

# Small pictures are shown enlarged to about this side, by a whole factor, so that each pixel is a square.
STAGE_SIDE = 448
# A prediction shows so many scores at once; the others unfold.
SCORES_SHOWN = 5
SCORES_MAX = 100


@dataclass(frozen=True, slots=True)
class Stage:
    """The size at which the picture is laid out, in CSS pixels."""

    width: int
    height: int
    enlarged: bool


def stage_of(info: ImageInfo, thumbnail: ThumbnailInfo) -> Stage:
    """Return the layout size. The thumbnail is upright where the picture carries a turn, so its shape decides."""
    width, height = info.width, info.height
    if (width > height) != (thumbnail.width > thumbnail.height) and thumbnail.width != thumbnail.height:
        width, height = height, width
    factor = max(1, STAGE_SIDE // max(width, height))
    return Stage(width * factor, height * factor, factor > 1)


@pages.get("/images/<int:image_id>")
@access(Role.VIEWER)
def image(image_id: int) -> str:
    """Show one picture."""
    sessions = context().sessions
    listing = Listing.of_request()
    info = search.get_image(sessions, image_id)
    said = search.get_file_facts(sessions, image_id)
    thumbnail = fetch.get_thumbnail(sessions, image_id)
    may_edit = g.actor.role.allows(Role.EDITOR)
    label_names, tag_names, _ = names_in_use(sessions) if may_edit else ([], [], [])
    return render_template(
        "image.html",
        image=info,
        thumbnail=thumbnail,
        stage=stage_of(info, thumbnail),
        file_facts=list(file_in_words(said.png, said.exif)),
        listing=listing,
        around=search.neighbours(sessions, listing.wanted, info, sort=listing.query.sort),
        history=labels.label_history(sessions, image_id),
        predictions=predictions_of(sessions, image_id),
        alike=alike(sessions, image_id),
        choices=choices() if may_edit else [],
        label_names=label_names,
        tag_names=tag_names,
        scores_shown=SCORES_SHOWN,
        scores_max=SCORES_MAX,
    )
