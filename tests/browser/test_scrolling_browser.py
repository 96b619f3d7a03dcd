"""The gallery that goes on by itself, and where Back leads."""

import re

import pytest
from playwright.sync_api import Page, expect

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.pictures.bulk import Candidate, upload_many
from service.pictures.bulk_changes import Choice, label_many
from service.pictures.upload import Description
from service.png import PngLimits
from storage.minio_store import MinioStore
from tests.browser.conftest import Complaints, OpenPage
from tests.factories import make_png, one

COUNT = 200


@pytest.fixture
def many(sessions: Sessions, store: MinioStore, actor: Actor) -> None:
    candidates = [
        Candidate(make_png(8, 8, seed=n + 1), Description(original_name=f"{n}.png", label="noise")) for n in range(COUNT)
    ]
    upload_many(
        sessions,
        store,
        candidates,
        limits=PngLimits(),
        source="test",
        actor=actor,
        refuse=lambda *refused: pytest.fail(str(refused)),
    )


def opened(page: Page, address: str) -> Page:
    page.goto(address)
    page.wait_for_load_state()
    return page


def to_the_end(page: Page) -> None:
    for _ in range(20):
        page.mouse.wheel(0, 3_000)
        page.wait_for_timeout(100)
        if page.locator(".tile").count() == COUNT:
            return


@pytest.mark.usefixtures("many")
def test_it_goes_on_to_the_last_picture_and_back_finds_the_one_that_was_opened(
    open_page: OpenPage, complaints: Complaints
) -> None:
    page = opened(open_page(Role.EDITOR), "/?label=noise")
    to_the_end(page)
    expect(page.locator(".tile")).to_have_count(COUNT)
    hrefs = page.locator(".tile").evaluate_all("tiles => tiles.map(tile => tile.pathname)")
    assert len(set(hrefs)) == COUNT
    expect(page.locator("#shown")).to_have_text(f"{COUNT} pictures here")
    expect(page.locator("nav [rel=next]")).to_have_count(0)
    page.locator(".tile").nth(150).scroll_into_view_if_needed()
    expect(page).to_have_url(re.compile("after="))
    page.locator(".tile").nth(150).click()
    expect(page.get_by_role("heading", name=re.compile(r"\.png"))).to_be_visible()
    page.go_back()
    page.wait_for_load_state()
    tile = page.locator(f'.tile[href^="{hrefs[150]}?"]')
    expect(tile).to_be_in_viewport()
    expect(tile).to_be_focused()


@pytest.mark.usefixtures("many")
def test_what_came_later_is_selected_as_well(open_page: OpenPage, sessions: Sessions, complaints: Complaints) -> None:
    page = opened(open_page(Role.EDITOR), "/")
    to_the_end(page)
    page.keyboard.press("a")
    expect(page.locator("#selected")).to_have_text(f"{COUNT} selected")
    page.get_by_label("Tag for the selected").fill("all of them")
    page.get_by_label("Tag for the selected").press("Enter")
    expect(page.get_by_text(f"{COUNT} pictures are tagged all of them.")).to_be_visible()
    assert one(sessions, "SELECT count(*) FROM catalog.image_tags") == COUNT


@pytest.mark.usefixtures("many")
def test_a_page_that_does_not_come_can_be_asked_for_again(open_page: OpenPage, complaints: Complaints) -> None:
    page = open_page(Role.VIEWER)
    page.route("**/?after=*", lambda route: route.abort(), times=1)
    opened(page, "/")
    page.mouse.wheel(0, 5_000)
    page.wait_for_timeout(500)
    expect(page.locator(".tile")).to_have_count(60)
    complaints.found = [each for each in complaints.found if "net::ERR_FAILED" not in each]
    page.wait_for_timeout(1_000)
    page.mouse.wheel(0, -500)
    to_the_end(page)
    expect(page.locator(".tile")).to_have_count(COUNT)


@pytest.mark.usefixtures("many")
def test_without_javascript_there_are_pages(open_page: OpenPage) -> None:
    page = opened(open_page(Role.VIEWER, java_script_enabled=False), "/")
    seen = 60
    while page.get_by_role("link", name="Next").count():
        page.get_by_role("link", name="Next").click()
        seen += page.locator(".tile").count()
    assert seen == COUNT


@pytest.mark.usefixtures("many")
def test_how_they_divide_leads_to_them(open_page: OpenPage, sessions: Sessions, actor: Actor, complaints: Complaints) -> None:
    for label, ids in (("zebra", range(1, 11)), ("<b>bold", range(11, 16))):
        label_many(sessions, Choice(ids=list(ids)), label, actor=actor)
    page = opened(open_page(Role.VIEWER), "/?name_prefix=1")
    page.get_by_text("How many there are of each").click()
    expect(page.locator("#facet-total")).to_have_text(": 111")
    labels = page.locator("#facet-lists .facet").first
    expect(labels).to_contain_text("noise")
    shown = dict(zip(labels.locator("a").all_inner_texts(), labels.locator("li > span").all_inner_texts(), strict=True))
    assert sum(map(int, shown.values())) == 111
    page.goto("/")
    page.get_by_text("How many there are of each").click()
    page.get_by_role("link", name="<b>bold").click()
    expect(page).to_have_url(re.compile(r"\?label=%3Cb%3Ebold$"))
    expect(page.locator(".tile")).to_have_count(5)


@pytest.mark.usefixtures("many")
def test_the_size_of_the_tiles_is_kept(open_page: OpenPage, complaints: Complaints) -> None:
    page = opened(open_page(Role.VIEWER), "/")
    sizes = []
    for name in ("Small", "Large"):
        page.get_by_role("button", name=name).click()
        expect(page.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")
        sizes.append(page.locator(".tile").first.bounding_box()["width"])  # type: ignore[index]
    assert sizes[1] > 2 * sizes[0]
    page.reload()
    expect(page.get_by_role("button", name="Large")).to_have_attribute("aria-pressed", "true")
    assert page.locator(".tile").first.bounding_box()["width"] == sizes[1]  # type: ignore[index]
