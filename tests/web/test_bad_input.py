"""Bad input for every field of every endpoint, made from the OpenAPI document: refused by name, never a failure of ours.

The document says what each endpoint takes; from that come requests that are right but for one thing. What is new in the document is tested here
without another line.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.web.access import access_of
from service.web.api.openapi import parameter_schema
from service.web.pages.api_docs import resolve, sample
from storage.base import ObjectStore
from tests.conftest import TokenClient, client_with
from tests.factories import add_image, make_png, rows, sha256

PREFIX = "/api/v1"
HUGE = 10**30
DEEP = "[" * 3_000 + "]" * 3_000
REFUSED = {400, 404, 409, 411, 413, 415, 422}

MARK = "@here@"
# What a parameter of a question is, PostgreSQL decides: lists and objects are values, too.
FREE = {(name, "params"): ("[[]]", "[null]", "[{}]") for name in ("run_sql", "sql_csv", "sql_parquet")}
FREE |= {("train_model", "seed"): ("0",), ("train_model", "validation"): ("0",)}
# What a form must have beside its file.
RIGHT_FORMS = {"register_version": {"labels": "a,b"}}
# A file's name is cleaned, here as at upload.
CLEANED = {("patch_image", "original_name"), ("begin_upload", "name")}

# What is wrong for a field of each type, as JSON text.
WRONG = {
    "object": ['"a"', "7", "[]", "true", "NaN"],
    "array": ['"a"', "7", "{}", "true", "NaN", "[[]]", "[NaN]", "[null]", "[{}]"],
    "string": ["7", "true", "1.5", "[]", "{}", "NaN", "-Infinity", '"\\u0000"', '"a\\u0000b"', '"\\ud800"', '"x\\udfff"'],
    "integer": [
        '"1"',
        "true",
        "1.5",
        "-1",
        "0",
        str(HUGE),
        f"-{HUGE}",
        "1e400",
        "NaN",
        "Infinity",
        "[]",
        "{}",
        '"\\u0000"',
        "null",
    ],
    "number": ['"1"', "true", "NaN", "Infinity", "[]", "{}", "1e400"],
    "boolean": ['"true"', "1", "0", '"no"', "[]", "null", "NaN"],
}
# The same in an address or a form, where all is text.
WRONG_TEXT = {
    "string": ["\x00", "a\x00b", "\x1b[31m"],
    "integer": ["", "x", "1.5", "1.0", " 1", "1_0", "0x1", "-1", "0", str(HUGE), "NaN", "Infinity", "\x00", "١"],
    "number": ["", "x", "NaN", "Infinity", "1e999", "\x00"],
    "boolean": ["", "yes", "on", "True", "2", "\x00"],
    "object": ["{", "[]", "7", '{"a": NaN}', '{"a": "\\u0000"}', '{"a": "\\ud800"}', "\x00", DEEP],
}


@dataclass(frozen=True)
class Call:
    """One endpoint with what it takes."""

    name: str
    method: str
    path: str
    operation: dict[str, Any]
    components: dict[str, Any]

    @property
    def body(self) -> dict[str, Any] | None:
        content = self.operation.get("requestBody", {}).get("content", {})
        return self.resolve(content["application/json"]["schema"]) if "application/json" in content else None

    @property
    def form(self) -> dict[str, Any] | None:
        content = self.operation.get("requestBody", {}).get("content", {})
        found: dict[str, Any] | None = content.get("multipart/form-data", {}).get("schema")
        return found

    def parameters(self, place: str) -> dict[str, dict[str, Any]]:
        return {each["name"]: parameter_schema(each) for each in self.operation["parameters"] if each["in"] == place}

    def resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.components[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
        return found

    def kinds(self, schema: dict[str, Any]) -> set[str]:
        """Return the JSON types that a schema takes."""
        schema = self.resolve(schema)
        if "anyOf" in schema and "properties" not in schema:
            return set().union(*(self.kinds(option) for option in schema["anyOf"]))
        kind = schema.get("type", "object")
        return {kind} if isinstance(kind, str) else set(kind)


@pytest.fixture
def calls(app: Flask) -> list[Call]:
    whole = app.test_client().get(f"{PREFIX}/openapi.json").get_json()
    found = [
        Call(operation["operationId"], method.upper(), path, operation, whole["components"]["schemas"])
        for path, methods in whole["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(found) > 30
    return found


@pytest.fixture
def asked(app: Flask, sessions: Sessions, store: ObjectStore, actor: Actor, mnist_model: int) -> Iterator["Asker"]:
    image_id = add_image(sessions, store, actor, make_png(seed=1), label="7", tags=["a"])
    asker = Asker(client_with(app, sessions, Role.ADMIN), image_id)
    before = state(sessions)
    yield asker
    assert asker.sent > 0
    assert state(sessions) == before, "something that was refused has been done"


def state(sessions: Sessions) -> list[Any]:
    tables = (
        "image",
        "label",
        "tag",
        "image_tag",
        "label_event",
        "prediction",
        "direct_upload",
        "model_version",
        "object_deletion",
    )
    return [rows(sessions, f"SELECT to_jsonb(t) FROM pixref.{table} t ORDER BY t::text") for table in tables]


class Asker:
    """Sends requests that are right but for what they are told to spoil, and looks at the refusal."""

    def __init__(self, client: TokenClient, image_id: int) -> None:
        self._client, self._image_id, self.sent = client, image_id, 0

    def path(self, call: Call) -> str:
        path = call.path
        for name in call.parameters("path"):
            path = path.replace(f"{{{name}}}", str(self._image_id if name == "image_id" else 1))
        return path

    def json(self, call: Call, text: str | bytes, content_type: str = "application/json") -> TestResponse:
        self.sent += 1
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        return self._client.open(self.path(call), method=call.method, data=data, content_type=content_type)

    def query(self, call: Call, query: Any, path: str | None = None) -> TestResponse:
        self.sent += 1
        return self._client.open(path or self.path(call), method=call.method, query_string=query)

    def form(self, call: Call, fields: dict[str, Any], *, file: bool = True) -> TestResponse:
        self.sent += 1
        parts = dict(fields)
        if file:
            parts["file"] = (io.BytesIO(make_png(seed=2)), "a.png")
        return self._client.open(self.path(call), method=call.method, data=parts, content_type="multipart/form-data")


def refused(answer: TestResponse, *, field: str | None, where: object) -> None:
    """Assert that an answer is a refusal that names the field, or an item of it."""
    assert answer.status_code in REFUSED, (where, answer.status_code, answer.text[:300])
    assert answer.mimetype == "application/problem+json", where
    body = answer.get_json()
    assert body["detail"], where
    if field is not None and answer.status_code == 422:
        assert f"{body.get('field')}.".startswith(f"{field}."), (where, body)


def right_body(call: Call) -> dict[str, Any]:
    """Return a body that the endpoint takes, or refuses for nothing but its values."""
    body = call.body
    assert body is not None
    made: dict[str, Any] = sample(body, call.components)
    if "sha256" in made:
        made["sha256"] = sha256(b"x") if isinstance(made["sha256"], str) else [sha256(b"x")]
    if "params" in body["properties"]:
        made["query"], made["params"] = "select 1", []
    if {"ids", "filter"} <= set(body["properties"]):
        made["ids"] = []
    return made


def fields_of(call: Call) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield the way to each field of a body, its schema, and a body with a mark in its place."""
    assert call.body is not None
    for name, schema in call.body["properties"].items():
        yield name, schema, {**right_body(call), name: MARK}
        inner = resolve(schema, call.components)
        for within, part in inner.get("properties", {}).items():
            rest = {key: value for key, value in right_body(call).items() if key != "ids"}
            yield f"{name}.{within}", part, {**rest, name: {within: MARK}}


