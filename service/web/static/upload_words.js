// What the upload page says, and how it understands answers.

const counted = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;

/** How far a batch is. */
export function summaryOf({ all, new: added, existing, refused }) {
  return `${added + existing + refused} of ${all} done: ${added} new, ${existing} already here, ${refused} not kept.`;
}

/** What has been chosen; `files` have the folder that each lies in, or an empty one. */
export function chosenWords(files) {
  if (!files.length) return "There is no PNG file in it.";
  const folders = foldersOf(files);
  return `${counted(files.length, "file")}${folders.size ? ` in ${counted(folders.size, "folder")}` : ""}, ready to be sent.`;
}

/** The folders that files lie in. */
export function foldersOf(files) {
  return new Set(files.map((each) => each.folder).filter(Boolean));
}

/** How fast it goes; empty before that can be told. */
export function speedOf(bytes, milliseconds) {
  return milliseconds > 500 ? `${(bytes / milliseconds / 1e3).toFixed(1)} MB a second` : "";
}

/** The pairs of a file whose folder names its label; the folder's name comes before what the form says of all. */
export function labelled(fields, label) {
  return label ? [["label", label], ...fields.filter(([name]) => name !== "label")] : fields;
}

/** Whether sending again can help: nothing was answered, or the answer says so. */
export function isRetryable(status, answer) {
  return status === 0 || answer?.retryable === true;
}
