// The picture's page: swap the thumbnail for the original once it is here, go to the next by key, copy a link, copy the checksum.
import { csrfHeader, problemText } from "./http.js";
import { watchOriginal } from "./stage.js";

/** Copy text; false where the browser does not let us (plain http on another host than this machine). */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

watchOriginal();

const sha256Button = document.getElementById("copy-sha256");
sha256Button.addEventListener("click", async () => {
  const text = document.getElementById("sha256");
  if (await copy(text.textContent)) sha256Button.textContent = "Copied";
  else getSelection().selectAllChildren(text);
});

// Left and right go through the list, unless they move in a field.
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.target.closest("input, textarea, select, [contenteditable]")) return;
  if (event.key === "ArrowLeft") document.getElementById("previous")?.click();
  if (event.key === "ArrowRight") document.getElementById("next")?.click();
});

async function askForLink(button) {
  const response = await fetch(button.dataset.url, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...csrfHeader() },
    body: JSON.stringify({ ids: [Number(button.dataset.id)] }),
  });
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new Error(problemText(answer, response.status));
  if (!answer?.items?.length) throw new Error("The picture is not there any more.");
  return answer.items[0];
}

const linkButton = document.getElementById("copy-link");
linkButton?.addEventListener("click", async () => {
  const box = document.getElementById("link-box");
  const field = document.getElementById("link");
  const expiry = document.getElementById("link-expiry");
  linkButton.disabled = true;
  try {
    const { url, expires_at: expiresAt } = await askForLink(linkButton);
    field.value = url;
    const until = new Date(expiresAt).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    const copied = await copy(url);
    expiry.textContent = `${copied ? "Copied. " : ""}It works until ${until}.`;
    if (!copied) field.select();
  } catch (error) {
    field.value = "";
    expiry.textContent = error instanceof TypeError ? problemText(null, 0) : error.message;
  } finally {
    box.hidden = false;
    linkButton.disabled = false;
  }
});
