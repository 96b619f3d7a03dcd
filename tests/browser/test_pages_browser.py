"""The pages in a real browser, with JavaScript and without it."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3
from playwright.sync_api import FilePayload, Locator, Page, Route, expect

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.embedded.minio import MinioServer
from service.pictures.upload import Description, upload_image
from service.png import PngLimits
from storage.minio_store import MinioStore
from tests.browser.conftest import Complaints, OpenPage, Site
from tests.browser.shifts import shift, watch_shifts
from tests.factories import execute
from tests.pngs import png

NEW, OTHER, BROKEN = png(seed=1), png(40, 20, color_type=2, seed=2), b"this is not a picture"
Keep = Callable[..., int]


@pytest.fixture
def keep(sessions: Sessions, store: MinioStore, limits: PngLimits, actor: Actor) -> Keep:
    """Keeps a picture by the use case and returns its id."""

    def keep_one(data: bytes, **description: object) -> int:
        described = Description(**description)  # type: ignore[arg-type]
        return upload_image(sessions, store, data, described, limits=limits, source="api", actor=actor).image_id

    return keep_one


def payload(name: str, data: bytes) -> FilePayload:
    return {"name": name, "mimeType": "image/png", "buffer": data}


def hang_up(route: Route) -> None:
    route.abort()


def outcome(page: Page, name: str) -> Locator:
    return page.locator(".outcome", has=page.get_by_text(name, exact=True))


def test_sign_in_by_form_leads_to_where_one_wanted_to_go(open_page: OpenPage, site: Site) -> None:
    page = open_page(None)
    page.goto("/models")
    expect(page).to_have_url(re.compile(r"/sign-in\?next=/models$"))
    page.get_by_label("Token").fill(site.tokens[Role.VIEWER])
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{site.address}/models")
    expect(page.get_by_role("link", name="Upload")).to_have_count(0)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()


def test_upload_shows_what_became_of_each_file(open_page: OpenPage, keep: Keep, complaints: Complaints) -> None:
    known = keep(NEW)
    page = open_page()
    page.goto("/upload")
    page.get_by_label("PNG files").set_input_files([payload("a.png", NEW), payload("b.png", OTHER), payload("c.png", BROKEN)])
    page.get_by_label("Label").fill("giraffe")
    page.get_by_label("Tags").fill("zoo, tall animals")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#summary")).to_have_text("3 of 3 done: 1 new, 1 already here, 1 not kept.")
    expect(outcome(page, "a.png").get_by_role("link")).to_have_attribute("href", f"/images/{known}")
    expect(outcome(page, "b.png")).to_contain_text("new")
    expect(outcome(page, "c.png")).to_contain_text("bad_image")
    expect(outcome(page, "c.png").get_by_role("button", name="Retry")).to_have_count(0)
    # Chromium itself reports the refusal of c.png.
    assert [text for text in complaints.found if "422" not in text] == []
    complaints.found.clear()
    outcome(page, "b.png").get_by_role("link").click()
    expect(page.locator("h1")).to_have_text("b.png")
    expect(page.locator('input[name="label"]')).to_have_value("giraffe")
    expect(page.locator(".word-pill")).to_have_count(2)


def test_files_can_be_dropped(open_page: OpenPage) -> None:
    page = open_page()
    page.goto("/upload")
    dropped = page.evaluate_handle(
        """data => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(data)], "dropped.png", { type: "image/png" }));
            return transfer;
        }""",
        list(NEW),
    )
    page.dispatch_event("#dropzone", "drop", {"dataTransfer": dropped})
    page.get_by_role("button", name="Upload").click()
    expect(outcome(page, "dropped.png")).to_contain_text("new")


def test_a_file_that_the_network_lost_can_be_sent_again(open_page: OpenPage, complaints: Complaints) -> None:
    page = open_page()
    page.goto("/upload")

    page.route("**/api/v1/images", hang_up, times=1)
    page.get_by_label("PNG files").set_input_files([payload("a.png", NEW)])
    page.get_by_role("button", name="Upload").click()
    expect(outcome(page, "a.png")).to_contain_text("The server cannot be reached.")
    complaints.found.clear()
    outcome(page, "a.png").get_by_role("button", name="Retry").click()
    expect(outcome(page, "a.png")).to_contain_text("new")
    expect(page.locator("#summary")).to_have_text("1 of 1 done: 1 new, 0 already here, 0 not kept.")


def test_upload_without_javascript(open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=False)
    page.goto("/upload")
    expect(page.get_by_text("drop them here")).to_be_hidden()
    page.get_by_label("PNG files").set_input_files([payload("a.png", NEW), payload("b.png", BROKEN), payload("c.png", NEW)])
    page.get_by_label("Label").fill("7")
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("heading", name="Uploaded")).to_be_visible()
    expect(page.get_by_text("3 files: 1 new, 1 already here, 1 not kept.")).to_be_visible()
    expect(outcome(page, "b.png")).to_contain_text("bad_image")
    outcome(page, "c.png").get_by_role("link").click()
    expect(page.locator('input[name="label"]')).to_have_value("7")


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_label_tag_predict_delete(open_page: OpenPage, keep: Keep, mnist_model: int, scripts: bool) -> None:
    image_id = keep(NEW, original_name="digit.png", tags=["kept, with comma"])
    page = open_page(java_script_enabled=scripts)
    page.goto(f"/images/{image_id}")
    page.get_by_role("textbox", name="Label").or_(page.get_by_role("combobox", name="Label")).fill("seven")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The label is seven.")).to_be_visible()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".history li")).to_have_count(2)
    expect(page.locator(".history")).to_contain_text("by a editor")

    page.locator('input[name="add"]').fill("a, b")
    page.locator('input[name="add"]').press("Enter")
    expect(page.locator(".word-pill a")).to_have_text(["a", "b", "kept, with comma"])
    page.get_by_role("button", name="Remove the tag a", exact=True).click()
    expect(page.locator(".word-pill a")).to_have_text(["b", "kept, with comma"])

    page.get_by_role("button", name="Predict with mnist").click()
    expect(page.get_by_text(f"mnist version {mnist_model} sees")).to_be_visible()
    expect(page.locator(".prediction meter")).to_have_count(10)

    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete the picture").click()
    expect(page.get_by_text(f"Picture {image_id} is in the trash for 7 days.")).to_be_visible()
    expect(page.get_by_text("There are no pictures yet")).to_be_visible()


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_the_list_is_gone_through_picture_by_picture(
    open_page: OpenPage, keep: Keep, complaints: Complaints, scripts: bool
) -> None:
    ids = [keep(png(20 + number, 20), label="odd" if number % 2 else "even") for number in range(6)]
    odd = ids[1::2]
    page = open_page(java_script_enabled=scripts)
    page.goto("/?label=odd&sort=id")
    page.locator(".tile").first.click()
    expect(page).to_have_url(re.compile(rf"/images/{odd[0]}\?label=odd&sort=id$"))
    expect(page.get_by_role("link", name="Previous")).to_have_count(0)
    page.wait_for_load_state()  # the script listens
    if scripts:
        page.keyboard.press("ArrowRight")
    else:
        page.get_by_role("link", name="Next").click()
    expect(page).to_have_url(re.compile(rf"/images/{odd[1]}\?"))
    # Relabelled, it is not in the list any more, and the way through it goes on.
    page.locator('input[name="label"]').fill("even")
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(rf"/images/{odd[1]}\?"))
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("The label is even.")).to_be_visible()
    page.get_by_role("link", name="Next").click()
    expect(page).to_have_url(re.compile(rf"/images/{odd[2]}\?"))
    expect(page.get_by_role("link", name="Next")).to_have_count(0)
    page.get_by_role("link", name="Previous").click()
    expect(page).to_have_url(re.compile(rf"/images/{odd[0]}\?"))
    page.get_by_role("link", name="Back to the list").click()
    expect(page.locator(".tile")).to_have_count(2)


def test_the_original_and_its_link(open_page: OpenPage, keep: Keep) -> None:
    image_id = keep(OTHER, original_name="wide.png")
    page = open_page(Role.VIEWER)
    page.goto(f"/images/{image_id}")
    expect(page.locator(".stage-frame")).to_have_class(re.compile("is-loaded"))
    assert page.locator("#original").evaluate("image => image.naturalWidth") == 40
    page.get_by_role("button", name="Copy a link").click()
    expect(page.locator("#link-expiry")).to_contain_text("It works until")
    answer = urllib3.request("GET", page.locator("#link").input_value())
    assert hashlib.sha256(answer.data).hexdigest() == hashlib.sha256(OTHER).hexdigest()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "wide.png"
    assert Path(download.value.path()).read_bytes() == OTHER


def test_pictures_are_seen_while_the_bucket_is_not_reached(open_page: OpenPage, keep: Keep, complaints: Complaints) -> None:
    image_id = keep(NEW, original_name="digit.png")
    page = open_page(Role.VIEWER)
    page.route("**/api/v1/images/*/file", hang_up)
    page.goto(f"/images/{image_id}")
    thumbnail = page.get_by_alt_text("digit.png")
    expect(thumbnail).to_be_visible()
    assert thumbnail.evaluate("image => image.naturalWidth") == 28
    assert page.locator("#original").evaluate("image => [image.complete, image.naturalWidth]") == [True, 0]
    expect(page.locator(".stage-frame")).not_to_have_class(re.compile("is-loaded"))
    complaints.found.clear()


def test_nothing_comes_from_elsewhere_and_nothing_moves(open_page: OpenPage, keep: Keep, site: Site, minio: MinioServer) -> None:
    long = "a-rather-long-name-" * 8 + ".png"
    ids = [keep(png(10 + 9 * seed, 30, seed=seed), original_name=long, label=f"label {seed}") for seed in range(12)]
    page = open_page(color_scheme="dark", viewport={"width": 375, "height": 800})
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    watch_shifts(page)
    for path in ("/", f"/images/{ids[-1]}", "/upload", "/models"):
        page.goto(path)
        page.wait_for_load_state("networkidle")
        assert page.locator("html").get_attribute("data-bs-theme") == "dark"
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), path
        assert shift(page) < 0.01, path
    assert hosts - {""} == {urlsplit(site.address).netloc, urlsplit(minio.endpoint).netloc}


def test_times_are_told_in_the_readers_zone(open_page: OpenPage, keep: Keep, sessions: Sessions) -> None:
    image_id = keep(png())
    execute(sessions, f"UPDATE pixref.image SET created_at = '2026-01-31 23:59:58+00' WHERE id = {image_id}")
    uploaded = "tr:has(th:text-is('Uploaded')) time"
    page = open_page(timezone_id="Asia/Kathmandu")
    page.goto(f"/images/{image_id}")
    expect(page.locator(uploaded)).to_have_text("2026-02-01 05:44:58 +0545")
    assert page.locator(uploaded).get_attribute("datetime") == "2026-01-31T23:59:58+00:00"
    page = open_page(timezone_id="America/New_York")
    page.goto(f"/images/{image_id}")
    expect(page.locator(uploaded)).to_have_text("2026-01-31 18:59:58 EST")
    plain = open_page(java_script_enabled=False, timezone_id="America/New_York")
    plain.goto(f"/images/{image_id}")
    expect(plain.locator(uploaded)).to_have_text("2026-01-31 23:59:58 UTC")
