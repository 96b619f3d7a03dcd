"""The pages of labels and tags, and of the API, in a real browser."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.pictures.words import Kind, create_word, list_words
from storage.minio_store import MinioStore
from tests.browser.conftest import Complaints, OpenPage
from tests.factories import add_image, make_png

Keep = Callable[..., int]


@pytest.fixture
def keep(sessions: Sessions, store: MinioStore, actor: Actor) -> Keep:
    return lambda **described: add_image(sessions, store, actor, make_png(), **described)


@pytest.mark.parametrize("javascript", [True, False])
def test_a_label_is_described_renamed_and_merged(open_page: OpenPage, keep: Keep, sessions: Sessions, javascript: bool) -> None:
    for label in ("girafe", "girafe", "giraffe", "zebra"):
        keep(label=label)
    page = open_page(java_script_enabled=javascript)
    page.get_by_role("link", name="Labels").click()
    expect(page.get_by_role("heading", name="Labels")).to_be_visible()
    card = page.locator(".word", has=page.get_by_role("link", name="girafe", exact=True))
    expect(card).to_contain_text("2 pictures")
    card.get_by_text("Edit").click()
    card.get_by_label("Has a colour").check()
    card.get_by_label("Colour", exact=True).fill("#d97706")
    card.get_by_label("Description").fill("tall\nand spotted")
    card.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The label is girafe now.")).to_be_visible()
    expect(card.locator(".swatch circle")).to_have_attribute("fill", "#d97706")
    expect(card).to_contain_text("and spotted")
    card.get_by_text("Edit").click()
    card.get_by_label("Merge into").fill("giraffe")
    card.get_by_label("There is no way back").check()
    card.get_by_role("button", name="Merge").click()
    expect(page.get_by_text("2 pictures became giraffe.")).to_be_visible()
    merged = page.locator(".word", has=page.get_by_role("link", name="giraffe", exact=True))
    expect(merged).to_contain_text("3 pictures")
    expect(merged).to_contain_text("also girafe")
    expect(page.locator(".word")).to_have_count(2)
    merged.get_by_role("link", name="giraffe").click()
    expect(page.locator(".tile")).to_have_count(3)
    assert [each.name for each in list_words(sessions, Kind.LABEL).items] == ["giraffe", "zebra"]


def test_tags_are_made_found_and_deleted(open_page: OpenPage, keep: Keep, sessions: Sessions) -> None:
    keep(tags=["animal"])
    page = open_page()
    page.goto("/labels")
    page.get_by_role("link", name="Tags").click()
    page.get_by_text("New tag").click()
    page.get_by_label("Name", exact=True).first.fill("<b>drawn</b>")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_text("The tag <b>drawn</b> is there.")).to_be_visible()
    page.get_by_label("Part of a name").fill("DRAW")
    page.get_by_role("button", name="Find").click()
    expect(page.locator(".word")).to_have_count(1)
    page.locator(".word").get_by_text("Edit").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No tag has this in its name")).to_be_visible()
    assert [each.name for each in list_words(sessions, Kind.TAG).items] == ["animal"]


def test_many_words_are_paged_and_viewers_only_look(open_page: OpenPage, sessions: Sessions) -> None:
    for n in range(55):
        create_word(sessions, Kind.LABEL, f"label {n:02}")
    page = open_page(Role.VIEWER)
    page.goto("/labels")
    expect(page.locator(".word")).to_have_count(50)
    expect(page.get_by_text("Edit")).to_have_count(0)
    page.get_by_role("link", name="After").click()
    expect(page.locator(".word")).to_have_count(5)
    page.get_by_role("link", name="Before").click()
    expect(page.locator(".word").first).to_contain_text("label 00")


def test_the_api_is_tried_from_its_page(open_page: OpenPage, keep: Keep, complaints: Complaints) -> None:
    image_id = keep(label="cat")
    page = open_page()
    page.get_by_role("link", name="API").click()
    expect(page.get_by_role("heading", name="API")).to_be_visible()

    def operation(name: str, **fields: str) -> str:
        card = page.locator(f"#{name}")
        card.locator("summary").click()
        for field, value in fields.items():
            card.locator(f"[data-in][name={field}]").fill(value)
        card.get_by_role("button", name="Send").click()
        expect(card.locator(".answer-status")).to_have_text(re.compile(r"\d{3}"))
        expect(card.locator(".answer")).to_be_visible()  # when all of it is there
        return card.locator(".answer").inner_text()

    assert f'"id": {image_id}' in operation("list_images", label="cat", limit="5")
    answer = operation("get_image", image_id="987654321")
    assert "404" in answer
    assert '"code": "not_found"' in answer
    card = page.locator("#put_label")
    card.locator("summary").click()
    card.locator("[name=image_id]").fill(str(image_id))
    card.locator("textarea").fill('{"label": "dog"}')
    card.get_by_role("button", name="Send").click()
    expect(card.locator(".answer-status")).to_have_text("200")
    expect(card.locator(".answer-body")).to_contain_text('"label": "dog"')
    operation("get_thumbnail", image_id=str(image_id))
    expect(page.locator("#get_thumbnail .answer-body img")).to_have_js_property("naturalWidth", 28)
    assert "302" in operation("get_file", image_id=str(image_id))
    card = page.locator("#upload_image")
    card.locator("summary").click()
    card.locator("[name=file]").set_input_files({"name": "new.png", "mimeType": "image/png", "buffer": make_png()})
    card.locator("[name=tags]").fill("a, b")
    card.get_by_role("button", name="Send").click()
    expect(card.locator(".answer-status")).to_have_text("201")
    expect(card.locator(".answer-body")).to_contain_text('"original_name": "new.png"')
    operation("delete_image", image_id=str(image_id))
    expect(page.locator("#delete_image .answer-status")).to_have_text("204")
    # The browser itself tells of the 404 that was wanted.
    complaints.found = [found for found in complaints.found if "404" not in found]


def test_a_viewer_sees_what_needs_another_role(open_page: OpenPage) -> None:
    page = open_page(Role.VIEWER)
    page.goto("/api/docs#delete_image")
    card = page.locator("#delete_image")
    expect(card.get_by_text("Your role does not allow this.")).to_be_visible()
    expect(card.get_by_role("button", name="Send")).to_be_disabled()
