// An alert's activities and its window, drawn as SVG: how many over time, and their actions, or the links and
// keys that found them. Few activities are drawn as single marks, many as counts in bins. The table below contains the
// same information.

import { h, put, s } from './dom.js';
import { count, counted, span, tick, utc } from './format.js';
import { linkMark } from './results.js';
import { LEAST_RANGE, binned, keyLanes, lanes, moved, stepFor, ticks, wholeRange, zoomed } from './scale.js';

const MOST_MARKS = 400;
const MOST_LANES = 8;
const TOP = 24;
const BARS = 72;
const AXIS = 24;
const DRAG = 4;
/** Height of the line with a link's name. */
const HEADING = 26;

const swatch = (kind, word) => h('span', { class: 'legend' }, h('i', { class: `swatch ${kind}` }), word);

const iso = (time) => new Date(time).toISOString();

/**
 * `onRange(range)` is called with the visible range, or `null` for everything; `onPick(id)` with the clicked activity.
 * `update` takes `{ items: [{ id, time, late, action }], near: [time], window: { start, end }, watermark,
 * groups }`, with times in milliseconds. `groups` are the links, `[{ link, colour, results: [{ id, label, window }] }]`;
 * an item has the id of its result as `result`. Each result has a lane. Without groups each action has a lane.
 */
