// A picture's thumbnail gives way to the original once that is here.
const original = document.getElementById("original");
const showOriginal = () => original.parentElement.classList.add("is-loaded");
// A damaged picture has no original to show.
if (original?.complete && original.naturalWidth) showOriginal();
else original?.addEventListener("load", showOriginal);
