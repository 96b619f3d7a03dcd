// What the upload page says, what it sends, and by which way.
import assert from "node:assert/strict";
import { test } from "node:test";
import { problemText } from "../../service/web/static/http.js";
import { descriptionOf, goesDirectly } from "../../service/web/static/sending.js";
import { chosenWords, foldersOf, isRetryable, labelled, speedOf, summaryOf } from "../../service/web/static/upload_words.js";

test("a batch says how far it is", () => {
  const counts = { all: 1000, new: 997, existing: 2, refused: 1 };
  assert.equal(summaryOf(counts), "1000 of 1000 done: 997 new, 2 already here, 1 not kept.");
});

const inFolders = (...folders) => folders.map((folder) => ({ folder }));

test("what has been chosen is counted with its folders", () => {
  assert.equal(chosenWords([]), "There is no PNG file in it.");
  assert.equal(chosenWords(inFolders("")), "1 file, ready to be sent.");
  assert.equal(chosenWords(inFolders("a", "a", "")), "3 files in 1 folder, ready to be sent.");
  assert.equal(chosenWords(inFolders("a", "b")), "2 files in 2 folders, ready to be sent.");
  assert.deepEqual([...foldersOf(inFolders("b", "", "a", "b"))], ["b", "a"]);
});

test("speed is told once it can be", () => {
  assert.equal(speedOf(10e6, 499), "");
  assert.equal(speedOf(10e6, 1000), "10.0 MB a second");
  assert.equal(speedOf(0, 60_000), "0.0 MB a second");
});

test("a folder's name is the label, and replaces the one of all", () => {
  const fields = [["label", "cat"], ["split", "train"], ["tags", "x"]];
  assert.equal(labelled(fields, ""), fields);
  assert.deepEqual(labelled(fields, "dog"), [["label", "dog"], ["split", "train"], ["tags", "x"]]);
});

test("only what may go another way next time can be sent again", () => {
  assert.ok(isRetryable(0, null));
  assert.ok(isRetryable(503, { retryable: true }));
  assert.ok(!isRetryable(422, { retryable: false }));
  assert.ok(!isRetryable(500, null));
});

test("large files go straight into the bucket, where the page may compute their SHA-256", (context) => {
  assert.ok(goesDirectly({ size: 8 * 2 ** 20 }));
  assert.ok(!goesDirectly({ size: 8 * 2 ** 20 - 1 }));
  const { crypto } = globalThis;
  context.after(() => Object.defineProperty(globalThis, "crypto", { value: crypto, configurable: true }));
  Object.defineProperty(globalThis, "crypto", { value: {}, configurable: true });
  assert.ok(!goesDirectly({ size: 2 ** 30 }));
});

test("a description has what was said and no empty words", () => {
  assert.deepEqual(descriptionOf({ name: "a.png" }, []), { name: "a.png", tags: [] });
  const fields = [["label", " žirafa "], ["split", " "], ["tags", " a "], ["tags", "b"]];
  assert.deepEqual(descriptionOf({ name: "a.png" }, fields), { name: "a.png", tags: ["a", "b"], label: "žirafa" });
});

test("a problem is told as a sentence", () => {
  assert.equal(problemText({ detail: "label is too long" }, 422), "Label is too long");
  assert.equal(problemText({ detail: "" }, 422), "The server answered 422.");
  assert.equal(problemText(null, 502), "The server answered 502.");
  assert.equal(problemText(null, 0), "The server cannot be reached.");
});
