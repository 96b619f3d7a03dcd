// The upload page: drop or choose files, a few at a time, progress and outcome for each. Without this script the form sends them all at once.
import { csrfHeader, problemText } from "./http.js";

const AT_ONCE = 3;
const ENDPOINT = "/api/v1/images";

const form = document.getElementById("upload");
const input = document.getElementById("file");
const dropzone = document.getElementById("dropzone");
const list = document.getElementById("outcomes");
const results = document.getElementById("results");
const summary = document.getElementById("summary");

const waiting = [];
let running = 0;
const counts = { all: 0, new: 0, existing: 0, refused: 0 };

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function describe() {
  const done = counts.new + counts.existing + counts.refused;
  summary.textContent = `${done} of ${counts.all} done: ${counts.new} new, ${counts.existing} already here, ${counts.refused} not kept.`;
}

/** One line of the list. Text from people and servers is only ever set as text. */
class Row {
  constructor(file) {
    this.root = element("li", "outcome");
    this.picture = element("span", "outcome-picture");
    const text = element("div", "outcome-text");
    text.append(element("bdi", "outcome-name", file.name));
    this.note = element("div", "small text-body-secondary");
    this.bar = element("progress", "outcome-progress");
    this.bar.max = 1;
    this.bar.value = 0;
    this.bar.setAttribute("aria-label", `Progress of ${file.name}`);
    text.append(this.note, this.bar);
    this.side = element("span", "outcome-side");
    this.root.append(this.picture, text, this.side);
    this.badge("text-bg-secondary", "waiting");
  }

  badge(kind, text) {
    this.side.replaceChildren(element("span", `badge ${kind}`, text));
  }

  progress(share) {
    this.bar.value = share;
    this.badge("text-bg-secondary", share < 1 ? `${Math.floor(share * 100)} %` : "checking");
  }

  kept(image, created) {
    this.bar.remove();
    const thumbnail = element("img", "");
    Object.assign(thumbnail, { src: image.links.thumbnail, width: 48, height: 48, alt: "" });
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
    this.badge(again ? "text-bg-warning" : "text-bg-danger", again ? "not sent" : "refused");
    if (again) {
      const button = element("button", "btn btn-sm btn-outline-primary ms-2", "Retry");
      button.type = "button";
      button.addEventListener("click", again);
      this.side.append(button);
    }
  }

  reset() {
    this.note.replaceChildren();
    this.bar.hidden = false;
    this.bar.value = 0;
    this.badge("text-bg-secondary", "waiting");
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

function send(job) {
  const { file, row } = job;
  const body = new FormData();
  for (const [name, value] of job.fields) body.append(name, value);
  body.append("file", file);
  const request = new XMLHttpRequest();
  request.responseType = "json";
  request.open("POST", ENDPOINT);
  for (const [name, value] of Object.entries(csrfHeader())) request.setRequestHeader(name, value);
  request.upload.addEventListener("progress", (event) => event.lengthComputable && row.progress(event.loaded / event.total));
  request.addEventListener("loadend", () => {
    running -= 1;
    const { status, response } = request;
    if (status === 200 || status === 201) {
      counts[status === 201 ? "new" : "existing"] += 1;
      row.kept(response, status === 201);
    } else {
      refuse(job, problemText(response, status), response?.code, status === 0 || response?.retryable === true);
    }
    describe();
    startMore();
  });
  request.send(body);
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

function startMore() {
  while (running < AT_ONCE && waiting.length) {
    running += 1;
    send(waiting.shift());
  }
}

function enqueue(job) {
  waiting.push(job);
  describe();
  startMore();
}

function start(files) {
  const fields = description();
  const largest = Number(form.dataset.maxBytes);
  results.hidden = false;
  for (const file of files) {
    const job = { file, fields, row: new Row(file) };
    counts.all += 1;
    list.append(job.row.root);
    // The server refuses it too, but only by hanging up, which looks like a broken network.
    if (file.size > largest) refuse(job, `This file is larger than ${Math.floor(largest / 2 ** 20)} MiB.`, "too_large", false);
    else enqueue(job);
  }
  describe();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  start([...input.files]);
  input.value = "";
});

for (const name of ["dragenter", "dragover"]) {
  dropzone.addEventListener(name, (event) => {
    event.preventDefault();
    dropzone.classList.add("is-over");
  });
}
for (const name of ["dragleave", "drop"]) dropzone.addEventListener(name, () => dropzone.classList.remove("is-over"));
dropzone.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) input.files = event.dataTransfer.files;
});
// A file dropped beside the zone would otherwise replace the page.
for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());
