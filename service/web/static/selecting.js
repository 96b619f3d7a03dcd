// Selecting in the gallery: by click, with Shift a whole row of them, and by keys. Without this script each picture's box is ticked by itself.
import { between, moves, stepped } from "./ranges.js";

const form = document.getElementById("selection");
const bar = document.getElementById("selection-bar");
const grid = form.querySelector(".grid");
const everything = form.elements.everything;
const count = document.getElementById("selected");
let last = null;

const items = () => [...grid.children];
const boxOf = (item) => item.querySelector("input[name=id]");
const tileOf = (item) => item.querySelector(".tile");

function update() {
  const all = everything?.checked ?? false;
  let chosen = 0;
  for (const item of grid.children) {
    const { checked } = boxOf(item);
    chosen += checked;
    item.classList.toggle("is-selected", all || checked);
  }
  bar.hidden = !(chosen || all);
  count.textContent = all ? "All that match" : `${chosen.toLocaleString("en")} selected`;
}

/** Tick an item, and with `through` all from the one before to it, as it is. */
function choose(item, checked, through) {
  for (const each of through ? between(items(), item, last) : [item]) boxOf(each).checked = checked;
  last = item;
  update();
}

function clear() {
  for (const item of grid.children) boxOf(item).checked = false;
  if (everything) everything.checked = false;
  update();
}

grid.addEventListener("click", (event) => {
  const item = event.target.closest("li");
  if (event.target.matches("input[name=id]")) choose(item, event.target.checked, event.shiftKey);
  else if (event.target.closest(".tile") && (event.shiftKey || event.ctrlKey || event.metaKey)) {
    // With Shift or Ctrl a click on the picture itself selects as well.
    event.preventDefault();
    choose(item, event.shiftKey || !boxOf(item).checked, event.shiftKey);
  }
});
everything?.addEventListener("change", update);
document.addEventListener("gallery:more", update);
document.getElementById("clear-selection").addEventListener("click", clear);
form.elements.tag.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  form.querySelector("button[value=tag]").click();
});

/** How many stand side by side. */
function columns(all) {
  const { top } = all[0].getBoundingClientRect();
  const wrapped = all.findIndex((item) => item.getBoundingClientRect().top > top);
  return wrapped < 0 ? all.length : wrapped;
}

function go(key, from, extend) {
  const all = items();
  const at = all.indexOf(from);
  const next = stepped(key, at, columns(all), all.length);
  if (next < 0) return false;
  tileOf(all[next]).focus();
  if (extend && at >= 0) {
    boxOf(from).checked = true;
    choose(all[next], true, false);
  }
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.closest("input:not([type=checkbox]), select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const here = document.activeElement.closest(".grid > li");
  if (moves(event.key) && (here || event.key === "ArrowRight")) {
    if (go(event.key, here, event.shiftKey)) event.preventDefault();
  } else if (event.key === "x" && here) choose(here, !boxOf(here).checked, false);
  else if (event.key === "a") {
    for (const item of grid.children) boxOf(item).checked = true;
    update();
  } else if (event.key === "Escape") clear();
  else if (event.key === "z") document.getElementById("undo")?.click();
  else if ((event.key === "l" || event.key === "t") && !bar.hidden) {
    event.preventDefault();
    form.elements[event.key === "l" ? "label" : "tag"].focus();
  }
});

update();
