"""Pages for whoever runs the service: who has a token, and what takes space."""

from datetime import timedelta

from flask import flash, redirect, render_template, request, url_for
from sqlalchemy import text
from werkzeug.wrappers import Response

from service.accounts.actor import Role
from service.accounts.tokens import create_token, list_tokens, revoke_token
from service.errors import Invalid
from service.web.access import access
from service.web.context import context
from service.web.pages.blueprint import pages
from service.web.pages.forms import number_field

DAYS_MAX = 3650


@pages.get("/tokens")
@access(Role.ADMIN)
def tokens() -> str:
    """List the tokens; they themselves are not kept."""
    return _tokens()


@pages.post("/tokens")
@access(Role.ADMIN)
def make_token() -> str:
    """Make a token, and show it this once."""
    form = request.form
    role = form.get("role", "")
    if role not in {each.value for each in Role}:
        raise Invalid(f"role is one of {', '.join(each.value for each in Role)}", field="role")
    days = number_field("days", least=1, most=DAYS_MAX) if form.get("days", "").strip() else None
    made = create_token(
        context().sessions, name=form.get("name", ""), role=Role(role), valid_for=timedelta(days=days) if days else None
    )
    return _tokens(made)


@pages.post("/tokens/<int:token_id>/revoke")
@access(Role.ADMIN)
def revoke(token_id: int) -> Response:
    """Make a token worthless."""
    revoke_token(context().sessions, token_id)
    flash(f"Token {token_id} is revoked. Whoever used it is out within 5 seconds.", "success")
    return redirect(url_for("pages.tokens"), 303)


def _tokens(made: str | None = None) -> str:
    return render_template("tokens.html", tokens=list_tokens(context().sessions), roles=list(Role), made=made, days_max=DAYS_MAX)


@pages.get("/storage")
@access(Role.VIEWER)
def storage() -> str:
    """Show what takes space, kind by kind."""
    with context().sessions() as session:
        found = session.execute(text("SELECT kind, items, bytes FROM catalog.storage_use ORDER BY bytes DESC, kind")).all()
    return render_template("storage.html", kinds=found, total=sum(row.bytes or 0 for row in found))
