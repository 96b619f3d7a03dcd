// Places in a list that is shown as a grid.

/** What lies from `one` to `other`, both included, in whatever order they are; `one` alone where `other` is not in the list. */
export function between(all, one, other) {
  const [at, before] = [all.indexOf(one), all.indexOf(other)];
  return before < 0 ? [one] : all.slice(Math.min(at, before), Math.max(at, before) + 1);
}

const steps = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: (columns) => -columns, ArrowDown: (columns) => columns };

/** Whether a key moves in a grid. */
export const moves = (key) => Object.hasOwn(steps, key);

/** Where a key leads from place `at` in a grid of `count`, -1 where nothing is there. From no place at all (`at` below 0) to the first. */
export function stepped(key, at, columns, count) {
  const next = at < 0 ? 0 : at + steps[key](columns);
  return next < count ? Math.max(next, -1) : -1;
}
