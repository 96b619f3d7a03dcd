// Files from wherever they come: chosen, a folder, dropped, pasted. Each with its path, whose last folder may be its label.

/** What a picture's file may be called; in a folder all else is passed over. */
const isPng = (file) => file.type === "image/png" || /\.png$/i.test(file.name);

const entryFile = (entry) => new Promise((resolve, reject) => entry.file(resolve, reject));
const entryBatch = (reader) => new Promise((resolve, reject) => reader.readEntries(resolve, reject));

async function* walk(entry, folder) {
  if (entry.isFile) {
    yield { file: await entryFile(entry), folder };
    return;
  }
  const reader = entry.createReader();
  // A reader gives a hundred entries at a time, and none at its end.
  for (let batch = await entryBatch(reader); batch.length; batch = await entryBatch(reader)) {
    for (const each of batch) yield* walk(each, entry.name);
  }
}

/** Files of an `<input>`, with the folder that each lies in where a folder was chosen. */
export function chosenFiles(input) {
  const found = [...input.files].map((file) => ({ file, folder: file.webkitRelativePath.split("/").at(-2) ?? "" }));
  return input.webkitdirectory ? found.filter(({ file }) => isPng(file)) : found;
}

/** Files that were dropped or pasted, folders with all that is in them. The transfer is readable only until the first `await`. */
export async function transferredFiles(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry?.());
  if (!entries.some((entry) => entry?.isDirectory)) return [...transfer.files].map((file) => ({ file, folder: "" }));
  const found = [];
  for (const entry of entries) {
    if (entry) for await (const each of walk(entry, "")) if (entry.isFile || isPng(each.file)) found.push(each);
  }
  return found;
}
