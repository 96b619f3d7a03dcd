"""The blueprint of all pages, and what every template can use."""

from functools import cache
from importlib.metadata import version
from typing import Any

from flask import Blueprint, g

from service.accounts.actor import Role
from service.web.pages import model_words, times, words
from service.web.pages.navigation import sections

pages = Blueprint("pages", __name__)


@cache
def _release() -> str:
    return version("pixref")


@pages.app_context_processor
def _shared() -> dict[str, Any]:
    # Without a look into the database: the error page has these too. Nobody is known on an address that no view answers.
    me = g.get("actor")
    may_edit = bool(me and me.role.allows(Role.EDITOR))
    return {"me": me, "may_edit": may_edit, "navigation": sections(may_edit=may_edit), "release": _release()}


for _filter in (
    words.byte_size,
    words.percent,
    words.milliseconds,
    words.sentence,
    words.json_text,
    words.sql_type,
    words.data_uri,
    times.moment,
    model_words.metrics_in_words,
    model_words.value_in_words,
):
    pages.add_app_template_filter(_filter)
