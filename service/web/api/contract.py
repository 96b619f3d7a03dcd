"""One declaration an endpoint: its role, its input, its answers and its errors. Validation and the OpenAPI text both come from it.

    @endpoint(api, "GET", "/images", Role.VIEWER, summary="List pictures", query=ImageQuery, answers={200: ImagePage})
    def list_images(query: ImageQuery) -> Answer: ...

A view gets what it declared as keyword arguments (`query`, `body`, `form`, and the path's own) and returns a model, or a model with a status
and headers. docs/decisions/0003-api-contract.md says why this is ours.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

from flask import Blueprint, Response
from pydantic import BaseModel
from pydantic_core import to_json
from werkzeug.wrappers import Response as AnyResponse

from service.accounts.actor import Role
from service.errors import BadImage, BadModel, PixrefError, TooManyPixels
from service.settings import KIB
from service.web.access import access
from service.web.api.requests import JSON, Shape, Strict, TextReader, json_body, no_query, one_file, validated

__all__ = ["ENDPOINTS", "JSON", "Answer", "Endpoint", "Shape", "Strict", "endpoint", "one_file"]

# A body where none is meant is not read further than this.
NO_BODY = 1 * KIB
BODY = 16 * KIB


@dataclass(frozen=True, slots=True)
class FileKind:
    """What the file of a form is: which limit it has (`service.web.access`), its media type, what the document says of it, and the errors that
    name what is wrong with it."""

    body: str
    media_type: str
    description: str
    errors: tuple[type[PixrefError], ...]


PICTURE = FileKind("picture", "image/png", "the PNG file", (BadImage, TooManyPixels))
MODEL_FILE = FileKind("model", "application/octet-stream", "the .keras file", (BadModel,))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What one endpoint declares. `errors` are those beside what every endpoint of its kind can answer (`service.web.api.openapi`)."""

    method: str
    path: str
    name: str
    role: Role | None
    summary: str
    description: str
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    form: type[BaseModel] | None
    file: FileKind
    file_required: bool
    answers: Mapping[int, type[BaseModel] | str]
    errors: Sequence[type[PixrefError]]
    max_body: int
    headers: Mapping[str, str]
    sends: Mapping[str, Mapping[str, Any]]
    example: str | None


Answer = BaseModel | tuple[BaseModel | None, int] | tuple[BaseModel | None, int, Mapping[str, str]] | AnyResponse

ENDPOINTS: dict[str, list[Endpoint]] = {}


def _respond(answer: Answer) -> AnyResponse:
    if isinstance(answer, AnyResponse):
        return answer
    value, status, headers = (answer, 200, {}) if isinstance(answer, BaseModel) else (*answer, {})[:3]
    if value is None:
        response = Response(status=status)
        del response.headers["Content-Type"]
    else:
        response = Response(value.model_dump_json(), status=status, content_type=JSON)
    if headers:
        response.headers.update(headers)
    return response


def written(value: object) -> AnyResponse:
    """Return an answer of the declared shape that was put together without its model, or is JSON text already, where that is made of hundreds of
    parts: a model of each takes longer than all the rest. The tests compare such answers with the models."""
    return Response(value if isinstance(value, str) else to_json(value, inf_nan_mode="null"), content_type=JSON)


def endpoint(
    blueprint: Blueprint,
    method: str,
    path: str,
    role: Role | None,
    *,
    summary: str,
    answers: Mapping[int, type[BaseModel] | str],
    query: type[BaseModel] | None = None,
    body: type[BaseModel] | None = None,
    form: type[BaseModel] | None = None,
    file: FileKind = PICTURE,
    keeps: bool = False,
    errors: Sequence[type[PixrefError]] = (),
    max_body: int | None = None,
    headers: Mapping[str, str] | None = None,
    sends: Mapping[str, Mapping[str, Any]] | None = None,
    example: str | None = None,
    name: str | None = None,
    description: str | None = None,
) -> Callable[[Callable[..., Answer]], Callable[..., AnyResponse]]:
    """Register a view with its contract. An answer is a model, or a media type for bytes; `form` means multipart with one file, of the kind `file`.

    `keeps` says that the file is kept (`service.web.access`). `max_body` is the limit in bytes of a JSON body. `headers` are what answers with a
    status below 400 carry, and what they say; `sends` the headers that a request may have, with their schemas. `example` is a command for the
    shell that works after the sign-in of the introduction. `name` and `description` are the view's own unless given.
    """
    query_reader = TextReader(query) if query else None
    form_reader = TextReader(form) if form else None
    limit = max_body or (BODY if body is not None else NO_BODY)

    def register(view: Callable[..., Answer]) -> Callable[..., AnyResponse]:
        @wraps(view)
        def call(**arguments: Any) -> AnyResponse:
            if query_reader is not None:
                arguments["query"] = query_reader.query()
            else:
                no_query()
            if form_reader is not None:
                arguments["file"] = one_file()
                arguments["form"] = form_reader.form()
            if body is not None:
                arguments["body"] = validated(body, json_body())
            return _respond(view(**arguments))

        view_name = name or view.__name__
        kind = file.body if form is not None else "small"
        declared = access(role, body=kind, keeps=keeps, max_body=limit)(call)
        blueprint.add_url_rule(path, endpoint=view_name, view_func=declared, methods=[method])
        ENDPOINTS.setdefault(blueprint.name, []).append(
            Endpoint(
                method=method.lower(),
                path=path,
                name=view_name,
                role=role,
                summary=summary,
                description=(description or view.__doc__ or "").strip(),
                query=query,
                body=body,
                form=form,
                file=file,
                file_required=form is not None,
                answers=answers,
                errors=errors,
                max_body=limit,
                headers=headers or {},
                sends=sends or {},
                example=example,
            )
        )
        return declared

    return register
