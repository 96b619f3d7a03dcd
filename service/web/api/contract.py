"""One declaration an endpoint: its role, its input and its answers, as pydantic models. Validation and the OpenAPI text both come from it.

    @endpoint(api, "GET", "/images", Role.VIEWER, summary="List pictures", query=ImageQuery, answers={200: ImagePage})
    def list_images(query: ImageQuery) -> Answer: ...

A view gets what it declared as keyword arguments (`query`, `body`, `form`, and the path's own) and returns a model, or a model with a status
and headers. docs/decisions/0003-api-contract.md says why this is ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, get_origin

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import BadRequest, ClientDisconnected
from werkzeug.wrappers import Response as AnyResponse

from service.accounts.actor import Role
from service.errors import Invalid
from service.web.access import access

JSON = "application/json"
M = TypeVar("M", bound=BaseModel)


class Strict(BaseModel):
    """Base of every input: a field that nobody knows is an error, not silence. Built at its first use, so that the start need not wait."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Shape(BaseModel):
    """Base of every output; `model_validate` takes what the use cases return, where the names are the same."""

    model_config = ConfigDict(frozen=True, from_attributes=True, ser_json_inf_nan="null", defer_build=True)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What one endpoint declares."""

    method: str
    path: str
    name: str
    role: Role | None
    summary: str
    description: str
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    form: type[BaseModel] | None
    file_required: bool
    answers: Mapping[int, type[BaseModel] | str]


Answer = BaseModel | tuple[BaseModel | None, int] | tuple[BaseModel | None, int, Mapping[str, str]] | AnyResponse

ENDPOINTS: dict[str, list[Endpoint]] = {}


def from_query(model: type[M], values: MultiDict[str, str]) -> M:
    """Return what a query string means. Raises `Invalid` naming the parameter."""
    return _from_fields(model, _lists(model), values)


def _lists(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(name for name, field in model.model_fields.items() if get_origin(field.annotation) in (list, tuple))


def _from_fields(model: type[M], lists: frozenset[str], values: MultiDict[str, str]) -> M:
    plain: dict[str, Any] = {name: values.getlist(name) if name in lists else value for name, value in values.items()}
    for name in plain:
        if name not in lists and len(values.getlist(name)) > 1:
            raise Invalid(f"{name} is given more than once", field=name)
    return _validated(model, plain)


def _validated(model: type[M], value: Any) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        problem = exc.errors(include_url=False, include_context=False, include_input=False)[0]
        field = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            raise Invalid(f"{field} is not known here: use {', '.join(model.model_fields)}", field=field) from None
        message = problem["msg"].removeprefix("Value error, ")
        raise Invalid(f"{field or 'the body'}: {message[:1].lower()}{message[1:]}", field=field or "body") from None


def _json_body() -> Any:
    if request.mimetype != JSON:
        raise Invalid(f"send Content-Type: {JSON}, not {request.mimetype or 'none'}", field="body")
    try:
        return request.get_json()
    except ClientDisconnected:
        raise
    except (BadRequest, RecursionError):  # or nested beyond all measure
        raise Invalid("the body is not JSON", field="body") from None


def one_file(required: bool = True) -> FileStorage | None:
    """Return the request's single file under the name `file`. Raises `Invalid`."""
    files = request.files.getlist("file")
    others = sorted(set(request.files) - {"file"})
    if others:
        raise Invalid(f"a file is named {others[0]!r}: send one file, named 'file'", field="file")
    if len(files) > 1:
        raise Invalid("more than one file: send one a request", field="file")
    if not files and required:
        raise Invalid("no file: send multipart/form-data with the picture in a part named 'file'", field="file")
    return files[0] if files else None


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
    """Return an answer of the declared shape that was put together without its model, where that is made of hundreds of parts: a model of each
    takes longer than all the rest. The tests compare such answers with the models."""
    return Response(to_json(value, inf_nan_mode="null"), content_type=JSON)


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
    keeps: bool = False,
) -> Callable[[Callable[..., Answer]], Callable[..., AnyResponse]]:
    """Register a view with its contract. An answer is a model, or a media type for bytes; `form` means multipart with one file.

    `keeps` says that the file is kept (`service.web.access`).
    """
    query_lists = _lists(query) if query else frozenset()
    form_lists = _lists(form) if form else frozenset()

    def register(view: Callable[..., Answer]) -> Callable[..., AnyResponse]:
        @wraps(view)
        def call(**arguments: Any) -> AnyResponse:
            if query is not None:
                arguments["query"] = _from_fields(query, query_lists, request.args)
            if form is not None:
                arguments["file"] = one_file()
                arguments["form"] = _from_fields(form, form_lists, request.form)
            if body is not None:
                arguments["body"] = _validated(body, _json_body())
            return _respond(view(**arguments))

        declared = access(role, body="picture" if form is not None else "small", keeps=keeps)(call)
        blueprint.add_url_rule(path, endpoint=view.__name__, view_func=declared, methods=[method])
        ENDPOINTS.setdefault(blueprint.name, []).append(
            Endpoint(
                method=method.lower(),
                path=path,
                name=view.__name__,
                role=role,
                summary=summary,
                description=(view.__doc__ or "").strip(),
                query=query,
                body=body,
                form=form,
                file_required=form is not None,
                answers=answers,
            )
        )
        return declared

    return register
