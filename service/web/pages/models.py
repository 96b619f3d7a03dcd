"""The models page: every version, what it takes, what it makes of it and how well."""

from collections import Counter

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from service.accounts.actor import Role
from service.learning.evaluations import newest_evaluations
from service.models import aliases
from service.models.deposits import deposit
from service.models.registration import split_labels
from service.models.registry import CHAMPION, list_versions
from service.models.spec import InputSpec, Preprocessing
from service.web.access import access
from service.web.api.requests import one_file
from service.web.context import actor, context
from service.web.pages.blueprint import pages
from service.web.pages.words import input_in_words, recipe_in_words


@pages.get("/models")
@access(Role.VIEWER)
def models() -> str:
    """List the models."""
    versions = [
        (
            version,
            input_in_words(InputSpec.from_json(version.input_spec)),
            recipe_in_words(Preprocessing.from_json(version.preprocessing)),
        )
        for version in list_versions(context().sessions)
    ]
    serving = Counter(version.model for version, _, _ in versions if version.state == "ready")
    champions = {version.model: version.version for version, _, _ in versions if CHAMPION in version.aliases}
    return render_template(
        "models.html",
        versions=versions,
        champion=CHAMPION,
        champions=champions,
        serving=serving,
        evaluations=newest_evaluations(context().sessions),
    )


@pages.post("/models")
@access(Role.EDITOR, body="model", keeps=True)
def register() -> Response:
    """Keep a model file, and begin to register it."""
    ctx = context()
    file = one_file()
    assert file is not None
    job_id = deposit(
        ctx.sessions,
        ctx.store,
        file.stream,  # type: ignore[arg-type]
        name=request.form.get("name", "").strip(),
        labels=split_labels(request.form.get("labels", "")),
        preprocessing=None,
        actor=actor(),
    )
    ctx.jobs.wake(job_id)
    return redirect(url_for("pages.job", job_id=job_id), 303)


@pages.get("/models/<name>/history")
@access(Role.VIEWER)
def model_history(name: str) -> str:
    """Show what a model's aliases named when."""
    return render_template("model_history.html", name=name, events=aliases.history(context().sessions, name))


@pages.post("/models/<name>/<int:version>/alias")
@access(Role.EDITOR)
def promote(name: str, version: int) -> Response:
    """Let an alias name a version, if it still names the one that the page showed."""
    form = request.form
    alias = form.get("alias", "").strip() or CHAMPION
    shown = form.get("expected", "")
    expected = int(shown) if shown.isascii() and shown.isdecimal() and len(shown) < 10 else aliases.ANYTHING
    moved = aliases.move_alias(context().sessions, name, alias, version, expected=expected, actor=actor())
    flash(f"{name} version {moved.to_version} is {alias} now.", "success")
    return redirect(url_for("pages.models"), 303)


@pages.post("/models/<name>/rollback")
@access(Role.EDITOR)
def roll_back(name: str) -> Response:
    """Take the champion's last move back."""
    moved = aliases.roll_back(context().sessions, name, actor=actor())
    flash(f"{name} version {moved.to_version} is champion again, in place of version {moved.from_version}.", "success")
    return redirect(url_for("pages.models"), 303)


@pages.post("/models/<name>/<int:version>/retire")
@access(Role.EDITOR)
def retire(name: str, version: int) -> Response:
    """Let no new prediction be made by a version."""
    aliases.retire(context().sessions, name, version)
    flash(f"{name} version {version} is retired; its predictions stay.", "success")
    return redirect(url_for("pages.models"), 303)


@pages.post("/models/<name>/<int:version>/restore")
@access(Role.EDITOR)
def restore_version(name: str, version: int) -> Response:
    """Take a retired version back."""
    aliases.restore(context().sessions, name, version)
    flash(f"{name} version {version} is ready again.", "success")
    return redirect(url_for("pages.models"), 303)
