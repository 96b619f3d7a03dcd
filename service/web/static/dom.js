// Making elements.

/** An element with a class and, as text alone, what people and servers wrote. */
export function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
