"""The gallery's grid stays where it is while a slow browser loads it, counts, goes on and enlarges; and nothing moves for whoever wants no motion."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from schema.session import Sessions
from service.accounts.actor import Actor, Role
from service.pictures.bulk import Candidate, upload_many
from service.pictures.upload import Description
from service.png import PngLimits
from storage.minio_store import MinioStore
from tests.browser.conftest import Complaints, OpenPage
from tests.browser.shifts import moved, shift, watch_shifts
from tests.factories import make_png

COUNT = 150
SLOWER = 6
# Whatever lasts longer than an eye can follow, of all elements and what is drawn before and behind them.
MOVING = """() => [...document.querySelectorAll('*')].flatMap(each => [null, '::before', '::after'].flatMap(part => {
    const style = getComputedStyle(each, part);
    const longest = Math.max(...`${style.transitionDuration}, ${style.animationDuration}`.split(', ').map(parseFloat));
    const smooth = style.scrollBehavior === 'smooth';
    return longest > 0.01 || smooth ? [`${each.outerHTML.slice(0, 80)} ${part ?? ''} ${longest} s ${style.scrollBehavior}`] : [];
})).concat(document.getAnimations().map(each => `running: ${each.effect.target.outerHTML.slice(0, 80)}`))"""


def pictures(count: int, sessions: Sessions, store: MinioStore, actor: Actor) -> None:
    candidates = [
        Candidate(
            make_png(8 + n % 5, 8, seed=n + 1), Description(original_name=f"{n}.png", label=f"label {n % 30}", tags=["a", "b"])
        )
        for n in range(count)
    ]
    upload_many(sessions, store, candidates, limits=PngLimits(), source="test", actor=actor, refuse=pytest.fail)


def slow(page: Page) -> Page:
    """Let the browser be as slow as a cheap telephone, and note what moves."""
    watch_shifts(page, slower=SLOWER)
    return page


def painted_first(page: Page, address: str) -> None:
    """Open an address, and let the scripts come only when all of the page has been seen without them."""
    held: list[Route] = []
    seen = False
    page.route(re.compile(r"/static/(?!theme)\w+\.js"), lambda route: route.continue_() if seen else held.append(route))
    page.goto(address, wait_until="commit")
    page.locator("footer").wait_for()
    page.wait_for_timeout(300)
    seen = True
    for route in held:
        route.continue_()
    page.wait_for_load_state("networkidle")


def still(page: Page) -> None:
    """Assert that the grid has not moved at all, nothing else since all of the page was there, and little before."""
    assert moved(page, late=True) == []
    assert moved(page, within=".grid") == []
    assert shift(page) < 0.01


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_moves_while_the_gallery_loads_and_goes_on(
    open_page: OpenPage, sessions: Sessions, store: MinioStore, actor: Actor, complaints: Complaints, width: int
) -> None:
    pictures(COUNT, sessions, store, actor)
    page = slow(open_page(Role.EDITOR, viewport={"width": width, "height": 800}))
    painted_first(page, "/?tag=a")
    still(page)
    # By script, since what moves within half a second of a wheel's turn counts as wished for.
    while page.locator(".tile").count() < COUNT:
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_timeout(50)
    # Whoever is at the end before the next page is sees the footer go down.
    assert moved(page, within=".grid") == []


@pytest.mark.parametrize("count", [3, 40])
def test_nothing_moves_in_a_short_gallery(
    open_page: OpenPage, sessions: Sessions, store: MinioStore, actor: Actor, complaints: Complaints, count: int
) -> None:
    pictures(count, sessions, store, actor)
    page = slow(open_page(Role.EDITOR, viewport={"width": 1280, "height": 1400}))
    painted_first(page, "/")
    still(page)


@pytest.mark.parametrize("width", [390, 1280])
def test_what_is_counted_slowly_moves_nothing(
    open_page: OpenPage, sessions: Sessions, store: MinioStore, actor: Actor, complaints: Complaints, width: int
) -> None:
    pictures(60, sessions, store, actor)
    page = slow(open_page(Role.VIEWER, viewport={"width": width, "height": 1000}))
    held: list[Route] = []
    page.route("**/images/facets*", lambda route: held.append(route))
    page.goto("/")
    page.wait_for_load_state()
    page.get_by_text("How many there are of each").click()
    # Longer than a click excuses.
    page.wait_for_timeout(800)
    held[0].continue_()
    page.locator("#facet-lists .facet").first.wait_for()
    still(page)
    tile, facets = (page.locator(each).first.bounding_box() for each in (".tile", "#facets"))
    assert tile is not None
    assert facets is not None
    assert facets["y"] + facets["height"] <= tile["y"]


def test_another_size_is_there_from_the_first_picture_on(
    open_page: OpenPage, sessions: Sessions, store: MinioStore, actor: Actor, complaints: Complaints
) -> None:
    pictures(60, sessions, store, actor)
    page = slow(open_page(Role.VIEWER))
    for name in ("Large", "Small"):
        page.goto("/")
        page.wait_for_load_state()
        page.get_by_role("button", name=name).click()
        expect(page.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")
        painted_first(page, "/")
        expect(page.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")
        still(page)


@pytest.mark.usefixtures("mnist_model")
def test_whoever_wants_no_motion_gets_none(
    open_page: OpenPage, sessions: Sessions, store: MinioStore, actor: Actor, complaints: Complaints
) -> None:
    pictures(5, sessions, store, actor)
    moving = open_page(Role.EDITOR)
    moving.goto("/")
    assert moving.evaluate(MOVING) != []
    page = open_page(Role.EDITOR, reduced_motion="reduce")
    for path in (
        "/",
        "/images/1",
        "/upload",
        "/labels",
        "/models",
        "/jobs",
        "/try",
        "/review?queue=unlabelled",
        "/sql",
        "/api/docs",
    ):
        page.goto(path)
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        for target in page.locator("main :is(a, button, input, select)").locator("visible=true").all()[:3]:
            target.focus()
        assert page.evaluate(MOVING) == [], path
