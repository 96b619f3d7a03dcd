"""Ways out of HTML, attributes, scripts and templates, and names that are hard to show, in the fields that take text: they are text on every page,
without a dialog, an element or a report of a broken policy.

Dialogs and reports are what `complaints` collects.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.accounts.tokens import create_token
from service.embedded.minio import MinioServer
from service.learning.evaluating import request_evaluation
from service.models.predicting import request_predictions
from service.models.selection import Selection
from service.pictures.delete import delete_image
from service.pictures.filter import ImageFilter
from service.pictures.words import Kind, WordChange, change_word
from service.sql.ask import Door, places
from service.tasks import Parts, do_job
from storage.minio_store import MinioStore
from tests.browser.conftest import Complaints, OpenPage, Site
from tests.browser.every_page import addresses
from tests.factories import add_image, execute, make_png
from tests.pngs import exif_block, png

# Out of a text, an attribute of either quote, a script, a title, a style, a comment, JSON; templates of three kinds; an address that is a program.
OUT_OF_TEXT = "<img src=x onerror=alert(1)><b id=injected>"
HOSTILE = [
    OUT_OF_TEXT,
    "\"><script>alert('attribute')</script>",
    "' autofocus onfocus=alert(2) x='",
    "</title></textarea></script></style>--><svg onload=alert(3)>",
    "{{ 7 * 7 }} ${7 * 7} <%= 7 * 7 %> #{7*7}",
    "javascript:alert(4)",
    "\\u003cb id=injected\\u003e \\x3cb\\x3e &lt;b id=injected&gt;",
    # Not hostile, but as hard to show: right to left, with an override that nobody closes; emoji of several parts; no place to break.
    "\u202eמתחיל\u2066 زرافة",
    "👩‍👩‍👧‍👦🏳️‍🌈 Z̸̢̈́a̷͝l̸̎g̶o̸",
    "W" * 200,
]
INJECTED = (
    "[onerror], [onload], [onfocus], #injected, img[src='x'], main svg[onload], a[href^='javascript:'], body script:not([src])"
)


def wrong_with(page: Page) -> list[str]:
    """Return what the page has that it should not have."""
    found = [f"{page.url}: {each}" for each in page.locator(INJECTED).evaluate_all("all => all.map(each => each.outerHTML)")]
    if not page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"):
        found.append(f"{page.url} is wider than the screen")
    if "Something went wrong on our side" in page.locator("body").inner_text():
        found.append(f"{page.url} failed")
    return found


@pytest.fixture
def ids(
    sessions: Sessions, store: MinioStore, actor: Actor, door_url: str, register_mnist: Callable[[list[str]], int]
) -> dict[str, int]:
    """Pictures, words, a model, jobs, an evaluation and trash, with such text in all that takes any."""
    register_mnist(HOSTILE)
    parts = Parts(sessions, store, Door(door_url, places(1)))
    text = b"Comment\0" + OUT_OF_TEXT.encode("latin-1")
    exif = exif_block({0x010F: (2, len(OUT_OF_TEXT) + 1, OUT_OF_TEXT.encode() + b"\0")})
    images = []
    for number, name in enumerate(HOSTILE):
        data = png(seed=number + 1, before=[(b"tEXt", text), (b"eXIf", exif)])
        described = {"original_name": f"{name}.png", "label": name, "tags": HOSTILE, "attributes": {name: {name: [name]}}}
        images.append(add_image(sessions, store, actor, data, **described))
    for kind in Kind:
        for word_id in range(1, len(HOSTILE) + 1):
            change_word(sessions, kind, word_id, WordChange(frozenset({"description"}), description=HOSTILE[word_id - 1] * 3))
    for job in (
        request_predictions(sessions, Selection(ImageFilter(tag=[HOSTILE[0]])), actor=actor),
        request_evaluation(sessions, Selection(where=f"label <> '{OUT_OF_TEXT}'"), actor=actor),
    ):
        do_job(parts, job)
    job_id = request_predictions(sessions, Selection(where=f"label = '{OUT_OF_TEXT}'"), actor=actor, again=True)
    delete_image(sessions, images[-1])
    delete_image(sessions, images[0])
    return {"image_id": images[1], "job_id": job_id, "evaluation_id": 1, "label_id": 1, "tag_id": 1}


@pytest.fixture
def hostile_admin(sessions: Sessions) -> str:
    """A token whose owner's name is shown on every page."""
    for name in HOSTILE:
        create_token(sessions, name=name, role=Role.VIEWER)
    return create_token(sessions, name=OUT_OF_TEXT, role=Role.ADMIN)


def asked() -> Iterator[str]:
    """Give addresses with such text in what they ask for."""
    for name in (" ".join(HOSTILE[:4])[:200], *HOSTILE[5:9]):
        text = quote(name, safe="")
        for query in (
            f"?label={text}",
            f"?tag={text}&tag=x",
            f"?name={text}",
            f"?after={text}",
            f"?{text}=1",
            f"?attributes={text}",
        ):
            yield f"/{query}"
        yield f"/sql?query={text}&params={text}"
        yield f"/labels?name={text}"
        yield f"/evaluations?model={text}"
        yield f"/review?model={text}"
        yield f"/try?model={text}"
        yield f"/predict?label={text}"
        yield f"/models/{text}/history"
        yield f"/nowhere/{text}"


