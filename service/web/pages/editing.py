"""What a picture's page can change: each form is posted, acts once, and leads back to a page that can be loaded again."""

from collections.abc import Sequence

from flask import flash, redirect, render_template, request
from markupsafe import Markup
from werkzeug.wrappers import Response

from service.accounts.actor import Role
from service.pictures import delete, labels, search
from service.web.access import access
from service.web.context import actor, context
from service.web.pages.blueprint import pages
from service.web.pages.choosing import chosen_model
from service.web.pages.listing import Listing
from service.web.pages.upload import split_tags

# A message travels in the session's cookie, and browsers drop one of more than 4 kB: more characters of tags than this are counted alone.
_TAGS_SAID = 300


def _back(listing: Listing, image_id: int, message: str) -> Response:
    flash(message, "success")
    return redirect(listing.picture(image_id), 303)


@pages.post("/images/<int:image_id>/label")
@access(Role.EDITOR)
def set_label(image_id: int) -> Response:
    """Set the label; an empty one, or the button "Clear", takes it off."""
    listing = Listing.of_request()
    text = "" if "clear" in request.form else request.form.get("label", "")
    info = labels.set_label(context().sessions, image_id, text if text.strip() else None, actor=actor())
    said = Markup("The label is <bdi>{}</bdi>.").format(info.label) if info.label else "The picture has no label now."
    return _back(listing, image_id, said)


def _tags_in_words(tags: Sequence[str]) -> str:
    if not tags:
        return "The picture has no tags now."
    if sum(map(len, tags)) > _TAGS_SAID:
        return f"The picture has {len(tags)} tags now."
    return Markup("The tags are {}.").format(Markup(", ").join(Markup("<bdi>{}</bdi>").format(tag) for tag in tags))


@pages.post("/images/<int:image_id>/tags")
@access(Role.EDITOR)
def set_tags(image_id: int) -> Response:
    """Set the tags: those that the form shows, less the one whose button was pressed, and those typed in."""
    listing = Listing.of_request()
    form = request.form
    kept = [tag for tag in form.getlist("tag") if tag != form.get("remove")]
    info = labels.set_tags(context().sessions, image_id, kept + split_tags(form.get("add", "")))
    return _back(listing, image_id, _tags_in_words(info.tags))


@pages.post("/images/<int:image_id>/predict")
@access(Role.EDITOR)
def predict(image_id: int) -> Response:
    """Run a model version on the picture and keep the result."""
    listing = Listing.of_request()
    outcome = context().models.predict_image(image_id, chosen_model(), actor=actor())
    kept = "" if outcome.stored else " It was not kept: the database takes no rows at the moment."
    seen = Markup("{} version {} sees <bdi>{}</bdi> ({:.2f} %).{}")
    return _back(listing, image_id, seen.format(outcome.model, outcome.version, outcome.label, outcome.score * 100, kept))


@pages.get("/images/<int:image_id>/delete")
@access(Role.EDITOR)
def confirm_delete(image_id: int) -> str:
    """Ask once more."""
    ctx = context()
    return render_template(
        "delete.html", image=search.get_image(ctx.sessions, image_id), trash=ctx.settings.trash, listing=Listing.of_request()
    )


@pages.post("/images/<int:image_id>/delete")
@access(Role.EDITOR)
def delete_image(image_id: int) -> Response:
    """Put the picture into the trash, or remove it at once where there is none."""
    listing = Listing.of_request()
    ctx = context()
    delete.delete_image(ctx.sessions, image_id, keep=ctx.settings.trash)
    if ctx.settings.trash:
        flash(f"Picture {image_id} is in the trash for {ctx.settings.trash.days} days.", "success")
    else:
        ctx.jobs.request_sweep()
        flash(f"Picture {image_id} is deleted.", "success")
    return redirect(listing.gallery(), 303)


@pages.get("/trash")
@access(Role.EDITOR)
def trash() -> str:
    """Show what can be restored."""
    return render_template("trash.html", images=delete.list_trash(context().sessions), days=context().settings.trash.days)


@pages.post("/images/<int:image_id>/restore")
@access(Role.EDITOR)
def restore_image(image_id: int) -> Response:
    """Bring a deleted picture back."""
    listing = Listing.of_request()
    delete.restore_image(context().sessions, image_id)
    return _back(listing, image_id, "The picture is back.")
