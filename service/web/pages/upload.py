"""The upload page. Without JavaScript it takes many files at once; with it, `static/upload.js` sends each by the API."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import render_template, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.datastructures import FileStorage

from service.accounts.actor import Role
from service.errors import Invalid, PixrefError, Unavailable
from service.faults import translate
from service.pictures import upload
from service.pictures.in_use import names_in_use
from service.web.access import access
from service.web.context import actor, context
from service.web.files import read_file
from service.web.pages.blueprint import pages
from service.web.problems import problem_body
from storage.base import StoreError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file. Neither picture nor problem: it was not tried, because the one before met a part that is down."""

    file_name: str
    image_id: int | None = None
    created: bool = False
    problem: dict[str, Any] | None = None


def split_tags(text: str) -> list[str]:
    """Return the tags of a field whose tags are separated by commas."""
    return [tag for tag in text.split(",") if tag.strip()]


def _send_one(file: FileStorage, description: upload.Description) -> upload.Uploaded:
    ctx = context()
    data = read_file(file, ctx.settings.max_upload_bytes)
    named = replace(description, original_name=file.filename)
    return upload.upload_image(ctx.sessions, ctx.store, data, named, limits=ctx.limits, source="form", actor=actor())


def send(files: Sequence[FileStorage], description: upload.Description) -> list[Outcome]:
    """Keep each file on its own, so that a bad one does not stop the others."""
    outcomes: list[Outcome] = []
    stopped = False
    for file in files:
        name = file.filename or ""
        if stopped:
            outcomes.append(Outcome(name))
            continue
        try:
            done = _send_one(file, description)
        except (PixrefError, StoreError, SQLAlchemyError) as exc:
            error = translate(exc)
            if error is None:
                raise
            stopped = isinstance(error, Unavailable)
            if stopped:
                log.warning("a dependency failed", extra={"code": error.code, "reason": str(exc).splitlines()[0]})
            outcomes.append(Outcome(name, problem=problem_body(error)))
        else:
            outcomes.append(Outcome(name, done.image_id, done.created))
    return outcomes


def status_of(outcomes: Sequence[Outcome]) -> int:
    """Return 200 when anything was kept, else the status that all problems share, else 422."""
    if any(outcome.image_id for outcome in outcomes):
        return 200
    statuses = {outcome.problem["status"] for outcome in outcomes if outcome.problem}
    return int(statuses.pop()) if len(statuses) == 1 else Invalid.status


@pages.get("/upload", endpoint="upload")
@access(Role.EDITOR)
def show_form() -> str:
    """Show the form."""
    ctx = context()
    labels, tags, splits = names_in_use(ctx.sessions)
    return render_template("upload.html", labels=labels, tags=tags, splits=splits, settings=ctx.settings)


@pages.post("/upload")
@access(Role.EDITOR, body="form", keeps=True)
def send_files() -> tuple[str, int]:
    """Keep the files of the plain form and show what became of each."""
    form = request.form
    files = [file for file in request.files.getlist("file") if file.filename]
    if not files:
        raise Invalid("no file was chosen: choose one or more PNG files", field="file")
    description = upload.Description(
        label=form.get("label"), tags=split_tags(form.get("tags", "")), split=form.get("split", "").strip()
    )
    outcomes = send(files, description)
    return render_template("uploaded.html", outcomes=outcomes), status_of(outcomes)
