"""Long work in a real browser: begun on the page of models, watched until it ends, cancelled; with JavaScript and without it."""

import pytest
from playwright.sync_api import expect

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.work.ledger import create_job
from tests.browser.conftest import Complaints, OpenPage
from tests.factories import execute, one

RUNNING = """UPDATE pixref.job SET state = 'running', runner = 'x', heartbeat_at = now(), started_at = now(), total = 4000, done = 1000, failed = 2,
             message = 'nearly <b>there</b>'"""
DONE = """UPDATE pixref.job SET state = 'succeeded', runner = NULL, heartbeat_at = NULL, finished_at = now(), done = 4000,
          result = '{"predicted": 3998, "failed": 2}'"""


def test_a_jobs_page_follows_it_to_its_end(open_page: OpenPage, sessions: Sessions, actor: Actor, complaints: Complaints) -> None:
    job_id = create_job(sessions, "predict", {"model": "mnist", "version": 1}, actor=actor)
    page = open_page(Role.VIEWER)
    page.get_by_role("link", name="Jobs").click()
    page.get_by_role("link", name=f"Predict {job_id}").click()
    expect(page.locator("#job-state")).to_have_text("queued")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    execute(sessions, RUNNING)
    expect(page.locator("#job-state")).to_have_text("running")
    expect(page.locator("#job-counts")).to_have_text("1,000 of 4,000, 2 could not be done")
    expect(page.locator("#job-message")).to_have_text("nearly <b>there</b>")
    assert page.locator("#job-progress").evaluate("bar => bar.value") == 0.25
    execute(sessions, DONE)
    expect(page.get_by_role("heading", name="What came of it")).to_be_visible()
    expect(page.get_by_text("3,998")).to_be_visible()
    # Nothing is asked any more.
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(1_500)
    assert asked == []


@pytest.mark.usefixtures("mnist_model")
def test_many_are_predicted_from_the_page_of_models_without_javascript(
    open_page: OpenPage, sessions: Sessions, complaints: Complaints
) -> None:
    page = open_page(Role.EDITOR, java_script_enabled=False)
    page.goto("/models")
    page.get_by_text("Predict many pictures").click()
    page.get_by_label("Or for which this holds").fill("width > 10")
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.locator("#job-state")).to_have_text("queued")
    assert one(sessions, "SELECT parameters ->> 'where' FROM pixref.job") == "width > 10"
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#job-state")).to_have_text("cancelled")
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
