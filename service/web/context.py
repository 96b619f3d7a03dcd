"""What views work with: the parts that `create_app` was given, and who is asking."""

from dataclasses import dataclass
from typing import cast

from flask import current_app, g

from schema.session import Sessions
from service.accounts.actor import Actor
from service.jobqueue import JobQueue
from service.models.serving import ModelServer
from service.pictures.facets import FacetCounter
from service.pictures.json_pages import JsonPages
from service.png import PngLimits
from service.settings import Settings
from service.sql.ask import Door
from storage.base import ObjectStore
from storage.breaker import Breaker

EXTENSION = "pixref"


@dataclass(frozen=True, slots=True)
class Context:
    """The application's parts. `breaker` guards `store`."""

    settings: Settings
    sessions: Sessions
    store: ObjectStore
    breaker: Breaker
    models: ModelServer
    facets: FacetCounter
    pages: JsonPages
    limits: PngLimits
    jobs: JobQueue
    door: Door


def context() -> Context:
    """Return the parts of the running application."""
    return cast(Context, current_app.extensions[EXTENSION])


def actor() -> Actor:
    """Return who asks; only for views that need a role, which `service.web.security` has checked."""
    return cast(Actor, g.actor)
