"""Predictions and models over the API."""

import io
import json
import subprocess
import sys

import pytest

from schema.session import Sessions
from service import errors
from service.embedded.minio import MinioServer
from service.models.runtime import LiteRTModel
from service.settings import PROJECT_DIR
from storage.base import ObjectStore
from tests.conftest import ROOT_PASSWORD, ROOT_USER, TokenClient
from tests.factories import BIG, assert_problem, execute, form_of, make_png, object_key, objects, one, replace_object, rows

API = "/api/v1"


@pytest.fixture
def image_id(editor_client: TokenClient, mnist_model: int) -> int:
    answer = editor_client.post(f"{API}/images", data=form_of())
    found: int = answer.get_json()["id"]
    return found


def test_a_stored_picture(editor_client: TokenClient, sessions: Sessions, image_id: int) -> None:
    url = f"{API}/images/{image_id}/predictions"
    bodies: list[dict[str, object]] = [
        {},
        {"model": "mnist"},
        {"version": 1},
        {"alias": "champion"},
        {"version": 1, "alias": None},
    ]
    for body in bodies:
        answer = editor_client.post(url, json=body)
        assert answer.status_code == 201, answer.text
        outcome = answer.get_json()
        assert (outcome["image_id"], outcome["model"], outcome["version"]) == (image_id, "mnist", 1)
        assert list(outcome["scores"]) == [str(digit) for digit in range(10)]
        assert sum(outcome["scores"].values()) == pytest.approx(1, abs=1e-3)
        assert outcome["score"] == max(outcome["scores"].values()) == outcome["scores"][outcome["label"]]
        assert outcome["latency_ms"] > 0
    stored = rows(sessions, "SELECT image_id, model, version, label, scores FROM catalog.predictions")
    assert stored == [(image_id, "mnist", 1, outcome["label"], pytest.approx(outcome["scores"]))]


def test_which_model_is_meant(editor_client: TokenClient, image_id: int) -> None:
    url = f"{API}/images/{image_id}/predictions"
    for wanted in ({"model": "nobody"}, {"version": 99}, {"alias": "challenger"}):
        assert_problem(editor_client.post(url, json=wanted), 404, "not_found", field="model")
    for body, field in (
        ({"version": 1, "alias": "champion"}, "alias"),
        ({"version": 0}, "version"),
        ({"version": 2**31}, "version"),
        ({"version": "one"}, "version"),
        ({"model": "a\x00b"}, "model"),
        ({"model": ""}, "model"),
        ({"model": None}, "model"),
        ({"alias": "\x00"}, "alias"),
        ({"model": "x" * 64}, "model"),
        ({"colour": 1}, "colour"),
    ):
        assert_problem(editor_client.post(url, json=body), 422, "invalid_request", field=field)
    for missing in (0, 2**63 - 1, 2**63):
        assert_problem(editor_client.post(f"{API}/images/{missing}/predictions", json={}), 404, "not_found")


def test_a_file_that_is_not_kept(viewer_client: TokenClient, sessions: Sessions, store: ObjectStore, mnist_model: int) -> None:
    before = objects(store)
    for data in (make_png(), make_png(200, 100, color_type=6), make_png(30, 30, depth=16)):
        answer = viewer_client.post(f"{API}/predict", data=form_of(data, model="mnist", version="1"))
        assert answer.status_code == 200, answer.text
        assert answer.get_json()["image_id"] is None
    assert_problem(viewer_client.post(f"{API}/predict", data=form_of(b"no")), 422, "bad_image", field="file")
    assert_problem(viewer_client.post(f"{API}/predict", data=form_of(make_png()[:-30])), 422, "bad_image", field="file")
    assert_problem(viewer_client.post(f"{API}/predict", data=form_of(model="\x00")), 422, "invalid_request", field="model")
    assert_problem(viewer_client.post(f"{API}/predict", data=form_of(model="nobody")), 404, "not_found")
    assert_problem(viewer_client.post(f"{API}/predict", json={}), 422, "invalid_request", field="file")
    for table in ("image", "prediction"):
        assert one(sessions, f"SELECT count(*) FROM pixref.{table}") == 0
    assert objects(store) == before


def test_models(viewer_client: TokenClient, mnist_model: int) -> None:
    (item,) = viewer_client.get(f"{API}/models").get_json()["items"]
    assert (item["model"], item["version"], item["aliases"], item["state"]) == ("mnist", 1, ["champion"], "ready")
    assert item["labels"] == [str(digit) for digit in range(10)]
    assert item["input_spec"]["height"] == 28
    assert item["metrics"]["test_accuracy"] >= 0.99
    assert len(item["sha256"]) == 64
    assert not any("key" in name for name in item)


