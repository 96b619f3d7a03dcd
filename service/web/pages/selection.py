"""What is done with the pictures that are selected in the gallery, and its undoing."""

from typing import Any

from flask import flash, redirect, request, session, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response

from service.accounts.actor import Role
from service.errors import Conflict, Invalid, NotFound
from service.models.predicting import request_predictions
from service.models.selection import Selection
from service.pictures.bulk_changes import Choice
from service.pictures.undoable import Done, delete_selected, label_selected, tag_selected, undo
from service.web.access import access
from service.web.context import actor, context
from service.web.pages.blueprint import pages
from service.web.pages.choosing import chosen_model
from service.web.pages.forms import number_field, number_in
from service.web.pages.listing import Listing

# What was done last, for the gallery to offer its undoing once.
_LAST = "change"


def last_change() -> dict[str, Any] | None:
    """Return the last change of a selection and forget it."""
    change: dict[str, Any] | None = session.pop(_LAST, None)
    return change


@pages.post("/selection")
@access(Role.EDITOR)
def change_selection() -> Response:
    """Label, tag, untag, delete or predict the selected pictures, or all that match."""
    listing = Listing.of_request()
    choice = _choice(listing)
    form = request.form
    action, label, tag = form.get("action"), form.get("label", "").strip(), form.get("tag", "").strip()
    if action == "label" and not label and tag:
        action = "tag"  # Enter in the field for tags presses the first button
    if action == "predict":
        return _predict(choice)
    ctx = context()
    if action == "label" or action == "unlabel":
        if action == "label" and not label:
            raise Invalid("write the label first", field="label")
        done = label_selected(ctx.sessions, choice, label if action == "label" else None, actor=actor())
        words = Markup("labelled <bdi>{}</bdi>").format(label) if action == "label" else "without a label now"
    elif action == "tag" or action == "untag":
        done = tag_selected(ctx.sessions, choice, tag, remove=action == "untag", actor=actor())
        said = Markup("tagged <bdi>{}</bdi>") if action == "tag" else Markup("without the tag <bdi>{}</bdi> now")
        words = said.format(tag)
    elif action == "delete" and ctx.settings.trash:
        done = delete_selected(ctx.sessions, choice, keep=ctx.settings.trash, actor=actor())
        words = f"in the trash for {ctx.settings.trash.days} days"
    else:
        raise Invalid("action is label, unlabel, tag, untag, predict, or delete where there is a trash", field="action")
    _say(done, words)
    return redirect(_here(listing), 303)


@pages.post("/selection/undo")
@access(Role.EDITOR)
def undo_selection() -> Response:
    """Take the last change of a selection back."""
    listing = Listing.of_request()
    change_id = number_field("change")
    try:
        count = undo(context().sessions, change_id, actor=actor())
    except (Conflict, NotFound) as exc:
        flash(exc.detail, "warning")
    else:
        flash(f"{_pictures(count)} as before.", "success")
    return redirect(_here(listing), 303)


def _here(listing: Listing) -> str:
    place = {name: value for name in ("after", "before") if (value := getattr(listing.query, name))}
    return listing.gallery(**place)


def _choice(listing: Listing) -> Choice:
    if "everything" in request.form:
        return Choice(wanted=listing.wanted)
    ids = request.form.getlist("id")
    if not ids:
        raise Invalid("select a picture first", field="id")
    return Choice(ids=[number_in(text, "id") for text in ids])


def _predict(choice: Choice) -> Response:
    ref = chosen_model()
    selection = Selection(choice.wanted) if choice.wanted is not None else Selection(ids=choice.ids)
    ctx = context()
    job_id = request_predictions(ctx.sessions, selection, model=ref.model, version=ref.version, actor=actor())
    ctx.jobs.wake(job_id)
    return redirect(url_for("pages.job", job_id=job_id), 303)


def _pictures(count: int) -> str:
    return "1 picture is" if count == 1 else f"{count:,} pictures are"


def _say(done: Done, words: str) -> None:
    if done.change_id is None:
        flash("Nothing was to be changed: they are so already, or are not there any more.", "warning")
    else:
        session[_LAST] = {"id": done.change_id, "words": Markup("{} {}.").format(_pictures(done.changed), words)}
