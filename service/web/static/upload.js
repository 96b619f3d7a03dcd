// The upload page: choose, drop or paste files and folders; they go a few at a time, with progress and outcome for each. Without this script the
// form sends the chosen ones at once.
import { element } from "./dom.js";
import { problemText } from "./http.js";
import { chosenFiles, transferredFiles } from "./picking.js";
import { send } from "./sending.js";
import { chosenWords, foldersOf, isRetryable, labelled, speedOf, summaryOf } from "./upload_words.js";

const AT_ONCE = 3;

const form = document.getElementById("upload");
const input = document.getElementById("file");
const folder = document.getElementById("folder");
const dropzone = document.getElementById("dropzone");
const list = document.getElementById("outcomes");
const results = document.getElementById("results");
const summary = document.getElementById("summary");
const speed = document.getElementById("speed");
const cancelAll = document.getElementById("cancel-all");
const chosenText = document.getElementById("chosen");

let chosen = [];
const waiting = [];
const running = new Set();
const counts = { all: 0, new: 0, existing: 0, refused: 0 };
let sent = 0;
let since = 0;

function button(className, text, action) {
  const made = element("button", `btn btn-sm ${className}`, text);
  made.type = "button";
  made.addEventListener("click", action);
  return made;
}

function describe() {
  summary.textContent = summaryOf(counts);
  cancelAll.hidden = !(waiting.length || running.size);
  if (cancelAll.hidden) speed.textContent = "";
}

/** Bytes that went out, for the speed. */
function count(bytes) {
  sent += bytes;
  speed.textContent = speedOf(sent, performance.now() - since);
}

/** One line of the list. Text from people and servers is only ever set as text. */
class Row {
  constructor(job) {
    const { file, label } = job;
    this.root = element("li", "outcome");
    this.picture = element("span", "outcome-picture");
    const text = element("div", "outcome-text");
    text.append(element("bdi", "outcome-name", file.name));
    if (label) text.append(" ", element("bdi", "badge badge-soft", label));
    this.note = element("div", "small text-body-secondary");
    this.bar = element("progress", "outcome-progress");
    this.bar.max = 1;
    this.bar.setAttribute("aria-label", `Progress of ${file.name}`);
    text.append(this.note, this.bar);
    this.side = element("span", "outcome-side d-flex align-items-center gap-2");
    this.root.append(this.picture, text, this.side);
    this.job = job;
    this.reset();
  }

  badge(kind, text, ...more) {
    this.side.replaceChildren(element("span", `badge ${kind}`, text), ...more);
  }

  reset() {
    this.note.replaceChildren();
    this.bar.hidden = false;
    this.bar.value = 0;
    this.cancel = button("btn-link p-0", "Cancel", () => cancel(this.job));
    this.badge("text-bg-secondary", "waiting", this.cancel);
  }

  progress(share) {
    this.bar.value = share;
    this.badge("text-bg-secondary", share < 1 ? `${Math.floor(share * 100)} %` : "checking", this.cancel);
  }

  kept(image, created) {
    this.bar.remove();
    const thumbnail = element("img", "");
    Object.assign(thumbnail, { src: image.links.thumbnail, width: 48, height: 48, alt: "", loading: "lazy" });
    this.picture.replaceChildren(thumbnail);
    const link = element("a", "", `Picture ${image.id}`);
    link.href = form.dataset.page.replace(/0$/, image.id);
    this.note.replaceChildren(link);
    this.badge(created ? "text-bg-success" : "badge-soft", created ? "new" : "already here");
  }

  refused(reason, code, again) {
    this.bar.hidden = true;
    this.note.replaceChildren(reason, " ");
    if (code) this.note.append(element("code", "", code));
    if (again) this.badge("text-bg-warning", "not sent", button("btn-outline-primary", "Retry", again));
    else this.badge("text-bg-danger", "refused");
  }
}

/** What the form says of all files at this moment. */
function description() {
  const fields = new FormData(form);
  const named = [];
  for (const name of ["label", "split"]) if (fields.get(name).trim()) named.push([name, fields.get(name)]);
  for (const tag of fields.get("tags").split(",")) if (tag.trim()) named.push(["tags", tag]);
  return named;
}

