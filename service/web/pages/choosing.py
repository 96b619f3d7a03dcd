"""The list of model versions from which a form chooses, and what was chosen."""

from flask import request

from service.errors import Invalid
from service.models.registry import CHAMPION, ReadyVersion, list_ready
from service.models.serving import ModelRef
from service.web.context import context


def choices() -> list[ReadyVersion]:
    """Return the versions that can predict, champions first."""
    return sorted(list_ready(context().sessions), key=lambda version: CHAMPION not in version.aliases)


def chosen_model(field: str = "model") -> ModelRef:
    """Return the version that a field of the form names as NUMBER:NAME. Raises `Invalid`."""
    number, _, name = request.form.get(field, "").partition(":")
    if not name or not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise Invalid(f"{field} must be NUMBER:NAME: choose one of the list", field=field)
    return ModelRef(name, int(number))
