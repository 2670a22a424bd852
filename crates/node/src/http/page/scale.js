// The arithmetic of the time line, without elements, so that it can be tested separately.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500],
  ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12].map((n) => n * HOUR),
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500].map((n) => n * DAY),
];

/** The narrowest range in milliseconds. */
export const LEAST_RANGE = 20;

/** Returns the distance between the ticks of an axis of `length` pixels, with at least `gap` pixels between two. */
export function stepFor(from, to, length, gap) {
  const least = ((to - from) * gap) / Math.max(1, length);
  return STEPS.find((step) => step >= least) ?? STEPS.at(-1) * Math.ceil(least / STEPS.at(-1));
}

/** Returns the ticks of an axis: multiples of the step. */
export function ticks(from, to, step) {
  const found = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push(at);
  return found;
}

/** Returns the range that is shown before any zooming: the window with a margin, and what is just outside. */
export function wholeRange(window, times) {
  const length = Math.max(window.end - window.start, 0);
  let from = Math.min(window.start, window.end);
  let to = Math.max(window.start, window.end);
  for (const time of times) {
    from = Math.min(from, time);
    to = Math.max(to, time);
  }
  const margin = Math.max((to - from) * 0.04, length === 0 ? MINUTE : SECOND);
  return { from: from - margin, to: to + margin };
}

/** Returns a range scaled around `middle`, within `whole`. */
export function zoomed(range, whole, factor, middle = (range.from + range.to) / 2) {
  const most = whole.to - whole.from;
  const length = Math.min(most, Math.max(LEAST_RANGE, (range.to - range.from) * factor));
  const share = (middle - range.from) / (range.to - range.from);
  return within(whole, middle - length * share, length);
}

/** Returns a range moved by a share of its length, within `whole`. */
export function moved(range, whole, share) {
  const length = range.to - range.from;
  return within(whole, range.from + length * share, length);
}

function within(whole, from, length) {
  const first = Math.min(Math.max(whole.from, from), whole.to - length);
  return { from: first, to: first + length };
}

/** Counts the items of `range` in `bins` of equal length: how many in time, how many late. */
export function binned(items, range, bins) {
  const found = Array.from({ length: bins }, () => ({ onTime: 0, late: 0 }));
  const width = (range.to - range.from) / bins;
  for (const item of items) {
    if (item.time < range.from || item.time > range.to) continue;
    const bin = found[Math.min(bins - 1, Math.floor((item.time - range.from) / width))];
    if (item.late) bin.late += 1;
    else bin.onTime += 1;
  }
  return found;
}

/** Groups items by action, the most frequent first; those beyond `most` are combined under `others`. */
export function lanes(items, most) {
  const byAction = new Map();
  for (const item of items) {
    const lane = byAction.get(item.action);
    if (lane) lane.push(item);
    else byAction.set(item.action, [item]);
  }
  const sorted = [...byAction].sort((a, b) => b[1].length - a[1].length || (a[0] < b[0] ? -1 : 1));
  if (sorted.length <= most) return sorted.map(([name, members]) => ({ name, members }));
  const kept = sorted.slice(0, most - 1).map(([name, members]) => ({ name, members }));
  const rest = sorted.slice(most - 1);
  return [...kept, { name: `${rest.length} others`, members: rest.flatMap(([, members]) => members) }];
}

/**
 * Returns the lanes of a link: one for each of its results, those with the most items first; those beyond `most` share the last one.
 * `group` is `{ colour, results: [{ id, label, window }] }`; an item has the id of its result as `result`.
 */
export function keyLanes(group, items, most) {
  const byResult = new Map(group.results.map(({ id }) => [id, []]));
  for (const item of items) byResult.get(item.result)?.push(item);
  const lane = ({ id, label, window }) => ({ name: label, members: byResult.get(id), window, colour: group.colour });
  const sorted = group.results.map(lane).sort((a, b) => b.members.length - a.members.length);
  if (sorted.length <= most) return sorted;
  const rest = sorted.slice(most - 1);
  return [...sorted.slice(0, most - 1), { name: `${rest.length} other keys`, members: rest.flatMap(({ members }) => members), colour: group.colour }];
}
