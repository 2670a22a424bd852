// A record as it was sent: its fields with their paths, and its JSON.

import { isExact } from './api.js';
import { copyButton, h } from './dom.js';
import { pretty } from './export.js';

const MOST_FIELDS = 400;
const DEEPEST = 12;
const LONG = 1000;

const spelled = (value) => (isExact(value) ? value.rawJSON : typeof value === 'string' ? value : JSON.stringify(value));

/** Returns the value in a string of JSON, such as `RawEventData` or its `Data`; otherwise the value itself. */
function opened(value) {
  if (typeof value !== 'string' || !/^\s*[[{]/.test(value)) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

/** Returns every leaf of a record with its path: `RawEventData.Data.cid`. JSON within strings is parsed. */
export function fields(record) {
  const found = [];
  const walk = (value, path, depth) => {
    if (found.length >= MOST_FIELDS) return;
    const inner = opened(value);
    const isNested = typeof inner === 'object' && inner !== null && !isExact(inner) && Object.keys(inner).length > 0;
    if (!isNested || depth >= DEEPEST) {
      found.push([path, value]);
      return;
    }
    for (const [name, item] of Object.entries(inner)) {
      walk(item, Array.isArray(inner) ? `${path}[${name}]` : path ? `${path}.${name}` : name, depth + 1);
    }
  };
  walk(record, '', 0);
  return found;
}

function valueOf(value) {
  if (value === null) return h('span', { class: 'muted' }, 'null');
  if (value === '') return h('span', { class: 'muted' }, 'empty');
  const text = spelled(value);
  if (text.length <= LONG) return h('bdi', {}, text);
  return h('details', {}, h('summary', {}, h('bdi', {}, `${text.slice(0, 200)} …`)), h('bdi', {}, text));
}

/** Returns a view of the fields and the JSON of a record. `name` says which record it is. */
export function recordView(record, name) {
  const found = fields(record);
  const isCut = found.length >= MOST_FIELDS;
  const json = pretty(record);
  return h(
    'div',
    { class: 'record' },
    h('dl', { class: 'fields' }, found.map(([path, value]) => h('div', {}, h('dt', {}, h('bdi', {}, path || 'value')), h('dd', {}, valueOf(value))))),
    isCut && h('p', { class: 'note' }, `The first ${MOST_FIELDS} fields are shown; the JSON has all.`),
    h('details', { class: 'raw' }, h('summary', {}, 'The record as JSON'), copyButton('Copy', () => json), h('pre', { tabindex: 0, role: 'region', 'aria-label': `JSON of ${name}` }, json)),
  );
}
