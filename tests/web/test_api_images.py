"""The API on pictures as a client sees it: hostile input is kept or refused by name, and what is kept reads back."""

import io
import json
import unicodedata
from typing import Any

import pytest
import urllib3
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import FileStorage
from werkzeug.test import TestResponse, encode_multipart

from schema.session import Sessions
from service.settings import KIB
from storage.base import ObjectStore
from tests.conftest import TokenClient
from tests.factories import assert_in_step, assert_problem, form_of, make_png, objects, one, rows

API = "/api/v1/images"
RELAXED = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

AWKWARD = st.sampled_from(
    [
        "\x00",
        "a\x00b",
        "\ud800",
        "\u202egnp.exe",
        "👩\u200d🔬",
        "x" * 65_536,
        "é" * 300,
        "<script>alert(1)</script>",
        "'; DROP TABLE pixref.image; --",
        "%s %(x)s {0}",
        "\r\nX-Injected: 1",
        "\u0085\u2028",
        "..",
        "C:\\",
        " ",
    ]
)
TEXT = AWKWARD | st.text(max_size=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def is_kept(sent: Any, got: Any) -> bool:
    """Whether JSON came back as it was sent. PostgreSQL writes 1e17 out as digits: the same number, which Python reads as an integer."""
    if isinstance(sent, dict) and isinstance(got, dict):
        return sent.keys() == got.keys() and all(is_kept(value, got[key]) for key, value in sent.items())
    if isinstance(sent, list) and isinstance(got, list):
        return len(sent) == len(got) and all(map(is_kept, sent, got))
    return bool(float(got) == sent if isinstance(sent, float) and isinstance(got, int) else got == sent)


@RELAXED
@example(name="digit.png", label=None, tags=[], split=None, attributes='{"": [1000000000000001E2, 1e3, 0.1]}')
@given(
    name=TEXT,
    label=st.none() | TEXT,
    tags=st.lists(TEXT, max_size=4),
    split=st.none() | st.sampled_from(["train", "Train", "train\n", "\x00"]),
    attributes=st.none() | TEXT | st.dictionaries(TEXT, VALUES, max_size=3).map(json.dumps) | st.just("[" * 9_000),
)
def test_hostile_words_are_kept_or_refused(
    editor_client: TokenClient,
    name: str,
    label: str | None,
    tags: list[str],
    split: str | None,
    attributes: str | None,
) -> None:
    def sendable(text: str) -> str:
        return text.encode(errors="replace").decode()

    fields: dict[str, Any] = {"tags": [sendable(tag) for tag in tags]}
    fields |= {
        key: sendable(value)
        for key, value in (("label", label), ("split", split), ("attributes", attributes))
        if value is not None
    }
    answer = editor_client.post(API, data=form_of(name=sendable(name), **fields))
    assert answer.status_code < 500, answer.text
    if answer.status_code != 201:
        # A file part without a name is an ordinary field to a form parser; a huge field is refused as a whole.
        assert answer.get_json()["code"] in ("invalid_request", "too_large", "bad_request")
        return
    image = answer.get_json()
    again = editor_client.get(answer.headers["Location"]).get_json()
    assert again == image
    if label is not None and label.strip():
        assert image["label"] == " ".join(unicodedata.normalize("NFC", sendable(label)).split())
    if attributes is not None and attributes.strip():
        assert is_kept(json.loads(sendable(attributes)) or {}, image["attributes"])
    for link in (image["links"]["file"], image["links"]["file"] + "?inline=0"):
        location = editor_client.get(link).headers["Location"]
        assert urllib3.request("GET", location).status == 200


@RELAXED
@given(body=VALUES | st.dictionaries(st.sampled_from(["label", "tags", "ids", "sha256"]), VALUES, max_size=2))
def test_hostile_bodies_are_answered_or_refused(editor_client: TokenClient, body: object) -> None:
    image_id = editor_client.post(API, data=form_of(make_png(seed=5))).get_json()["id"]
    data = json.dumps(body)  # with NaN and half surrogates, as Python writes them
    for method, path in (("PUT", f"{image_id}/label"), ("PUT", f"{image_id}/tags"), ("POST", "urls"), ("POST", "check")):
        answer = editor_client.open(f"{API}/{path}", method=method, data=data, content_type="application/json")
        assert answer.status_code in (200, 422) or (answer.status_code == 413 and len(data) > 4 * KIB), answer.text


@RELAXED
@given(
    query=st.dictionaries(
        st.sampled_from(["label", "tag", "split", "predicted", "model", "limit", "after", "min_width", "x"]), TEXT
    )
)
def test_hostile_queries_are_answered_or_refused(viewer_client: TokenClient, query: dict[str, str]) -> None:
    sent = {key: value[:2_000].encode(errors="replace").decode() for key, value in query.items()}
    answer = viewer_client.get(API, query_string=sent)
    assert answer.status_code in (200, 422), answer.text


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({}, "file"),
        ({"label": "x"}, "file"),
        ({"file": "text, not a file"}, "file"),
        ({"picture": (io.BytesIO(b"x"), "a.png")}, "file"),
        ({"file": [(io.BytesIO(b"x"), "a.png"), (io.BytesIO(b"y"), "b.png")]}, "file"),
        ({"file": (io.BytesIO(b"x"), "a.png"), "other": (io.BytesIO(b"y"), "b.png")}, "file"),
    ],
)
def test_forms_without_exactly_one_file(editor_client: TokenClient, form: dict[str, Any], field: str) -> None:
    answer = editor_client.post(API, data=form, content_type="multipart/form-data")
    assert_problem(answer, 422, "invalid_request", field=field)


