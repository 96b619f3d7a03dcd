"""Every page by the rules of axe-core (WCAG 2.2 A and AA, and best practices): light and dark, wide and as narrow as a phone."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Page

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.learning.evaluating import request_evaluation
from service.models.predicting import request_predictions
from service.models.selection import Selection
from service.pictures.delete import delete_image
from service.sql.ask import Door, places
from service.tasks import Parts, do_job
from service.work.ledger import create_job
from storage.minio_store import MinioStore
from tests.browser.conftest import Complaints, OpenPage
from tests.browser.every_page import addresses
from tests.factories import add_image, make_png

LONG = "a name as long as nobody gives one, and still one that somebody has given to a picture of theirs"
LABELS = ("0", "1", "žirafa 🦒 زرافة", None)
SCHEMES = ("light", "dark")
WIDTHS = (1280, 390)
# Other forms of a page, which its address alone does not show.
MORE = (
    "/?label=0",
    "/?label=nothing",
    "/sql?query=SELECT+image_id,+label+FROM+images+ORDER+BY+1",
    "/sql?query=SELECT+nothing",
    "/nowhere",
)


@pytest.fixture
def ids(sessions: Sessions, store: MinioStore, actor: Actor, door_url: str, mnist_model: int) -> dict[str, int]:
    """A little of everything that a page can show."""
    parts = Parts(sessions, store, Door(door_url, places(1)))
    images = [
        add_image(
            sessions, store, actor, make_png(seed=number), label=LABELS[number % 4], split="test", tags=["noise", LONG[:60]]
        )
        for number in range(8)
    ]
    for job in (request_predictions(sessions, Selection(), actor=actor), request_evaluation(sessions, Selection(), actor=actor)):
        do_job(parts, job)
    delete_image(sessions, images[-1])
    job_id = create_job(sessions, "predict", {"model": "mnist", "version": 1}, actor=actor)
    return {"image_id": images[0], "job_id": job_id, "evaluation_id": 1, "label_id": 1, "tag_id": 1}


def violations(page: Page) -> list[str]:
    return [
        f"{each['id']}: {', '.join(node['target'])}: {' '.join(node['failureSummary'].split())}"
        for each in Axe().run(page).response["violations"]
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_page_breaks_a_rule(
    open_page: OpenPage, app: Flask, ids: dict[str, int], complaints: Complaints, scheme: str, width: int
) -> None:
    complaints.expected.append("/nowhere")
    size = {"width": width, "height": 900}
    page = open_page(Role.ADMIN, color_scheme=scheme, viewport=size, reduced_motion="reduce")
    found: list[str] = []
    for path in (*addresses(app, ids), *MORE):
        page.goto(path)
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        if page.locator("#facets").count():
            page.locator("#facet-lists .facet").first.wait_for()
        found += [f"{path}: {each}" for each in violations(page)]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than the screen"
    assert not found, "\n".join(found)
    nobody = open_page(None, color_scheme=scheme, viewport=size)
    nobody.goto("/")
    assert violations(nobody) == []
