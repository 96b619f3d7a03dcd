"""Picture every page of a running Pixref as docs/pages.md shows them: light, dark and on a phone, side by side.

`python -m tests.browser.tour http://127.0.0.1:8000/sign-in?token=...` writes docs/images/pages/NAME.webp and what the README shows. What the pages
show is what the installation has, and docs/pages.md says how to fill one; no picture is changed, and one question is asked.
"""

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from bench.chromium import ARGUMENTS, find_chromium
from service.settings import PROJECT_DIR

FOLDER = PROJECT_DIR / "docs" / "images"
README = {"gallery": "selection", "review": "review"}
HEIGHT = 560
GAP = 16
WIDE, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 860}
LOOKS = (("light", WIDE), ("dark", WIDE), ("light", PHONE))

Step = Callable[[Page], object]


def draw_seven(page: Page) -> None:
    """Draw a seven as one does by hand."""
    box = page.locator("canvas").first.bounding_box()
    assert box is not None
    places = [(0.28, 0.25), (0.5, 0.24), (0.72, 0.25), (0.6, 0.5), (0.46, 0.82)]
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=12)
    page.mouse.up()
    page.locator(".score").first.wait_for()


def open_facets(page: Page) -> None:
    """Show how many there are of each."""
    page.locator("#facets summary").click()
    page.locator("#facet-lists .facet").first.wait_for()


def select_some(page: Page) -> None:
    """Select a row of pictures."""
    for number in range(2, 6):
        page.locator(".tile-check").nth(number).focus()
        page.keyboard.press("Space")
    page.evaluate("scrollTo(0, 0)")


def run(page: Page) -> None:
    """Ask what stands in the editor."""
    page.get_by_role("button", name="Run").click()
    page.locator(".sql-rows").wait_for()


QUESTION = "SELECT image_id, label, predicted, score, model, version FROM disagreements ORDER BY score DESC"


def pages(first: Page) -> dict[str, tuple[str, Step | None]]:
    """Return the address of each page, and what is done there first."""

    def latest(path: str) -> str:
        """Return the newest of those that a page lists."""
        first.goto(path)
        found = first.locator(f"main a[href^='{path}/']").first.get_attribute("href")
        assert found is not None, f"{path} lists nothing"
        return found

    first.goto("/")
    picture = first.locator(".tile").first.get_attribute("href") or ""
    number = re.findall(r"\d+", picture)[0]
    return {
        "gallery": ("/", None),
        "facets": ("/?label=4", open_facets),
        "selection": ("/?label=4", select_some),
        "picture": (picture, None),
        "delete": (f"/images/{number}/delete", None),
        "upload": ("/upload", None),
        "labels": ("/labels", None),
        "tags": ("/tags", None),
        "review": ("/review", None),
        "sql": (f"/sql?query={QUESTION}", run),
        "models": ("/models", None),
        "history": ("/models/mnist/history", None),
        "compare": ("/models/mnist/compare", None),
        "train": ("/train", None),
        "evaluations": ("/evaluations", None),
        "evaluation": (latest("/evaluations"), None),
        "try": ("/try", draw_seven),
        "predict": ("/predict?label=4", None),
        "jobs": ("/jobs", None),
        "job": (latest("/jobs"), None),
        "trash": ("/trash", None),
        "tokens": ("/tokens", None),
        "storage": ("/storage", None),
        "api": ("/api/docs", None),
    }


def side_by_side(pictures: list[bytes]) -> Image.Image:
    """Return pictures of one height in a row, on a ground that fits both light and dark."""
    found = [Image.open(io.BytesIO(each)).convert("RGB") for each in pictures]
    scaled = [each.resize((round(each.width * HEIGHT / each.height), HEIGHT), Image.Resampling.LANCZOS) for each in found]
    row = Image.new("RGB", (sum(each.width for each in scaled) + GAP * (len(scaled) + 1), HEIGHT + 2 * GAP), "#8a9490")
    left = GAP
    for each in scaled:
        row.paste(each, (left, GAP))
        left += each.width + GAP
    return row


def look(browser: Browser, link: str, scheme: str, size: dict[str, int]) -> dict[str, bytes]:
    """Return a PNG of each page."""
    site = urlsplit(link)
    context = browser.new_context(
        base_url=f"{site.scheme}://{site.netloc}",
        color_scheme=scheme,  # type: ignore[arg-type]
        viewport=size,  # type: ignore[arg-type]
        reduced_motion="reduce",
    )
    try:
        page = context.new_page()
        page.goto("/sign-in")
        found = {"sign-in": page.screenshot()}
        page.goto(link)
        for name, (path, step) in pages(page).items():
            page.goto(path)
            page.wait_for_load_state("networkidle")
            if step:
                step(page)
                page.wait_for_load_state("networkidle")
            found[name] = page.screenshot()
        return found
    finally:
        context.close()


def main(link: str, folder: Path = FOLDER) -> None:
    """Write them all."""
    (folder / "pages").mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(ARGUMENTS))
        looks = [look(browser, link, scheme, size) for scheme, size in LOOKS]
        browser.close()
    for name in looks[0]:
        side_by_side([each[name] for each in looks]).save(folder / "pages" / f"{name}.webp", quality=70, method=6)
    for shown, name in README.items():
        (folder / f"{shown}.png").write_bytes(looks[0][name])


if __name__ == "__main__":
    main(sys.argv[1])
