// How the pictures that match divide: counted when one asks, each value a link to the gallery with it.
import { element } from "./dom.js";
import { problemText } from "./http.js";
import { narrowed } from "./narrowing.js";

const facets = document.getElementById("facets");
const lists = document.getElementById("facet-lists");
const whole = new Intl.NumberFormat("en");

function list(title, counts, conditions) {
  const column = element("div", "col-6 col-lg-3");
  const values = element("ul", "facet list-unstyled mb-0");
  for (const each of counts) {
    const item = element("li", "");
    const wanted = conditions(each);
    // Of what has no split there is no list.
    const link = element(wanted ? "a" : "em", "");
    if (wanted) link.href = narrowed(location.search, wanted);
    link.append(element("bdi", "", each.value ?? "none"), each.model ? ` (${each.model})` : "");
    item.append(link, element("span", "", whole.format(each.count)));
    values.append(item);
  }
  column.append(element("h2", "h6", title), values);
  return column;
}

async function count() {
  lists.textContent = "Counting …";
  try {
    const response = await fetch(facets.dataset.url, { headers: { Accept: "application/json" } });
    const found = await response.json().catch(() => null);
    if (!response.ok || !found) throw new Error(problemText(found, response.status));
    document.getElementById("facet-total").textContent = `: ${whole.format(found.total)}`;
    const shown = [
      ["Labels", found.labels, ({ value }) => (value === null ? { unlabelled: true } : { label: value })],
      ["Tags", found.tags, ({ value }) => (value === null ? { untagged: true } : { tag: value })],
      ["Splits", found.splits, ({ value }) => (value === null ? null : { split: value })],
      ["Predicted", found.predicted, ({ value, model }) => ({ predicted: value, model })],
    ];
    lists.replaceChildren(...shown.filter(([, counts]) => counts.length).map((each) => list(...each)));
  } catch (error) {
    lists.textContent = error instanceof TypeError ? problemText(null, 0) : error.message;
    facets.addEventListener("toggle", count, { once: true });
  }
}

facets.addEventListener("toggle", count, { once: true });
