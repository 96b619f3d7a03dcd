// Scores of a prediction, as they are shown.

/** The best of them, as pairs of label and score, the best first. */
export function bestOf(scores, count) {
  return Object.entries(scores).toSorted((a, b) => b[1] - a[1]).slice(0, count);
}

/** A share of one as per cent. */
export function percent(share) {
  return `${(100 * share).toFixed(2)} %`;
}

/** A time that may be as short as a picture among hundreds takes. */
export function milliseconds(amount) {
  return `${amount.toFixed(amount < 0.05 ? 3 : 1)} ms`;
}
