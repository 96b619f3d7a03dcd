/** Have a picture's thumbnail give way to the original once that is here. */
export function watchOriginal() {
  const original = document.getElementById("original");
  const show = () => original.parentElement.classList.add("is-loaded");
  // A damaged picture has no original to show.
  if (original?.complete && original.naturalWidth) show();
  else original?.addEventListener("load", show);
}
