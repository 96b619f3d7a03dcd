// Reviewing by keys: each button or link that has one says which. In a field keys are letters, but Escape leaves it.
import { watchOriginal } from "./stage.js";

watchOriginal();
const other = document.getElementById("other");

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.repeat) return;
  if (event.target.closest("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  // What has the focus is pressed by Enter itself.
  if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
  if (event.key === "/") {
    event.preventDefault();
    other?.focus();
    return;
  }
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const target = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (!target) return;
  event.preventDefault();
  target.click();
});
