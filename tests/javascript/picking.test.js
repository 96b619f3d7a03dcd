// Files from fields, drops and folders, with the folder that each lies in.
import assert from "node:assert/strict";
import { test } from "node:test";
import { chosenFiles, transferredFiles } from "../../service/web/static/picking.js";

const file = (name, type = "", webkitRelativePath = "") => ({ name, type, webkitRelativePath });
const entryOf = (each) => ({ isFile: true, isDirectory: false, name: each.name, file: (done) => done(each) });

/** A folder's entry that gives its children two at a time, as browsers give a hundred. */
function folder(name, ...children) {
  const createReader = () => {
    let at = 0;
    return { readEntries: (done) => done(children.slice(at, (at += 2))) };
  };
  return { isFile: false, isDirectory: true, name, createReader };
}

function transfer(...entries) {
  const items = entries.map((entry) => ({ kind: "file", webkitGetAsEntry: () => entry }));
  return { items: [{ kind: "string" }, ...items], files: [] };
}

const seen = (found) => found.map((each) => [each.file.name, each.folder]);

test("files that were chosen one by one are all taken, whatever they are", () => {
  const found = chosenFiles({ files: [file("a.png"), file("b.txt")], webkitdirectory: false });
  assert.deepEqual(seen(found), [["a.png", ""], ["b.txt", ""]]);
  assert.deepEqual(chosenFiles({ files: [], webkitdirectory: false }), []);
});

test("of a folder the PNGs are taken, each with the folder right above it", () => {
  const files = [
    file("1.png", "image/png", "pictures/cats/1.png"),
    file("2.PNG", "", "pictures/žirafa 🦒/2.PNG"),
    file("notes.txt", "text/plain", "pictures/notes.txt"),
    file("no-ending", "image/png", "pictures/no-ending"),
    file("png", "", "pictures/png"),
  ];
  const found = chosenFiles({ files, webkitdirectory: true });
  assert.deepEqual(seen(found), [["1.png", "cats"], ["2.PNG", "žirafa 🦒"], ["no-ending", "pictures"]]);
});

test("files that were dropped without a folder are taken as they are", async () => {
  const files = [file("a.png"), file("b.txt")];
  const items = files.map((each) => ({ kind: "file", webkitGetAsEntry: () => entryOf(each) }));
  assert.deepEqual(seen(await transferredFiles({ items, files })), [["a.png", ""], ["b.txt", ""]]);
});

test("a picture that was pasted has no entry", async () => {
  const items = [{ kind: "file", webkitGetAsEntry: () => null }];
  assert.deepEqual(seen(await transferredFiles({ items, files: [file("image.png")] })), [["image.png", ""]]);
  assert.deepEqual(seen(await transferredFiles({ items: [{ kind: "file" }], files: [file("image.png")] })), [["image.png", ""]]);
});

test("folders that were dropped are read to their last entry, however deep", async () => {
  const many = Array.from({ length: 5 }, (_, number) => entryOf(file(`${number}.png`)));
  const tree = folder("all", ...many, folder("deep", folder("deeper", entryOf(file("x.png")), entryOf(file("x.json")))), folder("empty"));
  const found = await transferredFiles(transfer(tree, entryOf(file("beside.txt")), folder("two", entryOf(file("y.png")))));
  assert.deepEqual(seen(found), [
    ...["0", "1", "2", "3", "4"].map((name) => [`${name}.png`, "all"]),
    ["x.png", "deeper"],
    // What was dropped by itself was meant, so that the service says why it is refused.
    ["beside.txt", ""],
    ["y.png", "two"],
  ]);
});

test("a folder that cannot be read is an error and not an empty folder", async () => {
  const broken = { isFile: false, isDirectory: true, name: "gone", createReader: () => ({ readEntries: (_, fail) => fail(new Error("gone")) }) };
  await assert.rejects(transferredFiles(transfer(broken)), /gone/);
});
