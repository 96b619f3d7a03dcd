// The page to try a model: what is drawn, chosen or dropped is predicted at once, and the newest question alone is answered.
import { element } from "./dom.js";
import { Drawing } from "./drawing.js";
import { csrfHeader, problemText } from "./http.js";
import { bestOf, milliseconds, percent } from "./scores.js";

const SHOWN = 10;
const form = document.getElementById("try");
const model = document.getElementById("model");
const input = document.getElementById("file");
const dropzone = document.getElementById("dropzone");
const answer = document.getElementById("answer");

let file = null;
let asking = new AbortController();

function bar(label, score) {
  const row = element("div", "score");
  const name = element("bdi", "score-label text-truncate", label);
  name.title = label;
  const meter = element("meter", "");
  meter.value = score;
  meter.setAttribute("aria-label", `Score of ${label}`);
  row.append(name, meter, element("span", "score-value", percent(score)));
  return row;
}

function show(found) {
  const line = element("p", "mb-2");
  const who = `${found.model} version ${found.version}, ${milliseconds(found.latency_ms)}`;
  line.append(element("bdi", "prediction-label", found.label), " ", element("span", "text-body-secondary", who));
  answer.replaceChildren(line, ...bestOf(found.scores, SHOWN).map(([label, score]) => bar(label, score)));
}

function say(text) {
  answer.replaceChildren(element("span", "text-body-secondary", text));
}

async function ask() {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const { width, height } = model.selectedOptions[0].dataset;
  const picture = file ?? (await drawing.png(Number(width), Number(height)));
  if (picture === null) return say("Nothing yet.");
  const [version, ...name] = model.value.split(":");
  const body = new FormData();
  body.append("model", name.join(":"));
  body.append("version", version);
  body.append("file", picture, picture.name ?? "drawing.png");
  try {
    const response = await fetch(form.dataset.url, { method: "POST", headers: csrfHeader(), body, signal });
    const found = await response.json().catch(() => null);
    if (response.ok && found) show(found);
    else say(problemText(found, response.status));
  } catch (error) {
    if (error.name !== "AbortError") say(problemText(null, 0));
  }
}

const drawing = new Drawing(document.getElementById("canvas"), () => {
  file = null;
  input.value = "";
  ask();
});

function take(files) {
  if (!files.length) return;
  [file] = files;
  drawing.clear();
  ask();
}

document.getElementById("clear").addEventListener("click", () => {
  file = null;
  input.value = "";
  drawing.clear();
  ask();
});
model.addEventListener("change", ask);
input.addEventListener("change", () => take(input.files));
form.addEventListener("submit", (event) => event.preventDefault());
for (const name of ["dragenter", "dragover"]) dropzone.addEventListener(name, () => dropzone.classList.add("is-over"));
for (const name of ["dragleave", "drop"]) dropzone.addEventListener(name, () => dropzone.classList.remove("is-over"));
// Anywhere on the page, since a file dropped beside the zone would otherwise replace the page.
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer.files);
});
