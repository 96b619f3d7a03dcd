"""Endpoints of long work: asking for it, looking how far it is, cancelling it."""

from datetime import datetime
from typing import Any, Literal

from flask import url_for
from pydantic import ConfigDict, Field

from service import errors
from service.accounts.actor import Role
from service.models.predicting import request_predictions
from service.settings import KIB
from service.web.api import api
from service.web.api.contract import Answer, endpoint
from service.web.api.fields import Id
from service.web.api.requests import Shape, Strict
from service.web.api.selecting import ONE_SELECTION, SelectionBody
from service.web.api.shapes import ONE_VERSION, ModelChoice
from service.web.context import actor, context
from service.work import ledger

PAGE_MAX = 500
# How soon it pays to look again.
LOOK_AGAIN_S = "1"
JOB_HEADERS = {"Location": "the job", "Retry-After": "seconds after which it pays to look"}


class JobError(Shape):
    code: str
    detail: str


class Job(Shape):
    """Long work that somebody asked for."""

    id: int
    task: str = Field(description="what is to be done, such as predict")
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    progress: float = Field(description="0 to 1")
    total: int | None = Field(description="how much there is to do; null while nobody knows")
    done: int = Field(description="how much of it is done, what failed included")
    failed: int = Field(description="parts that could not be done while the rest went on")
    message: str | None = Field(description="where it is, for people")
    error: JobError | None = Field(description="what made it fail")
    parameters: dict[str, Any] = Field(description="what was asked for")
    result: dict[str, Any] | None = Field(description="what came of it; while it runs, what is known of that")
    cancelling: bool = Field(description="whether it was cancelled and has not ended yet")
    created_by: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class JobPage(Shape):
    items: list[Job]
    next: int | None = Field(description="pass as `after` for the next page; null at the end")


class JobQuery(Strict):
    task: str | None = Field(None, max_length=32, pattern="^[a-z][a-z_]*$", description="only jobs of this kind, such as predict")
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"] | None = None
    limit: int = Field(50, ge=1, le=PAGE_MAX)
    after: Id | None = Field(None, description="`next` of the page before")


class PredictionsBody(ModelChoice, SelectionBody):
    """One of `ids`, `filter`, `where` and `all`."""

    model_config = ConfigDict(json_schema_extra={"allOf": [ONE_VERSION, ONE_SELECTION]})

    again: bool = Field(False, description="also those that this version has predicted already")


def _shown(info: ledger.JobInfo) -> Job:
    values = {name: getattr(info, name) for name in Job.model_fields if name != "progress"}
    return Job.model_validate({**values, "progress": info.progress or 0.0})


def asked_for(job_id: int) -> Answer:
    """Wake a worker for a job that was just made, and return the answer to whoever asked for it."""
    ctx = context()
    ctx.jobs.wake(job_id)
    info = ledger.find_job(ctx.sessions, job_id)
    return _shown(info), 202, {"Location": url_for("api.get_job", job_id=job_id), "Retry-After": LOOK_AGAIN_S}


def _looked_at(info: ledger.JobInfo) -> dict[str, str]:
    return {} if info.ended else {"Retry-After": LOOK_AGAIN_S}


@endpoint(
    api,
    "POST",
    "/predictions",
    Role.EDITOR,
    summary="Predict many stored pictures",
    body=PredictionsBody,
    answers={202: Job},
    errors=(errors.NotFound, errors.QueryRefused, errors.QueryError),
    max_body=512 * KIB,
    headers=JOB_HEADERS,
    example='curl -s -H "Authorization: Bearer $TOKEN" -H \'Content-Type: application/json\' -d \'{"model": "mnist", "filter": {"split": "test"}}\' '
    "$PIXREF/api/v1/predictions",
)
def predict_images(body: PredictionsBody) -> Answer:
    """A job, which a worker begins at once: one row for each picture and model version, by the version that the name stands for now. What this
    version has predicted is skipped. A picture that cannot be predicted gets a row with the reason, counts as `failed`, and is tried again by the
    next job. The result says `selected`, `skipped`, `predicted`, `failed`."""
    return asked_for(
        request_predictions(
            context().sessions,
            body.selection(),
            model=body.model,
            version=body.version,
            alias=body.alias,
            again=body.again,
            actor=actor(),
        )
    )


@endpoint(api, "GET", "/jobs", Role.VIEWER, summary="List jobs", query=JobQuery, answers={200: JobPage})
def list_jobs(query: JobQuery) -> Answer:
    """Newest first."""
    page = ledger.list_jobs(context().sessions, task=query.task, state=query.state, limit=query.limit, before=query.after)
    return JobPage(items=[_shown(info) for info in page.items], next=page.next)


@endpoint(api, "GET", "/jobs/<int:job_id>", Role.VIEWER, summary="One job", answers={200: Job})
def get_job(job_id: int) -> Answer:
    """How far it is; `Retry-After` says when it pays to look again, until it has ended. A runner that dies is noticed after half a minute, and
    another one goes on where it was."""
    info = ledger.find_job(context().sessions, job_id)
    return _shown(info), 200, _looked_at(info)


@endpoint(
    api, "POST", "/jobs/<int:job_id>/cancel", Role.EDITOR, summary="Cancel a job", answers={200: Job}, errors=(errors.Conflict,)
)
def cancel_job(job_id: int) -> Answer:
    """Cancelled at once while it waits; one that runs ends within seconds, and until then is `cancelling`. What was done stays done. 409 when it has
    ended."""
    info = ledger.cancel_job(context().sessions, job_id)
    return _shown(info), 200, _looked_at(info)
