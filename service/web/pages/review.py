"""The page on which pictures are reviewed one after the other: what a model sees otherwise, what it hesitates about, what has no label."""

from dataclasses import asdict
from typing import Any

from flask import flash, redirect, render_template, request, session, url_for
from pydantic import Field
from werkzeug.wrappers import Response

from service.accounts.actor import Role
from service.errors import Conflict
from service.models.predictions import StoredPrediction, predictions_of
from service.models.registry import champions
from service.pictures import search
from service.pictures.fetch import get_thumbnail
from service.pictures.in_use import names_in_use
from service.pictures.reviewing import COUNTED, Queue, Verdict, count_waiting, queue_of, review, take_back
from service.web.access import access
from service.web.api.fields import ModelName
from service.web.api.requests import Strict, TextReader
from service.web.api.shapes import Cursor
from service.web.context import actor, context
from service.web.pages.blueprint import pages
from service.web.pages.forms import number_field
from service.web.pages.image import stage_of

# As many as there are keys for.
SUGGESTIONS = 9
_LAST = "verdict"


class ReviewQuery(Strict):
    """A queue, and a place in it."""

    queue: Queue = Queue.WRONG
    model: ModelName | None = Field(None, description="by whose champion; none: the first that has predicted")
    after: Cursor | None = None


_READER = TextReader(ReviewQuery)


def _address(query: ReviewQuery, **changed: Any) -> str:
    parts = {"queue": query.queue.value, "model": query.model, "after": query.after}
    return url_for("pages.review_next", **{name: value for name, value in (parts | changed).items() if value is not None})


@pages.get("/review")
@access(Role.EDITOR)
def review_next() -> str:
    """Show the next picture of a queue."""
    sessions = context().sessions
    query = _READER.query()
    models = champions(sessions)
    model = query.model or (models[0] if models else None)
    page: search.Page[search.ImageInfo] = search.Page([], None, None)
    waiting = None
    if model is not None or query.queue is Queue.UNLABELLED:
        wanted, sort = queue_of(query.queue, model or "")
        page = search.list_images(sessions, wanted, limit=1, after=query.after, sort=sort)
        waiting = count_waiting(sessions, wanted)
    image = page.items[0] if page.items else None
    thumbnail = get_thumbnail(sessions, image.id) if image else None
    seen = _prediction(image.id, model) if image else None
    label_names = names_in_use(sessions)[0]
    return render_template(
        "review.html",
        query=query,
        model=model,
        models=models,
        queues=[(each, _address(query, queue=each.value, after=None)) for each in Queue],
        here=_address(query),
        image=image,
        thumbnail=thumbnail,
        stage=stage_of(image, thumbnail) if image and thumbnail else None,
        seen=seen,
        suggestions=_suggestions(seen, label_names),
        label_names=label_names,
        skip=_address(query, after=page.next) if page.next else None,
        first=_address(query, after=None) if query.after else None,
        waiting=waiting,
        counted=COUNTED,
        last=session.get(_LAST),
    )


def _prediction(image_id: int, model: str | None) -> StoredPrediction | None:
    found = predictions_of(context().sessions, image_id)
    return next((each for each in found if each.model == model and each.champion), None)


def _suggestions(seen: StoredPrediction | None, label_names: list[str]) -> list[tuple[str, str, float | None]]:
    """Return labels to choose from, each with its key: its own where all are digits, else its place."""
    pairs: list[tuple[str, float | None]] = [*seen.scores] if seen else [(name, None) for name in label_names]
    if len(pairs) <= 10 and all(len(name) == 1 and name.isascii() and name.isdigit() for name, _ in pairs):
        return [(name, name, score) for name, score in pairs]
    return [(str(place), name, score) for place, (name, score) in enumerate(pairs[:SUGGESTIONS], 1)]


@pages.post("/review")
@access(Role.EDITOR)
def review_one() -> Response:
    """Keep a verdict, and go on with the queue."""
    query = _READER.query()
    form = request.form
    image_id = number_field("image_id")
    try:
        verdict = review(
            context().sessions, image_id, form.get("label", ""), expected=form.get("expected") or None, actor=actor()
        )
    except Conflict as exc:
        flash(exc.detail, "warning")
    else:
        session[_LAST] = {**asdict(verdict), "address": _address(query)}
    return redirect(_address(query), 303)


@pages.post("/review/undo")
@access(Role.EDITOR)
def undo_review() -> Response:
    """Take the last verdict back, and show its picture again."""
    last = session.pop(_LAST, None)
    if last is None:
        flash("There is nothing to undo.", "warning")
        return redirect(url_for("pages.review_next"), 303)
    address = str(last.pop("address"))
    try:
        take_back(context().sessions, Verdict(**last), actor=actor())
    except Conflict as exc:
        flash(exc.detail, "warning")
    return redirect(address, 303)