export function timeline({ onRange, onPick }) {
  let data = null;
  let whole = null;
  let range = null;
  let drag = null;
  const svg = s('svg', { role: 'img', class: 'plot' });
  const label = h('span', { class: 'note', role: 'status' });
  const button = (text, name, action) => h('button', { type: 'button', title: name, 'aria-label': name, onclick: action }, text);
  const outside = h('span', { class: 'legend', hidden: true }, h('i', { class: 'swatch ring' }), 'outside the window');
  const inTime = h('span', { class: 'legend' });
  const everything = button('Everything', 'Show everything', () => set(null));
  const element = h(
    'div',
    { class: 'timeline' },
    h(
      'div',
      { class: 'timeline-tools' },
      h('span', { class: 'legend' }, inTime, swatch('second', 'late'), swatch('hold', 'window'), outside),
      label,
      h(
        'span',
        { class: 'group' },
        button('←', 'Earlier', () => set(moved(range, whole, -0.25))),
        button('→', 'Later', () => set(moved(range, whole, 0.25))),
        button('+', 'Zoom in', () => set(zoomed(range, whole, 0.5))),
        button('−', 'Zoom out', () => set(zoomed(range, whole, 2))),
        everything,
      ),
    ),
    h('div', { class: 'plot-frame', tabindex: 0, role: 'group', 'aria-label': 'Time line: arrow keys move, plus and minus zoom, 0 shows everything', onkeydown: onKey }, svg),
  );

  const isWhole = () => range.from <= whole.from && range.to >= whole.to;

  function set(next) {
    range = next ?? { ...whole };
    draw();
    onRange(isWhole() ? null : range);
  }

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const action = {
      ArrowLeft: () => moved(range, whole, -0.25),
      ArrowRight: () => moved(range, whole, 0.25),
      '+': () => zoomed(range, whole, 0.5),
      '=': () => zoomed(range, whole, 0.5),
      '-': () => zoomed(range, whole, 2),
      0: () => null,
    }[event.key];
    if (!action) return;
    event.preventDefault();
    set(action());
  }

  /** Returns positions in pixels. */
  function geometry() {
    const width = Math.max(280, svg.parentElement.clientWidth);
    const isNarrow = width < 620;
    const left = isNarrow ? 10 : 178;
    return { width, isNarrow, left, right: width - 14, lane: isNarrow ? 40 : 28 };
  }

  const x = (g, time) => g.left + ((time - range.from) / (range.to - range.from)) * (g.right - g.left);
  const timeAt = (g, px) => range.from + ((px - g.left) / (g.right - g.left)) * (range.to - range.from);
  const isShown = (item) => item.time >= range.from && item.time <= range.to;

  function draw() {
    const g = geometry();
    const rows = data.items.filter(isShown);
    const items = once(rows);
    const found = rowsOf(g);
    const bottom = found.reduce((end, { height }) => end + height, TOP + BARS + AXIS) + 6;
    let top = TOP + BARS + AXIS;
    const drawn = found.map((row) => {
      const parts = row.group ? heading(g, row.group, top) : drawLane(g, row.lane, top, rows.length);
      top += row.height;
      return parts;
    });
    svg.setAttribute('viewBox', `0 0 ${g.width} ${bottom}`);
    svg.setAttribute('height', bottom);
    put(svg, !isLinked() && window(g, bottom), grid(g, bottom), bars(g, items), axis(g), drawn, near(g), watermark(g, bottom));
    svg.setAttribute('aria-label', sentence(found));
    const late = items.filter((item) => item.late).length;
    put(label, `${isWhole() ? '' : `${utc(iso(range.from))} – ${utc(iso(range.to)).slice(11)}: `}${counted(items.length, 'activity', 'activities')}${late > 0 ? `, ${count(late)} late` : ''}`);
    put(inTime, isLinked() ? data.groups.map(linkMark) : swatch('first', 'in time'));
    everything.disabled = isWhole();
  }

  const isLinked = () => data.groups.length > 0;

  /** Keeps one row of each activity: several links or keys may have found it. */
  const once = (rows) => (isLinked() ? [...new Map(rows.map((item) => [item.activityId, item])).values()] : rows);

  /** Returns what is drawn below the axis: lanes, those of a link below its name. */
  function rowsOf(g) {
    if (!isLinked()) return lanes(data.items, MOST_LANES).map((lane) => ({ lane, height: g.lane }));
    return data.groups.flatMap((group) => [{ group, height: HEADING }, ...keyLanes(group, data.items, MOST_LANES).map((lane) => ({ lane, height: g.lane }))]);
  }

  function sentence(found) {
    const items = once(data.items);
    const late = items.filter((item) => item.late).length;
    const parts = found.map(({ group, lane }) => (group ? `${group.link}:` : `${lane.name} ${count(lane.members.length)}`));
    const said = parts.reduce((text, part, at) => text + (at === 0 ? '' : found[at].group ? '. ' : found[at - 1].group ? ' ' : ', ') + part, '');
    return `Window from ${utc(iso(data.window.start))} to ${utc(iso(data.window.end))}. ${counted(items.length, 'activity', 'activities')}, ${count(late)} late. ${said}`;
  }

  function window(g, bottom) {
    const from = Math.max(g.left, x(g, data.window.start));
    const to = Math.min(g.right, x(g, data.window.end));
    const edge = (time, word, anchor) => {
      const at = x(g, time);
      if (at < g.left - 1 || at > g.right + 1) return null;
      return [s('line', { class: 'edge', x1: at, x2: at, y1: TOP - 6, y2: bottom }), s('text', { class: 'word', x: at, y: TOP - 10, 'text-anchor': anchor }, word)];
    };
    const room = to - from > 70;
    return [
      to > from && s('rect', { class: 'window', x: from, y: TOP - 6, width: to - from, height: bottom - TOP + 6 }),
      edge(data.window.start, room ? 'start' : 'window', room ? 'start' : 'end'),
      edge(data.window.end, room ? 'end' : '', 'end'),
    ];
  }

  const axisStep = (g) => stepFor(range.from, range.to, g.right - g.left, g.isNarrow ? 74 : 96);

  function grid(g, bottom) {
    return ticks(range.from, range.to, axisStep(g)).map((at) => s('line', { class: 'grid', x1: x(g, at), x2: x(g, at), y1: TOP, y2: bottom }));
  }

  function axis(g) {
    const step = axisStep(g);
    let day = iso(range.from).slice(0, 10);
    const y = TOP + BARS;
    return [
      s('line', { class: 'base', x1: g.left, x2: g.right, y1: y, y2: y }),
      ticks(range.from, range.to, step).map((at) => {
        const isNewDay = iso(at).slice(0, 10) !== day;
        day = iso(at).slice(0, 10);
        const place = x(g, at);
        const anchor = place < g.left + 24 ? 'start' : place > g.right - 24 ? 'end' : 'middle';
        return s('text', { class: 'tick', x: place, y: y + 16, 'text-anchor': anchor }, tick(at, step, isNewDay));
      }),
    ];
  }

  function bars(g, items) {
    const bins = Math.max(1, Math.floor((g.right - g.left) / 6));
    const counts = binned(items, range, bins);
    const most = Math.max(1, ...counts.map((bin) => bin.onTime + bin.late));
    const width = (g.right - g.left) / bins;
    const height = (number) => (number === 0 ? 0 : Math.max(2, (number / most) * (BARS - 8)));
    const base = TOP + BARS;
    return [
      !g.isNarrow && s('text', { class: 'lane-name', x: 0, y: TOP + 14 }, 'All activities'),
      !g.isNarrow && s('text', { class: 'tick', x: 0, y: TOP + 31 }, `maximum ${count(most)} in ${span((range.to - range.from) / bins)}`),
      counts.map((bin, at) => {
        const left = g.left + at * width + 0.5;
        const late = height(bin.late);
        const onTime = height(bin.onTime);
        return [
          onTime > 0 && s('rect', { class: isLinked() ? 'any' : 'in-time', x: left, y: base - onTime, width: width - 1, height: onTime }),
          late > 0 && s('rect', { class: 'late', x: left, y: base - onTime - late, width: width - 1, height: late }),
        ];
      }),
    ];
  }

  function heading(g, group, top) {
    return [
      s('rect', { class: `link-${group.colour}`, x: g.isNarrow ? g.left : 0, y: top + 9, width: 11, height: 11, rx: 5.5 }),
      s('text', { class: 'link-title', x: (g.isNarrow ? g.left : 0) + 17, y: top + 19 }, cut(group.link, 32)),
    ];
  }

  /** Draws the window of a lane that has its own. */
  function laneWindow(g, { start, end }, top) {
    const from = Math.max(g.left, x(g, start));
    const to = Math.min(g.right, x(g, end));
    return to > from && s('rect', { class: 'window', x: from, y: top + 1, width: to - from, height: g.lane - 2 });
  }

  const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

  function drawLane(g, lane, top, shown) {
    const middle = top + g.lane - 12;
    const name = cut(lane.name, 24);
    const parts = [
      lane.window && laneWindow(g, lane.window, top),
      s('line', { class: 'grid', x1: g.isNarrow ? g.left : 0, x2: g.right, y1: top + g.lane, y2: top + g.lane }),
      s('text', { class: 'lane-name', x: g.isNarrow ? g.left : 0, y: g.isNarrow ? top + 14 : middle + 4 }, name, s('title', {}, `${lane.name}: ${count(lane.members.length)}`)),
    ];
    const members = lane.members.filter(isShown);
    if (shown <= MOST_MARKS) return [parts, members.map((item) => mark(g, item, middle, lane.colour))];
    return [parts, cells(g, members, middle, lane.colour)];
  }

  const inTimeClass = (colour) => `mark in-time${colour === undefined ? '' : ` link-${colour}`}`;

  function mark(g, item, y, colour) {
    const at = x(g, item.time);
    const title = s('title', {}, `${utc(item.text)}${item.late ? ', late' : ''}\n${item.action}`);
    const pick = { 'data-id': item.id };
    // Late activities are diamonds, so that lateness does not depend on colour.
    if (item.late) return s('path', { ...pick, class: 'mark late', d: `M${at} ${y - 6}l6 6l-6 6l-6 -6z` }, title);
    return s('circle', { ...pick, class: inTimeClass(colour), cx: at, cy: y, r: 4.5 }, title);
  }

  function cells(g, members, y, colour) {
    const bins = Math.max(1, Math.floor((g.right - g.left) / 6));
    const width = (g.right - g.left) / bins;
    const length = (range.to - range.from) / bins;
    const counts = binned(members, range, bins);
    const most = Math.max(...counts.map((bin) => bin.onTime + bin.late));
    return counts.map((bin, at) => {
      const number = bin.onTime + bin.late;
      if (number === 0) return null;
      const left = g.left + at * width;
      const strength = 0.3 + 0.7 * (Math.log1p(number) / Math.log1p(most));
      const title = s('title', {}, `${counted(number, 'activity', 'activities')}${bin.late ? `, ${count(bin.late)} late` : ''}\n${utc(iso(range.from + at * length))}`);
      const pick = { 'data-from': range.from + at * length, 'data-to': range.from + (at + 1) * length };
      return [
        bin.onTime > 0 && s('rect', { ...pick, class: inTimeClass(colour), x: left + 0.5, y: y - 7, width: width - 1, height: 14, opacity: strength.toFixed(2) }, title),
        bin.late > 0 && s('path', { ...pick, class: 'mark late', d: `M${left + width / 2} ${y - 5}l5 5l-5 5l-5 -5z` }, title.cloneNode(true)),
      ];
    });
  }

  function near(g) {
    const y = TOP + BARS - 8;
    return data.near
      .filter((time) => time >= range.from && time <= range.to)
      .map((time) => s('circle', { class: 'near', cx: x(g, time), cy: y, r: 5 }, s('title', {}, `${utc(iso(time))}\noutside the window`)));
  }

  function watermark(g, bottom) {
    if (data.watermark === null || data.watermark < range.from || data.watermark > range.to) return null;
    const at = x(g, data.watermark);
    const isLeft = at < g.left + 90;
    return [
      s('line', { class: 'watermark', x1: at, x2: at, y1: TOP - 6, y2: bottom }),
      s('text', { class: 'word watermark-word', x: at + (isLeft ? 4 : -4), y: TOP + 6, 'text-anchor': isLeft ? 'start' : 'end' }, 'watermark'),
    ];
  }

  const pixel = (event) => {
    const box = svg.getBoundingClientRect();
    return ((event.clientX - box.left) / box.width) * geometry().width;
  };

  svg.addEventListener('pointerdown', (event) => {
    if (event.button !== 0 || event.pointerType === 'touch') return;
    drag = { from: pixel(event), shade: null };
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener('pointermove', (event) => {
    if (!drag) return;
    const at = pixel(event);
    if (!drag.shade && Math.abs(at - drag.from) < DRAG) return;
    if (!drag.shade) svg.append((drag.shade = s('rect', { class: 'shade', y: 0, height: '100%' })));
    drag.shade.setAttribute('x', Math.min(at, drag.from));
    drag.shade.setAttribute('width', Math.abs(at - drag.from));
  });
  svg.addEventListener('pointerup', (event) => {
    if (!drag) return;
    const { from, shade } = drag;
    drag = null;
    if (!shade) return;
    shade.remove();
    const g = geometry();
    const times = [timeAt(g, from), timeAt(g, pixel(event))].sort((a, b) => a - b);
    set({ from: Math.max(whole.from, times[0]), to: Math.min(whole.to, Math.max(times[1], times[0] + LEAST_RANGE)) });
  });
  svg.addEventListener('pointercancel', () => {
    drag?.shade?.remove();
    drag = null;
  });
  svg.addEventListener('click', (event) => {
    // The pointer was captured, so the mark under it has to be looked up.
    const target = document.elementFromPoint(event.clientX, event.clientY)?.closest('.mark');
    if (!target) return;
    if (target.dataset.id) onPick(target.dataset.id);
    else set(zoomed({ from: Number(target.dataset.from), to: Number(target.dataset.to) }, whole, 3));
  });
  svg.addEventListener(
    'wheel',
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      set(zoomed(range, whole, event.deltaY < 0 ? 0.8 : 1.25, timeAt(geometry(), pixel(event))));
    },
    { passive: false },
  );

  const watcher = new ResizeObserver(() => data && draw());
  watcher.observe(element);
  return {
    element,
    update(next) {
      const wasWhole = range === null || isWhole();
      data = next;
      outside.hidden = data.near.length === 0;
      whole = wholeRange(data.window, [...data.items.map((item) => item.time), ...data.near]);
      if (wasWhole) range = { ...whole };
      draw();
    },
    stop: () => watcher.disconnect(),
  };
}
