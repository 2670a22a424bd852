// The list of alerts: filters, pages, and refreshing.

import * as api from './api.js';
import { h, keep, loading, notice, put, say } from './dom.js';
import { alertRowsCsv, download, pretty } from './export.js';
import { count, counted, millis, origin, period, severityMark, span, statusMark, time } from './format.js';
import { alertAddress, listAddress, rename } from './router.js';

const FILTERS = ['status', 'severity', 'text', 'from', 'to', 'time', 'tenant_id', 'link'];
const QUERY = 'query';
// How many empty pages are skipped without a click: a filter that matches few alerts gives many of them.
const EMPTY_PAGES = 8;
const TYPING = 300;
const SEVERITIES = ['High', 'Medium', 'Low', 'Informational'];
const STATUSES = [['', 'All'], ['open', 'Open'], ['closed', 'Closed'], ['matched', 'Matched'], ['unmatched', 'Unmatched']];

const keyOf = (alert) => `${alert.tenant_id ?? ''} ${alert.system_alert_id}`;

/** Merges a new first page into the rows that are shown: the rows after it stay if the page reaches them. */
export function merge(rows, next, page) {
  const last = page.alerts.at(-1);
  const at = last ? rows.findIndex((row) => keyOf(row) === keyOf(last)) : -1;
  if (page.next_cursor === null || at < 0 || at === rows.length - 1) return { rows: page.alerts, next: page.next_cursor };
  const fresh = new Set(page.alerts.map(keyOf));
  return { rows: [...page.alerts, ...rows.slice(at + 1).filter((row) => !fresh.has(keyOf(row)))], next };
}

function row(alert) {
  const { window } = alert;
  const answered = alert.closed_at
    ? [time(alert.closed_at, { coarse: true }), h('small', {}, `by ${words(alert.closed_by)}${alert.complete === false ? ', possibly incomplete' : ''}`)]
    : h('span', { class: 'muted' }, 'not yet');
  const isOpen = alert.status === 'open';
  return h(
    'tr',
    {},
    h('td', { class: 'wide' }, statusMark(alert.status)),
    h('td', { class: 'wide' }, severityMark(alert.severity)),
    h(
      'td',
      { class: 'name' },
      h('span', { class: 'narrow marks' }, statusMark(alert.status), severityMark(alert.severity)),
      h('a', { href: alertAddress(alert.system_alert_id, alert.tenant_id), 'data-stop': true }, h('bdi', {}, alert.alert_name || alert.system_alert_id)),
      h('small', {}, h('bdi', {}, origin(alert) || 'no product named')),
      h('small', { class: 'narrow' }, period(window), isOpen ? '' : `, ${counted(alert.activity_count, 'activity', 'activities')}${alert.late_count > 0 ? `, ${count(alert.late_count)} late` : ''}`),
    ),
    h('td', { class: 'wide' }, period(window), h('small', {}, windowLength(window))),
    h('td', { class: 'wide number' }, isOpen ? h('span', { class: 'muted' }, 'collecting') : count(alert.activity_count), alert.late_count > 0 && h('small', { class: 'late' }, `${count(alert.late_count)} late`)),
    h('td', { class: 'wide wider' }, answered),
  );
}

function windowLength(window) {
  const length = millis(window.end) - millis(window.start);
  return length > 0 ? span(length) : 'empty';
}

const words = (word) => (word ?? '').replaceAll('_', ' ');

