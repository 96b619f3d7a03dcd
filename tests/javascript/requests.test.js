// What the API's page sends, and how scores are shown.
import assert from "node:assert/strict";
import { test } from "node:test";
import { requestOf } from "../../service/web/static/api_request.js";
import { bestOf, milliseconds, percent } from "../../service/web/static/scores.js";

const field = (where, name, value, more = {}) => ({ name, value, type: "text", dataset: { in: where, ...more } });

test("values go where their fields say", () => {
  const [address, options] = requestOf(
    { method: "GET", path: "/images/{image_id}/file" },
    [field("path", "image_id", " 7 "), field("query", "label", "a&b"), field("query", "sort", " "), field("header", "Idempotency-Key", "k")],
    { "X-CSRFToken": "t" },
  );
  assert.equal(address, "/images/7/file?label=a%26b");
  assert.deepEqual(options, { method: "GET", headers: { "X-CSRFToken": "t", "Idempotency-Key": "k" }, body: undefined, redirect: "manual" });
});

test("a value in the path cannot become another path", () => {
  for (const [value, written] of [["../x?y#z", "..%2Fx%3Fy%23z"], ["$&", "%24%26"], ["{name}", "%7Bname%7D"]]) {
    assert.equal(requestOf({ method: "GET", path: "/models/{name}/versions" }, [field("path", "name", value)], {})[0], `/models/${written}/versions`);
  }
});

test("a field that takes several takes one a comma", () => {
  const [address] = requestOf({ method: "GET", path: "/images" }, [field("query", "tag", " a, b ,,c", { many: "" })], {});
  assert.equal(address, "/images?tag=a&tag=b&tag=c");
});

test("files and their fields are a form", () => {
  const picture = new File(["x"], "a.png");
  const [, { body, headers }] = requestOf(
    { method: "POST", path: "/images" },
    [{ name: "file", type: "file", files: [picture], dataset: { in: "form" } }, field("form", "tags", "a,b", { many: "" })],
    {},
  );
  assert.equal(body.get("file").name, "a.png");
  assert.deepEqual(body.getAll("tags"), ["a", "b"]);
  assert.equal(headers["Content-Type"], undefined, "the browser writes it with the boundary");
});

test("a JSON body is sent as it was typed", () => {
  const [, { body, headers }] = requestOf({ method: "PUT", path: "/x" }, [field("body", "body", ' {"a": 1} ')], {});
  assert.equal(body, ' {"a": 1} ');
  assert.equal(headers["Content-Type"], "application/json");
});

test("the best scores come first, and the answer itself is left in its order", () => {
  const scores = { a: 0.1, b: 0.7, c: 0.2 };
  assert.deepEqual(bestOf(scores, 2), [["b", 0.7], ["c", 0.2]]);
  assert.deepEqual(bestOf(scores, 9).length, 3);
  assert.deepEqual(bestOf({}, 3), []);
  assert.deepEqual(Object.keys(scores), ["a", "b", "c"]);
});

test("numbers are as the server writes them", () => {
  assert.deepEqual([0, 0.5, 0.99999, 1].map(percent), ["0.00 %", "50.00 %", "100.00 %", "100.00 %"]);
  assert.deepEqual([0.0123, 0.05, 12.34].map(milliseconds), ["0.012 ms", "0.1 ms", "12.3 ms"]);
});
