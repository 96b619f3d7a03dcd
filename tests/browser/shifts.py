"""What moves on a page without its reader having done anything (https://web.dev/articles/cls)."""

from playwright.sync_api import Page

_WATCH = """
window.moved = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue;
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


def moved(page: Page, *, but: str = "none") -> list[str]:
    """Return what has moved since the page was opened, less what is within `but`, a CSS selector."""
    found: list[str] = page.evaluate("but => window.moved.filter(([, each]) => !each?.closest(but)).map(([text]) => text)", but)
    return found