def test_fields_that_are_not_known_or_given_twice(editor_client: TokenClient, sessions: Sessions, store: ObjectStore) -> None:
    for extra, field in (
        ({"id": "7"}, "id"),
        ({"state": "READY"}, "state"),
        ({"object_key": "x"}, "object_key"),
        ({"sha256": "0" * 64}, "sha256"),
        ({"label": ["a", "b"]}, "label"),
        ({"split": ["a", "b"]}, "split"),
        ({"tags": [f"t{n}" for n in range(101)]}, "tags"),
        ({"split": "train\n"}, "split"),
        ({"attributes": "[]"}, "attributes"),
    ):
        assert_problem(editor_client.post(API, data=form_of(**extra)), 422, "invalid_request", field=field)
    assert rows(sessions, "SELECT id FROM pixref.image") == []
    assert objects(store) == set()


def post_raw(client: TokenClient, **fields: Any) -> TestResponse:
    """Post a form from memory; the test client would write a large one to a file."""
    boundary, body = encode_multipart(fields)
    return client.post(
        API, input_stream=io.BytesIO(body), content_length=len(body), content_type=f"multipart/form-data; boundary={boundary}"
    )


def test_a_file_over_the_limit(editor_client: TokenClient, sessions: Sessions, store: ObjectStore) -> None:
    limit = 20 * 1024 * 1024
    just_over = b"\x89PNG" + bytes(limit - 3)
    body = assert_problem(
        post_raw(editor_client, file=FileStorage(io.BytesIO(just_over), "a.png")), 413, "too_large", field="file"
    )
    assert "20 MiB" in body["detail"]
    assert "PIXREF_MAX_UPLOAD_MIB" in body["detail"]
    far_over = {"CONTENT_LENGTH": str(10 * limit), "CONTENT_TYPE": "multipart/form-data; boundary=x"}
    # Refused by its length: the body does not exist.
    assert_problem(editor_client.post(API, environ_overrides=far_over), 413, "too_large", field="body")
    assert_problem(
        post_raw(editor_client, file=FileStorage(io.BytesIO(make_png()), "a.png"), label="x" * 1_100_000), 413, "too_large"
    )
    assert one(sessions, "SELECT count(*) FROM pixref.image") == 0
    assert_in_step(sessions, store)