async function work(job) {
  const { file, row } = job;
  job.abort = new AbortController();
  running.add(job);
  let before = 0;
  const onProgress = (loaded, total) => {
    count(loaded - before);
    before = loaded;
    row.progress(loaded / total);
  };
  try {
    const { status, answer } = await send(file, job.fields, { onProgress, signal: job.abort.signal });
    if (status === 200 || status === 201) {
      counts[status === 201 ? "new" : "existing"] += 1;
      row.kept(answer, status === 201);
    } else {
      refuse(job, problemText(answer, status), answer?.code, isRetryable(status, answer));
    }
  } catch (error) {
    // A file that was removed or changed after it was chosen cannot be read any more.
    if (error.name === "AbortError") refuse(job, "Cancelled.", null, true);
    else refuse(job, "The file cannot be read any more.", null, true);
  }
  running.delete(job);
  describe();
  startMore();
}

function refuse(job, reason, code, retryable) {
  counts.refused += 1;
  const again = () => {
    counts.refused -= 1;
    job.row.reset();
    enqueue(job);
  };
  job.row.refused(reason, code, retryable ? again : null);
}

function cancel(job) {
  const place = waiting.indexOf(job);
  if (place < 0) return job.abort?.abort();
  waiting.splice(place, 1);
  refuse(job, "Cancelled.", null, true);
  describe();
}

function startMore() {
  if (!running.size && waiting.length) [sent, since] = [0, performance.now()];
  while (running.size < AT_ONCE && waiting.length) work(waiting.shift());
}

function enqueue(job) {
  waiting.push(job);
  startMore();
  describe();
}

function start(files) {
  const fields = description();
  const byFolder = form.elements.by_folder.checked;
  const largest = Number(form.dataset.maxBytes);
  results.hidden = false;
  const rows = document.createDocumentFragment();
  const jobs = [];
  for (const { file, folder: name } of files) {
    const label = byFolder ? name : "";
    const job = { file, label, fields: labelled(fields, label) };
    job.row = new Row(job);
    counts.all += 1;
    rows.append(job.row.root);
    // The server refuses it too, but only by hanging up, which looks like a broken network.
    if (file.size > largest) refuse(job, `This file is larger than ${Math.floor(largest / 2 ** 20)} MiB.`, "too_large", false);
    else jobs.push(job);
  }
  list.append(rows);
  waiting.push(...jobs);
  startMore();
  describe();
}

function choose(files) {
  chosen = files;
  chosenText.textContent = chosenWords(files);
  form.elements.by_folder.disabled = !foldersOf(files).size;
}

async function take(transfer) {
  try {
    choose(await transferredFiles(transfer));
  } catch {
    choose([]);
    chosenText.textContent = "What you gave cannot be read: perhaps it is gone, or this browser may not look into it.";
  }
}

// What was dropped is in no field, so the browser's own check would call it missing.
form.noValidate = true;
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!chosen.length) {
    chosenText.textContent = "Choose, drop or paste a PNG file first.";
    return;
  }
  if (!form.elements.split.reportValidity()) return;
  start(chosen);
  chosen = [];
  chosenText.textContent = "";
  input.value = folder.value = "";
});
for (const each of [input, folder]) each.addEventListener("change", () => choose(chosenFiles(each)));
cancelAll.addEventListener("click", () => {
  while (waiting.length) cancel(waiting[0]);
  for (const job of running) cancel(job);
});

for (const name of ["dragenter", "dragover"]) {
  dropzone.addEventListener(name, (event) => {
    event.preventDefault();
    dropzone.classList.add("is-over");
  });
}
for (const name of ["dragleave", "drop"]) dropzone.addEventListener(name, () => dropzone.classList.remove("is-over"));
// Anywhere on the page, since a file dropped beside the zone would otherwise replace the page.
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer);
});
document.addEventListener("paste", (event) => {
  if (!event.clipboardData?.files.length) return;
  event.preventDefault();
  take(event.clipboardData);
});
addEventListener("beforeunload", (event) => {
  if (running.size || waiting.length) event.preventDefault();
});
