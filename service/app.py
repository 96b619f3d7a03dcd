"""The composition root: `create_app` puts the web application together from parts that the caller may replace."""

from collections.abc import Callable
from typing import Any

from flask import Flask
from flask.json.provider import DefaultJSONProvider
from flask_bootstrap import Bootstrap5

from schema.session import Sessions
from service.jobqueue import JobQueue
from service.models.serving import ModelServer
from service.pictures.facets import FacetCounter
from service.pictures.json_pages import JsonPages
from service.settings import Settings
from service.sql.ask import Door
from service.web import health, pages, problems, security
from service.web.api import routes as api_routes
from service.web.context import EXTENSION, Context
from service.web.converters import IdConverter
from service.wiring import limits_of, open_door, open_rows, open_store
from storage.base import ObjectStore
from storage.breaker import Breaker, GuardedStore


class _Application(Flask):
    """Flask without a look-up that only coroutines need."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        # All views and hooks are plain functions; Flask would look for coroutines at each of seven calls a request.
        return func


class _StrictJson(DefaultJSONProvider):
    """JSON without NaN and Infinity, which no parser but Python's accepts."""

    sort_keys = False

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return super().dumps(obj, allow_nan=False, **kwargs)


def create_app(
    settings: Settings,
    *,
    sessions: Sessions | None = None,
    store: ObjectStore | None = None,
    models: ModelServer | None = None,
    door: Door | None = None,
) -> Flask:
    """Return the web application. Parts that are not given are made from the settings; nothing connects before the first request."""
    app = _Application("service.web")
    app.json = _StrictJson(app)
    app.url_map.converters["int"] = IdConverter
    sessions = sessions or open_rows(settings, name="web")
    breaker = Breaker()
    store = GuardedStore(store or open_store(settings), breaker)
    app.extensions[EXTENSION] = Context(
        settings=settings,
        sessions=sessions,
        store=store,
        breaker=breaker,
        models=models or ModelServer(sessions, store),
        facets=FacetCounter(sessions),
        pages=JsonPages(sessions),
        limits=limits_of(settings),
        jobs=JobQueue(settings.database_url.get_secret_value()),
        door=door or open_door(settings),
    )
    app.config["BOOTSTRAP_SERVE_LOCAL"] = True
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = 3600
    Bootstrap5(app)
    security.install(app)
    problems.install(app)
    app.register_blueprint(health.health)
    app.register_blueprint(api_routes.api)
    app.register_blueprint(pages.pages)
    return app
