"""The models page: every version, what it takes, what it makes of it and how well."""

from flask import render_template

from service.accounts.actor import Role
from service.models.registry import list_versions
from service.models.spec import InputSpec, Preprocessing
from service.web.access import access
from service.web.context import context
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
    return render_template("models.html", versions=versions)
