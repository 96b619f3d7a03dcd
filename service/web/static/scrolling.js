// The gallery goes on by itself: the next page is put under what is there before its end is reached. The address follows the page that is looked at,
// so that reloading, passing on and Back lead there; Back finds the picture that was opened.
const AHEAD_PX = 1200;
const AGAIN_MS = 1000;

const grid = document.querySelector(".grid");
const shown = document.getElementById("shown");
const pages = [{ first: grid.firstElementChild, address: location.href }];
let next = document.querySelector("nav [rel=next]");
let busy = false;
let failed = -AGAIN_MS;

/** Put the next page under the others. Where it cannot be had, its link stays. */
async function more() {
  if (busy || !next || performance.now() - failed < AGAIN_MS) return;
  busy = true;
  const link = next;
  try {
    const response = await fetch(link.href, { headers: { Accept: "text/html" } });
    if (!response.ok || response.redirected) throw new Error(response.statusText);
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const items = [...(page.querySelector(".grid")?.children ?? [])];
    if (items.length) pages.push({ first: items[0], address: link.href });
    grid.append(...items);
    const following = page.querySelector("nav [rel=next]");
    if (following) link.href = following.href;
    else link.remove();
    next = following ? link : null;
    shown.textContent = `${grid.children.length.toLocaleString("en")} pictures here`;
    document.dispatchEvent(new CustomEvent("gallery:more"));
  } catch {
    // The service is away for a moment: scrolling tries again, and the link is still there.
    failed = performance.now();
  } finally {
    busy = false;
  }
  reach();
}

/** Get more where the end is near. */
function reach() {
  if (next && next.getBoundingClientRect().top < innerHeight + AHEAD_PX) more();
}

/** The page whose pictures are in the middle of the window. */
function current() {
  return pages.findLast(({ first }) => first.getBoundingClientRect().top <= innerHeight / 2) ?? pages[0];
}

let told = pages[0];
function follow() {
  const now = current();
  if (now === told) return;
  told = now;
  history.replaceState(null, "", now.address);
}

grid.addEventListener("click", (event) => {
  const item = event.target.closest(".tile")?.closest("li");
  if (!item) return;
  const page = pages.findLast(({ first }) => first === item || first.compareDocumentPosition(item) & Node.DOCUMENT_POSITION_FOLLOWING);
  history.replaceState({ picture: item.querySelector(".tile").pathname }, "", (page ?? pages[0]).address);
});

let due = false;
addEventListener("scroll", () => {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    follow();
    reach();
  });
});
reach();

const opened = history.state?.picture;
if (opened) {
  const tile = [...grid.querySelectorAll(".tile")].find((each) => each.pathname === opened);
  tile?.scrollIntoView({ block: "center" });
  tile?.focus({ preventScroll: true });
}
