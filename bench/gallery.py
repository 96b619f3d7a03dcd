"""The gallery at 100,000 pictures: the server's time and the page's bytes, beside a naive page; and what a browser makes of it: the first paint, and
the memory of a tab in which somebody has scrolled through 5,000 pictures.
"""

import http.client
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from statistics import quantiles

import psutil
from playwright.sync_api import Browser, Page, sync_playwright

from bench import servers
from bench.chromium import ARGUMENTS, find_chromium
from bench.million_rows import fill
from bench.processes import children, memory, wait_for_rest
from bench.result import Check, Result, Series, ratios
from bench.stack import DATABASE, running_stack
from bench.wrk import BenchError
from service.embedded.child import Child
from service.embedded.ports import LOOPBACK
from service.pictures.cursors import Cursor, Sort, encode_cursor

COUNT = 100_000
SCROLLED = 5_000
DEEP = 0.9
PATIENCE_S = 120
P50, P95, KB = "p50 ms", "p95 ms", "kB"
PAINT_MS, RENDERER_MIB = "first contentful paint, ms", "renderer, MiB"


@dataclass(frozen=True, slots=True)
class Asked:
    """One page of a server. Times are those of a client that has a connection and waits for each answer."""

    child: Child
    port: int
    path: str
    headers: Mapping[str, str]

    def measure(self, requests: int) -> dict[str, float]:
        """Ask for it again and again. Raises `BenchError` where it is not answered."""
        wait_for_rest(self.child.pid)
        spent, size = [], 0
        with closing(http.client.HTTPConnection(LOOPBACK, self.port, timeout=60)) as connection:
            for _ in range(requests):
                started = time.perf_counter()
                connection.request("GET", self.path, headers=dict(self.headers))
                answer = connection.getresponse()
                size = len(answer.read())
                spent.append((time.perf_counter() - started) * 1_000)
                if answer.status != http.client.OK:
                    raise BenchError(f"GET {self.path} was answered {answer.status}")
        marks = quantiles(spent, n=100)
        return {P50: round(marks[49], 2), P95: round(marks[94], 2), KB: round(size / 1_000, 1)}


def run(quick: bool) -> Result:
    """Measure. Raises `BenchError` where gunicorn or Chromium is missing, or a page is not answered."""
    servers.require_gunicorn()
    chromium = _chromium()
    count, rounds, requests, scrolled = (5_000, 2, 20, 600) if quick else (COUNT, 5, 100, SCROLLED)
    with ExitStack() as stack:
        running = stack.enter_context(running_stack())
        fill(running.postgres.url("postgres", running.password, DATABASE), count)
        pixref, port = running.serve()
        naive, naive_port = servers.naive_list(running)
        stack.enter_context(pixref)
        stack.enter_context(naive)
        token = {"Authorization": f"Bearer {running.token}"}
        deep = int(count * DEEP)
        after = encode_cursor(Sort.NEWEST, Cursor(count - deep))
        pages = {
            "Pixref, page 1": Asked(pixref, port, "/", token),
            "Pixref, at 90 %": Asked(pixref, port, f"/?after={after}", token),
            "Pixref, a label and a tag": Asked(pixref, port, "/?label=7&tag=half", token),
            "Pixref, disagreements": Asked(pixref, port, "/?agrees=false", token),
            "naive, page 1": Asked(naive, naive_port, "/gallery", {}),
            "naive, at 90 %": Asked(naive, naive_port, f"/gallery?offset={deep}", {}),
        }
        found = _in_turn(pages, rounds, requests)
        with _browser(chromium) as browser:
            paints = [_first_paint(browser, port, running.token) for _ in range(rounds)]
            tabs = [_after_scrolling(browser, port, running.token, scrolled) for _ in range(1 if quick else 3)]
    first, far = found["Pixref, page 1"], found["Pixref, at 90 %"]
    largest = max((samples[KB] for name, samples in found.items() if name.startswith("Pixref")), key=max)
    checks = [
        Check("page 1, server's time, p95", first[P95], "ms", at_most=15),
        Check("page at 90 % of the rows, server's time, p95", far[P95], "ms", at_most=15),
        Check("largest page with its thumbnails", largest, "kB", at_most=150),
        Check("first contentful paint", paints, "ms", at_most=500),
        Check(f"a tab that has {scrolled:,} pictures", tabs, "MiB", at_most=300),
        Check("page 1: naive / Pixref, p50", ratios(found["naive, page 1"][P50], first[P50])),
        Check("at 90 % of the rows: naive / Pixref, p50", ratios(found["naive, at 90 %"][P50], far[P50])),
    ]
    series = [Series(name, samples) for name, samples in found.items()]
    series += [Series("Chromium, page 1", {PAINT_MS: paints}), Series(f"Chromium, {scrolled:,} pictures", {RENDERER_MIB: tabs})]
    return Result("gallery", series, checks, {"pictures": count, "requests_a_round": requests, "scrolled": scrolled})


def _in_turn(pages: Mapping[str, Asked], rounds: int, requests: int) -> dict[str, dict[str, list[float]]]:
    """Return each page's samples by metric."""
    found: dict[str, dict[str, list[float]]] = {name: {P50: [], P95: [], KB: []} for name in pages}
    order = list(pages)
    for number in range(-1, rounds):  # the first round fills caches and prepares statements, and is not counted
        for name in order[number % len(order) :] + order[: number % len(order)]:
            measured = pages[name].measure(requests)
            for metric, value in measured.items():
                if number >= 0:
                    found[name][metric].append(value)
    return found


def _chromium() -> str:
    program = find_chromium()
    if program is None:
        raise BenchError("there is no Chromium: apt install chromium")
    return program


@contextmanager
def _browser(program: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def _gallery(browser: Browser, port: int, token: str) -> Iterator[Page]:
    """Open the gallery in a profile that has nothing in its cache."""
    context = browser.new_context(base_url=f"http://{LOOPBACK}:{port}", viewport={"width": 1280, "height": 800})
    try:
        # Signs in beside the browser: a page that did it would lead to the gallery, and bring all that this one is to fetch.
        context.request.get(f"/sign-in?token={token}")
        page = context.new_page()
        page.goto("/")
        page.wait_for_load_state("networkidle")
        yield page
    finally:
        context.close()


def _first_paint(browser: Browser, port: int, token: str) -> float:
    """Return the milliseconds from the navigation to the first contentful paint."""
    with _gallery(browser, port, token) as page:
        painted: float = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        return round(painted, 1)


def _after_scrolling(browser: Browser, port: int, token: str, count: int) -> float:
    """Scroll down until the page has so many pictures, and return what its process takes."""
    with _gallery(browser, port, token) as page:
        deadline = time.monotonic() + PATIENCE_S
        while (there := page.locator(".tile").count()) < count:
            if time.monotonic() > deadline:
                raise BenchError(f"after {PATIENCE_S} s of scrolling there are {there:,} pictures")
            page.evaluate("scrollTo(0, document.body.scrollHeight)")
            page.wait_for_timeout(20)
        page.wait_for_load_state("networkidle")
        missing = page.evaluate("[...document.images].filter(image => image.complete && !image.naturalWidth).length")
        if missing:
            raise BenchError(f"{missing} of the pictures could not be shown")
        renderers = [each for each in children(psutil.Process().pid) if "--type=renderer" in each.cmdline()]
        return max(each.pss_mib or each.rss_mib for each in memory(renderers))