def test_every_field_of_every_body(calls: list[Call], asked: Asker) -> None:
    for call in calls:
        if call.body is None:
            continue
        for name, schema, body in fields_of(call):
            kinds = call.kinds(schema)
            kind = next(kind for kind in WRONG if kind in kinds)
            for text in WRONG[kind]:
                if (text == "null" and "null" in kinds) or ("\\u0000" in text and (call.name, name) in CLEANED):
                    continue
                if text in FREE.get((call.name, name), ()):
                    continue
                sent = json.dumps(body).replace(json.dumps(MARK), text)
                refused(asked.json(call, sent), field=name, where=(call.name, name, text))


def test_bodies_as_a_whole(calls: list[Call], asked: Asker, app: Flask) -> None:
    for call in calls:
        if call.body is None:
            continue
        right = json.dumps(right_body(call))
        limit = access_of(app.view_functions[f"api.{call.name}"]).max_body  # type: ignore[union-attr]
        assert call.operation["x-max-body-bytes"] == limit <= 1024 * 1024
        for body in (
            "",
            " ",
            "null",
            "7",
            '"x"',
            "[]",
            "NaN",
            "{",
            right + "x",
            "[" * 500,
            '{"a":' * 150,
            "\ud800",
            b"\xff\xfe{}",
            b"\xef\xbb\xbf{}",
        ):
            refused(asked.json(call, body), field="body", where=(call.name, body))
        key = next(iter(call.body["properties"]))
        refused(asked.json(call, f'{{"{key}": null, "{key}": null}}'), field=key, where=(call.name, "twice"))
        refused(
            asked.json(call, right[:-1] + (", " if len(right) > 2 else "") + '"surprise": 1}'), field="surprise", where=call.name
        )
        for content_type in (
            "text/plain",
            "application/xml",
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded",
            "",
        ):
            refused(asked.json(call, right, content_type), field="body", where=(call.name, content_type))
        for charset in ("latin-1", "utf-16", "utf-7", "x" * 50):
            refused(asked.json(call, right, f"application/json; charset={charset}"), field="body", where=(call.name, charset))
        big = asked.json(call, right[:-1] + " " * limit + "}")
        assert (big.status_code, big.get_json()["field"]) == (413, "body"), call.name


