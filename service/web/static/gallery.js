// Selecting in the gallery: by click, with Shift a whole row of them, and by keys. Without this script each picture's box is ticked by itself.
const form = document.getElementById("selection");
const bar = document.getElementById("selection-bar");
const boxes = [...form.querySelectorAll("input[name=id]")];
const tiles = boxes.map((box) => box.parentElement.querySelector(".tile"));
const everything = form.elements.everything;
const count = document.getElementById("selected");
let last = -1;

function update() {
  const chosen = boxes.filter((box) => box.checked).length;
  const all = everything?.checked ?? false;
  bar.hidden = !(chosen || all);
  count.textContent = all ? "All that match" : `${chosen} selected`;
  for (const box of boxes) box.closest("li").classList.toggle("is-selected", all || box.checked);
}

/** Tick a box, and with `through` all from the one before to it, as it is. */
function choose(index, checked, through) {
  const [from, to] = through && last >= 0 ? [Math.min(last, index), Math.max(last, index)] : [index, index];
  for (let each = from; each <= to; each += 1) boxes[each].checked = checked;
  last = index;
  update();
}

function clear() {
  for (const box of boxes) box.checked = false;
  if (everything) everything.checked = false;
  update();
}

boxes.forEach((box, index) => box.addEventListener("click", (event) => choose(index, box.checked, event.shiftKey)));
// While something is selected, a click with Shift or Ctrl on the picture itself selects as well.
tiles.forEach((tile, index) =>
  tile.addEventListener("click", (event) => {
    if (!event.shiftKey && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    choose(index, event.shiftKey || !boxes[index].checked, event.shiftKey);
  }),
);
everything?.addEventListener("change", update);
document.getElementById("clear-selection").addEventListener("click", clear);
form.elements.tag.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  form.querySelector("button[value=tag]").click();
});

/** How many tiles stand side by side. */
function columns() {
  const top = tiles[0].getBoundingClientRect().top;
  const wrapped = tiles.findIndex((tile) => tile.getBoundingClientRect().top > top);
  return wrapped < 0 ? tiles.length : wrapped;
}

const steps = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: () => -columns(), ArrowDown: () => columns() };

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.closest("input:not([type=checkbox]), select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const at = tiles.findIndex((tile) => tile.parentElement.contains(document.activeElement));
  if (event.key in steps && (at >= 0 || event.key === "ArrowRight")) {
    const next = at < 0 ? 0 : at + steps[event.key]();
    if (next < 0 || next >= tiles.length) return;
    event.preventDefault();
    tiles[next].focus();
    if (event.shiftKey && at >= 0) {
      boxes[at].checked = true;
      choose(next, true, false);
    }
  } else if (event.key === "x" && at >= 0) choose(at, !boxes[at].checked, false);
  else if (event.key === "a") {
    for (const box of boxes) box.checked = true;
    update();
  } else if (event.key === "Escape") clear();
  else if (event.key === "z") document.getElementById("undo")?.click();
  else if ((event.key === "l" || event.key === "t") && !bar.hidden) {
    event.preventDefault();
    form.elements[event.key === "l" ? "label" : "tag"].focus();
  }
});

update();
