"""What moves on a page without its reader having done anything (https://web.dev/articles/cls)."""

from playwright.sync_api import Page

_WATCH = """
window.moved = [];
window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue;
    window.shift += entry.value;
    for (const { node } of entry.sources) {
      const element = node?.closest ? node : node?.parentElement;
      window.moved.push([element?.outerHTML.slice(0, 100) ?? "something that is gone", element]);
    }
  }
}).observe({ type: "layout-shift", buffered: true });
"""


def watch_shifts(page: Page, *, slower: int = 1) -> None:
    """Watch from the next page on, on a processor that is so many times slower, which paints pages before all of them has been read."""
    page.add_init_script(_WATCH)
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slower})


def moved(page: Page, *, within: str = "*", but: str = "none") -> list[str]:
    """Return what has moved since the page was opened: what is within one CSS selector and not within another."""
    found: list[str] = page.evaluate(
        "([within, but]) => window.moved.filter(([, each]) => each?.closest(within) && !each.closest(but)).map(([text]) => text)",
        [within, but],
    )
    return found


def shift(page: Page) -> float:
    """Return the sum of all shifts since the page was opened; up to 0.1 is good by the Web Vitals."""
    found: float = page.evaluate("window.shift")
    return found
