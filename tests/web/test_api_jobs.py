"""Long work over HTTP: asked for, looked at, cancelled; by API and by page."""

import pytest

from schema.session import Sessions
from service.accounts.actor import Actor
from service.tasks import Parts, do_job
from service.work.ledger import create_job
from storage.base import ObjectStore
from tests.conftest import TokenClient
from tests.factories import add_image, assert_problem, one, rows

JOBS = "/api/v1/jobs"
PREDICTIONS = "/api/v1/predictions"
QUEUED = "SELECT args FROM jobs.procrastinate_jobs WHERE task_name = 'pixref:job' ORDER BY id"


@pytest.fixture
def ids(sessions: Sessions, store: ObjectStore, actor: Actor, mnist_model: int) -> list[int]:
    return [add_image(sessions, store, actor, tags=["a"] if place else []) for place in range(3)]


def test_predictions_of_many_are_a_job_for_the_worker(
    editor_client: TokenClient, viewer_client: TokenClient, sessions: Sessions, store: ObjectStore, door_url: str, ids: list[int]
) -> None:
    asked = editor_client.post(PREDICTIONS, json={"filter": {"tag": ["a"]}})
    assert asked.status_code == 202
    job = asked.get_json()
    assert asked.headers["Location"] == f"{JOBS}/{job['id']}"
    assert (job["task"], job["state"], job["progress"], job["result"]) == ("predict", "queued", 0.0, None)
    assert job["parameters"] == {"model": "mnist", "version": 1, "again": False, "filter": {"tag": ["a"]}}
    assert rows(sessions, QUEUED) == [({"job_id": job["id"]},)]
    waiting = viewer_client.get(asked.headers["Location"])
    assert (waiting.status_code, waiting.headers["Retry-After"]) == (200, "1")
    from service.sql.ask import Door, places

    assert do_job(Parts(sessions, store, Door(door_url, places(1))), job["id"])
    done = viewer_client.get(asked.headers["Location"])
    assert "Retry-After" not in done.headers
    facts = done.get_json()
    assert (facts["state"], facts["progress"], facts["done"], facts["total"], facts["failed"]) == ("succeeded", 1.0, 2, 2, 0)
    assert facts["result"].items() >= {"selected": 2, "skipped": 0, "predicted": 2, "failed": 0}.items()
    assert [row[0] for row in rows(sessions, "SELECT image_id FROM catalog.predictions ORDER BY 1")] == ids[1:]
    page = viewer_client.get(f"{JOBS}?state=succeeded&task=predict").get_json()
    assert ([item["id"] for item in page["items"]], page["next"]) == ([job["id"]], None)
    assert viewer_client.get(f"{JOBS}?state=failed").get_json()["items"] == []


def test_what_is_meant_must_be_said(editor_client: TokenClient, ids: list[int]) -> None:
    for body, field in (
        ({}, "all"),
        ({"all": True, "ids": [1]}, "all"),
        ({"ids": [1], "where": "true"}, "where"),
        ({"filter": {}}, "filter"),
        ({"ids": [0]}, "ids.0"),
        ({"all": True, "version": 1, "alias": "champion"}, "alias"),
    ):
        assert_problem(editor_client.post(PREDICTIONS, json=body), 422, "invalid_request", field=field)
    refused = assert_problem(editor_client.post(PREDICTIONS, json={"where": "true) OR (true"}), 422, "query_refused")
    assert refused["reason"] == "not_a_condition"
    wrong = assert_problem(editor_client.post(PREDICTIONS, json={"where": "width >"}), 422, "query_error")
    assert "syntax error" in wrong["detail"]
    assert_problem(editor_client.post(PREDICTIONS, json={"all": True, "model": "nope"}), 404, "not_found", field="model")


def test_a_job_is_cancelled_once(editor_client: TokenClient, sessions: Sessions, actor: Actor) -> None:
    job_id = create_job(sessions, "predict", {}, actor=actor)
    cancelled = editor_client.post(f"{JOBS}/{job_id}/cancel")
    assert (cancelled.status_code, cancelled.get_json()["state"]) == (200, "cancelled")
    assert_problem(editor_client.post(f"{JOBS}/{job_id}/cancel"), 409, "conflict")
    assert_problem(editor_client.get(f"{JOBS}/{job_id + 1}"), 404, "not_found")
    assert_problem(editor_client.get(f"{JOBS}/{2**63 - 1}"), 404, "not_found")