export function listView(root, query) {
  const filter = Object.fromEntries(FILTERS.map((name) => [name, query.get(name) ?? '']).filter(([, value]) => value));
  let rows = [];
  let next = null;
  let examined = 0;
  let request = null;
  let typing = null;
  let isLoaded = false;
  const links = new AbortController();

  const search = h('input', { id: 'search', type: 'search', value: filter.text ?? '', autocomplete: 'off', spellcheck: 'false', placeholder: 'Name, id, correlation id, entity …' });
  const severity = h('select', {}, h('option', { value: '' }, 'Any'), SEVERITIES.map((name) => h('option', { value: name }, name)));
  const link = h('select', {});
  const byLink = h('label', { hidden: true }, 'Link', link);
  severity.value = SEVERITIES.find((name) => name.toLowerCase() === filter.severity?.toLowerCase()) ?? '';
  const since = dateField(filter.from);
  const until = dateField(filter.to);
  const choices = h('fieldset', { class: 'choices' }, h('legend', { class: 'hidden' }, 'Status'), STATUSES.map(([value, label]) => choice(value, label)));
  const body = h('tbody', {});
  const table = h(
    'table',
    { class: 'alerts', hidden: true },
    h('caption', { class: 'hidden' }, 'Alerts, latest first'),
    h('thead', {}, h('tr', {}, head('Status', 'wide'), head('Severity', 'wide'), head('Alert'), head('Window (UTC)', 'wide'), head('Activities', 'wide number'), head('Closed (UTC)', 'wide wider'))),
    body,
  );
  const note = h('div', {}, loading('alerts'));
  const foot = h('div', { class: 'foot' });
  const summary = h('p', { class: 'note summary' });
  put(
    root,
    h('h1', {}, 'Alerts'),
    h(
      'form',
      { class: 'filters', role: 'search', onsubmit: (event) => event.preventDefault() },
      h('label', { class: 'grow' }, 'Search', search),
      choices,
      h('div', { class: 'more' }, h('label', {}, 'Severity', severity), byLink, h('label', {}, 'Generated from (UTC)', since), h('label', {}, 'and before', until)),
    ),
    summary,
    note,
    h('div', { class: 'scroll' }, table),
    foot,
  );

  function choice(value, label) {
    const input = h('input', { type: 'radio', name: 'status', value, checked: (filter.status ?? '') === value });
    input.addEventListener('change', () => change('status', value));
    return h('label', {}, input, h('span', {}, label));
  }

  function change(name, value) {
    if (value) filter[name] = value;
    else delete filter[name];
    rename(listAddress(filter));
    load();
  }

  search.addEventListener('input', () => {
    clearTimeout(typing);
    typing = setTimeout(() => change('text', search.value.trim()), TYPING);
  });
  link.addEventListener('change', () => change('link', link.value === QUERY ? '' : link.value));
  severity.addEventListener('change', () => change('severity', severity.value));
  since.addEventListener('change', () => change('from', since.value && `${since.value}:00Z`));
  until.addEventListener('change', () => change('to', until.value && `${until.value}:00Z`));

  /** Offers the links if the configuration has others than the query. */
  async function offerLinks() {
    const names = await api.status(links.signal).then(({ settings }) => settings.links ?? [], () => []);
    put(link, names.map((name) => h('option', { value: name }, name)));
    link.value = filter.link ?? QUERY;
    byLink.hidden = names.length < 2;
  }

  /** Loads pages from `cursor` on until one is not empty, up to a limit. */
  async function fetchFrom(cursor, signal) {
    let page = { alerts: [], next_cursor: cursor, unanswered_partitions: [] };
    examined = cursor ? examined : 0;
    for (let tried = 0; tried < EMPTY_PAGES; tried += 1) {
      page = await api.alerts({ ...filter, limit: 50, cursor: page.next_cursor }, signal);
      examined += page.examined;
      if (page.alerts.length > 0 || page.next_cursor === null) break;
    }
    return page;
  }

  async function guarded(work) {
    request?.abort();
    const own = (request = new AbortController());
    try {
      await work(own.signal);
    } catch (error) {
      if (own.signal.aborted) return;
      fail(error);
    } finally {
      if (request === own) request = null;
    }
  }

  function fail(error) {
    if (isLoaded && error.status === 0) put(note, notice('bad', error.message, ' The data shown may be out of date.'));
    else put(note, notice('bad', error.message, ' ', h('button', { type: 'button', onclick: load }, 'Try again')));
    table.hidden ||= !isLoaded;
  }

  /** Loads the list from the beginning, for example after a change of the filter. */
  function load() {
    body.setAttribute('aria-busy', 'true');
    return guarded(async (signal) => {
      const page = await fetchFrom(null, signal);
      ({ alerts: rows, next_cursor: next } = page);
      draw(page.unanswered_partitions);
      say(rows.length === 0 ? 'No alerts' : `${counted(rows.length, 'alert', 'alerts')}${next ? ', and more' : ''}`);
    });
  }

  const more = () =>
    guarded(async (signal) => {
      const had = rows.length;
      const page = await fetchFrom(next, signal);
      rows = rows.concat(page.alerts);
      next = page.next_cursor;
      draw(page.unanswered_partitions);
      say(`${counted(rows.length - had, 'alert', 'alerts')} more`);
      body.rows[had]?.querySelector('a').focus();
    });

  async function refresh() {
    if (!isLoaded) {
      await load();
      return offerLinks();
    }
    // Requests of the user come first.
    if (request) return;
    await guarded(async (signal) => {
      const page = await api.alerts({ ...filter, limit: 50 }, signal);
      if (page.alerts.length === 0 && page.next_cursor !== null) return;
      ({ rows, next } = merge(rows, next, page));
      draw(page.unanswered_partitions);
    });
  }

  function draw(unanswered) {
    isLoaded = true;
    body.removeAttribute('aria-busy');
    keep(body, rows, keyOf, row);
    table.hidden = rows.length === 0;
    const isFiltered = Object.keys(filter).length > 0;
    put(note, unanswered.length > 0 && notice('bad', `No instance answered for ${counted(unanswered.length, 'partition', 'partitions')} (${unanswered.join(', ')}): their alerts are missing.`));
    if (rows.length === 0 && next === null) {
      note.append(h('div', { class: 'empty' }, h('h2', {}, isFiltered ? 'No alert matches the filter' : 'No alerts yet'), h('p', { class: 'note' }, isFiltered ? `${counted(examined, 'alert was', 'alerts were')} examined. ` : 'Alerts are listed here as soon as the processor reads them.', isFiltered && h('a', { href: '#/alerts', onclick: clear }, 'Show all'))));
    }
    put(summary, rows.length > 0 && `${counted(rows.length, 'alert', 'alerts')}${next ? ' so far' : ''}, latest first`);
    put(
      foot,
      next !== null && h('button', { type: 'button', onclick: more }, rows.length === 0 ? 'Continue the search' : 'Show more'),
      next !== null && rows.length === 0 && h('span', { class: 'note' }, `${count(examined)} examined, none matches so far`),
      rows.length > 0 && [
        h('button', { type: 'button', onclick: () => download('alerts.json', 'application/json', pretty(rows)) }, 'Export as JSON'),
        h('button', { type: 'button', onclick: () => download('alerts.csv', 'text/csv', alertRowsCsv(rows)) }, 'Export as CSV'),
      ],
    );
  }

  function clear(event) {
    event.preventDefault();
    for (const name of Object.keys(filter)) delete filter[name];
    search.value = severity.value = since.value = until.value = '';
    link.value = QUERY;
    choices.querySelector('input').checked = true;
    rename(listAddress(filter));
    load();
    search.focus();
  }

  return {
    title: 'Alerts',
    every: 4000,
    refresh,
    stop() {
      clearTimeout(typing);
      request?.abort();
      links.abort();
    },
  };
}

const head = (label, kind) => h('th', { scope: 'col', class: kind }, label);

const dateField = (value) => h('input', { type: 'datetime-local', value: value ? value.slice(0, 16) : undefined });
