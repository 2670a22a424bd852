// The table of an alert's activities within the range of the time line. Each can be expanded to its fields.

import { distinctOf, keyText, linkMark } from './results.js';
import { copyButton, h, keep, put } from './dom.js';
import { count, counted, time } from './format.js';
import { recordView } from './record.js';

const STEP = 100;
/** The number of columns without the one for keys. */
const COLUMNS = 5;

/** Returns the first non-empty text among these columns of a row, or null. */
export function text(activity, ...names) {
  for (const name of names) {
    const value = activity !== null && typeof activity === 'object' ? activity[name] : undefined;
    if (typeof value === 'string' && value !== '') return value;
  }
  return null;
}

/** Returns the action of an activity. */
export const actionOf = (activity) => text(activity, 'ActionType', 'Operation') ?? 'no ActionType';

export function activityTable() {
  let items = [];
  let groups = [];
  let byId = new Map();
  let range = null;
  let words = '';
  const most = new Map();
  const bodies = new Map();
  const open = new Set();
  const search = h('input', { type: 'search', autocomplete: 'off', spellcheck: 'false', placeholder: 'Any text in the record', oninput: filter });
  const head = (label, kind) => h('th', { scope: 'col', class: kind }, label);
  const keyHead = head('Key', 'wide');
  const table = h(
    'table',
    { class: 'activities' },
    h('caption', { class: 'hidden' }, 'Activities in order of time'),
    h('thead', {}, h('tr', {}, head('Time (UTC)'), keyHead, head('Action'), head('Account', 'wide'), head('Object', 'wide'), head('Address', 'wide wider'))),
  );
  const summary = h('p', { class: 'note summary', role: 'status' });
  const foot = h('div', { class: 'foot' });
  const frame = h('div', { class: 'scroll' }, table);
  const element = h('div', {}, h('div', { class: 'filters' }, h('label', { class: 'grow' }, 'Search these activities', search)), summary, frame, foot);
  let typing = null;

  function filter() {
    clearTimeout(typing);
    typing = setTimeout(() => {
      words = search.value.trim().toLowerCase();
      most.clear();
      draw();
    }, 200);
  }

  const isLinked = () => groups.length > 0;
  const mostOf = (link) => most.get(link) ?? STEP;
  const fits = (item) => (range === null || (item.time >= range.from && item.time <= range.to)) && (words === '' || (item.searched ??= JSON.stringify(item.activity).toLowerCase()).includes(words));

  /** Returns the activities in view by link, or all of them together if there are no links. */
  function parts() {
    const found = items.filter(fits);
    if (!isLinked()) return [{ link: null, found }];
    return groups.map((group) => ({ ...group, found: found.filter((item) => item.link === group.link) })).filter((part) => part.found.length > 0);
  }

  function draw() {
    const all = parts();
    const found = all.flatMap((part) => part.found);
    keyHead.hidden = !isLinked();
    const shown = all.map(({ link }) => bodyOf(link));
    const had = [...table.tBodies];
    if (had.length !== shown.length || had.some((body, at) => body !== shown[at])) {
      had.forEach((body) => body.remove());
      table.append(...shown);
    }
    for (const part of all) drawPart(part);
    frame.hidden = found.length === 0;
    const isPart = range !== null || words !== '';
    const part = isPart ? ` of ${count(items.length)}` : '';
    const rest = isLinked() ? 0 : found.length - mostOf(null);
    const noun = isLinked() ? (found.length === 1 && !isPart ? 'row' : 'rows') : found.length === 1 && !isPart ? 'activity' : 'activities';
    const distinct = isLinked() ? `, ${counted(distinctOf(found), 'different activity', 'different activities')}` : '';
    put(summary, items.length > 0 && `${count(found.length)}${part} ${noun}${distinct}${rest > 0 ? `, the first ${count(mostOf(null))} are listed` : ''}`);
    put(foot, rest > 0 && moreButton(null, rest));
  }

  function bodyOf(link) {
    if (!bodies.has(link)) bodies.set(link, h('tbody', {}));
    return bodies.get(link);
  }

  function drawPart(part) {
    const { link, found } = part;
    const rows = found.slice(0, mostOf(link)).flatMap(({ id, late, key, name }) => [{ id, late, key, name, isOpen: open.has(id) }, ...(open.has(id) ? [{ id, isDetail: true }] : [])]);
    if (link !== null) {
      rows.unshift({ link, colour: part.colour, number: found.length });
      if (found.length > mostOf(link)) rows.push({ link, rest: found.length - mostOf(link) });
    }
    keep(bodyOf(link), rows, nameOf, make);
  }

  function nameOf(row) {
    if (row.id === undefined) return row.rest === undefined ? 'group' : 'more';
    return `${row.isDetail ? 'detail' : 'row'} ${row.id}`;
  }

  function make(row) {
    if (row.rest !== undefined) return h('tr', {}, h('td', { colspan: COLUMNS + 1 }, moreButton(row.link, row.rest)));
    if (row.id === undefined) return h('tr', { class: 'group-row' }, h('th', { scope: 'rowgroup', colspan: COLUMNS + 1 }, linkMark(row), ' ', h('span', { class: 'muted' }, counted(row.number, 'activity', 'activities'))));
    return row.isDetail ? detail(byId.get(row.id)) : line(byId.get(row.id));
  }

  const moreButton = (link, rest) => h('button', { type: 'button', onclick: () => more(link) }, `Show ${count(Math.min(STEP, rest))} more`);

  function more(link) {
    const had = mostOf(link);
    most.set(link, had + STEP);
    draw();
    bodyOf(link).querySelectorAll('[data-stop]')[had]?.focus();
  }

  function line(item) {
    const isOpen = open.has(item.id);
    const { activity } = item;
    const none = h('span', { class: 'muted' }, 'none');
    const shown = (value) => (value === null ? none.cloneNode(true) : h('bdi', {}, value));
    return h(
      'tr',
      { class: isOpen ? 'is-open' : undefined },
      h('td', { class: 'when' }, h('button', { type: 'button', class: 'fold', 'aria-expanded': String(isOpen), 'data-stop': true, 'data-row': item.id, onclick: () => toggle(item.id) }, time(item.text)), item.late && h('span', { class: 'badge late' }, 'late')),
      isLinked() && h('td', { class: 'wide key' }, keyText(item)),
      h('td', {}, h('bdi', {}, item.action), h('small', { class: 'narrow' }, shown(text(activity, 'AccountDisplayName', 'AccountId', 'UserId'))), isLinked() && h('small', { class: 'narrow' }, keyText(item))),
      h('td', { class: 'wide' }, shown(text(activity, 'AccountDisplayName', 'AccountId', 'UserId'))),
      h('td', { class: 'wide' }, shown(text(activity, 'ObjectName', 'Application', 'ObjectId'))),
      h('td', { class: 'wide wider' }, shown(text(activity, 'IPAddress', 'ClientIP'))),
    );
  }

  const detail = (item) =>
    h(
      'tr',
      { class: 'detail' },
      h(
        'td',
        { colspan: isLinked() ? COLUMNS + 1 : COLUMNS },
        h('p', { class: 'note' }, item.late ? 'Late: it arrived after the alert was closed. ' : '', alsoBy(item), 'Row ', h('code', {}, item.id), ' ', copyButton('Copy id', () => item.id)),
        recordView(item.activity, `the activity at ${item.text}`),
      ),
    );

  /** Names the other links and keys by which the same activity belongs to the alert. */
  function alsoBy(item) {
    const others = isLinked() ? items.filter((other) => other.activityId === item.activityId && other.id !== item.id) : [];
    if (others.length === 0) return '';
    return ['The same activity also belongs to the alert by ', others.map((other, at) => [at > 0 && ', ', h('bdi', {}, `${other.link} ${other.label}`)]), '. '];
  }

  function toggle(id) {
    if (!open.delete(id)) open.add(id);
    draw();
  }

  return {
    element,
    /** Shows these activities. `links` are the groups in order, `{ link, colour }`, or empty. */
    update(next, links) {
      items = next;
      groups = links;
      byId = new Map(items.map((item) => [item.id, item]));
      draw();
    },
    setRange(next) {
      range = next;
      most.clear();
      draw();
    },
    /** Expands an activity and scrolls to it. */
    show(id) {
      search.value = words = '';
      const part = parts().find(({ found }) => found.some((item) => item.id === id));
      if (!part) return;
      const at = part.found.findIndex((item) => item.id === id);
      most.set(part.link, Math.max(mostOf(part.link), Math.ceil((at + 1) / STEP) * STEP));
      open.add(id);
      draw();
      const row = [...table.querySelectorAll('[data-row]')].find((button) => button.dataset.row === id);
      row.focus({ preventScroll: true });
      row.scrollIntoView({ block: 'center' });
    },
    stop: () => clearTimeout(typing),
  };
}
