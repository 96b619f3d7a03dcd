"""What moves on a page without its reader having done anything (https://web.dev/articles/cls)."""

from playwright.sync_api import Page

# A shift is late from the frame on that has all of the page: before, what stands to the right finds its place only as the page is read.
_WATCH = """
window.moved = [];
window.shift = 0;
let read = Infinity;
document.addEventListener(
  "readystatechange",
  () => requestAnimationFrame(() => setTimeout(() => { read = performance.now(); })),
  { once: true },
);
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.hadRecentInput) continue;
    window.shift += entry.value;
    for (const { node, previousRect, currentRect } of entry.sources) {
      const element = node?.closest ? node : node?.parentElement;
      const places = [previousRect, currentRect].map(({ x, y, width, height }) => [x, y, width, height].map(Math.round));
      const text = `${places.join(" to ")} ${element?.outerHTML.slice(0, 120) ?? "something that is gone"}`;
      window.moved.push({ text, element, late: entry.startTime >= read });
    }
  }
}).observe({ type: "layout-shift", buffered: true });
"""
_MOVED = """async ([within, but, late]) => {
  // What is noted comes with the frame after the one that moved.
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 50))));
  return window.moved
    .filter((each) => each.late || !late)
    .filter(({ element }) => (element ? element.closest(within) && !element.closest(but) : within === "*"))
    .map(({ text }) => text);
}"""


def watch_shifts(page: Page, *, slower: int = 1) -> None:
    """Watch from the next page on, on a processor that is so many times slower, which paints pages before all of them has been read."""
    page.add_init_script(_WATCH)
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slower})


def moved(page: Page, *, within: str = "*", but: str = "none", late: bool = False) -> list[str]:
    """Return what has moved since the page was opened: what is within one CSS selector and not within another.

    `late` leaves out what moved while the page was still being read.
    """
    found: list[str] = page.evaluate(_MOVED, [within, but, late])
    return found


def shift(page: Page) -> float:
    """Return the sum of all shifts since the page was opened; up to 0.1 is good by the Web Vitals."""
    found: float = page.evaluate("window.shift")
    return found
