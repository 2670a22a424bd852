// The results of an alert: one for each link and each key by which activities belong to it.

import { h } from './dom.js';
import { namesOf } from './entities.js';
import { count, period, span, millis, statusMark, time } from './format.js';

/** The number of colours for links; further links use them again. The name of a link always stands beside its colour. */
const COLOURS = 5;

/**
 * Returns the results in the order of links and keys. If the alert has one key, and that by the query, the only result is the alert itself:
 * it has no `link`, and everything is requested and shown without links.
 */
export function resultsOf(alert) {
  if (!(alert.links?.length > 1)) return [{ ...alert, id: '', key: alert.correlation_id, link: null, name: null, label: '' }];
  const nameOf = namesOf(alert.alert);
  const links = [...new Set(alert.links.map(({ link }) => link))];
  return alert.links.map((result) => {
    const key = result.correlation_id;
    const name = nameOf(key);
    return { ...result, id: JSON.stringify([result.link, key]), key, name, label: name ?? (key || 'no key'), colour: links.indexOf(result.link) % COLOURS };
  });
}

/** Groups results by link: `{ link, colour, results }`. There is no group if the alert has a key by the query only. */
export function groupsOf(results) {
  const groups = new Map();
  for (const result of results) {
    if (result.link === null) continue;
    if (!groups.has(result.link)) groups.set(result.link, { link: result.link, colour: result.colour, results: [] });
    groups.get(result.link).results.push(result);
  }
  return [...groups.values()];
}

/** Returns the status of the alert over all results: it is open while one of them is. */
export function statusOf(results) {
  return ['open', 'matched', 'unmatched'].find((status) => results.some((result) => result.status === status));
}

/** Counts the activities of rows: one that several links or keys found counts once. */
export const distinctOf = (items) => new Set(items.map(({ activityId }) => activityId)).size;

/** Returns the name of a link with its colour. */
export const linkMark = ({ link, colour }) => h('span', { class: 'link-name' }, h('i', { class: `swatch link-${colour}`, 'aria-hidden': 'true' }), h('bdi', {}, link));

/** Returns a key, behind the name of the entity that it identifies. */
export function keyText({ key, name }) {
  if (!key) return h('span', { class: 'muted' }, 'none');
  return name === null ? h('code', {}, h('bdi', {}, key)) : [h('bdi', {}, name), h('small', {}, h('code', {}, h('bdi', {}, key)))];
}

const words = (word) => (word ?? '').replaceAll('_', ' ');

function row(result) {
  const length = millis(result.window.end) - millis(result.window.start);
  const isOpen = result.status === 'open';
  const late = result.late_count > 0 && h('small', { class: 'late' }, `${count(result.late_count)} late`);
  const closed = result.closed_at ? [time(result.closed_at, { coarse: true }), h('small', {}, `by ${words(result.closed_by)}${result.complete === false ? ', possibly incomplete' : ''}`)] : h('span', { class: 'muted' }, 'not yet');
  return h(
    'tr',
    {},
    h('td', {}, linkMark(result)),
    h('td', { class: 'key' }, keyText(result), h('small', { class: 'narrow' }, period(result.window))),
    h('td', { class: 'wide' }, statusMark(result.status)),
    h('td', { class: 'number' }, isOpen ? h('span', { class: 'muted' }, 'collecting') : count(result.activity_count), late),
    h('td', { class: 'wide' }, period(result.window), h('small', {}, length > 0 ? span(length) : 'empty')),
    h('td', { class: 'wide wider' }, closed),
  );
}

const head = (label, kind) => h('th', { scope: 'col', class: kind }, label);

/** Returns the results as a table. */
export const resultsTable = (results) =>
  h(
    'div',
    { class: 'scroll' },
    h(
      'table',
      { class: 'results' },
      h('caption', { class: 'hidden' }, 'Results by link and key'),
      h('thead', {}, h('tr', {}, head('Link'), head('Key'), head('Status', 'wide'), head('Activities', 'number'), head('Window (UTC)', 'wide'), head('Closed (UTC)', 'wide wider'))),
      h('tbody', {}, results.map(row)),
    ),
  );
