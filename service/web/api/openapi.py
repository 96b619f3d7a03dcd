"""The OpenAPI 3.1 document, made from the endpoints' own declarations and the catalogue of errors."""

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service import errors
from service.accounts.actor import Role
from service.errors import PixrefError
from service.models.registry import ALIAS_PATTERN, NAME_PATTERN
from service.web.api.contract import ENDPOINTS, JSON, Endpoint
from service.web.api.fields import SCHEMAS
from service.web.api.introduction import INTRODUCTION, ORDER, SECTIONS
from service.web.api.shapes import Problem

PROBLEM_JSON = "application/problem+json"
# What stands for a name in a path. Another text names nothing (404), or is refused where it would have to be kept.
_NAMES = {"name": f"^{NAME_PATTERN}$", "alias": f"^{ALIAS_PATTERN}$"}
_CONVERTER = re.compile(r"<(?:int:)?(\w+)>")
_REF = "#/components/schemas/{model}"
_MEANINGS = {
    200: "done",
    201: "made",
    202: "accepted",
    204: "gone",
    206: "a part of it",
    302: "a presigned URL",
    304: "not changed",
}
_METHODS = ("get", "post", "put", "patch", "delete")
_BOOLEAN_TEXT = {"type": "string", "enum": ["true", "false", "1", "0"]}

_ALWAYS = (
    PixrefError,
    errors.DatabaseUnavailable,
    errors.DatabaseBusy,
    errors.DatabaseTimeout,
    errors.DatabaseFull,
    errors.Invalid,
)
_WITH_BODY = (errors.CsrfFailed, errors.TooSlow, errors.TooLarge)
_WITH_FILE = (errors.Busy, errors.TempFull)
STORE_ERRORS = (
    errors.StorageUnavailable,
    errors.StorageBusy,
    errors.StorageTimeout,
    errors.StorageFull,
    errors.StorageAuth,
    errors.StorageClockSkew,
    errors.StorageMisconfigured,
)
"""What an endpoint can answer that needs the bucket."""


