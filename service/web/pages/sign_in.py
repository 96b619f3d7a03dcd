"""Sign in by a link or by typing the token, and sign out. The token itself is never kept: the session holds its row's id, signed."""

from urllib.parse import urlsplit

from flask import flash, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from service.accounts.actor import Actor
from service.accounts.tokens import actor_of_token
from service.web.access import access
from service.web.context import context
from service.web.pages.blueprint import pages
from service.web.security import SESSION_TOKEN, identify

_UNKNOWN = "This token is unknown, revoked or expired. `pixref token create` makes a new one."


def local_target(target: str | None) -> str:
    """Return `target` where it is a path on this server, else the gallery: a link must not lead people elsewhere."""
    home = url_for("pages.gallery")
    # Browsers read a backslash as a slash and drop tabs and line ends, so "/\t/host" would leave this server.
    if not target or not target.startswith("/") or "\\" in target or not target.isprintable():
        return home
    try:
        parts = urlsplit(target)
    except ValueError:
        return home
    return home if parts.scheme or parts.netloc or target.startswith("//") else target


def _start_session(actor: Actor) -> Response:
    session.clear()
    session[SESSION_TOKEN] = actor.token_id
    session.permanent = True
    return redirect(local_target(request.values.get("next")), 303)


def _form(problem: str | None = None) -> tuple[str, int]:
    page = render_template("sign_in.html", problem_text=problem, target=local_target(request.values.get("next")))
    return page, 401 if problem else 200


@pages.get("/sign-in")
@access(None)
def sign_in() -> Response | tuple[str, int]:
    """With `?token=` sign in, as the link that `make run` prints does; the token leaves the address bar with the redirect."""
    token = request.args.get("token", "").strip()
    if token:
        actor = actor_of_token(context().sessions, token)
        return _start_session(actor) if actor else _form(_UNKNOWN)
    if identify() is not None:
        return redirect(local_target(request.args.get("next")), 303)
    return _form()


@pages.post("/sign-in")
@access(None)
def sign_in_by_form() -> Response | tuple[str, int]:
    """Sign in with a token typed into the form."""
    token = request.form.get("token", "").strip()
    actor = actor_of_token(context().sessions, token) if token else None
    return _start_session(actor) if actor else _form(_UNKNOWN if token else "Type your token first.")


@pages.post("/sign-out")
@access(None)
def sign_out() -> Response:
    """End this browser's session."""
    session.clear()
    flash("You are signed out.", "success")
    return redirect(url_for("pages.sign_in"), 303)
