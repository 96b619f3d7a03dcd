// Light or dark as the system says, tiles of the size that was chosen last, and for the server the zone that times are read in. A classic
// script in the head, so that the first paint is right already.
{
  try {
    document.documentElement.dataset.tiles = localStorage.getItem("tiles") ?? "medium";
  } catch {
    // The browser keeps nothing for us.
  }
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => document.documentElement.setAttribute("data-bs-theme", dark.matches ? "dark" : "light");
  dark.addEventListener("change", apply);
  apply();
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone) document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=lax`;
}