def _models(endpoints: list[Endpoint]) -> list[type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {Problem.__name__: Problem}
    for item in endpoints:
        for model in (item.query, item.body, item.form, *item.answers.values()):
            if isinstance(model, type):
                assert found.setdefault(model.__name__, model) is model, f"two models are named {model.__name__}"
    return list(found.values())


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema for text: an address or a form has no null, and truth stands there as a word."""
    plain = {key: value for key, value in schema.items() if key != "title"}
    if plain.get("default", ()) in (None, []):
        del plain["default"]
    options = [option for option in plain.pop("anyOf", []) if option.get("type") != "null"]
    if len(options) == 1:
        plain |= options[0]
    elif options:
        plain["anyOf"] = options
    if plain.get("type") == "boolean":
        default = plain.pop("default", None)
        plain |= _BOOLEAN_TEXT
        if default is not None:
            plain["default"] = str(default).lower()
    return plain


def _path_parameter(item: Endpoint, name: str) -> dict[str, Any]:
    number = f"<int:{name}>" in item.path
    schema = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1} if number else {"type": "string", "pattern": _NAMES[name]}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def parameter_schema(parameter: dict[str, Any]) -> dict[str, Any]:
    """Return what a parameter of the document may be."""
    found: dict[str, Any] = parameter["schema"] if "schema" in parameter else parameter["content"][JSON]["schema"]
    return found


def _parameters(item: Endpoint, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    parameters = [_path_parameter(item, name) for name in _CONVERTER.findall(item.path)]
    if item.query is not None:
        schema = schemas[item.query.__name__]
        for name, field in schema.get("properties", {}).items():
            plain = _without_null(field)
            described = {"description": text} if (text := plain.pop("description", "")) else {}
            required = name in schema.get("required", [])
            if plain.get("default") == {}:
                del plain["default"]
            # An object stands in an address as JSON text.
            form = {"content": {JSON: {"schema": plain}}} if plain.get("type") == "object" else {"schema": plain}
            parameters.append({"name": name, "in": "query", "required": required, **described, **form})
    for name, field in item.sends.items():
        plain = dict(field)
        described = {"description": text} if (text := plain.pop("description", "")) else {}
        parameters.append({"name": name, "in": "header", "required": False, **described, "schema": plain})
    return parameters


def _request_body(item: Endpoint, schemas: dict[str, Any]) -> dict[str, Any] | None:
    if item.body is not None:
        return {"required": True, "content": {JSON: {"schema": {"$ref": _REF.format(model=item.body.__name__)}}}}
    if item.form is None:
        return None
    fields = schemas[item.form.__name__]
    properties: dict[str, Any] = {
        "file": {
            "type": "string",
            "format": "binary",
            "contentMediaType": item.file.media_type,
            "description": item.file.description,
        },
        **{name: _without_null(field) for name, field in fields.get("properties", {}).items()},
    }
    encoding = {"file": {"contentType": item.file.media_type}}
    encoding |= {
        name: {"contentType": JSON} for name, field in properties.items() if "$ref" in field or field.get("type") == "object"
    }
    schema = {**fields, "properties": properties, "required": ["file", *fields.get("required", [])]}
    return {"required": True, "content": {"multipart/form-data": {"schema": schema, "encoding": encoding}}}


def _errors(item: Endpoint) -> dict[int, list[type[PixrefError]]]:
    """Return every error that an endpoint can answer with, by status."""
    found: list[type[PixrefError]] = [*_ALWAYS]
    if item.role is not None:
        found.append(errors.NotSignedIn)
        if item.role is not Role.VIEWER:
            found.append(errors.Forbidden)
    if item.method not in ("get", "head"):
        found += _WITH_BODY
    if item.form is not None:
        found += (*item.file.errors, *_WITH_FILE)
    if "<" in item.path:
        found.append(errors.NotFound)
    by_status: dict[int, list[type[PixrefError]]] = {}
    for kind in dict.fromkeys([*found, *item.errors]):
        by_status.setdefault(kind.status, []).append(kind)
    return dict(sorted(by_status.items()))


def _header(description: str, *, required: bool = True, **schema: Any) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": {"type": "string", **schema}}


_REQUEST_ID = {"X-Request-Id": _header("the request's number, in the log too", pattern="^[A-Za-z0-9._-]{1,64}$")}


def _problem(status: int, kinds: Iterable[type[PixrefError]]) -> dict[str, Any]:
    kinds = list(kinds)
    headers = dict(_REQUEST_ID)
    if status == 401:
        headers["WWW-Authenticate"] = _header("the scheme to sign in by", enum=["Bearer"])
    if any(kind.retry_after_s is not None for kind in kinds):
        headers["Retry-After"] = _header("seconds to wait, where a repetition may succeed", required=False, pattern="^[0-9]+$")
    first = kinds[0]
    example = {
        "type": f"urn:pixref:problem:{first.code}",
        "title": first.title,
        "status": status,
        "detail": "what was wrong, the limit and the way out",
        "code": first.code,
        "retryable": first.retryable,
        "request_id": "9f2c1a7be04d4f6c8d1f1c2b3a4d5e6f",
    }
    return {
        "description": "; ".join(f"`{kind.code}`: {kind.title[0].lower()}{kind.title[1:]}" for kind in kinds),
        "headers": headers,
        "content": {PROBLEM_JSON: {"schema": {"$ref": _REF.format(model=Problem.__name__)}, "example": example}},
    }


def _answers(item: Endpoint) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for status, shape in item.answers.items():
        headers = {**_REQUEST_ID, **{name: _header(text) for name, text in item.headers.items()}}
        answer: dict[str, Any] = {"description": _MEANINGS.get(status, "answer"), "headers": headers}
        if isinstance(shape, str):
            if shape:
                answer["content"] = {shape: {"schema": {"type": "string", "format": "binary"}}}
        else:
            answer["content"] = {JSON: {"schema": {"$ref": _REF.format(model=shape.__name__)}}}
        answers[str(status)] = answer
    for status, kinds in _errors(item).items():
        answers[str(status)] = _problem(status, kinds)
    return answers


def section_of(path: str) -> str:
    """Return the section of the reference that a path belongs to: by its last word, else by its first."""
    words = [word for word in path.split("/") if word and not word.startswith("<")]
    return next((section for section, (first, _) in SECTIONS.items() if words[-1] in first or words[0] in first), "Other")


def _place(item: Endpoint) -> tuple[int, str, int]:
    """Return where an endpoint stands in the document, which does not depend on the order of imports."""
    section = section_of(item.path)
    return ORDER.index(section) if section in ORDER else len(ORDER), item.path, _METHODS.index(item.method)


def _link(operation: dict[str, Any], made: Endpoint, endpoints: list[Endpoint]) -> None:
    """Say which endpoints take the id of what one has made."""
    shape = made.answers.get(201)
    if made.method != "post" or isinstance(shape, str) or shape is None or "id" not in shape.model_fields:
        return
    following = {
        item.name: match[1] for item in endpoints if (match := re.match(re.escape(made.path) + r"/<int:(\w+)>", item.path))
    }
    if following:
        operation["responses"]["201"]["links"] = {
            name: {"operationId": name, "parameters": {parameter: "$response.body#/id"}} for name, parameter in following.items()
        }


def _operation(item: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": item.name,
        "tags": [section_of(item.path)],
        "summary": item.summary,
        "description": " ".join(item.description.split("\n")) if "\n\n" not in item.description else item.description,
        "parameters": _parameters(item, schemas),
        "responses": _answers(item),
        "security": [] if item.role is None else [{"bearer": []}],
    }
    if item.role is not None:
        operation["x-role"] = item.role.value
    if body := _request_body(item, schemas):
        operation["requestBody"] = body
    if item.body is not None:
        operation["x-max-body-bytes"] = item.max_body
    if item.example:
        operation["x-codeSamples"] = [{"lang": "Shell", "source": item.example}]
    return operation


def document(*, blueprint: str, prefix: str, version: str, max_upload_bytes: int | None = None) -> dict[str, Any]:
    """Return the document for a blueprint's endpoints, and for a server that takes files of at most `max_upload_bytes`."""
    endpoints = sorted(ENDPOINTS.get(blueprint, []), key=_place)
    _, definitions = models_json_schema([(model, "validation") for model in _models(endpoints)], ref_template=_REF)
    schemas: dict[str, Any] = {**definitions["$defs"], **SCHEMAS}
    if max_upload_bytes is not None and "DirectUploadBody" in schemas:
        schemas["DirectUploadBody"]["properties"]["byte_size"]["maximum"] = max_upload_bytes
    paths: dict[str, Any] = {}
    for item in endpoints:
        paths.setdefault(prefix + _CONVERTER.sub(r"{\1}", item.path), {})[item.method] = _operation(item, schemas)
        _link(paths[prefix + _CONVERTER.sub(r"{\1}", item.path)][item.method], item, endpoints)
    # Forms and queries stand in the operations themselves, as texts.
    unused = {model.__name__ for item in endpoints for model in (item.query, item.form) if model is not None}
    unused -= {item.body.__name__ for item in endpoints if item.body is not None}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Pixref", "version": version, "description": INTRODUCTION},
        "tags": [
            {"name": name, "description": SECTIONS[name][1] if name in SECTIONS else ""}
            for name in dict.fromkeys(section_of(item.path) for item in endpoints)
        ],
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in schemas.items() if name not in unused},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "`pixref token create --role editor --name NAME`"}
            },
        },
    }
