"""Uploading more than a few files: folders with a thousand pictures, pasting, cancelling, and large ones straight into the bucket."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, Route, expect

from schema.session import Sessions
from service.accounts.actor import Role
from service.embedded.minio import MinioServer
from tests.browser.conftest import Complaints, OpenPage
from tests.factories import make_png, one, rows, sha256
from tests.pngs import png


def opened(page: Page) -> Page:
    page.goto("/upload")
    page.wait_for_load_state()
    return page


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A thousand pictures in two folders, and what lies about in folders beside them."""
    for number in range(1_000):
        place = tmp_path / "zoo" / ("zebra" if number % 2 else "žirafa <b>")
        place.mkdir(parents=True, exist_ok=True)
        # The first two are the same picture.
        (place / f"{number:04}.png").write_bytes(make_png(8, 8, seed=max(number, 1)))
    (tmp_path / "zoo" / "zebra" / "Thumbs.db").write_bytes(b"no picture")
    (tmp_path / "zoo" / "notes.txt").write_text("no picture either")
    return tmp_path / "zoo"


@pytest.mark.timeout(180)
def test_a_folder_of_a_thousand_is_labelled_by_its_folders(
    open_page: OpenPage, sessions: Sessions, folder: Path, complaints: Complaints
) -> None:
    page = opened(open_page(Role.EDITOR))
    page.locator("#folder").set_input_files(folder)
    expect(page.locator("#chosen")).to_have_text("1000 files in 2 folders, ready to be sent.")
    page.get_by_label("Each folder's name").check()
    page.get_by_label("Tags").fill("zoo")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#summary")).to_have_text("1000 of 1000 done: 999 new, 1 already here, 0 not kept.", timeout=120_000)
    expect(page.locator("#cancel-all")).to_be_hidden()
    assert dict(rows(sessions, "SELECT label, count(*) FROM catalog.images GROUP BY 1")).keys() == {"zebra", "žirafa <b>"}
    assert one(sessions, "SELECT count(*) FROM catalog.image_tags WHERE tag = 'zoo'") == 999


def test_a_pasted_picture_is_sent(open_page: OpenPage, sessions: Sessions, complaints: Complaints) -> None:
    page = opened(open_page(Role.EDITOR))
    page.evaluate(
        """data => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(data)], "image.png", { type: "image/png" }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true }));
        }""",
        list(make_png(seed=1)),
    )
    expect(page.locator("#chosen")).to_have_text("1 file, ready to be sent.")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#summary")).to_have_text("1 of 1 done: 1 new, 0 already here, 0 not kept.")
    assert one(sessions, "SELECT count(*) FROM catalog.images") == 1


def test_what_is_cancelled_can_be_sent_again(open_page: OpenPage, sessions: Sessions) -> None:
    page = opened(open_page(Role.EDITOR))
    held: list[Route] = []
    page.route("**/api/v1/images", lambda route: held.append(route), times=3)
    files = [{"name": f"{n}.png", "mimeType": "image/png", "buffer": make_png(seed=n)} for n in range(5)]
    page.locator("#file").set_input_files(files)
    page.get_by_role("button", name="Upload").click()
    rows_shown = page.locator(".outcome")
    expect(rows_shown).to_have_count(5)
    rows_shown.nth(4).get_by_role("button", name="Cancel").click()
    expect(rows_shown.nth(4)).to_contain_text("Cancelled.")
    page.get_by_role("button", name="Cancel all").click()
    expect(page.locator("#summary")).to_have_text("5 of 5 done: 0 new, 0 already here, 5 not kept.")
    for number in range(5):
        rows_shown.nth(number).get_by_role("button", name="Retry").click()
    expect(page.locator("#summary")).to_have_text("5 of 5 done: 5 new, 0 already here, 0 not kept.")
    assert one(sessions, "SELECT count(*) FROM catalog.images") == 5


def test_nothing_chosen_is_said(open_page: OpenPage, complaints: Complaints) -> None:
    page = opened(open_page(Role.EDITOR))
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#chosen")).to_have_text("Choose, drop or paste a PNG file first.")


@pytest.fixture(scope="module")
def large() -> bytes:
    """More than 8 MiB of noise."""
    data = png(1_800, 1_800, color_type=2, seed=5)
    assert len(data) > 8 * 2**20, len(data)
    return data


@pytest.mark.parametrize("reachable", [True, False], ids=["bucket reached", "bucket not reached"])
def test_large_ones_go_straight_into_the_bucket(
    open_page: OpenPage,
    sessions: Sessions,
    minio: MinioServer,
    large: bytes,
    tmp_path: Path,
    complaints: Complaints,
    reachable: bool,
) -> None:
    page = opened(open_page(Role.EDITOR))
    sent: list[str] = []
    page.on("request", lambda request: note(request, sent))
    if not reachable:
        page.route(f"{minio.endpoint}/**", lambda route: route.abort())
    file = tmp_path / "large.png"
    file.write_bytes(large)
    page.locator("#file").set_input_files(file)
    page.get_by_label("Label").fill("noise")
    page.get_by_label("Tags").fill("big, loud")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#summary")).to_have_text("1 of 1 done: 1 new, 0 already here, 0 not kept.", timeout=30_000)
    assert one(sessions, "SELECT sha256 FROM catalog.images WHERE label = 'noise' AND original_name = 'large.png'") == sha256(
        large
    )
    assert one(sessions, "SELECT count(*) FROM catalog.image_tags WHERE tag IN ('big', 'loud')") == 2
    through_us = [url for url in sent if url.endswith("/api/v1/images")]
    assert (through_us == []) == reachable
    complaints.found = [each for each in complaints.found if "net::ERR_FAILED" not in each]


def note(request: Request, sent: list[str]) -> None:
    if request.method == "POST":
        sent.append(request.url)
