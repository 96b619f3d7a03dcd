"""The OpenAPI 3.1 document, made from the endpoints' own declarations."""

import re
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.web.api.contract import ENDPOINTS, JSON, Endpoint
from service.web.api.shapes import Problem

_CONVERTER = re.compile(r"<(?:int:)?(\w+)>")
_REF = "#/components/schemas/{model}"
_PROBLEMS = {
    401: "not signed in",
    403: "not allowed",
    404: "not there",
    413: "too large",
    422: "not valid",
    503: "a part is not available",
}


def _models(endpoints: list[Endpoint]) -> list[type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {Problem.__name__: Problem}
    for item in endpoints:
        for model in (item.query, item.body, item.form, *item.answers.values()):
            if isinstance(model, type):
                found[model.__name__] = model
    return list(found.values())


def _parameters(item: Endpoint, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer", "minimum": 1, "maximum": 2**63 - 1} if "int:" in item.path else {"type": "string"},
        }
        for name in _CONVERTER.findall(item.path)
    ]
    if item.query is not None:
        schema = schemas[item.query.__name__]
        for name, field in schema.get("properties", {}).items():
            parameters.append(
                {
                    "name": name,
                    "in": "query",
                    "required": name in schema.get("required", []),
                    "description": field.get("description", ""),
                    "schema": {key: value for key, value in field.items() if key not in ("description", "title")},
                }
            )
    return parameters


def _request_body(item: Endpoint, schemas: dict[str, Any]) -> dict[str, Any] | None:
    if item.body is not None:
        return {"required": True, "content": {JSON: {"schema": {"$ref": _REF.format(model=item.body.__name__)}}}}
    if item.form is not None:
        fields = schemas[item.form.__name__]
        schema = {
            **fields,
            "properties": {
                "file": {"type": "string", "format": "binary", "description": "the PNG file"},
                **fields.get("properties", {}),
            },
            "required": ["file", *fields.get("required", [])],
        }
        return {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    return None


def _answers(item: Endpoint) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for status, shape in item.answers.items():
        answer: dict[str, Any] = {
            "description": {200: "done", 201: "made", 204: "gone", 302: "a presigned URL", 304: "not changed"}.get(
                status, "answer"
            )
        }
        if isinstance(shape, str):
            if shape:
                answer["content"] = {shape: {"schema": {"type": "string", "format": "binary"}}}
        else:
            answer["content"] = {JSON: {"schema": {"$ref": _REF.format(model=shape.__name__)}}}
        answers[str(status)] = answer
    for status, meaning in _PROBLEMS.items():
        if status in (401, 403) and item.role is None:
            continue
        if status == 404 and "<" not in item.path:
            continue
        answers[str(status)] = {
            "description": meaning,
            "content": {"application/problem+json": {"schema": {"$ref": _REF.format(model=Problem.__name__)}}},
        }
    return answers


def document(*, blueprint: str, prefix: str, version: str) -> dict[str, Any]:
    """Return the document for a blueprint's endpoints."""
    endpoints = ENDPOINTS.get(blueprint, [])
    _, definitions = models_json_schema([(model, "validation") for model in _models(endpoints)], ref_template=_REF)
    schemas: dict[str, Any] = definitions["$defs"]
    paths: dict[str, Any] = {}
    for item in endpoints:
        operation: dict[str, Any] = {
            "operationId": item.name,
            "summary": item.summary,
            "description": item.description,
            "parameters": _parameters(item, schemas),
            "responses": _answers(item),
            "security": [] if item.role is None else [{"bearer": []}],
        }
        if item.role is not None:
            operation["x-role"] = item.role.value
        body = _request_body(item, schemas)
        if body:
            operation["requestBody"] = body
        paths.setdefault(prefix + _CONVERTER.sub(r"{\1}", item.path), {})[item.method] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pixref",
            "version": version,
            "description": "PNG pictures in a bucket, what can be asked about them in PostgreSQL, Keras predictions by reference. "
            "Errors are application/problem+json with `code`, `retryable` and `request_id`; lists are keyset pages; times are RFC 3339, UTC.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "`pixref token create --role editor --name NAME`"}
            },
        },
    }
