// Addresses of the gallery and places in its grid.
import assert from "node:assert/strict";
import { test } from "node:test";
import { narrowed } from "../../service/web/static/narrowing.js";
import { between, moves, stepped } from "../../service/web/static/ranges.js";

test("a condition is added from the list's beginning", () => {
  assert.equal(narrowed("", { label: "cat" }), "?label=cat");
  assert.equal(narrowed("?after=abc&label=dog&sort=id", { label: "cat" }), "?label=cat&sort=id");
  assert.equal(narrowed("?before=abc", { predicted: "7", model: "mnist" }), "?predicted=7&model=mnist");
  assert.equal(narrowed("?label=cat", { unlabelled: true }), "?label=cat&unlabelled=true");
});

test("tags add up, each once", () => {
  assert.equal(narrowed("?tag=a", { tag: "b" }), "?tag=a&tag=b");
  assert.equal(narrowed("?tag=a&tag=b", { tag: "a" }), "?tag=a&tag=b");
});

test("whatever a name has in it stays one value", () => {
  for (const name of ["a&b=c", "100 % #1", "žirafa 🦒 زرافة", "+", "\"><script>", "\u202eabc"]) {
    assert.equal(new URLSearchParams(narrowed("", { label: name })).get("label"), name);
    assert.deepEqual(new URLSearchParams(narrowed("?tag=x", { tag: name })).getAll("tag"), ["x", name]);
  }
});

test("a range has both its ends, whichever way it was made", () => {
  const all = ["a", "b", "c", "d"];
  assert.deepEqual(between(all, "d", "b"), ["b", "c", "d"]);
  assert.deepEqual(between(all, "b", "d"), ["b", "c", "d"]);
  assert.deepEqual(between(all, "c", "c"), ["c"]);
  assert.deepEqual(between(all, "c", null), ["c"]);
  assert.deepEqual(between(all, "c", "gone"), ["c"]);
});

test("arrows move by one or by a row, and not out of the grid", () => {
  assert.deepEqual(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].map((key) => stepped(key, 5, 4, 10)), [4, 6, 1, 9]);
  assert.equal(stepped("ArrowLeft", 0, 4, 10), -1);
  assert.equal(stepped("ArrowUp", 3, 4, 10), -1);
  assert.equal(stepped("ArrowRight", 9, 4, 10), -1);
  assert.equal(stepped("ArrowDown", 6, 4, 10), -1);
  assert.equal(stepped("ArrowDown", -1, 4, 10), 0);
  assert.equal(stepped("ArrowRight", -1, 4, 0), -1);
});

test("other keys do not move", () => {
  assert.ok(moves("ArrowUp"));
  for (const key of ["a", "Enter", "toString", "constructor", "__proto__"]) assert.ok(!moves(key));
});
