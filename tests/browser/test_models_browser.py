"""A model's life by the pages: registered, measured, looked at, trained from the form, promoted and rolled back."""

import re

import pytest
from playwright.sync_api import Page, expect

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.models.predicting import request_predictions
from service.models.selection import Selection
from service.settings import PROJECT_DIR
from service.sql.ask import Door, places
from service.tasks import Parts, do_job
from service.work.ledger import find_job
from storage.minio_store import MinioStore
from tests.browser.conftest import Complaints, OpenPage
from tests.factories import add_image, make_png, one

KERAS = PROJECT_DIR / "models" / "mnist.keras"


@pytest.fixture
def parts(sessions: Sessions, store: MinioStore, door_url: str) -> Parts:
    return Parts(sessions, store, Door(door_url, places(1)))


def done(page: Page, parts: Parts) -> None:
    """Do the job on whose page we are, as the worker would, and wait until the page says so."""
    expect(page.locator("#job-state")).to_have_text("queued")
    job_id = int(page.url.rsplit("/", 1)[1])
    do_job(parts, job_id)
    job = find_job(parts.sessions, job_id)
    assert job.state == "succeeded", job.error
    expect(page.get_by_role("heading", name="What came of it")).to_be_visible()


@pytest.mark.parametrize("javascript", [True, False])
def test_from_a_file_to_a_champion_and_back(
    open_page: OpenPage, parts: Parts, store: MinioStore, actor: Actor, complaints: Complaints, javascript: bool
) -> None:
    for number in range(6):
        add_image(parts.sessions, store, actor, make_png(seed=number), label=str(number % 2), split="test")
    page = open_page(Role.EDITOR, java_script_enabled=javascript)

    def register(labels: str) -> None:
        page.goto("/models")
        page.get_by_text("Register a model file").click()
        page.get_by_label("Name of the model").fill("digits")
        page.get_by_label(".keras file").set_input_files(KERAS)
        page.get_by_label("What its outputs mean").fill(labels)
        page.get_by_role("button", name="Register", exact=True).click()
        if not javascript:
            do_job(parts, int(page.url.rsplit("/", 1)[1]))
            page.reload()
            expect(page.get_by_role("heading", name="What came of it")).to_be_visible()
        else:
            done(page, parts)

    register("0, 1, 2, 3, 4, 5, 6, 7, 8, 9")
    page.goto("/models")
    expect(page.get_by_role("heading", name="digits version 1")).to_be_visible()
    expect(page.get_by_text("in a sandbox", exact=False)).to_be_visible()
    expect(page.get_by_role("button", name="Roll back")).to_have_count(0)

    page.get_by_text("Measure it").click()
    page.get_by_role("button", name="Measure", exact=True).click()
    do_job(parts, int(page.url.rsplit("/", 1)[1]))
    page.goto("/models")
    page.get_by_role("link", name=re.compile("of 6 right")).click()
    expect(page.get_by_role("heading", name=re.compile("digits version 1"))).to_be_visible()
    cell = page.locator(".confusion a").first
    wrong = int(cell.inner_text())
    cell.click()
    expect(page.locator(".tile")).to_have_count(wrong)

    register("1, 0, 2, 3, 4, 5, 6, 7, 8, 9")
    page.goto("/models")
    page.get_by_role("link", name="Compare with the champion").click()
    expect(page.get_by_role("heading", name="Compare versions of digits")).to_be_visible()
    expect(page.get_by_text("6 lack a prediction by one of them")).to_be_visible()
    do_job(parts, request_predictions(parts.sessions, Selection(), model="digits", version=2, actor=actor))
    page.get_by_label("Of the split").fill("test")
    page.get_by_role("button", name="Compare", exact=True).click()
    with parts.sessions() as session:
        counted = "SELECT outcome, count(*) FROM catalog.version_comparisons WHERE version = 1 AND other_version = 2 GROUP BY 1"
        expected = dict(iter(session.connection().exec_driver_sql(counted)))
    for title, outcome in (("Fixed", "fixed"), ("Broken", "broken")):
        section = page.get_by_role("region", name=title)
        expect(section.get_by_role("heading")).to_have_text(f"{title}: {expected.get(outcome, 0)}")
        expect(section.get_by_role("img")).to_have_count(expected.get(outcome, 0))
    page.goto("/models")
    page.get_by_role("button", name="Make it champion").click()
    expect(page.get_by_role("status")).to_contain_text("digits version 2 is champion now")
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_role("status")).to_contain_text("digits version 1 is champion again, in place of version 2")
    page.get_by_role("link", name="History").first.click()
    expect(page.get_by_text("rolled back", exact=False).first).to_be_visible()


def test_a_training_is_asked_for_by_the_form(open_page: OpenPage, sessions: Sessions, mnist_model: int) -> None:
    page = open_page(Role.EDITOR)
    page.goto("/models")
    page.get_by_role("link", name="Train").click()
    page.get_by_label("Begin with").select_option(label="mnist version 1 (champion)")
    page.get_by_label("Or for which this holds").fill("width = 28")
    page.get_by_label("Epochs").fill("2")
    page.get_by_role("button", name="Train", exact=True).click()
    expect(page.locator("#job-state")).to_have_text("queued")
    asked = one(sessions, "SELECT parameters FROM pixref.job")
    assert (asked["model"], asked["from_version"], asked["where"], asked["plan"]["epochs"]) == ("mnist", 1, "width = 28", 2)
