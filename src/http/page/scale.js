// The arithmetic of the time line: no elements, so that it can be tested by itself.

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

/** Narrower than this, in milliseconds, nothing can be told apart. */
export const LEAST_RANGE = 20;

/** The step between the marks of an axis of `length` pixels with `gap` pixels between two at least. */
export function stepFor(from, to, length, gap) {
  const least = ((to - from) * gap) / Math.max(1, length);
  return STEPS.find((step) => step >= least) ?? STEPS.at(-1) * Math.ceil(least / STEPS.at(-1));
}

/** The marks of an axis: multiples of the step. */
export function ticks(from, to, step) {
  const found = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push(at);
  return found;
}

/** What is shown before anybody zooms: the window with a margin, and what lies just outside. */
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

/** A range moved and stretched around `middle`, kept within `whole`. */
export function zoomed(range, whole, factor, middle = (range.from + range.to) / 2) {
  const most = whole.to - whole.from;
  const length = Math.min(most, Math.max(LEAST_RANGE, (range.to - range.from) * factor));
  const share = (middle - range.from) / (range.to - range.from);
  return within(whole, middle - length * share, length);
}

/** A range moved by a share of its length, kept within `whole`. */
export function moved(range, whole, share) {
  const length = range.to - range.from;
  return within(whole, range.from + length * share, length);
}

function within(whole, from, length) {
  const first = Math.min(Math.max(whole.from, from), whole.to - length);
  return { from: first, to: first + length };
}

/** Items of `range` counted in `bins` of equal length: how many in time, how many late. */
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

/** The items by what was done: the most frequent first, those beyond `most` together under `others`. */
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