def test_lists_page_downwards(viewer_client: TokenClient, sessions: Sessions, actor: Actor) -> None:
    ids = [create_job(sessions, "predict", {}, actor=actor) for _ in range(5)]
    seen, after = [], ""
    while True:
        page = viewer_client.get(f"{JOBS}?limit=2{after}").get_json()
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert seen == ids[::-1]


def test_pages_show_jobs_and_begin_them(editor_client: TokenClient, sessions: Sessions, actor: Actor, ids: list[int]) -> None:
    assert "There are no jobs yet" in editor_client.get("/jobs").get_data(as_text=True)
    form = {"tag": " a ", "split": "", "where": ""}
    begun = editor_client.post("/models/mnist/1/predictions", data=form)
    assert begun.status_code == 303
    page = editor_client.get(begun.headers["Location"]).get_data(as_text=True)
    assert "queued" in page
    assert "Cancel" in page
    assert one(sessions, "SELECT parameters -> 'filter' FROM pixref.job") == {"tag": ["a"]}
    job_id = one(sessions, "SELECT id FROM pixref.job")
    assert f'href="/jobs/{job_id}"' in editor_client.get("/jobs").get_data(as_text=True)
    assert editor_client.post(f"/jobs/{job_id}/cancel").status_code == 303
    assert "cancelled" in editor_client.get(f"/jobs/{job_id}").get_data(as_text=True)
    for wrong in ({"where": "width >"}, {"where": "true", "tag": "a"}, {"split": "No Split!"}):
        assert editor_client.post("/models/mnist/1/predictions", data=wrong).status_code == 422
    for nobodys in ("/models/nope/1", "/models/mnist/2", f"/models/mnist/{2**40}"):
        assert editor_client.post(f"{nobodys}/predictions").status_code == 404
    assert one(sessions, "SELECT count(*) FROM pixref.job") == 1


def test_what_the_gallery_shows_can_be_predicted(
    editor_client: TokenClient, viewer_client: TokenClient, sessions: Sessions, ids: list[int], mnist_model: int
) -> None:
    shown = "/predict?tag=a&attributes=%7B%22x%22%3A%201%7D&min_width=2"
    gallery = editor_client.get("/?tag=a&attributes=%7B%22x%22%3A%201%7D&min_width=2&sort=id").get_data(as_text=True)
    assert "No picture matches" in gallery
    gallery = editor_client.get("/?tag=a&sort=id").get_data(as_text=True)
    assert 'href="/predict?tag=a"' in gallery
    assert "/predict" not in viewer_client.get("/?tag=a").get_data(as_text=True)
    page = editor_client.get(shown).get_data(as_text=True)
    assert f'<option value="{mnist_model}:mnist" selected>' in page
    assert "min_width" in page
    begun = editor_client.post(shown, data={"model": f"{mnist_model}:mnist", "again": "on"})
    assert begun.status_code == 303
    parameters = one(sessions, "SELECT parameters FROM pixref.job")
    wanted = {"tag": ["a"], "attributes": {"x": 1}, "min_width": 2}
    assert parameters == {"model": "mnist", "version": mnist_model, "again": True, "filter": wanted}
    everything = editor_client.post("/predict", data={"model": f"{mnist_model}:mnist"})
    assert everything.status_code == 303
    assert one(sessions, "SELECT count(*) FROM pixref.job WHERE NOT parameters ? 'filter'") == 1
    for by in ("", "mnist", "1:", ":mnist", "-1:mnist", "1e9:mnist", f"{'9' * 40}:mnist"):
        assert editor_client.post("/predict", data={"model": by}).status_code == 422, by
    assert editor_client.post("/predict", data={"model": "1:nope"}).status_code == 404
    assert editor_client.get("/predict?min_width=x").status_code == 422


def test_what_a_job_says_is_text(viewer_client: TokenClient, sessions: Sessions, actor: Actor) -> None:
    hostile = "<script>alert(1)</script>"
    job_id = create_job(sessions, "predict", {"model": hostile, "where": hostile}, actor=actor)
    for path in ("/jobs", f"/jobs/{job_id}"):
        page = viewer_client.get(path).get_data(as_text=True)
        assert hostile not in page
        assert "&lt;script&gt;alert(1)" in page
