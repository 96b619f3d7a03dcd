// The API's page: send what a form says, as the person who is signed in, and show what comes back.
import { csrfHeader, problemText } from "./http.js";

const SHOWN = 50_000;

/** The values of a field: several where it takes several, none where it is empty. */
function valuesOf(field) {
  if (field.type === "file") return [...field.files];
  const text = field.value.trim();
  if (!text) return [];
  return "many" in field.dataset ? text.split(",").map((part) => part.trim()).filter(Boolean) : [text];
}

/** Address and options for fetch() from a form's fields. */
function requestOf(form) {
  const query = new URLSearchParams();
  const headers = { ...csrfHeader() };
  const parts = new FormData();
  let path = form.dataset.path;
  let body;
  for (const field of form.querySelectorAll("[data-in]")) {
    if (field.dataset.in === "body") {
      body = field.value;
      headers["Content-Type"] = "application/json";
      continue;
    }
    for (const value of valuesOf(field)) {
      if (field.dataset.in === "path") path = path.replace(`{${field.name}}`, encodeURIComponent(value));
      else if (field.dataset.in === "query") query.append(field.name, value);
      else if (field.dataset.in === "header") headers[field.name] = value;
      else {
        parts.append(field.name, value);
        body = parts;
      }
    }
  }
  const address = query.size ? `${path}?${query}` : path;
  // The bucket is another origin, which this page may not read: its link is shown instead.
  return [address, { method: form.dataset.method, headers, body, redirect: "manual" }];
}

async function show(answer, box) {
  const type = answer.headers.get("Content-Type") ?? "";
  box.replaceChildren();
  if (type.startsWith("image/")) {
    const picture = new Image();
    picture.alt = "The picture that was answered";
    const data = new FileReader();
    data.addEventListener("load", () => { picture.src = data.result; });
    data.readAsDataURL(await answer.blob());
    box.append(picture);
    return;
  }
  let text = await answer.text();
  if (type.includes("json")) text = JSON.stringify(JSON.parse(text), null, 2);
  box.textContent = text.length > SHOWN ? `${text.slice(0, SHOWN)}\n… ${text.length - SHOWN} characters more` : text;
  box.hidden = !text;
}

async function send(form) {
  const place = form.parentElement.querySelector(".answer");
  const [status, about, box] = ["status", "about", "body"].map((name) => place.querySelector(`.answer-${name}`));
  const button = form.querySelector("button");
  const [address, options] = requestOf(form);
  button.disabled = true;
  box.hidden = false;
  const started = performance.now();
  try {
    const answer = await fetch(address, options);
    const took = `${options.method} ${address} in ${Math.round(performance.now() - started)} ms`;
    if (answer.type === "opaqueredirect") {
      status.textContent = "302";
      about.textContent = took;
      const link = Object.assign(document.createElement("a"), { href: address, textContent: "To where it leads", target: "_blank" });
      box.replaceChildren(link);
    } else {
      status.textContent = `${answer.status}`;
      about.textContent = `${took}, request ${answer.headers.get("X-Request-Id")}`;
      await show(answer, box);
    }
  } catch (error) {
    status.textContent = "No answer.";
    about.textContent = error instanceof TypeError ? problemText(null, 0) : error.message;
    box.hidden = true;
  } finally {
    place.hidden = false;
    button.disabled = false;
  }
}

for (const form of document.querySelectorAll(".operation-form")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
}

// A link to one endpoint opens it.
const meant = document.getElementById(location.hash.slice(1));
if (meant instanceof HTMLDetailsElement) meant.open = true;
