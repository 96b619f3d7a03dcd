// Addresses of the gallery.

/** The query of a gallery that has more `conditions` than the one with this `search`, from its beginning. */
export function narrowed(search, conditions) {
  const query = new URLSearchParams(search);
  for (const name of ["after", "before"]) query.delete(name);
  for (const [name, value] of Object.entries(conditions)) {
    // A picture has one label and many tags.
    if (name !== "tag") query.set(name, value);
    else if (!query.getAll("tag").includes(value)) query.append("tag", value);
  }
  return `?${query}`;
}
