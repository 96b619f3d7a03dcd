// What the pages' scripts need to talk to the API.

/** The header that proves that a request comes from our page. */
export function csrfHeader() {
  return { "X-CSRFToken": document.querySelector('meta[name="csrf-token"]')?.content ?? "" };
}

/** A sentence for people from a problem+json body, or from nothing. */
export function problemText(problem, status) {
  if (problem?.detail) return problem.detail[0].toUpperCase() + problem.detail.slice(1);
  return status ? `The server answered ${status}.` : "The server cannot be reached.";
}
