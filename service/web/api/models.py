"""Endpoints of the registry: versions of models, and the aliases that name them."""

import json
from datetime import datetime
from typing import Any

from pydantic import Field
from werkzeug.datastructures import FileStorage

from service import errors
from service.accounts.actor import Role
from service.models import aliases
from service.models.deposits import deposit
from service.models.registration import split_labels
from service.models.registry import list_versions
from service.models.spec import Preprocessing
from service.web.api import api
from service.web.api.contract import MODEL_FILE, Answer, endpoint
from service.web.api.fields import Version
from service.web.api.jobs import JOB_HEADERS, Job, asked_for
from service.web.api.openapi import STORE_ERRORS
from service.web.api.requests import Shape, Strict
from service.web.api.shapes import ModelList, ModelVersionInfo
from service.web.context import actor, context

# Ten thousand classes of a hundred letters.
LABELS_MAX = 1024 * 1024
RECIPE_MAX = 4096


class AliasBody(Strict):
    version: Version
    expected: Version | None = Field(
        None,
        description="the version that it names now; 409 where that is another. Left out: whatever it is; null: there is no such alias yet",
    )


class AliasMove(Shape):
    model: str
    alias: str
    from_version: int | None
    to_version: int | None


class AliasEvent(Shape):
    """A move of an alias."""

    id: int
    alias: str
    from_version: int | None
    to_version: int | None = Field(description="null: it was removed")
    is_rollback: bool
    changed_by: str
    changed_at: datetime


class AliasHistory(Shape):
    items: list[AliasEvent]


@endpoint(api, "GET", "/models", Role.VIEWER, summary="Models and their versions", answers={200: ModelList})
def list_models() -> Answer:
    """Every version with its aliases, labels, input, preprocessing recipe, metrics and the SHA-256 of its `.keras` file, newest first within its
    model."""
    return ModelList(items=[ModelVersionInfo.model_validate(item) for item in list_versions(context().sessions)])


@endpoint(api, "GET", "/models/<name>", Role.VIEWER, summary="The versions of one model", answers={200: ModelList})
def get_model(name: str) -> Answer:
    """Newest first."""
    return _versions(name)


def _versions(name: str) -> ModelList:
    items = [ModelVersionInfo.model_validate(item) for item in list_versions(context().sessions, model=name)]
    if not items:
        raise errors.NotFound(f"there is no model {name!r}: GET /api/v1/models shows them", field="name")
    return ModelList(items=items)


@endpoint(
    api,
    "PUT",
    "/models/<name>/aliases/<alias>",
    Role.EDITOR,
    summary="Move an alias",
    body=AliasBody,
    answers={200: AliasMove},
    errors=(errors.Conflict,),
    example='curl -s -X PUT -H "Authorization: Bearer $TOKEN" -H \'Content-Type: application/json\' -d \'{"version": 1, "expected": 1}\' '
    '"$PIXREF/api/v1/models/mnist/aliases/champion"',
)
def move_alias(name: str, alias: str, body: AliasBody) -> Answer:
    """Let it name a version from now on. Web processes follow within seconds, and no request fails meanwhile. With `expected` two who promote at once
    do not take each other's decision away unseen: the later gets 409 with what it is now. 409 too for a version that is retired or damaged."""
    expected = body.expected if "expected" in body.model_fields_set else aliases.ANYTHING
    moved = aliases.move_alias(context().sessions, name, alias, body.version, expected=expected, actor=actor())
    return AliasMove.model_validate(moved)


@endpoint(
    api,
    "POST",
    "/models/<name>/aliases/<alias>/rollback",
    Role.EDITOR,
    summary="Take the last move of an alias back",
    answers={200: AliasMove},
    errors=(errors.Conflict,),
)
def roll_back_alias(name: str, alias: str) -> Answer:
    """It names the version again that it named before, and once more the one before that. Retired and damaged versions are passed over; 409 where
    there is none to go back to."""
    return AliasMove.model_validate(aliases.roll_back(context().sessions, name, alias, actor=actor()))


@endpoint(
    api,
    "DELETE",
    "/models/<name>/aliases/<alias>",
    Role.EDITOR,
    summary="Remove an alias",
    answers={200: AliasMove},
    errors=(errors.Conflict,),
)
def remove_alias(name: str, alias: str) -> Answer:
    """The versions stay. The champion is what everybody gets who names no version: it can be moved, not removed."""
    return AliasMove.model_validate(aliases.remove_alias(context().sessions, name, alias, actor=actor()))


class ModelForm(Strict):
    labels: str = Field(
        min_length=1,
        max_length=LABELS_MAX,
        description="what its outputs mean, in order, separated by commas; or a JSON list of texts",
        json_schema_extra={"format": "labels"},
    )
    preprocessing: str | None = Field(
        None,
        max_length=RECIPE_MAX,
        description="recipe that brings a picture to its input, JSON text as `preprocessing` of GET /models shows it; left out: made from the input",
        json_schema_extra={"format": "preprocessing"},
    )


@endpoint(
    api,
    "POST",
    "/models/<name>/versions",
    Role.EDITOR,
    summary="Register a model",
    form=ModelForm,
    file=MODEL_FILE,
    answers={202: Job},
    keeps=True,
    errors=STORE_ERRORS,
    headers=JOB_HEADERS,
)
def register_version(name: str, file: FileStorage, form: ModelForm) -> Answer:
    """A job, which a worker begins at once: it vets the file in a confined process, converts it, compares both forms, and makes it the next version
    of the model; the first is champion. The result says `version`, or the job's `error` why it was refused. The same file with the same labels and
    recipe is registered once. A file that waits longer than a day is let go of."""
    ctx = context()
    job_id = deposit(
        ctx.sessions,
        ctx.store,
        file.stream,  # type: ignore[arg-type]
        name=name,
        labels=split_labels(form.labels),
        preprocessing=_recipe(form.preprocessing),
        actor=actor(),
    )
    return asked_for(job_id)


def _recipe(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        return Preprocessing.from_json(json.loads(text)).to_json()
    except (ValueError, RecursionError):
        raise errors.Invalid(
            "preprocessing is JSON text, a recipe as GET /api/v1/models shows it", field="preprocessing"
        ) from None


@endpoint(
    api, "GET", "/models/<name>/history", Role.VIEWER, summary="What a model's aliases named when", answers={200: AliasHistory}
)
def model_history(name: str) -> Answer:
    """Every move, newest first. It only grows."""
    return AliasHistory(items=[AliasEvent.model_validate(event) for event in aliases.history(context().sessions, name)])


@endpoint(
    api,
    "POST",
    "/models/<name>/versions/<int:version>/retire",
    Role.EDITOR,
    summary="Retire a version",
    answers={200: ModelList},
    errors=(errors.Conflict,),
)
def retire_version(name: str, version: int) -> Answer:
    """No new prediction is made by it; those that it made stay. 409 while an alias names it. Again is no error."""
    aliases.retire(context().sessions, name, version)
    return _versions(name)


@endpoint(
    api,
    "POST",
    "/models/<name>/versions/<int:version>/restore",
    Role.EDITOR,
    summary="Take a retired version back",
    answers={200: ModelList},
)
def restore_version(name: str, version: int) -> Answer:
    """Again is no error."""
    aliases.restore(context().sessions, name, version)
    return _versions(name)
