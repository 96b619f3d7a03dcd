"""Training and measuring by page: asking for either, and what came of measuring."""

from flask import redirect, render_template, request, url_for
from pydantic import BaseModel, ConfigDict
from werkzeug.wrappers import Response

from service.accounts.actor import Role
from service.errors import Invalid, NotFound
from service.learning.comparing import Comparing
from service.learning.evaluating import request_evaluation
from service.learning.evaluations import Report, find_evaluation, list_evaluations, worst_mistakes
from service.learning.training import request_training
from service.models.registry import CHAMPION, list_ready, list_versions
from service.models.selection import Selection
from service.models.serving import ModelRef
from service.models.training.plan import MAX_EPOCHS, Plan
from service.pictures.search import ImageFilter
from service.web.access import access
from service.web.api.fields import Id, ModelName, NameOrBlank, SplitOrEmpty, Version
from service.web.api.requests import TextReader
from service.web.context import actor, context
from service.web.pages import charts
from service.web.pages.blueprint import pages
from service.web.pages.choosing import chosen_model
from service.web.pages.forms import number_field

PAGE = 50
# Of more labels than this a matrix is no picture any more; then the most frequent mistakes are listed.
MATRIX_MAX = 40
CONFUSIONS_SHOWN = 40


class EvaluationsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    model: ModelName | None = None
    after: Id | None = None


class ComparisonQuery(BaseModel):
    """Two versions, and by which pictures: of a split, with a tag, or all that both have predicted."""

    model_config = ConfigDict(extra="forbid")

    one: Version | None = None
    other: Version | None = None
    split: SplitOrEmpty | None = None
    tag: NameOrBlank | None = None


_QUERY = TextReader(EvaluationsQuery)
_COMPARISON = TextReader(ComparisonQuery)


def _selection() -> Selection:
    """Return which pictures a form means: all, where it restricts nothing. Raises `Invalid`, `QueryRefused`, `QueryError`."""
    form = request.form
    where = form.get("where", "").strip()
    wanted = ImageFilter(tag=[form["tag"]] if form.get("tag", "").strip() else [], split=form.get("split"))
    if where and wanted.active:
        raise Invalid("give a condition, or a tag and a split, not both", field="where")
    return Selection(where=where) if where else Selection(wanted if wanted.active else None)


@pages.get("/train")
@access(Role.EDITOR)
def ask_for_training() -> str:
    """Ask what is to be trained on which pictures."""
    versions = [version for version in list_ready(context().sessions) if not version.damage]
    return render_template("train.html", versions=versions, epochs_max=MAX_EPOCHS)


@pages.post("/train")
@access(Role.EDITOR)
def train() -> Response:
    """Begin to train as the form says."""
    form = request.form
    base = chosen_model("base") if form.get("base") else ModelRef(form.get("name", "").strip())
    plan = Plan(
        epochs=number_field("epochs", least=1, most=MAX_EPOCHS, default=3),
        seed=number_field("seed", least=0, most=2**31 - 1, default=0),
        augmentation="flip" if "flip" in form else "light",
    )
    ctx = context()
    job_id = request_training(ctx.sessions, _selection(), model=base.model, plan=plan, from_version=base.version, actor=actor())
    ctx.jobs.wake(job_id)
    return redirect(url_for("pages.job", job_id=job_id), 303)


@pages.post("/models/<name>/<int:version>/evaluations")
@access(Role.EDITOR)
def evaluate(name: str, version: int) -> Response:
    """Begin to measure a version by the pictures that the form names."""
    ctx = context()
    job_id = request_evaluation(ctx.sessions, _selection(), model=name, version=version, actor=actor())
    ctx.jobs.wake(job_id)
    return redirect(url_for("pages.job", job_id=job_id), 303)


@pages.get("/evaluations")
@access(Role.VIEWER)
def evaluations() -> str:
    """List what was measured, newest first."""
    query = _QUERY.query()
    found = list_evaluations(context().sessions, model=query.model, limit=PAGE + 1, before=query.after)
    shown = found[:PAGE]
    following = url_for("pages.evaluations", model=query.model, after=shown[-1].id) if len(found) > PAGE else None
    return render_template("evaluations.html", evaluations=shown, model=query.model, next=following)


@pages.get("/evaluations/<int:evaluation_id>")
@access(Role.VIEWER)
def evaluation(evaluation_id: int) -> str:
    """Show one evaluation: its numbers, where it is wrong, and how sure it is of that."""
    sessions = context().sessions
    report = find_evaluation(sessions, evaluation_id)
    return render_template(
        "evaluation.html",
        info=report.info,
        report=report,
        matrix=_matrix(report) if len(report.classes) <= MATRIX_MAX else None,
        confusions=_confusions(report),
        calibration=charts.points([(each.mean_score, each.accuracy) for each in report.bins], width=200, height=200),
        mistakes=worst_mistakes(sessions, evaluation_id),
    )


def _matrix(report: Report) -> list[tuple[str, list[tuple[str, int, int]]]]:
    """Return the rows of the confusion matrix: a label, and for each prediction its name, the pictures, and a shade of the label's share."""
    counts = {(cell.label, cell.predicted): cell.pictures for cell in report.cells}
    names = [each.label for each in report.classes]
    return [
        (
            each.label,
            [
                (name, count, charts.shade(count / each.pictures))
                for name in names
                for count in (counts.get((each.label, name), 0),)
            ],
        )
        for each in report.classes
        if each.pictures
    ]


def _confusions(report: Report) -> list[tuple[str, str, int]]:
    wrong = [(cell.label, cell.predicted, cell.pictures) for cell in report.cells if cell.label != cell.predicted]
    return sorted(wrong, key=lambda each: -each[2])[:CONFUSIONS_SHOWN]


@pages.get("/models/<name>/compare")
@access(Role.VIEWER)
def compare(name: str) -> str:
    """Show what one version mends and breaks beside another: by default the newest beside the champion."""
    ctx = context()
    query = _COMPARISON.query()
    versions = [each for each in list_versions(ctx.sessions, model=name) if each.state != "pending"]
    if not versions:
        raise NotFound(f"there is no model {name!r}", field="name")
    numbers = [each.version for each in versions]
    champion = next((each.version for each in versions if CHAMPION in each.aliases), numbers[0])
    one = query.one or champion
    other = query.other or next((number for number in numbers if number != one), None)
    found = fixed = broken = None
    if other is not None:
        wanted = ImageFilter(split=query.split, tag=[query.tag] if query.tag and query.tag.strip() else [])
        selection = Selection(wanted if wanted.active else None)
        comparing = Comparing(ctx.sessions, ctx.door, selection, model=name, version=one, other_version=other, actor=actor())
        found, fixed, broken = comparing.count(), comparing.differences(fixed=True), comparing.differences(fixed=False)
    return render_template(
        "compare.html", name=name, numbers=numbers, one=one, other=other, query=query, found=found, fixed=fixed, broken=broken
    )
