"""Reviewing in a real browser: by keys, and the same without JavaScript."""

import pytest
from playwright.sync_api import expect

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.datasets.idx import load_split
from service.models.serving import ModelRef, ModelServer
from service.pictures.search import get_image
from service.png.pixels import encode_gray
from service.settings import PROJECT_DIR
from storage.minio_store import MinioStore
from tests.browser.conftest import Complaints, OpenPage
from tests.factories import add_image


@pytest.fixture
def ids(sessions: Sessions, store: MinioStore, actor: Actor, mnist_model: int) -> list[int]:
    """Six digits of which the first two have a wrong label, and the last none."""
    images, labels = load_split(PROJECT_DIR / "samples", "test")
    models = ModelServer(sessions, store)
    kept = []
    for number in range(6):
        shown = str(labels[number])
        label = ("giraffe", "<b>0", *[shown] * 3, None)[number]
        kept.append(add_image(sessions, store, actor, encode_gray(images[number]), label=label))
        models.predict_image(kept[-1], ModelRef(), actor=actor)
    return kept


@pytest.mark.parametrize("scripts", [True, False], ids=["by keys", "without JavaScript"])
def test_wrong_labels_are_put_right(
    open_page: OpenPage, sessions: Sessions, ids: list[int], complaints: Complaints, scripts: bool
) -> None:
    _, truth = load_split(PROJECT_DIR / "samples", "test")
    right = {image_id: str(truth[place]) for place, image_id in enumerate(ids)}
    page = open_page(Role.EDITOR, java_script_enabled=scripts)
    page.goto("/")
    page.get_by_role("link", name="Review").click()
    page.wait_for_url("**/review")
    seen = []
    for left in (2, 1):
        expect(page.get_by_text(f"{left} in this queue")).to_be_visible()
        image_id = int(page.locator("input[name=image_id]").first.input_value())
        seen.append(image_id)
        if scripts:
            page.keyboard.press(right[image_id])
        else:
            page.locator(f'.review-labels button[value="{right[image_id]}"]').click()
        expect(page.get_by_role("status")).to_contain_text(f"Picture {image_id} is {right[image_id]} now")
        assert get_image(sessions, image_id).label == right[image_id]
    expect(page.get_by_role("heading", name="Nothing waits here")).to_be_visible()
    assert sorted(seen) == ids[:2]
    # Taken back, it is there again.
    if scripts:
        page.keyboard.press("z")
    else:
        page.get_by_role("button", name="Undo").click()
    expect(page.locator("input[name=image_id]").first).to_have_value(str(seen[-1]))
    assert get_image(sessions, seen[-1]).label in ("giraffe", "<b>0")
    # It stays as it is, by the one key that confirms.
    if scripts:
        page.keyboard.press("Enter")
    else:
        page.get_by_role("button", name="Keep").click()
    expect(page.get_by_role("heading", name="Nothing waits here")).to_be_visible()
    assert "reviewed" in get_image(sessions, seen[-1]).tags

    page.get_by_role("link", name="No label").click()
    expect(page.get_by_role("heading", name="No label")).to_be_visible()
    page.locator("#other").fill("a new word")
    page.locator("#other").press("Enter")
    expect(page.get_by_role("status")).to_contain_text(f"Picture {ids[5]} is a new word now")
    assert get_image(sessions, ids[5]).label == "a new word"


def test_the_queue_can_be_skipped_through(open_page: OpenPage, ids: list[int], complaints: Complaints) -> None:
    page = open_page(Role.EDITOR)
    page.goto("/review?queue=uncertain")
    page.wait_for_load_state()
    seen = []
    for _ in ids:
        seen.append(page.locator("input[name=image_id]").first.input_value())
        if len(seen) < len(ids):
            with page.expect_navigation():
                page.keyboard.press("ArrowRight")
    assert sorted(map(int, seen)) == ids
    expect(page.locator("[data-key=ArrowRight]")).to_have_count(0)
    page.get_by_role("link", name="From the beginning").click()
    expect(page.locator("input[name=image_id]").first).to_have_value(seen[0])


def test_two_reviewers_do_not_overwrite_each_other(open_page: OpenPage, sessions: Sessions, ids: list[int]) -> None:
    one, other = open_page(Role.EDITOR), open_page(Role.ADMIN)
    for page in (one, other):
        page.goto("/review")
        page.wait_for_load_state()
    image_id = int(one.locator("input[name=image_id]").first.input_value())
    one.locator("#other").fill("mine")
    one.locator("#other").press("Enter")
    expect(one.get_by_role("status")).to_contain_text("mine")
    other.locator("#other").fill("theirs")
    other.locator("#other").press("Enter")
    expect(other.get_by_role("status").first).to_contain_text("look again")
    assert get_image(sessions, image_id).label == "mine"
