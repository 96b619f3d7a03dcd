"""Endpoints that run models."""

from werkzeug.datastructures import FileStorage

from service.accounts.actor import Role
from service.models.registry import list_versions
from service.models.serving import ModelRef
from service.web.api import api
from service.web.api.contract import Answer, endpoint
from service.web.api.shapes import ModelChoice, ModelList, ModelVersionInfo, Prediction
from service.web.context import actor, context
from service.web.files import read_file


@endpoint(
    api,
    "POST",
    "/images/<int:image_id>/predictions",
    Role.EDITOR,
    summary="Predict a stored picture",
    body=ModelChoice,
    answers={201: Prediction, 200: Prediction},
)
def predict_image(image_id: int, body: ModelChoice) -> Answer:
    """The result is a row with foreign keys to picture and model version; predicting again replaces it. 200 where the database takes no rows
    at the moment: the prediction is right, and not stored."""
    outcome = context().models.predict_image(image_id, ModelRef(body.model, body.version, body.alias), actor=actor())
    return Prediction.model_validate(outcome), 201 if outcome.stored else 200


@endpoint(
    api,
    "POST",
    "/predict",
    Role.VIEWER,
    summary="Predict a picture without storing it",
    form=ModelChoice,
    answers={200: Prediction},
)
def predict_file(file: FileStorage, form: ModelChoice) -> Answer:
    """Nothing is kept."""
    ctx = context()
    data = read_file(file, ctx.settings.max_upload_bytes)
    return Prediction.model_validate(
        ctx.models.predict_bytes(data, ModelRef(form.model, form.version, form.alias), limits=ctx.limits)
    )


@endpoint(api, "GET", "/models", Role.VIEWER, summary="Models and their versions", answers={200: ModelList})
def list_models() -> Answer:
    """Every version, newest first within its model."""
    return ModelList(items=[ModelVersionInfo.model_validate(item) for item in list_versions(context().sessions)])
