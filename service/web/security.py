"""Who is asking, what they may do, and what browsers are told. Everything is refused that a view does not allow (`service.web.access`)."""

import threading
from typing import cast

from cachetools import TTLCache
from flask import Flask, Request, current_app, g, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask_wtf.csrf import CSRFError, CSRFProtect

from service.accounts.actor import Actor
from service.accounts.tokens import actor_of_token, actor_of_token_id, digest
from service.admission import Admission
from service.errors import CsrfFailed, Forbidden, NotSignedIn
from service.settings import MIB
from service.web.access import Access, access_of
from service.web.context import context
from service.web.edge import Edge, remember_account
from service.web.files import ClosingRequest
from service.web.pace import Pace

SESSION_TOKEN = "token_id"  # noqa: S105  (a name, not a token)
# Style sheets, scripts and the logo: the same for everybody.
ASSETS = frozenset({"static", "bootstrap.static"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# A recognised token is not looked up again for this long; a revoked one works no longer than this.
TOKEN_CACHE_S = 5
SMALL_BODY = 1 * MIB
# What multipart adds to a file: boundaries, headers, the other fields.
MULTIPART_OVERHEAD = 256 * 1024

csrf = CSRFProtect()


class _CookieSessions(SecureCookieSessionInterface):
    """Flask's sessions, without the preparations for verifying a cookie where none came: programs send none."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if "HTTP_COOKIE" not in request.environ:
            return self.session_class()
        return super().open_session(app, request)


class KnownActors:
    """Actors recognised in the last seconds, by token digest or by session."""

    def __init__(self) -> None:
        self._cache: TTLCache[str | int, Actor] = TTLCache(maxsize=1024, ttl=TOKEN_CACHE_S)
        self._lock = threading.Lock()

    def by_token(self, token: str, *, anew: bool = False) -> Actor | None:
        """Return who bears the token; `anew` asks the database in any case."""
        key = digest(token)
        return self._known(key, anew) or self._remember(key, actor_of_token(context().sessions, token))

    def by_session(self, token_id: int, *, anew: bool = False) -> Actor | None:
        """Return who signed in with the token of this id; `anew` asks the database in any case."""
        return self._known(token_id, anew) or self._remember(token_id, actor_of_token_id(context().sessions, token_id))

    def _known(self, key: str | int, anew: bool) -> Actor | None:
        with self._lock:
            return None if anew else self._cache.get(key)

    def _remember(self, key: str | int, actor: Actor | None) -> Actor | None:
        if actor is not None:
            with self._lock:
                self._cache[key] = actor
        return actor


def _limit_body(access: Access) -> None:
    settings = context().settings
    # Servers that end the body themselves hand a short one through as if it were whole; without their promise Werkzeug counts the bytes.
    if request.content_length is not None:
        request.environ.pop("wsgi.input_terminated", None)
    request.max_content_length = {
        "small": access.max_body,
        "picture": settings.max_upload_bytes + MULTIPART_OVERHEAD,
        "model": settings.max_model_bytes + MULTIPART_OVERHEAD,
        "form": settings.max_form_bytes + MULTIPART_OVERHEAD,
    }[access.body]
    if request.method not in SAFE_METHODS:
        environ, pace = request.environ, _pace()
        environ["wsgi.input"] = pace.body(environ["wsgi.input"], environ.get("REMOTE_ADDR", ""), int(environ["SERVER_PORT"]))


def _pace() -> Pace:
    return cast(Pace, current_app.extensions["pixref.pace"])


def _credentials() -> tuple[str, str]:
    """Return scheme and token of the Authorization header; both are empty where it is missing or blank."""
    scheme, _, token = request.headers.get("Authorization", "").strip().partition(" ")
    return scheme.lower(), token.strip()


def identify(*, anew: bool = False) -> Actor | None:
    """Return who asks, None for nobody; `anew` asks the database in any case. Raises `NotSignedIn` for a token that is not good."""
    known: KnownActors = current_app.extensions["pixref.actors"]
    scheme, token = _credentials()
    if scheme:
        found = known.by_token(token, anew=anew) if scheme == "bearer" else None
        if found is None:
            raise NotSignedIn("the token is unknown, revoked or expired: send `Authorization: Bearer TOKEN`")
        return found
    token_id = session.get(SESSION_TOKEN)
    return known.by_session(token_id, anew=anew) if isinstance(token_id, int) else None


def _admit_body(access: Access) -> None:
    """Refuse a body unread that could not be kept, or for which there is no room; the place that it gets is free again after the answer."""
    if access.keeps:
        context().breaker.check()
    length, limit = request.content_length, request.max_content_length
    if length is None or SMALL_BODY < length <= (limit or 0):
        admission: Admission = current_app.extensions["pixref.admission"]
        admission.enter()
        answered = cast(ClosingRequest, request).call_on_close
        answered(admission.leave)
        answered(_pace().begin(request.environ["wsgi.input"]))


def _guard() -> None:
    """Check identity, role, body limit, room and CSRF, in this order, before the body of the request is read."""
    if request.endpoint is None:
        return  # no such route: the handler answers 404 or 405
    if request.endpoint in ASSETS:
        return
    view = current_app.view_functions[request.endpoint]
    access = access_of(view)
    if access is None:
        raise Forbidden("this address has no declared access")
    _limit_body(access)
    if access.role is not None:
        # Who sends something to be kept is looked up anew, so that it is refused unread while the database is down.
        g.actor = actor = identify(anew=access.keeps)
        if actor is None:
            raise NotSignedIn("sign in by the link that `make run` prints, or send `Authorization: Bearer TOKEN`")
        remember_account(actor.name)
        if not actor.role.allows(access.role):
            raise Forbidden(f"this needs the role {access.role}, yours is {actor.role}")
    if access.body != "small":
        _admit_body(access)
    if request.method not in SAFE_METHODS and not _credentials()[0]:
        # A browser sends cookies by itself, so the form must prove that it came from our page.
        try:
            csrf.protect()
        except CSRFError as exc:
            raise CsrfFailed(f"{exc.description} Load the page again and repeat what you did.") from None


def content_security_policy(public_endpoint: str) -> str:
    """Return the policy: everything from us; pictures also from the page itself (thumbnails) and from the bucket, into which
    large files go as well."""
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self' {public_endpoint}; "
        f"img-src 'self' data: {public_endpoint}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def install(app: Flask) -> None:
    """Put the guard before every view and the edge around the application."""
    settings = app.extensions["pixref"].settings
    app.request_class = ClosingRequest
    app.session_interface = _CookieSessions()
    app.config.update(
        SECRET_KEY=settings.secret_key.get_secret_value(),
        SESSION_COOKIE_NAME="pixref",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.cookie_secure,
        PERMANENT_SESSION_LIFETIME=30 * 24 * 3600,
        # Refreshing the cookie with every answer would make each of them uncacheable.
        SESSION_REFRESH_EACH_REQUEST=False,
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_TIME_LIMIT=None,
        MAX_FORM_MEMORY_SIZE=SMALL_BODY,
        MAX_FORM_PARTS=2_000,
    )
    app.extensions["pixref.actors"] = KnownActors()
    app.extensions["pixref.admission"] = Admission()
    app.extensions["pixref.pace"] = Pace()
    csrf.init_app(app)
    app.before_request(_guard)
    app.wsgi_app = Edge(app.wsgi_app, content_security_policy=content_security_policy(settings.public_endpoint))  # type: ignore[method-assign]
