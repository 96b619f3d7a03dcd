"""The pages of long work: what there is, how far it is, cancelling it, and asking for predictions of many pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from pydantic import BaseModel, Field
from werkzeug.wrappers import Response

from service.accounts.actor import Role
from service.errors import Invalid
from service.models.predicting import request_predictions
from service.models.selection import Selection
from service.pictures.search import ImageFilter
from service.web.access import access
from service.web.api.requests import TextReader
from service.web.api.shapes import FilterQuery
from service.web.context import actor, context
from service.web.pages import charts
from service.web.pages.blueprint import pages
from service.web.pages.choosing import choices, chosen_model
from service.work import ledger

PAGE = 50


class JobsQuery(BaseModel):
    """What the list is restricted to."""

    after: int | None = Field(None, ge=1, le=2**63 - 1)


_QUERY = TextReader(JobsQuery)
_GALLERY = TextReader(FilterQuery)


@pages.get("/jobs")
@access(Role.VIEWER)
def jobs() -> str:
    """List jobs, newest first."""
    page = ledger.list_jobs(context().sessions, limit=PAGE, before=_QUERY.query().after)
    return render_template("jobs.html", jobs=page.items, after=page.next)


@pages.get("/jobs/<int:job_id>")
@access(Role.VIEWER)
def job(job_id: int) -> str:
    """Show how far a job is, and what came of it."""
    info = ledger.find_job(context().sessions, job_id)
    return render_template("job.html", job=info, curves=_curves((info.result or {}).get("epochs")))


def _curves(epochs: Sequence[Mapping[str, Any]] | None) -> list[tuple[str, str, str]]:
    """Return the curves of a training: what is drawn, and the points of training and validation."""
    if not epochs:
        return []
    found = []
    for name in ("loss", "accuracy"):
        values = {kind: [epoch.get(kind) for epoch in epochs] for kind in (name, f"validation_{name}")}
        highest = 1.0 if name == "accuracy" else max(value for each in values.values() for value in each if value is not None)
        lines = [charts.points(charts.curve(each, highest=highest), width=300, height=150) for each in values.values()]
        found.append((name.capitalize(), lines[0], lines[1]))
    return found


@pages.post("/jobs/<int:job_id>/cancel")
@access(Role.EDITOR)
def cancel_job(job_id: int) -> Response:
    """Cancel a job."""
    info = ledger.cancel_job(context().sessions, job_id)
    flash("The job is cancelled." if info.ended else "The job ends within seconds.", "success")
    return redirect(url_for("pages.job", job_id=job_id), 303)


@pages.post("/models/<name>/<int:version>/predictions")
@access(Role.EDITOR)
def predict_many(name: str, version: int) -> Response:
    """Begin to predict many pictures by a version: all, or those that the form restricts to."""
    form = request.form
    where, tag, split = (form.get(field, "").strip() for field in ("where", "tag", "split"))
    if where and (tag or split):
        raise Invalid("give a condition, or a tag and a split, not both", field="where")
    wanted = ImageFilter(tag=[tag] if tag else (), split=split or None)
    selection = Selection(where=where) if where else Selection(wanted if wanted.active else None)
    ctx = context()
    job_id = request_predictions(ctx.sessions, selection, model=name, version=version, again="again" in form, actor=actor())
    ctx.jobs.wake(job_id)
    return redirect(url_for("pages.job", job_id=job_id), 303)


@pages.get("/predict")
@access(Role.EDITOR)
def ask_for_predictions() -> str:
    """Ask by which version the pictures that the gallery shows are to be predicted; the address has its filter."""
    wanted = _GALLERY.query().filter()
    return render_template(
        "predict.html",
        active=wanted.active,
        versions=[version for version in choices() if not version.damage],
    )


@pages.post("/predict")
@access(Role.EDITOR)
def predict_shown() -> Response:
    """Begin to predict the pictures that the gallery shows, by the version that the form names."""
    wanted = _GALLERY.query().filter()
    ref = chosen_model()
    ctx = context()
    job_id = request_predictions(
        ctx.sessions,
        Selection(wanted if wanted.active else None),
        model=ref.model,
        version=ref.version,
        again="again" in request.form,
        actor=actor(),
    )
    ctx.jobs.wake(job_id)
    return redirect(url_for("pages.job", job_id=job_id), 303)
