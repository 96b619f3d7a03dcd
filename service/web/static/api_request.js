// A request of the API's page, from the fields of a form.

/** The values of a field: several where it takes several, none where it is empty. */
function valuesOf(field) {
  if (field.type === "file") return [...field.files];
  const text = field.value.trim();
  if (!text) return [];
  return "many" in field.dataset ? text.split(",").map((part) => part.trim()).filter(Boolean) : [text];
}

/** Address and options for fetch(). Each field says by `dataset.in` where its value goes: path, query, header, form or body. */
export function requestOf({ method, path }, fields, headers) {
  const query = new URLSearchParams();
  const parts = new FormData();
  const sent = { ...headers };
  let address = path;
  let body;
  for (const field of fields) {
    if (field.dataset.in === "body") {
      body = field.value;
      sent["Content-Type"] = "application/json";
      continue;
    }
    for (const value of valuesOf(field)) {
      if (field.dataset.in === "path") address = address.replace(`{${field.name}}`, encodeURIComponent(value));
      else if (field.dataset.in === "query") query.append(field.name, value);
      else if (field.dataset.in === "header") sent[field.name] = value;
      else {
        parts.append(field.name, value);
        body = parts;
      }
    }
  }
  // The bucket is another origin, which the page may not read: its link is shown instead.
  return [query.size ? `${address}?${query}` : address, { method, headers: sent, body, redirect: "manual" }];
}
