"""The OpenAPI document: whole, and true of what the API answers."""

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
import urllib3
from flask import Flask
from pydantic import BaseModel
from werkzeug.test import TestResponse

from schema.session import Sessions
from service.sql.ask import Door, places
from service.tasks import Parts, do_job
from service.web.api.contract import ENDPOINTS, Endpoint
from service.web.api.openapi import parameter_schema
from service.web.api.shapes import Problem
from storage.minio_store import MinioStore
from tests.conftest import TokenClient
from tests.factories import BIG, form_of, make_png, sha256

PREFIX = "/api/v1"
METHODS = {"get", "post", "put", "delete", "patch"}


@pytest.fixture
def document(anonymous_client: TokenClient) -> dict[str, Any]:
    answer = anonymous_client.get(f"{PREFIX}/openapi.json")
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    found: dict[str, Any] = answer.get_json()
    return found


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        return [node["$ref"] for key in node if key == "$ref"] + [ref for value in node.values() for ref in references(value)]
    return [ref for value in node for ref in references(value)] if isinstance(node, list) else []


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(method, path): each for path, methods in document["paths"].items() for method, each in methods.items()}


def test_every_route_is_in_the_document_and_nothing_else(app: Flask, document: dict[str, Any]) -> None:
    routes = {
        (method.lower(), re.sub(r"<(?:int:)?(\w+)>", r"{\1}", str(rule)))
        for rule in app.url_map.iter_rules()
        if str(rule).startswith(PREFIX) and rule.endpoint != "api.openapi"
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert set(operations(document)) == routes


def test_the_document_is_sound(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["info"].keys() >= {"title", "version"}
    for ref in references(document):
        node: Any = document
        for part in ref.removeprefix("#/").split("/"):
            node = node[part]
    names = [each["operationId"] for each in operations(document).values()]
    assert len(set(names)) == len(names)
    for (method, path), each in operations(document).items():
        assert method in METHODS
        in_path = {parameter["name"] for parameter in each["parameters"] if parameter["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", path))
        assert all(parameter_schema(parameter) for parameter in each["parameters"])
        assert each["summary"]
        assert {"401", "422", "500", "503"} <= set(each["responses"])
        assert ("403" in each["responses"]) == (each["x-role"] != "viewer")
        assert ("404" in each["responses"]) >= ("{" in path)
        assert {"400", "408", "413"} <= set(each["responses"]) or method == "get"
        assert any(status.startswith("2") for status in each["responses"])
        assert each["security"] == [{"bearer": []}]
        assert each["x-role"] in ("viewer", "editor", "admin")
        assert ("requestBody" in each) == (
            method in ("post", "put", "patch") and not path.endswith(("/restore", "/complete", "/cancel", "/rollback", "/retire"))
        )
        for status, answer in each["responses"].items():
            assert answer["description"], (path, status)
            media_types = set(answer.get("content", {}))
            assert media_types == {"application/problem+json"} if status[0] in "45" else len(media_types) <= 1


def declared(name: str) -> Endpoint:
    return next(each for each in ENDPOINTS["api"] if each.name == name)


def check(name: str, answer: TestResponse) -> Any:
    """Hold an answer against what the endpoint declares."""
    shape = declared(name).answers[answer.status_code]
    if isinstance(shape, str):
        assert re.fullmatch(re.escape(shape).replace(r"\*", r"\w+") or ".*", answer.mimetype or "")
        return answer.data
    assert issubclass(shape, BaseModel)
    body = answer.get_json()
    known = shape.model_validate(body, strict=False)
    # Nothing more and nothing less than what is declared.
    assert known.model_dump(mode="json") == body
    return body


def test_answers_are_what_is_declared(
    client: TokenClient,
    sessions: Sessions,
    store: MinioStore,
    door_url: str,
    mnist_model: int,
    register_mnist: Callable[[list[str]], int],
) -> None:
    image = check(
        "upload_image", client.post(f"{PREFIX}/images", data=form_of(make_png(BIG, BIG), label="7", attributes='{"a": 1.5}'))
    )
    same = check("upload_image", client.post(f"{PREFIX}/images", data=form_of(make_png(seed=3))))
    check("upload_image", client.post(f"{PREFIX}/images", data=form_of(make_png(seed=3))))
    url = image["links"]["self"]
    check("get_image", client.get(url))
    page = check("list_images", client.get(f"{PREFIX}/images?limit=1"))
    check("list_images", client.get(f"{PREFIX}/images?limit=1&after={page['next']}"))
    check("list_images", client.get(f"{PREFIX}/images?limit=1&before={page['next']}"))
    check("count_images", client.get(f"{PREFIX}/images/facets?unlabelled=false"))
    check("get_file", client.get(f"{url}/file"))
    check("get_thumbnail", client.get(f"{url}/thumbnail"))
    check("get_thumbnail", client.get(f"{same['links']['thumbnail']}"))
    check("put_label", client.put(f"{url}/label", json={"label": None}))
    check("put_tags", client.put(f"{url}/tags", json={"tags": ["a", "b"]}))
    check("presign_images", client.post(f"{PREFIX}/images/urls", json={"ids": [image["id"]]}))
    check("check_hashes", client.post(f"{PREFIX}/images/check", json={"sha256": [image["sha256"], "0" * 64]}))
    check("patch_image", client.patch(url, json={"split": "test", "attributes": {"b": [None]}, "original_name": "a/b.png"}))
    check("label_images", client.post(f"{PREFIX}/images/label", json={"ids": [image["id"]], "label": "seven"}))
    check("tag_images", client.post(f"{PREFIX}/images/tags", json={"filter": {"label": "seven"}, "add": ["c"], "dry_run": True}))
    for kind in ("label", "tag"):
        words = f"{PREFIX}/{kind}s"
        made, other = (
            check(f"create_{kind}", client.post(words, json={"name": name, "colour": "#00FF00"})) for name in ("one", "other")
        )
        page = check(f"list_{kind}s", client.get(f"{words}?limit=2"))
        check(f"list_{kind}s", client.get(f"{words}?limit=1&after={page['next']}"))
        check(f"get_{kind}", client.get(f"{words}/{made['id']}"))
        check(f"change_{kind}", client.patch(f"{words}/{made['id']}", json={"description": "a", "colour": None}))
        check(f"merge_{kind}", client.post(f"{words}/{made['id']}/merge", json={"into": other["id"]}))
        unused = check(f"create_{kind}", client.post(words, json={"name": "unused"}))
        check(f"delete_{kind}", client.delete(f"{words}/{unused['id']}"))
    check("predict_image", client.post(f"{url}/predictions", json={}))
    check("predict_file", client.post(f"{PREFIX}/predict", data=form_of()))
    check("list_models", client.get(f"{PREFIX}/models"))
    mnist = f"{PREFIX}/models/mnist"
    check("get_model", client.get(mnist))
    check("move_alias", client.put(f"{mnist}/aliases/champion", json={"version": 1, "expected": 1}))
    check("move_alias", client.put(f"{mnist}/aliases/other", json={"version": 1, "expected": None}))
    check("remove_alias", client.delete(f"{mnist}/aliases/other"))
    sent = {
        "file": (io.BytesIO(b"PK\x03\x04 no model"), "model.keras"),
        "labels": "a,b",
        "preprocessing": '{"color_mode": "rgb"}',
    }
    check("register_version", client.post(f"{PREFIX}/models/other/versions", data=sent))
    check("model_history", client.get(f"{mnist}/history"))
    second = register_mnist([str(9 - number) for number in range(10)])
    check("move_alias", client.put(f"{mnist}/aliases/champion", json={"version": second}))
    check("roll_back_alias", client.post(f"{mnist}/aliases/champion/rollback"))
    check("retire_version", client.post(f"{mnist}/versions/{second}/retire"))
    check("restore_version", client.post(f"{mnist}/versions/{second}/restore"))
    job = check("predict_images", client.post(f"{PREFIX}/predictions", json={"ids": [1, 2]}))
    check("predict_images", client.post(f"{PREFIX}/predictions", json={"where": "width > 10", "version": 1, "again": True}))
    check(
        "train_model",
        client.post(f"{PREFIX}/trainings", json={"model": "digits", "all": True, "epochs": 1, "learning_rate": 0.001}),
    )
    measuring = check("evaluate_model", client.post(f"{PREFIX}/evaluations", json={"all": True, "version": 1}))
    do_job(Parts(sessions, store, Door(door_url, places(1))), measuring["id"])
    check("get_evaluation", client.get(f"{PREFIX}/evaluations/1"))
    measured = check("get_evaluations", client.get(f"{PREFIX}/evaluations?model=mnist&limit=1"))
    assert [item["id"] for item in measured["items"]] == [1]
    check("get_job", client.get(f"{PREFIX}/jobs/{job['id']}"))
    page = check("list_jobs", client.get(f"{PREFIX}/jobs?limit=1&task=predict&state=queued"))
    check("list_jobs", client.get(f"{PREFIX}/jobs?after={page['next']}"))
    check("cancel_job", client.post(f"{PREFIX}/jobs/{job['id']}/cancel"))
    check("delete_image", client.delete(url))
    check("list_trash", client.get(f"{PREFIX}/trash"))
    check("restore_image", client.post(f"{url}/restore"))
    check("run_sql", client.post(f"{PREFIX}/sql", json={"query": "select image_id, attributes, tags, created_at from images"}))
    check("run_sql", client.post(f"{PREFIX}/sql", json={"query": "select $1::int as n", "params": [1]}))
    check("sql_csv", client.post(f"{PREFIX}/sql/csv", json={"query": "select image_id from images"}))
    check("sql_parquet", client.post(f"{PREFIX}/sql/parquet", json={"query": "select image_id from images"}))
    check("sql_schema", client.get(f"{PREFIX}/sql/schema"))
    page = check("sql_history", client.get(f"{PREFIX}/sql/history?limit=1"))
    check("sql_history", client.get(f"{PREFIX}/sql/history?limit=1&after={page['next']}"))
    client.delete(f"{url}?purge=true")
    data = make_png(seed=4)
    announced = {"sha256": sha256(data), "byte_size": len(data)}
    upload = check("begin_upload", client.post(f"{PREFIX}/uploads", json=announced))
    fields = {**upload["fields"], "file": ("a.png", data, "image/png")}
    assert urllib3.request("POST", upload["url"], fields=fields).status == 204
    check("complete_upload", client.post(upload["complete_url"]))
    check("complete_upload", client.post(upload["complete_url"]))
    check("begin_upload", client.post(f"{PREFIX}/uploads", json=announced))
    unwanted = check("begin_upload", client.post(f"{PREFIX}/uploads", json={"sha256": "0" * 64, "byte_size": 1}))
    check("abort_upload", client.delete(f"{PREFIX}/uploads/{unwanted['id']}"))
    problem = client.get(url).get_json()
    assert Problem.model_validate(problem).model_dump(exclude_none=True) == problem
    assert {each.name for each in ENDPOINTS["api"]} == {
        "upload_image", "list_images", "count_images", "get_image", "delete_image", "get_file", "get_thumbnail", "put_label", "put_tags",
        "presign_images", "check_hashes", "list_trash", "restore_image", "predict_image", "predict_file", "list_models",
        "begin_upload", "complete_upload", "abort_upload", "run_sql", "sql_csv", "sql_parquet", "sql_schema", "sql_history",
        "patch_image", "label_images", "tag_images", "predict_images", "list_jobs", "get_job", "cancel_job",
        "get_model", "register_version", "move_alias", "roll_back_alias", "remove_alias", "model_history", "retire_version", "restore_version",
        "train_model", "evaluate_model", "get_evaluations", "get_evaluation",
        *(name.format(kind) for kind in ("label", "tag") for name in ("list_{}s", "create_{}", "get_{}", "change_{}", "merge_{}", "delete_{}")),
    }, "a new endpoint has to be called here"  # fmt: skip
