"""Endpoints that run models."""

from werkzeug.datastructures import FileStorage

from service import errors
from service.accounts.actor import Role
from service.models.serving import ModelRef
from service.settings import KIB
from service.web.api import api
from service.web.api.contract import Answer, endpoint
from service.web.api.openapi import STORE_ERRORS
from service.web.api.shapes import ModelChoice, Prediction
from service.web.context import actor, context
from service.web.files import read_file

MODEL_ERRORS = (
    errors.Busy,
    errors.ModelCorrupt,
    errors.ModelInput,
    errors.ModelLoading,
    errors.ModelOutputInvalid,
    errors.ModelTimeout,
    errors.ModelUnavailable,
    errors.PredictorCrashed,
)


@endpoint(
    api,
    "POST",
    "/images/<int:image_id>/predictions",
    Role.EDITOR,
    summary="Predict a stored picture",
    body=ModelChoice,
    answers={201: Prediction, 200: Prediction},
    errors=(*MODEL_ERRORS, errors.ObjectLost, errors.ObjectCorrupt, *STORE_ERRORS),
    max_body=4 * KIB,
    example='curl -s -H "Authorization: Bearer $TOKEN" -H \'Content-Type: application/json\' -d \'{"model": "mnist"}\' '
    "$PIXREF/api/v1/images/1/predictions",
)
def predict_image(image_id: int, body: ModelChoice) -> Answer:
    """`{"model": "mnist"}`, optional `"version": 3` or `"alias": "champion"`. 201, and one row for each picture and model version, with foreign
    keys to both; predicting again replaces it. While the database takes no rows (its disk is full, or it is a standby that only reads) 200 and
    the prediction with `"stored": false`."""
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
    errors=(errors.NotFound, *MODEL_ERRORS, *STORE_ERRORS),
)
def predict_file(file: FileStorage, form: ModelChoice) -> Answer:
    """The same without a row: nothing is kept."""
    ctx = context()
    data = read_file(file, ctx.settings.max_upload_bytes)
    return Prediction.model_validate(
        ctx.models.predict_bytes(data, ModelRef(form.model, form.version, form.alias), limits=ctx.limits)
    )