def test_every_parameter_of_every_address(calls: list[Call], asked: Asker) -> None:
    for call in calls:
        for name, schema in call.parameters("query").items():
            kinds = call.kinds(schema)
            kind = "boolean" if schema.get("enum") == ["true", "false", "1", "0"] else next(iter(kinds - {"null"}))
            if kind == "array":
                kind = next(iter(call.kinds(schema["items"])))
            for text in WRONG_TEXT[kind]:
                if "minimum" not in schema and text in ("0", "-1"):
                    continue
                refused(asked.query(call, {name: text}), field=name, where=(call.name, name, text))
            if kind == "string":
                refused(asked.query(call, {name: "x" * 70_000}), field=name, where=(call.name, name, "long"))
            if schema.get("type") != "array":
                refused(asked.query(call, [(name, "1"), (name, "1")]), field=name, where=(call.name, name, "twice"))
            if schema.get("format", "").endswith("cursor"):
                for text in (
                    "x",
                    "=",
                    "%",
                    "a" * 60,
                    "aQ",
                    "bg",
                    "aTA",
                    "aS0x",
                    "aTk5OTk5OTk5OTk5OTk5OTk5OTk5",
                    "bgA",
                    "💥",
                    "-_-_",
                    "aTE==",
                ):
                    refused(asked.query(call, {name: text}), field=name, where=(call.name, name, text))
        for query in ("surprise=1", "surprise", "%00=1", "%ff=1", "label[]=1"):
            refused(asked.query(call, query), field=None, where=(call.name, query))


def test_every_id_in_an_address(calls: list[Call], asked: Asker) -> None:
    for call in calls:
        for name in call.parameters("path"):
            for text in (
                "0",
                "-1",
                "x",
                "1.0",
                "1e3",
                str(2**63),
                str(HUGE),
                "9" * 4_000,
                "%00",
                "1%00",
                "%ff",
                "..",
                "١",
                "null",
                " 1",
            ):
                path = call.path.replace(f"{{{name}}}", text)
                answer = asked.query(call, None, path)
                assert answer.status_code in (400, 404, 405, 422), (call.name, text, answer.text[:200])


def test_every_field_of_every_form(calls: list[Call], asked: Asker) -> None:
    for call in calls:
        if call.form is None:
            continue
        right = RIGHT_FORMS.get(call.name, {})
        refused(asked.form(call, right, file=False), field="file", where=(call.name, "no file"))
        for name, schema in call.form["properties"].items():
            if name == "file":
                for data in (b"", b"x", b"\x89PNG\r\n\x1a\n", b"GIF89a"):
                    answer = asked.form(call, {**right, "file": (io.BytesIO(data), "a.png")}, file=False)
                    refused(answer, field="file", where=(call.name, data))
                continue
            schema = call.resolve(schema)
            kind = schema.get("type", "object")
            for text in WRONG_TEXT[call.resolve(schema["items"])["type"] if kind == "array" else kind]:
                refused(asked.form(call, {**right, name: text}), field=name, where=(call.name, name, text))
            if kind == "string":
                refused(asked.form(call, {**right, name: "x" * 5_000}), field=name, where=(call.name, name, "long"))
        refused(asked.form(call, {**right, "surprise": "1"}), field="surprise", where=call.name)


def test_headers_that_requests_may_have(calls: list[Call], asked: Asker, client: TokenClient) -> None:
    for call in calls:
        for name in call.parameters("header"):
            for value in ("", " ", "ä", "x" * 256, "a b"):
                answer = client.open(
                    asked.path(call),
                    method=call.method,
                    data={"file": (io.BytesIO(make_png(seed=2)), "a.png")},
                    headers={name: value},
                )
                refused(answer, field=name, where=(call.name, name, value))
                asked.sent += 1


def test_endpoints_that_take_no_body(calls: list[Call], asked: Asker) -> None:
    asked.sent += 1
    for call in calls:
        if call.method != "GET" and call.body is None and call.form is None:
            path = asked.path(call).replace(f"/{asked._image_id}", "/987654321")
            answer = asked._client.open(path, method=call.method, data=b"x" * 1_000_000, content_type="application/json")
            assert answer.status_code in (404, 413), (call.name, answer.text)
