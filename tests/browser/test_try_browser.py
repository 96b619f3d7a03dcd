"""A model is tried on a drawing, on a file and without JavaScript; nothing is kept of it."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from schema.session import Sessions
from service.accounts.actor import Role
from service.datasets.idx import load_split
from service.png.pixels import encode_gray
from service.settings import PROJECT_DIR
from tests.browser.conftest import Complaints, OpenPage
from tests.factories import one

pytestmark = pytest.mark.usefixtures("mnist_model")

# Lines of digits in a corner of the canvas, small: centring them is the page's work. Parts of the canvas's side.
STROKES: dict[str, list[list[tuple[float, float]]]] = {
    "1": [[(0.16, 0.10), (0.15, 0.40)]],
    "7": [[(0.10, 0.10), (0.30, 0.10), (0.18, 0.40)]],
    "0": [
        [
            (0.20, 0.10),
            (0.12, 0.16),
            (0.10, 0.26),
            (0.13, 0.36),
            (0.20, 0.40),
            (0.27, 0.35),
            (0.29, 0.24),
            (0.26, 0.14),
            (0.20, 0.10),
        ]
    ],
}


@pytest.fixture
def digit(tmp_path: Path) -> Path:
    """A file that shows the first digit of the test split, a 7."""
    images, labels = load_split(PROJECT_DIR / "samples", "test")
    assert labels[0] == 7
    file = tmp_path / "seven <b>.png"
    file.write_bytes(encode_gray(images[0]))
    return file


def draw(page: Page, lines: list[list[tuple[float, float]]]) -> None:
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    for (x, y), *rest in lines:
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.mouse.down()
        for x, y in rest:
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        page.mouse.up()


def test_what_is_drawn_is_predicted_at_once(open_page: OpenPage, sessions: Sessions, complaints: Complaints) -> None:
    page = open_page(Role.VIEWER)
    page.get_by_role("link", name="Try", exact=True).click()
    page.wait_for_url("**/try")  # loaded: the script listens
    seen = page.locator("#answer .prediction-label")
    for label, lines in STROKES.items():
        draw(page, lines)
        expect(seen).to_have_text(label)
        expect(page.locator("#answer meter")).to_have_count(10)
        page.get_by_role("button", name="Clear").click()
        expect(page.locator("#answer")).to_have_text("Nothing yet.")
    assert one(sessions, "SELECT (SELECT count(*) FROM pixref.image) + (SELECT count(*) FROM pixref.prediction)") == 0


def test_a_file_is_predicted_and_a_bad_one_is_named(
    open_page: OpenPage, digit: Path, tmp_path: Path, complaints: Complaints
) -> None:
    complaints.expected.append("/api/v1/predict")
    page = open_page(Role.VIEWER)
    page.goto("/try")
    page.locator("#file").set_input_files(digit)
    expect(page.locator("#answer .prediction-label")).to_have_text("7")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    page.locator("#file").set_input_files(bad)
    expect(page.locator("#answer")).to_contain_text("PNG")


def test_without_javascript(open_page: OpenPage, digit: Path) -> None:
    page = open_page(Role.VIEWER, java_script_enabled=False)
    page.goto("/try")
    expect(page.locator("#canvas")).to_be_hidden()
    page.locator("#file").set_input_files(digit)
    page.get_by_role("button", name="See what it says").click()
    expect(page.locator("#answer .prediction-label")).to_have_text("7")
    expect(page.locator("#answer")).to_contain_text("seven <b>.png")
    expect(page.locator("#answer meter")).to_have_count(10)


def test_without_a_model_it_says_where_to_get_one(open_page: OpenPage, sessions: Sessions) -> None:
    with sessions() as session, session.begin():
        session.connection().exec_driver_sql("UPDATE pixref.model_version SET state = 'RETIRED', retired_at = now()")
    page = open_page(Role.VIEWER)
    page.goto("/try")
    expect(page.get_by_role("heading", name="There are no models yet")).to_be_visible()
