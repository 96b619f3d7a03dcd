// The size of the gallery's tiles, kept in this browser.
const root = document.documentElement;
const buttons = document.querySelectorAll("button[data-size]");

function show() {
  for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.size === root.dataset.tiles));
}

for (const button of buttons) {
  button.addEventListener("click", () => {
    root.dataset.tiles = button.dataset.size;
    try {
      localStorage.setItem("tiles", button.dataset.size);
    } catch {
      // It holds until the page is left.
    }
    show();
  });
}
show();