def test_a_body_that_ends_early_keeps_nothing(editor_client: TokenClient, sessions: Sessions, store: ObjectStore) -> None:
    """As a server hands it on that ends the stream where the client has left."""
    data = make_png()
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    whole = head + data + b"\r\n--b--\r\n"
    cuts = [*range(1, 12), len(whole) - len(head), len(whole) - len(head) // 2, len(whole) // 2]
    for cut in cuts:
        sent = whole[:-cut]
        answer = editor_client.post(
            API,
            input_stream=io.BytesIO(sent),
            content_type="multipart/form-data; boundary=b",
            environ_overrides={"CONTENT_LENGTH": str(len(whole)), "wsgi.input_terminated": True},
        )
        assert_problem(answer, 400, "bad_request")
    assert rows(sessions, "SELECT id FROM pixref.image") == []
    assert objects(store) == set()
    answer = editor_client.post(
        API, input_stream=io.BytesIO(whole), content_type="multipart/form-data; boundary=b", content_length=len(whole)
    )
    assert answer.status_code == 201


HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; '


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        (b'filename="a.png"', "a.png"),
        (b"filename=a.png", "a.png"),
        ('filename="Größe.png"'.encode(), "Größe.png"),
        (b'filename="say %22hi%22.png"', 'say "hi".png'),
        (b"filename*=UTF-8''Gr%C3%B6%C3%9Fe.png", "Größe.png"),  # clients that keep to RFC 5987, though forms do not
    ],
)
def test_clients_name_files_in_many_ways(editor_client: TokenClient, disposition: bytes, name: str) -> None:
    body = HEAD + disposition + b"\r\n\r\n" + make_png() + b"\r\n--b--\r\n"
    answer = editor_client.post(API, data=body, content_type="multipart/form-data; boundary=b")
    assert answer.status_code == 201, answer.text
    assert answer.get_json()["original_name"] == name


EMPTY_FIELD = b'--b\r\nContent-Disposition: form-data; name="label"\r\n\r\n'


@pytest.mark.parametrize(
    ("empty", "padding", "status"), [(b"\r\n", 0, 201), (b"", 0, 201), (b"\r\n", 70_000, 201), (b"", 70_000, 422)]
)
def test_empty_fields(editor_client: TokenClient, empty: bytes, padding: int, status: int) -> None:
    """As browsers write them, and as RFC 2046 allows besides; a large form in that way is refused and nothing is mistaken for a label."""
    body = EMPTY_FIELD + empty + HEAD + b'filename="a.png"\r\n\r\n' + make_png() + b"\r\n--b--\r\n" + bytes(padding)
    answer = editor_client.post(API, data=body, content_type="multipart/form-data; boundary=b")
    assert answer.status_code == status, answer.text
    if status == 201:
        assert answer.get_json()["label"] is None
    else:
        assert_problem(answer, 422, "invalid_request", field="body")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"hello", "multipart/form-data; boundary=b"),
        (b"--c\r\n\r\n--c--\r\n", "multipart/form-data; boundary=b"),
        (b"--b\r\nContent-Type: image/png\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b"),
        (HEAD + b'filename="a.png"\r\n\r\nx', "multipart/form-data; boundary=b"),
        (HEAD + b'filename="a.png"\r\nX-Long: ' + b"x" * 10_000 + b"\r\n\r\nx\r\n--b--\r\n", "multipart/form-data; boundary=b"),
        ((HEAD + b"\r\n\r\nx\r\n") * 2_001 + b"--b--\r\n", "multipart/form-data; boundary=b"),
    ],
)
def test_forms_that_are_broken(editor_client: TokenClient, body: bytes, content_type: str) -> None:
    answer = editor_client.post(API, data=body, content_type=content_type)
    assert answer.status_code in (413, 422), answer.text
    assert_problem(answer, answer.status_code, "too_large" if answer.status_code == 413 else "invalid_request", field="body")


def test_bodies_that_are_not_what_they_should_be(editor_client: TokenClient) -> None:
    url = f"{API}/urls"
    for data, content_type in (
        (b'{"ids": []}', "text/plain"),
        (b"ids=1", "application/x-www-form-urlencoded"),
        (b'{"ids": []}', None),
    ):
        assert_problem(editor_client.post(url, data=data, content_type=content_type), 422, "invalid_request", field="body")
    for data in (b"", b"{", b'{"ids": [1', b"\xff\xfe", b"[" * 60_000, b'{"ids": NaN}x'):
        assert_problem(editor_client.post(url, data=data, content_type="application/json"), 422, "invalid_request")
    big = b'{"ids": [' + b" " * (1 << 20) + b"]}"
    assert_problem(editor_client.post(url, data=big, content_type="application/json"), 413, "too_large", field="body")
    short = editor_client.post(
        url, input_stream=io.BytesIO(b'{"ids": []}'), content_type="application/json", environ_overrides={"CONTENT_LENGTH": "12"}
    )
    assert_problem(short, 400, "bad_request")


def test_answers_are_not_kept_by_caches(editor_client: TokenClient) -> None:
    image = editor_client.post(API, data=form_of()).get_json()
    for path in (API, image["links"]["self"]):
        assert editor_client.get(path).headers["Cache-Control"] == "private, no-store"
