"""Training and measuring by API and page: what the forms ask for, what the pages show, and what is refused."""

from collections.abc import Callable

import pytest

from schema.session import Sessions
from service.accounts.actor import Actor
from service.sql.ask import Door, places
from service.tasks import Parts, do_job
from service.web.pages.charts import curve, points, shade
from service.work.ledger import find_job
from storage.minio_store import MinioStore
from tests.conftest import TokenClient
from tests.factories import add_image, assert_problem, execute, make_png, one

HOSTILE = "<b>&\"'"


@pytest.fixture
def parts(sessions: Sessions, store: MinioStore, door_url: str) -> Parts:
    return Parts(sessions, store, Door(door_url, places(1)))


@pytest.fixture
def ids(sessions: Sessions, store: MinioStore, actor: Actor, mnist_model: int) -> list[int]:
    labels = ["0", "1", HOSTILE]
    return [
        add_image(sessions, store, actor, make_png(seed=number), label=labels[number % 3], split="test" if number < 9 else None)
        for number in range(12)
    ]


def test_a_form_asks_for_a_measurement_and_a_page_shows_it(
    editor_client: TokenClient, viewer_client: TokenClient, sessions: Sessions, parts: Parts, ids: list[int]
) -> None:
    assert "Nothing was measured yet" in viewer_client.get("/evaluations").text
    asked = editor_client.post("/models/mnist/1/evaluations", data={"split": "test"})
    assert asked.status_code == 303
    job_id = int(asked.headers["Location"].rsplit("/", 1)[1])
    assert find_job(sessions, job_id).parameters["filter"] == {"split": "test"}
    do_job(parts, job_id)
    job = viewer_client.get(asked.headers["Location"]).text
    assert 'href="/evaluations/1"' in job
    page = viewer_client.get("/evaluations/1").text
    assert "mnist</bdi> version 1" in page
    assert "of 9" in page
    assert "&lt;b&gt;&amp;" in page
    assert HOSTILE not in page
    assert page.count("<polyline") == 1
    assert "not known" in page
    shown = viewer_client.get("/evaluations?model=mnist").text
    assert 'href="/evaluations/1"' in shown
    wrong = viewer_client.get("/api/v1/evaluations/1").get_json()["cells"]
    assert sum(cell["pictures"] for cell in wrong) == 9
    # A cell of the matrix leads to its pictures.
    cell = next(each for each in wrong if each["label"] != each["predicted"] and each["label"] in "01")
    found = viewer_client.get(
        "/api/v1/images", query_string={"label": cell["label"], "predicted": cell["predicted"], "model": "mnist", "version": 1}
    ).get_json()
    assert len(found["items"]) >= cell["pictures"]
    assert viewer_client.get("/evaluations/2").status_code == 404
    assert viewer_client.get("/evaluations?after=x").status_code == 422


def test_a_form_asks_for_a_training(editor_client: TokenClient, sessions: Sessions, ids: list[int]) -> None:
    page = editor_client.get("/train").text
    assert "1:mnist" in page
    form = {"base": "", "name": "digits", "epochs": "5", "seed": "7", "where": "width = 28", "flip": "on"}
    asked = editor_client.post("/train", data=form)
    assert asked.status_code == 303
    wanted = find_job(sessions, int(asked.headers["Location"].rsplit("/", 1)[1])).parameters
    assert (wanted["model"], wanted["where"], wanted["from_version"]) == ("digits", "width = 28", None)
    assert wanted["plan"] == {"epochs": 5, "batch_size": None, "learning_rate": None, "seed": 7, "augmentation": "flip"}
    asked = editor_client.post("/train", data={"base": "1:mnist", "split": "train"})
    wanted = find_job(sessions, int(asked.headers["Location"].rsplit("/", 1)[1])).parameters
    assert (wanted["model"], wanted["filter"], wanted["from_version"]) == ("mnist", {"split": "train"}, 1)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"name": "No Name"}, "Name is 1 to 63"),
        ({"name": "digits", "epochs": "0"}, "Epochs is a whole number"),
        ({"name": "digits", "seed": "1e9"}, "Seed is a whole number"),
        ({"base": "x:mnist"}, "choose one of the list"),
        ({"base": "9:mnist"}, "There is no model"),
        ({"name": "digits", "where": "width = 1", "split": "test"}, "not both"),
        ({"name": "digits", "where": "true) OR (true"}, "condition"),
    ],
)
def test_what_a_form_cannot_mean_is_said(
    editor_client: TokenClient, sessions: Sessions, ids: list[int], form: dict[str, str], words: str
) -> None:
    answer = editor_client.post("/train", data=form)
    assert answer.status_code in (404, 422)
    assert words in answer.text
    assert one(sessions, "SELECT count(*) FROM pixref.job") == 0


