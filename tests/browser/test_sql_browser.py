"""The SQL page in a real browser, with JavaScript and without it."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from storage.minio_store import MinioStore
from tests.browser.conftest import Complaints, OpenPage
from tests.browser.shifts import moved, watch_shifts
from tests.factories import add_image
from tests.pngs import png

HOSTILE = "\"><img src=x onerror=\"alert('x')\"><script>alert('y')</script>"

pytestmark = pytest.mark.usefixtures("door_url")


@pytest.fixture
def images(sessions: Sessions, store: MinioStore, actor: Actor) -> list[int]:
    return [
        add_image(
            sessions, store, actor, png(seed=seed), label=HOSTILE, tags=[HOSTILE, f"tag {seed}"], attributes={HOSTILE: HOSTILE}
        )
        for seed in range(3)
    ]


def answered(complaints: Complaints) -> None:
    """Forget that the browser noted a page with status 422, which is what it should have."""
    complaints.found[:] = [line for line in complaints.found if "422" not in line]


def test_a_question_brings_its_pictures(open_page: OpenPage, images: list[int], complaints: Complaints) -> None:
    page = open_page(Role.VIEWER)
    page.get_by_role("link", name="SQL").click()
    editor = page.get_by_label("Query")
    editor.fill("select image_id, label, tags, attributes from images order by image_id")
    editor.press("Control+Enter")
    expect(page.get_by_text("3 rows in")).to_be_visible()
    rows = page.locator(".sql-rows tbody tr")
    expect(rows).to_have_count(3)
    expect(page.get_by_text(HOSTILE, exact=True)).to_have_count(3)
    picture = page.get_by_alt_text(f"Picture {images[0]}")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == 28
    # What the labels say is text: nothing of it has become an element.
    expect(page.locator("main [onerror], main script, main img[src='x']")).to_have_count(0)
    picture.click()
    expect(page).to_have_url(f"{page.url.split('/images')[0]}/images/{images[0]}")


def test_an_answers_address_brings_it_again(open_page: OpenPage, images: list[int]) -> None:
    page = open_page(Role.VIEWER)
    page.goto("/sql")
    page.get_by_label("Query").fill(f"select image_id from images where image_id = {images[1]}")
    page.get_by_role("button", name="Run").click()
    link = page.get_by_role("link", name="Link to this answer")
    expect(link).to_be_visible()
    expect(page).to_have_url(link.get_attribute("href") or "nowhere")
    address = page.url
    page.reload()
    expect(page.get_by_alt_text(f"Picture {images[1]}")).to_be_visible()
    page.goto("about:blank")
    page.goto(address)
    expect(page.get_by_alt_text(f"Picture {images[1]}")).to_be_visible()
    page.get_by_alt_text(f"Picture {images[1]}").click()
    page.go_back()
    expect(page.get_by_alt_text(f"Picture {images[1]}")).to_be_visible()
    # Another site's link asks nothing by itself.
    page.route(
        "**/elsewhere", lambda route: route.fulfill(content_type="text/html", body=f'<a href="{address}">free pictures</a>')
    )
    page.goto("http://localhost.test/elsewhere")
    page.get_by_role("link").click()
    expect(page.get_by_text("press Run")).to_be_visible()
    expect(page.locator(".sql-rows")).to_have_count(0)
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_alt_text(f"Picture {images[1]}")).to_be_visible()


def test_an_error_is_marked_where_it_is(open_page: OpenPage, images: list[int], complaints: Complaints) -> None:
    page = open_page(Role.VIEWER)
    page.goto("/sql")
    page.get_by_label("Query").fill("select image_id,\n  <b>é😀</b> lable from images")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert")).to_contain_text("Syntax error at or near")
    expect(page.locator(".sql-place mark")).to_have_text("<")
    page.get_by_label("Query").fill("select image_id,\r\n  lable from images")
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_role("alert")).to_contain_text('Column "lable" does not exist')
    expect(page.get_by_role("alert")).to_contain_text("Perhaps you meant")
    expect(page.locator(".sql-place mark")).to_have_text("lable")
    expect(page.get_by_label("Query")).to_have_value("select image_id,\n  lable from images")
    answered(complaints)


def test_examples_names_and_earlier_questions_go_into_the_editor(
    open_page: OpenPage, images: list[int], complaints: Complaints
) -> None:
    page = open_page(Role.VIEWER)
    page.goto("/sql")
    editor = page.get_by_label("Query")
    page.get_by_role("link", name="How many pictures have each label").click()
    assert "count(*)" in editor.input_value()
    editor.press("Control+Enter")
    expect(page.get_by_text("1 row in")).to_be_visible()
    editor.fill("select ")
    page.locator(".sql-views summary", has_text="images").first.click()
    page.locator("[data-insert='image_id']").locator("visible=true").first.click()
    assert editor.input_value() == "select image_id"
    page.locator(".sql-links a", has_text="count(*)").click()
    assert "count(*)" in editor.input_value()
    page.locator("summary", has_text="Parameters").click()
    page.get_by_label("Parameters").fill("[2, null]")
    editor.fill("select $1::int * 21 as answer, $2::text as nothing")
    editor.press("Control+Enter")
    expect(page.locator(".sql-rows tbody tr")).to_have_text("42NULL")
    expect(page.get_by_role("button", name="Run")).to_be_enabled()


def test_everything_works_without_javascript(open_page: OpenPage, images: list[int], tmp_path: Path) -> None:
    page = open_page(Role.VIEWER, java_script_enabled=False)
    page.goto("/sql")
    page.get_by_role("link", name="The newest pictures").click()
    assert "order by image_id desc" in page.get_by_label("Query").input_value()
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".sql-rows tbody tr")).to_have_count(3)
    for button, ending in (("CSV", "csv"), ("Parquet", "parquet")):
        with page.expect_download() as saved:
            page.get_by_role("button", name=button).click()
        assert saved.value.suggested_filename == f"pixref.{ending}"
        saved.value.save_as(tmp_path / f"rows.{ending}")
    assert (tmp_path / "rows.csv").read_text().startswith("image_id,label,tags,width,height,created_at")
    assert (tmp_path / "rows.parquet").read_bytes()[:4] == b"PAR1"


@pytest.mark.parametrize("width", [375, 1280])
def test_it_fits_a_dark_screen_and_nothing_moves(open_page: OpenPage, images: list[int], width: int) -> None:
    page = open_page(Role.VIEWER, color_scheme="dark", viewport={"width": width, "height": 800})
    watch_shifts(page, slower=6)
    # Columns may grow with their rows, and what stands in a line by what comes before it there, nothing else.
    allowed = ".sql-rows, .account, .sql-ask .d-flex"
    page.goto("/sql?query=select * from images")
    page.wait_for_load_state("networkidle")
    assert moved(page, but=allowed) == []
    page.get_by_role("button", name="Run").click()
    expect(page.locator(".sql-rows")).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert moved(page, but=allowed) == []
