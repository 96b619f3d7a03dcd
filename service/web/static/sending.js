// One file on its way: through the service, or, where it is large, straight into the bucket by a form that the service signs.
import { csrfHeader } from "./http.js";

const DIRECT_FROM = 8 * 2 ** 20;

/** Send a request with progress. Gives status 0 where there was no answer; rejects with AbortError when cancelled. */
function post(url, body, { headers = {}, onProgress = () => {}, signal }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => event.lengthComputable && onProgress(event.loaded, event.total));
    const abort = () => request.abort();
    signal.addEventListener("abort", abort);
    request.addEventListener("loadend", () => {
      signal.removeEventListener("abort", abort);
      if (signal.aborted) return reject(new DOMException("cancelled", "AbortError"));
      let answer = null;
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        // The bucket answers with nothing or with XML.
      }
      resolve({ status: request.status, answer });
    });
    request.send(body);
  });
}

function form(fields, file) {
  const body = new FormData();
  for (const [name, value] of fields) body.append(name, value);
  body.append("file", file);
  return body;
}

const hex = (buffer) => [...new Uint8Array(buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Whether a file goes straight into the bucket; the page must be one that may compute a SHA-256 (HTTPS, or this machine). */
export function goesDirectly(file) {
  return file.size >= DIRECT_FROM && Boolean(globalThis.crypto?.subtle);
}

/** What the form says of a file, as the API's JSON has it. */
export function descriptionOf(file, fields) {
  const description = { name: file.name, tags: fields.filter(([name]) => name === "tags").map(([, tag]) => tag.trim()) };
  for (const name of ["label", "split"]) {
    const value = fields.find(([each]) => each === name)?.[1].trim();
    if (value) description[name] = value;
  }
  return description;
}

/** Put the bytes into the bucket; null where the browser cannot get there, so that they go the usual way. */
async function sendDirectly(file, fields, options) {
  const json = { ...csrfHeader(), "Content-Type": "application/json" };
  const sha256 = hex(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
  const announced = JSON.stringify({ ...descriptionOf(file, fields), sha256, byte_size: file.size });
  const begun = await post("/api/v1/uploads", announced, { headers: json, signal: options.signal });
  if (begun.status !== 201) return begun;
  const put = await post(begun.answer.url, form(Object.entries(begun.answer.fields), file), options);
  if (put.status === 0) return null;
  if (put.status >= 300) return { status: put.status, answer: { detail: "the bucket refused the bytes", retryable: true } };
  return post(begun.answer.complete_url, null, { headers: csrfHeader(), signal: options.signal });
}

/** Keep a file. `fields` are pairs of name and value; `onProgress` gets bytes sent and bytes in all. Returns `{status, answer}`. */
export async function send(file, fields, options) {
  if (goesDirectly(file)) {
    const done = await sendDirectly(file, fields, options);
    if (done !== null) return done;
  }
  return post("/api/v1/images", form(fields, file), { ...options, headers: csrfHeader() });
}
