// The API's page: send what a form says, as the person who is signed in, and show what comes back.
import { requestOf } from "./api_request.js";
import { csrfHeader, problemText } from "./http.js";

const SHOWN = 50_000;

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
  const [address, options] = requestOf(form.dataset, form.querySelectorAll("[data-in]"), csrfHeader());
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
