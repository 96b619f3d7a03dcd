"""Try a model on a picture that is not kept: one from a file, or, with JavaScript, one that is drawn."""

from flask import render_template, request

from service.accounts.actor import Role
from service.models.serving import ModelRef, Outcome
from service.models.spec import InputSpec
from service.web.access import access
from service.web.api.requests import one_file
from service.web.context import context
from service.web.files import read_file
from service.web.pages.blueprint import pages
from service.web.pages.choosing import choices, chosen_model

SCORES_MAX = 100


@pages.get("/try")
@access(Role.VIEWER)
def try_model() -> str:
    """Show what one can try a model with."""
    return _page(None)


@pages.post("/try")
@access(Role.VIEWER, body="picture")
def tried() -> str:
    """Predict the file that was sent, and keep nothing."""
    ctx = context()
    ref = chosen_model()
    file = one_file()
    assert file is not None
    data = read_file(file, ctx.settings.max_upload_bytes)
    return _page(ref, ctx.models.predict_bytes(data, ref, limits=ctx.limits), name=file.filename)


def _page(chosen: ModelRef | None, outcome: Outcome | None = None, *, name: str | None = None) -> str:
    wanted = f"{chosen.version}:{chosen.model}" if chosen else request.args.get("model", "")
    scores = sorted(outcome.scores.items(), key=lambda pair: -pair[1]) if outcome else []
    return render_template(
        "try.html",
        choices=[(version, InputSpec.from_json(version.input_spec)) for version in choices()],
        chosen=wanted,
        outcome=outcome,
        scores_shown=scores[:SCORES_MAX],
        name=name,
    )
