"""Direct uploads over HTTP: begin, post the form to the bucket, complete; and everything that is refused on the way."""

import logging
from datetime import UTC, datetime
from typing import Any

import pytest
import urllib3
from flask import Flask

from schema.session import Sessions
from service.accounts.actor import Role
from service.accounts.tokens import create_token
from service.admission import Admission
from storage.base import ObjectStore
from tests.conftest import TokenClient, client_with
from tests.factories import assert_problem, form_of, make_png, objects, rows, sha256

API = "/api/v1/uploads"


def announcement(data: bytes, **more: Any) -> dict[str, Any]:
    return {"sha256": sha256(data), "byte_size": len(data), **more}


def begin(client: TokenClient, data: bytes, **more: Any) -> dict[str, Any]:
    answer = client.post(API, json=announcement(data, **more))
    assert answer.status_code == 201, answer.text
    begun: dict[str, Any] = answer.get_json()
    return begun


def post(begun: dict[str, Any], data: bytes) -> int:
    fields = {**begun["fields"], "file": ("digit.png", data, "image/png")}
    return urllib3.request("POST", begun["url"], fields=fields, retries=False, timeout=5.0).status


def test_from_the_announcement_to_the_picture(editor_client: TokenClient) -> None:
    data = make_png()
    begun = begin(editor_client, data, name="a.png", label="7", tags=["b", "a"], split="test", attributes={"camera": "M3"})
    assert set(begun) == {"id", "url", "fields", "expires_at", "complete_url"}
    left = datetime.fromisoformat(begun["expires_at"]) - datetime.now(UTC)
    assert 14 * 60 < left.total_seconds() <= 15 * 60
    assert begun["complete_url"] == f"{API}/{begun['id']}/complete"

    assert post(begun, data) == 204
    answer = editor_client.post(begun["complete_url"])

    assert answer.status_code == 201
    image = answer.get_json()
    assert answer.headers["Location"] == image["links"]["self"]
    assert editor_client.get(image["links"]["self"]).get_json() == image
    assert (image["sha256"], image["byte_size"], image["original_name"]) == (sha256(data), len(data), "a.png")
    assert (image["label"], image["tags"], image["split"], image["attributes"]) == ("7", ["a", "b"], "test", {"camera": "M3"})
    assert urllib3.request("GET", editor_client.get(image["links"]["file"]).headers["Location"]).data == data

    again = editor_client.post(begun["complete_url"])
    assert (again.status_code, again.get_json()) == (200, image)


def test_bytes_that_are_here_already(editor_client: TokenClient, sessions: Sessions) -> None:
    data = make_png()
    image = editor_client.post("/api/v1/images", data=form_of(data, label="7")).get_json()

    answer = editor_client.post(API, json=announcement(data, label="8"))

    assert (answer.status_code, answer.get_json()) == (200, image)
    assert answer.headers["Location"] == image["links"]["self"]
    assert rows(sessions, "SELECT id FROM pixref.direct_upload") == []


def test_the_bytes_are_not_there_yet(editor_client: TokenClient) -> None:
    data = make_png()
    begun = begin(editor_client, data)

    answer = editor_client.post(begun["complete_url"])

    assert assert_problem(answer, 409, "upload_incomplete")["retryable"]
    assert answer.headers["Retry-After"] == "1"
    assert post(begun, data) == 204
    assert editor_client.post(begun["complete_url"]).status_code == 201