def test_what_is_broken_behind_it(editor_client: TokenClient, sessions: Sessions, store: ObjectStore, mnist_model: int) -> None:
    image = editor_client.post(f"{API}/images", data=form_of(make_png(BIG, BIG))).get_json()
    url, key = f"{API}/images/{image['id']}/predictions", object_key(sessions, image["id"])
    artifact = one(sessions, "SELECT litert_key FROM pixref.model_version")
    kept = store.get_object(artifact)
    store.delete_object(artifact)
    assert_problem(editor_client.post(url, json={}), 503, "model_unavailable")
    replace_object(store, artifact, kept[:-1] + b"!")
    assert_problem(editor_client.post(url, json={}), 503, "model_corrupt")
    (version,) = editor_client.get(f"{API}/models").get_json()["items"]
    assert version["damage"] == "corrupt"
    replace_object(store, artifact, kept)
    replace_object(store, key, make_png(BIG, BIG))
    assert_problem(editor_client.post(url, json={}), 502, "object_corrupt")
    execute(sessions, "UPDATE pixref.image SET damage = NULL, damaged_at = NULL")
    store.delete_object(key)
    assert_problem(editor_client.post(url, json={}), 410, "object_lost")
    assert editor_client.delete(f"{API}/images/{image['id']}").status_code == 204
    assert_problem(editor_client.post(url, json={}), 404, "not_found")
    assert one(sessions, "SELECT count(*) FROM pixref.prediction") == 0


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.Busy("64 pictures wait"), 503, "busy"),
        (errors.ModelLoading("it is being loaded"), 503, "model_loading"),
        (errors.ModelTimeout("it took too long"), 504, "model_timeout"),
        (errors.PredictorCrashed("it broke down"), 503, "predictor_crashed"),
    ],
)
def test_what_may_succeed_later_says_when(
    editor_client: TokenClient,
    mnist_model: int,
    monkeypatch: pytest.MonkeyPatch,
    error: errors.PixrefError,
    status: int,
    code: str,
) -> None:
    def refuse(_picture: object) -> None:
        raise error

    image = editor_client.post(f"{API}/images", data=form_of(make_png())).get_json()
    monkeypatch.setattr(LiteRTModel, "answer", lambda _self, picture: refuse(picture))
    for answer in (
        editor_client.post(f"{API}/images/{image['id']}/predictions", json={}),
        editor_client.post(f"{API}/predict", data=form_of(make_png())),
    ):
        assert_problem(answer, status, code)
        assert answer.headers["Retry-After"] == "2"
        assert answer.get_json()["retryable"]


WEB_PROCESS = """
import io, json, sys
from service.wsgi import app
from service.accounts.actor import Role
from service.accounts.tokens import create_token
from tests.factories import make_png

token = create_token(app.extensions["pixref"].sessions, name="child", role=Role.EDITOR)
client = app.test_client()
headers = {"Authorization": f"Bearer {token}"}
image = client.post("/api/v1/images", data={"file": (io.BytesIO(make_png()), "a.png")}, headers=headers).get_json()
answer = client.post(f"/api/v1/images/{image['id']}/predictions", json={}, headers=headers)
heavy = sorted(name for name in sys.modules if name.split(".")[0] in ("tensorflow", "keras", "h5py", "matplotlib"))
print(json.dumps({"status": answer.status_code, "heavy": heavy}))
"""


def test_the_web_process_never_imports_tensorflow(database_url: str, bucket: str, minio: MinioServer, mnist_model: int) -> None:
    environment = {
        "PATH": "/usr/bin:/bin",
        "DATABASE_URL": database_url,
        "S3_ENDPOINT": minio.endpoint,
        "S3_BUCKET": bucket,
        "S3_ACCESS_KEY": ROOT_USER,
        "S3_SECRET_KEY": ROOT_PASSWORD,
        "PIXREF_SECRET_KEY": "k" * 40,
    }
    done = subprocess.run(
        [sys.executable, "-c", WEB_PROCESS],
        cwd=PROJECT_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"status": 201, "heavy": []}
    log = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert {entry["logger"] for entry in log} >= {"pixref.start", "pixref.request"}
    for secret in (ROOT_PASSWORD, "k" * 40, "test-password"):
        assert secret not in done.stderr


def test_a_form_may_not_name_a_file_twice(viewer_client: TokenClient, mnist_model: int) -> None:
    twice = {"file": [(io.BytesIO(make_png()), "a.png"), (io.BytesIO(make_png()), "b.png")]}
    answer = viewer_client.post(f"{API}/predict", data=twice, content_type="multipart/form-data")
    assert_problem(answer, 422, "invalid_request", field="file")
