"""Endpoints of training models on stored pictures, and of measuring them by these."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

from service import errors
from service.accounts.actor import Role
from service.learning.evaluating import request_evaluation
from service.learning.evaluations import LIST_MAX, find_evaluation, list_evaluations
from service.learning.training import SIDE_MAX, SIDE_MIN, VALIDATION_SHARE, request_training
from service.models.training.plan import MAX_EPOCHS, Augmentation, Plan
from service.settings import KIB
from service.web.api import api
from service.web.api.contract import Answer, endpoint
from service.web.api.fields import Alias, Id, ModelName, Version, whole
from service.web.api.jobs import JOB_HEADERS, Job, asked_for
from service.web.api.requests import Shape, Strict
from service.web.api.selecting import ONE_SELECTION, SelectionBody
from service.web.api.shapes import ONE_VERSION, ModelChoice
from service.web.context import actor, context

_Epochs = Annotated[int, Field(ge=1, le=MAX_EPOCHS), BeforeValidator(whole)]
_BatchSize = Annotated[int, Field(ge=1, le=4096), BeforeValidator(whole)]
_Seed = Annotated[int, Field(ge=0, le=2**31 - 1), BeforeValidator(whole)]
_SideOfInput = Annotated[int, Field(ge=SIDE_MIN, le=SIDE_MAX), BeforeValidator(whole)]
_ONE_BASE: dict[str, Any] = {"anyOf": [{"properties": {name: {"type": "null"}}} for name in ("from_version", "from_alias")]}


class TrainingBody(SelectionBody):
    """One of `ids`, `filter`, `where` and `all` says on which pictures; those without a label and those of the split `test` are left out."""

    model_config = ConfigDict(json_schema_extra={"allOf": [_ONE_BASE, ONE_SELECTION]})

    model: ModelName = Field(description="whose next version it becomes")
    epochs: _Epochs = Field(3, description="how often each picture is seen")
    batch_size: _BatchSize | None = Field(None, description="null: 128, or down to 16 for few pictures")
    learning_rate: float | None = Field(
        None, gt=0, le=1, description="the highest; null: 0.003, or 0.0005 for a version that is trained on"
    )
    seed: _Seed = Field(0, description="all chance follows it")
    augmentation: Augmentation = Field(
        "light", description="turn, scale and shift each picture a little; `flip`: and mirror half of them"
    )
    from_version: Version | None = Field(None, description="train this version on instead of a new network")
    from_alias: Alias | None = Field(None, description="or the one behind this alias")
    size: _SideOfInput | None = Field(None, description="pixels a side that a new network takes; null: what most pictures have")
    validation: float = Field(
        VALIDATION_SHARE, ge=0, le=0.5, description="share that is kept aside where no picture has the split `validation`"
    )


class EvaluationBody(ModelChoice, SelectionBody):
    """One of `ids`, `filter`, `where` and `all` says by which pictures; those without a label are left out."""

    model_config = ConfigDict(json_schema_extra={"allOf": [ONE_VERSION, ONE_SELECTION]})

    again: bool = Field(False, description="predict anew what this version has predicted already")


class EvaluationInfo(Shape):
    """How well a version did on a frozen set of labelled pictures."""

    id: int
    model: str
    version: int
    snapshot: str = Field(description="digest of the set of pictures: evaluations of one set can be compared")
    pictures: int = Field(description="that were predicted")
    failed: int = Field(description="that could not be predicted, or were gone")
    correct: int
    accuracy: float | None = Field(description="0 to 1; null: nothing was predicted")
    macro_f1: float | None = Field(description="mean of the labels' F1")
    log_loss: float | None = Field(description="in nats, over pictures whose label the version knows")
    calibration_error: float | None = Field(description="expected calibration error, 0 to 1")
    leaked: int | None = Field(description="pictures that the version was trained on; null: what it was trained on is not known")
    leaked_near: int | None = Field(description="pictures that look like one that it was trained on")
    created_by: str | None
    created_at: datetime


class EvaluationCell(Shape):
    label: str
    predicted: str
    pictures: int


class EvaluationClass(Shape):
    label: str
    pictures: int = Field(description="that have it")
    precision: float | None = Field(description="null: the version sees none as it")
    recall: float | None = Field(description="null: none has it")
    f1: float | None


class EvaluationBin(Shape):
    score_from: float
    score_to: float
    pictures: int
    mean_score: float
    accuracy: float = Field(description="share that is right; a calibrated model has its mean score here")


class Evaluation(EvaluationInfo):
    """The same with the confusion matrix (cells that are not empty), each label and the calibration."""

    cells: list[EvaluationCell]
    classes: list[EvaluationClass]
    bins: list[EvaluationBin]


class EvaluationPage(Shape):
    items: list[EvaluationInfo]
    next: int | None = Field(description="pass as `after` for the next page; null at the end")


class EvaluationQuery(Strict):
    model: ModelName | None = None
    limit: int = Field(50, ge=1, le=LIST_MAX)
    after: Id | None = Field(None, description="`next` of the page before")


@endpoint(
    api,
    "POST",
    "/trainings",
    Role.EDITOR,
    summary="Train a model on stored pictures",
    body=TrainingBody,
    answers={202: Job},
    errors=(errors.NotFound, errors.QueryRefused, errors.QueryError),
    max_body=512 * KIB,
    headers=JOB_HEADERS,
    example="curl -s -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' "
    '-d \'{"model": "digits", "all": true, "epochs": 3}\' "$PIXREF/api/v1/trainings"',
)
def train_model(body: TrainingBody) -> Answer:
    """A job: it freezes the pictures, trains a classifier on them in a process of its own, registers it as the next version of `model`, and measures
    it by those of the split `test`. The result says `snapshot` (the digest of what it learned from), `version`, `epochs`, and `measured`."""
    plan = Plan(
        epochs=body.epochs,
        batch_size=body.batch_size,
        learning_rate=body.learning_rate,
        seed=body.seed,
        augmentation=body.augmentation,
    )
    return asked_for(
        request_training(
            context().sessions,
            body.selection(),
            model=body.model,
            plan=plan,
            from_version=body.from_version,
            from_alias=body.from_alias,
            side=body.size,
            validation=body.validation,
            actor=actor(),
        )
    )


@endpoint(
    api,
    "POST",
    "/evaluations",
    Role.EDITOR,
    summary="Measure a version by labelled pictures",
    body=EvaluationBody,
    answers={202: Job},
    errors=(errors.NotFound, errors.QueryRefused, errors.QueryError),
    max_body=512 * KIB,
    headers=JOB_HEADERS,
    example='curl -s -H "Authorization: Bearer $TOKEN" -H \'Content-Type: application/json\' -d \'{"filter": {"split": "test"}}\' '
    '"$PIXREF/api/v1/evaluations"',
)
def evaluate_model(body: EvaluationBody) -> Answer:
    """A job: it freezes the pictures, predicts those that the version has not predicted, and counts. The result says `evaluation`, whose id leads to
    everything else."""
    return asked_for(
        request_evaluation(
            context().sessions,
            body.selection(),
            model=body.model,
            version=body.version,
            alias=body.alias,
            again=body.again,
            actor=actor(),
        )
    )


@endpoint(
    api, "GET", "/evaluations", Role.VIEWER, summary="List evaluations", query=EvaluationQuery, answers={200: EvaluationPage}
)
def get_evaluations(query: EvaluationQuery) -> Answer:
    """Newest first."""
    found = list_evaluations(context().sessions, model=query.model, limit=query.limit + 1, before=query.after)
    items = [EvaluationInfo.model_validate(info) for info in found[: query.limit]]
    return EvaluationPage(items=items, next=items[-1].id if len(found) > query.limit else None)


@endpoint(api, "GET", "/evaluations/<int:evaluation_id>", Role.VIEWER, summary="One evaluation", answers={200: Evaluation})
def get_evaluation(evaluation_id: int) -> Answer:
    """With the confusion matrix, each label's figures, and the calibration."""
    report = find_evaluation(context().sessions, evaluation_id)
    info = EvaluationInfo.model_validate(report.info)
    return Evaluation(
        **info.model_dump(),
        cells=[EvaluationCell.model_validate(each) for each in report.cells],
        classes=[EvaluationClass.model_validate(each) for each in report.classes],
        bins=[EvaluationBin.model_validate(each) for each in report.bins],
    )
