// The SQL page: run with Ctrl+Enter, put examples, earlier questions and columns' names into the editor without leaving the page, and have the
// answer's address where addresses are.
const form = document.getElementById("ask");
const query = document.getElementById("query");
const params = document.getElementById("params");
const run = document.getElementById("run");
const label = run.textContent;

/** Replace what is selected, so that it can be undone like typing. */
function type(text) {
  query.focus();
  if (!document.execCommand("insertText", false, text)) query.setRangeText(text, query.selectionStart, query.selectionEnd, "end");
}

query.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    form.requestSubmit(run);
  }
});

form.addEventListener("submit", (event) => {
  // A download leaves the page as it is.
  if (event.submitter && event.submitter !== run) return;
  run.textContent = run.dataset.busy;
  // Not before the form has been read.
  setTimeout(() => (run.disabled = true));
});
// The browser brings a page back as it was left.
addEventListener("pageshow", () => {
  run.disabled = false;
  run.textContent = label;
});

// Reloading, going back and passing it on then ask the same; after a form they would not.
const address = document.getElementById("link")?.href;
if (address) history.replaceState(null, "", address);

document.addEventListener("click", (event) => {
  const name = event.target.closest("[data-insert]");
  if (name) type(name.dataset.insert);
  const link = event.target.closest("[data-query]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  query.select();
  type(link.dataset.query);
  params.value = link.dataset.params ?? "";
  params.parentElement.open = params.value !== "";
});
