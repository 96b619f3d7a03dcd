"""Selecting pictures in the gallery and changing them together: by mouse, by keys, without JavaScript, and back."""

import re

import pytest
from playwright.sync_api import Page, expect

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.pictures.search import get_image
from storage.minio_store import MinioStore
from tests.browser.conftest import Complaints, OpenPage
from tests.factories import add_image, make_png, one


@pytest.fixture
def ids(sessions: Sessions, store: MinioStore, actor: Actor) -> list[int]:
    """Eight pictures in the gallery's order: the newest, which comes first, is the first of these."""
    kept = [add_image(sessions, store, actor, make_png(seed=n), label="even" if n % 2 == 0 else None) for n in range(8)]
    return kept[::-1]


def labels(sessions: Sessions, ids: list[int]) -> list[str | None]:
    return [get_image(sessions, image_id).label for image_id in ids]


def opened(page: Page, address: str = "/") -> Page:
    page.goto(address)
    page.wait_for_load_state()
    return page


def test_a_row_is_labelled_and_that_is_undone(
    open_page: OpenPage, sessions: Sessions, ids: list[int], complaints: Complaints
) -> None:
    before = labels(sessions, ids)
    page = opened(open_page(Role.EDITOR))
    bar = page.locator("#selection-bar")
    expect(bar).to_be_hidden()
    page.get_by_label(f"Select picture {ids[1]}", exact=True).click()
    page.get_by_label(f"Select picture {ids[4]}", exact=True).click(modifiers=["Shift"])
    expect(page.locator("#selected")).to_have_text("4 selected")
    page.locator(".tile").nth(6).click(modifiers=["Control"])
    expect(page.locator("#selected")).to_have_text("5 selected")
    page.get_by_label("Label for the selected").fill("zebra")
    page.get_by_label("Label for the selected").press("Enter")
    expect(page.get_by_text("5 pictures are labelled zebra.")).to_be_visible()
    changed = [ids[place] for place in (1, 2, 3, 4, 6)]
    assert labels(sessions, changed) == ["zebra"] * 5
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("5 pictures are as before.")).to_be_visible()
    assert labels(sessions, ids) == before
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)


def test_it_goes_by_keys_alone(open_page: OpenPage, sessions: Sessions, ids: list[int], complaints: Complaints) -> None:
    page = opened(open_page(Role.EDITOR))
    keys = page.keyboard
    keys.press("ArrowRight")
    expect(page.locator(".tile").first).to_be_focused()
    keys.press("x")
    keys.press("Shift+ArrowRight")
    keys.press("Shift+ArrowRight")
    expect(page.locator("#selected")).to_have_text("3 selected")
    keys.press("ArrowLeft")
    keys.press("x")
    expect(page.locator("#selected")).to_have_text("2 selected")
    keys.press("t")
    keys.type("red")
    keys.press("Enter")
    expect(page.get_by_text("2 pictures are tagged red.")).to_be_visible()
    assert [get_image(sessions, ids[place]).tags == ["red"] for place in range(4)] == [True, False, True, False]
    page.wait_for_load_state()
    keys.press("z")
    expect(page.get_by_text("2 pictures are as before.")).to_be_visible()
    assert one(sessions, "SELECT count(*) FROM pixref.image_tag") == 0
    page.wait_for_load_state()
    keys.press("a")
    expect(page.locator("#selected")).to_have_text("8 selected")
    keys.press("Escape")
    expect(page.locator("#selection-bar")).to_be_hidden()


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_deleting_all_that_match_and_bringing_them_back(
    open_page: OpenPage, sessions: Sessions, ids: list[int], complaints: Complaints, scripts: bool
) -> None:
    page = opened(open_page(Role.EDITOR, java_script_enabled=scripts), "/?label=even&sort=id")
    if scripts:
        page.get_by_label(re.compile("^Select picture")).first.click()
    page.get_by_label("all that match").check()
    if scripts:
        expect(page.locator("#selected")).to_have_text("All that match")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("4 pictures are in the trash for 7 days.")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/\?label=even&sort=id$"))
    assert one(sessions, "SELECT count(*) FROM catalog.images") == 4
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".tile")).to_have_count(4)
    assert one(sessions, "SELECT count(*) FROM catalog.images") == 8


def test_without_javascript_what_is_ticked_is_tagged(open_page: OpenPage, sessions: Sessions, ids: list[int]) -> None:
    page = opened(open_page(Role.EDITOR, java_script_enabled=False))
    for image_id in ids[:2]:
        page.get_by_label(f"Select picture {image_id}", exact=True).check()
    page.get_by_label("Tag for the selected").fill("blue")
    # Enter presses the first button, which is another one.
    page.get_by_label("Tag for the selected").press("Enter")
    expect(page.get_by_text("2 pictures are tagged blue.")).to_be_visible()
    page.get_by_label(f"Select picture {ids[0]}", exact=True).check()
    page.get_by_label("Tag for the selected").fill("blue")
    page.get_by_role("button", name="Untag").click()
    expect(page.get_by_text("1 picture is without the tag blue now.")).to_be_visible()
    assert [get_image(sessions, image_id).tags for image_id in ids[:2]] == [[], ["blue"]]


def test_a_selection_is_predicted(open_page: OpenPage, sessions: Sessions, ids: list[int], mnist_model: int) -> None:
    page = opened(open_page(Role.EDITOR))
    page.get_by_label(f"Select picture {ids[0]}", exact=True).click()
    page.get_by_role("button", name="Predict", exact=True).click()
    expect(page.locator("#job-state")).to_have_text("queued")
    assert one(sessions, "SELECT parameters -> 'ids' FROM pixref.job") == [ids[0]]


def test_what_cannot_be_done_is_said(open_page: OpenPage, ids: list[int], complaints: Complaints) -> None:
    complaints.expected.append("/selection")
    page = opened(open_page(Role.EDITOR, java_script_enabled=False))
    page.get_by_role("button", name="Untag").click()
    expect(page.get_by_text("Select a picture first")).to_be_visible()
    viewer = opened(open_page(Role.VIEWER))
    expect(viewer.get_by_label(re.compile("^Select picture"))).to_have_count(0)
