// The table of an alert's activities within the range of the time line. Each can be expanded to its fields.

import { copyButton, h, keep, put } from './dom.js';
import { count, counted, time } from './format.js';
import { recordView } from './record.js';

const STEP = 100;

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
  let byId = new Map();
  let range = null;
  let words = '';
  let most = STEP;
  const open = new Set();
  const search = h('input', { type: 'search', autocomplete: 'off', spellcheck: 'false', placeholder: 'Any text in the record', oninput: filter });
  const body = h('tbody', {});
  const head = (label, kind) => h('th', { scope: 'col', class: kind }, label);
  const table = h(
    'table',
    { class: 'activities' },
    h('caption', { class: 'hidden' }, 'Activities in order of time'),
    h('thead', {}, h('tr', {}, head('Time (UTC)'), head('Action'), head('Account', 'wide'), head('Object', 'wide'), head('Address', 'wide wider'))),
    body,
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
      most = STEP;
      draw();
    }, 200);
  }

  const fits = (item) => (range === null || (item.time >= range.from && item.time <= range.to)) && (words === '' || (item.searched ??= JSON.stringify(item.activity).toLowerCase()).includes(words));

  function draw() {
    const found = items.filter(fits);
    const shown = found.slice(0, most);
    const rows = shown.flatMap(({ id, late }) => [{ id, late, isOpen: open.has(id) }, ...(open.has(id) ? [{ id, isDetail: true }] : [])]);
    keep(body, rows, (row) => `${row.isDetail ? 'detail' : 'row'} ${row.id}`, (row) => (row.isDetail ? detail(byId.get(row.id)) : line(byId.get(row.id))));
    frame.hidden = found.length === 0;
    const part = range === null && words === '' ? '' : ` of ${count(items.length)}`;
    put(summary, items.length > 0 && `${count(found.length)}${part} ${found.length === 1 && part === '' ? 'activity' : 'activities'}${found.length > shown.length ? `, showing the first ${count(shown.length)}` : ''}`);
    put(foot, found.length > shown.length && h('button', { type: 'button', onclick: more }, `Show ${count(Math.min(STEP, found.length - shown.length))} more`));
  }

  function more() {
    const had = most;
    most += STEP;
    draw();
    body.querySelectorAll('[data-stop]')[had]?.focus();
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
      h('td', {}, h('bdi', {}, item.action), h('small', { class: 'narrow' }, shown(text(activity, 'AccountDisplayName', 'AccountId', 'UserId')))),
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
        { colspan: 5 },
        h('p', { class: 'note' }, item.late ? 'Late: it arrived after the alert was closed. ' : '', 'Row ', h('code', {}, item.id), ' ', copyButton('Copy id', () => item.id)),
        recordView(item.activity, `the activity at ${item.text}`),
      ),
    );

  function toggle(id) {
    if (!open.delete(id)) open.add(id);
    draw();
  }

  return {
    element,
    update(next) {
      items = next;
      byId = new Map(items.map((item) => [item.id, item]));
      draw();
    },
    setRange(next) {
      range = next;
      most = STEP;
      draw();
    },
    /** Expands an activity and scrolls to it. */
    show(id) {
      search.value = words = '';
      const at = items.filter(fits).findIndex((item) => item.id === id);
      if (at < 0) return;
      most = Math.max(most, Math.ceil((at + 1) / STEP) * STEP);
      open.add(id);
      draw();
      const row = [...body.querySelectorAll('[data-row]')].find((button) => button.dataset.row === id);
      row.focus({ preventScroll: true });
      row.scrollIntoView({ block: 'center' });
    },
    stop: () => clearTimeout(typing),
  };
}