def test_bytes_that_are_no_picture(editor_client: TokenClient, sessions: Sessions, store: ObjectStore) -> None:
    begun = begin(editor_client, b"no picture at all")
    assert post(begun, b"no picture at all") == 204

    assert_problem(editor_client.post(begun["complete_url"]), 422, "bad_image", field="file")

    assert_problem(editor_client.post(begun["complete_url"]), 404, "not_found")
    assert rows(sessions, "SELECT object_key FROM pixref.object_deletion") == [(begun["fields"]["key"],)]
    assert objects(store) == {begun["fields"]["key"]}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sha256": "0" * 63}, "sha256"),
        ({"sha256": "A" * 64}, "sha256"),
        ({"sha256": "0" * 64 + "\n"}, "sha256"),
        ({"sha256": None}, "sha256"),
        ({"byte_size": 0}, "byte_size"),
        ({"byte_size": -1}, "byte_size"),
        ({"byte_size": 2**63}, "byte_size"),
        ({"byte_size": 1.5}, "byte_size"),
        ({"label": "x" * 201}, "label"),
        ({"label": "a\x00b"}, "label"),
        ({"tags": [f"t{number}" for number in range(101)]}, "tags"),
        ({"tags": "a"}, "tags"),
        ({"split": "Train"}, "split"),
        ({"attributes": []}, "attributes"),
        ({"attributes": {"a": "\x00"}}, "attributes"),
        ({"attributes": {"a": "x" * 20_000}}, "attributes"),
        ({"object_key": "images/a"}, "object_key"),
        ({"account_id": 1}, "account_id"),
    ],
)
def test_announcements_that_are_refused(
    editor_client: TokenClient, sessions: Sessions, change: dict[str, Any], field: str
) -> None:
    answer = editor_client.post(API, json={"sha256": "0" * 64, "byte_size": 100, **change})

    assert_problem(answer, 422, "invalid_request", field=field)
    assert rows(sessions, "SELECT id FROM pixref.direct_upload") == []


def test_announcements_that_lack_what_is_needed(editor_client: TokenClient) -> None:
    for field in ("sha256", "byte_size"):
        body = {name: value for name, value in {"sha256": "0" * 64, "byte_size": 100}.items() if name != field}
        assert_problem(editor_client.post(API, json=body), 422, "invalid_request", field=field)


def test_a_file_over_the_limit(editor_client: TokenClient) -> None:
    limit = 20 * 1024 * 1024
    body = {"sha256": "0" * 64, "byte_size": limit}
    assert editor_client.post(API, json=body).status_code == 201

    answer = editor_client.post(API, json=body | {"byte_size": limit + 1})

    assert "PIXREF_MAX_UPLOAD_MIB" in assert_problem(answer, 413, "too_large", field="byte_size")["detail"]


def test_an_upload_is_seen_by_its_account_and_by_admins(
    app: Flask, sessions: Sessions, editor_client: TokenClient, client: TokenClient
) -> None:
    data = make_png()
    begun = begin(editor_client, data)
    assert post(begun, data) == 204
    stranger = client_with(app, sessions, None)
    stranger.token = create_token(sessions, name="stranger", role=Role.EDITOR)

    assert_problem(stranger.post(begun["complete_url"]), 404, "not_found")
    assert_problem(stranger.delete(f"{API}/{begun['id']}"), 404, "not_found")

    assert client.post(begun["complete_url"]).status_code == 201


def test_aborted(editor_client: TokenClient, sessions: Sessions) -> None:
    begun = begin(editor_client, make_png())

    answer = editor_client.delete(f"{API}/{begun['id']}")

    assert (answer.status_code, answer.data) == (204, b"")
    assert_problem(editor_client.delete(f"{API}/{begun['id']}"), 404, "not_found")
    assert_problem(editor_client.post(begun["complete_url"]), 404, "not_found")
    assert rows(sessions, "SELECT id FROM pixref.direct_upload") == []


def test_large_pictures_take_one_of_the_places(app: Flask, editor_client: TokenClient, sessions: Sessions) -> None:
    large, small = make_png(1200, 1200), make_png()
    uploads = {data: begin(editor_client, data) for data in (large, small)}
    for data, begun in uploads.items():
        assert post(begun, data) == 204

    app.extensions["pixref.admission"] = Admission(at_once=0, waiting=0)
    assert_problem(editor_client.post(uploads[large]["complete_url"]), 503, "busy")
    assert editor_client.post(uploads[small]["complete_url"]).status_code == 201

    admission = app.extensions["pixref.admission"] = Admission(at_once=1, waiting=0)
    assert editor_client.post(uploads[large]["complete_url"]).status_code == 201
    admission.enter()  # the place is free again


def test_the_form_is_not_logged(editor_client: TokenClient, caplog: pytest.LogCaptureFixture) -> None:
    data = make_png()
    with caplog.at_level(logging.DEBUG):
        begun = begin(editor_client, data)
        assert post(begun, data) == 204
        assert editor_client.post(begun["complete_url"]).status_code == 201

    text = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert text
    for secret in ("policy", "x-amz-signature"):
        assert begun["fields"][secret] not in text