@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_shows_it_as_text(
    open_page: OpenPage, app: Flask, site: Site, ids: dict[str, int], hostile_admin: str, minio: MinioServer, width: int
) -> None:
    page = open_page(None, viewport={"width": width, "height": 900})
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.goto(f"/sign-in?token={hostile_admin}")
    expect(page.locator(".account-name")).to_have_text(OUT_OF_TEXT)
    found: list[str] = []
    for path in (*addresses(app, ids), "/?sort=id", "/sql?query=SELECT+*+FROM+images"):
        page.goto(path)
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        if page.locator("#facets").count():
            page.locator("#facet-lists .facet").first.wait_for()
        found += wrong_with(page)
    assert found == []
    assert hosts - {""} == {urlsplit(site.address).netloc, urlsplit(minio.endpoint).netloc}


def test_every_address_shows_it_as_text(open_page: OpenPage, ids: dict[str, int], complaints: Complaints) -> None:
    page = open_page(Role.ADMIN)
    found: list[str] = []
    for path in asked():
        page.goto(path)
        found += wrong_with(page)
    assert found == []
    # That there is no such thing is what these pages say, and the console with them.
    complaints.found[:] = [each for each in complaints.found if "the server responded with a status of 4" not in each]


def test_the_way_back_after_signing_in_leads_nowhere_else(open_page: OpenPage, site: Site) -> None:
    for number, place in enumerate(
        ("javascript:alert(1)", "//evil.example/x", "https://evil.example", "/\\evil.example", "\t//evil.example")
    ):
        page = open_page(None)
        page.goto(f"/sign-in?next={quote(place, safe='')}")
        page.get_by_label("Token").fill(site.tokens[Role.VIEWER])
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_load_state()
        assert page.url.startswith(f"{site.address}/"), number


def test_what_scripts_write_is_text(open_page: OpenPage, ids: dict[str, int], tmp_path: Path, complaints: Complaints) -> None:
    complaints.expected.append("/api/v1/images")  # what is no picture is refused
    page = open_page(Role.EDITOR)
    # Facets, and a change of a selection with its undoing.
    page.goto("/")
    page.wait_for_load_state()
    page.locator("#facets summary").click()
    expect(page.locator("#facet-lists").get_by_text(HOSTILE[1], exact=True).first).to_be_visible()
    page.keyboard.press("a")
    page.get_by_label("Tag for the selected").fill(f"new {OUT_OF_TEXT}")
    page.get_by_role("button", name="Tag", exact=True).click()
    expect(page.get_by_role("status").filter(has_text=f"tagged new {OUT_OF_TEXT}")).to_be_visible()
    assert wrong_with(page) == []
    # Files from a folder, new and refused.
    folder = tmp_path / "<b id=injected>cats"
    folder.mkdir()
    (folder / "<img src=x onerror=alert(1)>.png").write_bytes(make_png(seed=99))
    (folder / "' onload=alert(1) '.png").write_bytes(b"no picture")
    page.goto("/upload")
    page.wait_for_load_state()
    page.locator("#folder").set_input_files(folder)
    page.get_by_label("Each folder's name").check()
    page.get_by_label("Tags").fill(", ".join(HOSTILE[:2]))
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#summary")).to_contain_text("2 of 2 done: 1 new")
    expect(page.locator(".outcome-name", has_text="<img src=x onerror=alert(1)>.png")).to_be_visible()
    assert wrong_with(page) == []
    # A model's labels, and those of a version that one chooses.
    page.goto("/try")
    page.wait_for_load_state()
    page.locator("#file").set_input_files(folder / "<img src=x onerror=alert(1)>.png")
    expect(page.locator(".score")).to_have_count(10)
    assert wrong_with(page) == []
    # Review.
    page.goto("/review")
    page.get_by_label("Another label").fill(OUT_OF_TEXT)
    page.get_by_role("button", name="Set").click()
    expect(page.get_by_role("status").first).to_contain_text(OUT_OF_TEXT)
    assert wrong_with(page) == []


def test_a_jobs_error_is_text(open_page: OpenPage, sessions: Sessions, ids: dict[str, int]) -> None:
    execute(
        sessions,
        "UPDATE pixref.job SET state = 'failed', finished_at = now(), message = :text, "
        "error = jsonb_build_object('code', :text, 'detail', :text) WHERE id = :id",
        id=ids["job_id"],
        text=OUT_OF_TEXT,
    )
    page = open_page(Role.VIEWER)
    page.goto(f"/jobs/{ids['job_id']}")
    expect(page.get_by_text(OUT_OF_TEXT).first).to_be_visible()
    assert wrong_with(page) == []


def test_names_do_not_turn_their_neighbours_around(open_page: OpenPage, sessions: Sessions, ids: dict[str, int]) -> None:
    """A name from right to left, or with an override, stands between isolates: what follows it stays where it belongs."""
    rtl = HOSTILE[7]
    page = open_page(Role.VIEWER)
    for path in (f"/?label={quote(rtl)}", "/labels", f"/images/{ids['image_id']}", "/sql?query=SELECT+*+FROM+labels"):
        page.goto(path)
        astray = page.evaluate(
            """name => {
                const found = [];
                const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
                while (walker.nextNode()) {
                    const node = walker.currentNode;
                    if (!node.data.includes(name)) continue;
                    const element = node.parentElement.closest("bdi, [dir=auto], option, textarea, pre");
                    if (!element) found.push(node.parentElement.outerHTML.slice(0, 200));
                }
                return found;
            }""",
            rtl,
        )
        assert astray == [], path


def test_big_numbers_are_grouped(open_page: OpenPage, sessions: Sessions, ids: dict[str, int]) -> None:
    execute(
        sessions,
        "UPDATE pixref.job SET total = 1234567, done = 1234566, state = 'running', runner = 'somebody', heartbeat_at = now(), "
        "started_at = now() WHERE id = :id",
        id=ids["job_id"],
    )
    page = open_page(Role.VIEWER)
    page.goto(f"/jobs/{ids['job_id']}")
    expect(page.get_by_text("1,234,566 of 1,234,567")).to_be_visible()