def test_a_training_shows_its_curves(editor_client: TokenClient, sessions: Sessions, ids: list[int]) -> None:
    asked = editor_client.post("/api/v1/trainings", json={"model": "digits", "all": True})
    job_id = asked.get_json()["id"]
    address = f"/jobs/{job_id}"
    assert "<polyline" not in editor_client.get(address).text
    epochs = '{"epochs": [{"loss": 2.0, "accuracy": 0.5, "validation_loss": null, "validation_accuracy": null}, {"loss": 1.0, "accuracy": 0.75}]}'
    execute(sessions, "UPDATE pixref.job SET result = CAST(:epochs AS jsonb)", epochs=epochs)
    page = editor_client.get(address).text
    assert 'points="0.0,0.0 300.0,75.0"' in page
    assert 'points="0.0,75.0 300.0,37.5"' in page


def test_what_a_body_cannot_mean_is_refused(editor_client: TokenClient, ids: list[int]) -> None:
    for address, body, field in (
        ("trainings", {"model": "digits"}, "all"),
        ("trainings", {"model": "digits", "all": True, "epochs": 0}, "epochs"),
        ("trainings", {"model": "mnist", "all": True, "from_version": 1, "size": 28}, "size"),
        ("trainings", {"all": True}, "model"),
        ("evaluations", {"all": True, "version": 1, "alias": "champion"}, "alias"),
        ("evaluations", {"filter": {}}, "filter"),
    ):
        answer = editor_client.post(f"/api/v1/{address}", json=body)
        if answer.status_code == 404:
            assert answer.get_json()["field"] == field
        else:
            assert_problem(answer, 422, "invalid_request", field=field)


def test_charts_are_what_their_numbers_say() -> None:
    assert points([(0, 0), (0.5, 1), (1, 0.25)], width=100, height=10) == "0.0,10.0 50.0,0.0 100.0,7.5"
    assert curve([2.0, None, 1.0], highest=2.0) == [(0, 1), (1, 0.5)]
    assert curve([3.0], highest=3.0) == [(0, 1)]
    assert curve([0.0, 0.0], highest=0.0) == [(0, 0), (1, 0)]
    assert [shade(share) for share in (0, 0.001, 0.5, 0.94, 1)] == [0, 1, 5, 9, 10]


def test_versions_are_promoted_and_retired_by_page(
    editor_client: TokenClient, viewer_client: TokenClient, mnist_model: int, register_mnist: Callable[[list[str]], int]
) -> None:
    register_mnist([str(9 - number) for number in range(10)])
    page = editor_client.get("/models").text
    assert page.count("Make it champion") == page.count("Retire</button>") == page.count("Roll back") == 1
    for step, words in (
        ("2/alias", "mnist version 2 is champion now"),
        ("1/retire", "mnist version 1 is retired"),
        ("1/restore", "mnist version 1 is ready again"),
        ("rollback", "mnist version 1 is champion again, in place of version 2"),
    ):
        answer = editor_client.post(f"/models/mnist/{step}", follow_redirects=True)
        assert answer.status_code == 200
        assert words in answer.text
    late = editor_client.post("/models/mnist/2/alias", data={"expected": "2"})
    assert late.status_code == 409
    assert "names version 1 and not version 2" in late.text
    shown = viewer_client.get("/models/mnist/history").text
    assert shown.count("rolled back") == 1
    assert "Make it champion" not in viewer_client.get("/models").text
    assert viewer_client.post("/models/mnist/2/alias").status_code == 403
