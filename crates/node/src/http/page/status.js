// The status of the processor: progress, throughput, what holds it back, and dead letters.

import * as api from './api.js';
import { h, keep, loading, notice, put, s } from './dom.js';
import { ago, behind, bytes, count, counted, millis, rate, span, time } from './format.js';

const EVERY = 2000;
const REMEMBERED = 150;

export function statusView(root) {
  const stopped = new AbortController();
  const history = [];
  const view = { title: 'Status', every: EVERY, refresh, stop: () => stopped.abort() };
  const trouble = h('div', {});
  const about = h('p', { class: 'note' }, 'Loading the status …');
  const figures = h('dl', { class: 'figures' });
  const curves = h('div', { class: 'curves' });
  const sources = table('Sources', 'The partitions of the input topics. The processor’s watermark is the lowest watermark of those that are not idle.', ['Topic', 'Partition#', 'Watermark (UTC)', 'State', 'Position#', 'Lag#', 'Rejected#', 'Last update']);
  const partitions = table('Partitions', 'The partitions of the repartition topic, with their state.', ['Partition#', 'Instance', 'Watermark (UTC)', 'Lag#', 'Alerts#', 'Open windows#', 'State size#', 'Kept from (UTC)']);
  const letters = table('Dead letters by reason', 'Records that could not be processed since the start.', ['Reason', 'Records#', 'Share']);
  const skipped = table('Skipped tables', 'Records of other tables since the start.', ['Table', 'Records#', 'Share']);
  const instances = table('Instances', 'The processors that share the work.', ['Instance', 'Address', 'Responds', 'Partitions']);
  const totals = h('dl', { class: 'facts' });
  const settings = h('dl', { class: 'facts' });
  const content = h('div', { hidden: true }, figures, curves, sources.element, partitions.element, h('div', { class: 'two' }, letters.element, skipped.element), instances.element, h('div', { class: 'two' }, h('section', {}, h('h2', {}, 'Since the start'), totals), h('section', {}, h('h2', {}, 'Settings'), settings)));
  const wait = loading('the status');
  put(root, h('h1', {}, 'Status'), about, trouble, wait, content);

  async function refresh() {
    let status;
    try {
      status = await api.status(stopped.signal);
    } catch (error) {
      if (stopped.signal.aborted) return;
      wait.remove();
      put(trouble, notice('bad', error.message, content.hidden ? ' ' : ' The data shown may be out of date. ', h('button', { type: 'button', onclick: refresh }, 'Try again')));
      return;
    }
    wait.remove();
    content.hidden = false;
    put(trouble, status.unanswered_partitions.length > 0 && notice('bad', `No instance answered for ${counted(status.unanswered_partitions.length, 'partition', 'partitions')}: ${status.unanswered_partitions.join(', ')}. Their data is missing.`));
    draw(status);
  }

  function draw(status) {
    const now = millis(status.now);
    put(about, `Application ${status.application_id}, version ${status.version}, up for ${span(now - millis(status.started_at))}; as of `, time(status.now, { short: true }), ' UTC');
    drawFigures(status);
    remember(status, now);
    put(curves, curve('Messages per second', history, (point) => point.messages, rate), curve('Watermark behind now', history, (point) => point.behind, (seconds) => span(seconds * 1000)));
    sources.update(status.sources.map((source) => ({ ...source, now })), (source) => `${source.topic} ${source.partition}`, sourceRow);
    partitions.update(status.partitions, (partition) => partition.partition, partitionRow);
    letters.update(shared(status.dead_letters), (entry) => entry.reason, (entry) => shareRow(entry.reason, entry, 'bad'), 'None: every record could be processed.');
    skipped.update(shared(status.skipped), (entry) => entry.table, (entry) => shareRow(entry.table, entry, 'first'), 'None.');
    instances.update(status.instances, (instance) => instance.instance, instanceRow);
    put(totals, Object.entries(status.totals).map(([name, value]) => fact(name.replaceAll('_', ' '), name === 'bytes' ? bytes(value) : count(value))));
    put(settings, Object.entries(status.settings).map(([name, value]) => fact(name.replaceAll('_', ' '), spelled(value))));
  }

  function drawFigures(status) {
    const dead = status.dead_letters.reduce((sum, entry) => sum + entry.count, 0);
    const lag = status.sources.reduce((sum, source) => (source.lag === null || sum === null ? null : sum + source.lag), 0);
    put(
      figures,
      figure('Throughput', `${rate(status.throughput.messages)}/s`, `${bytes(status.throughput.bytes)}/s`),
      figure('Watermark (UTC)', time(status.watermark, { none: 'none yet' }), status.watermark_lag_seconds === null ? 'a source has reported none' : `${behind(status.watermark_lag_seconds)} now`, 'long'),
      figure('Lag', count(lag), 'unread records'),
      figure('Open windows', count(status.open_alerts), `of ${counted(status.alerts, 'alert', 'alerts')}`),
      figure('Rows', `${rate(status.throughput.rows)}/s`, `${count(status.totals.rows)} since the start`),
      figure('Dead letters', count(dead), `${rate(status.throughput.dead_letters)}/s`),
      figure('State', bytes(status.state_bytes), counted(status.partitions.length, 'partition', 'partitions')),
    );
  }

  function remember(status, now) {
    if (history.at(-1)?.time === now) return;
    history.push({ time: now, messages: status.throughput.messages, behind: status.watermark_lag_seconds === null ? null : Math.max(0, status.watermark_lag_seconds) });
    if (history.length > REMEMBERED) history.shift();
  }

  return view;
}

/**
 * Creates a table with a title. Rows keep their elements while their contents stay the same. A `#` after a heading
 * marks a column of numbers.
 */
function table(title, words, headings) {
  const body = h('tbody', {});
  const empty = h('p', { class: 'note', hidden: true });
  const id = `title-${title.toLowerCase().replaceAll(' ', '-')}`;
  const frame = h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-labelledby': id }, h('table', {}, h('thead', {}, h('tr', {}, headings.map((heading) => h('th', { scope: 'col', class: heading.endsWith('#') ? 'number' : undefined }, heading.replace('#', ''))))), body));
  const element = h('section', {}, h('h2', { id }, title), h('p', { class: 'note' }, words), frame, empty);
  return {
    element,
    update(items, key, make, none = 'None.') {
      keep(body, items, key, make);
      frame.hidden = items.length === 0;
      empty.hidden = items.length > 0;
      put(empty, none);
    },
  };
}

function sourceRow(source) {
  const { now } = source;
  const state = source.holds_back ? h('span', { class: 'badge late' }, `holds back for ${span(now - millis(source.since))}`) : source.idle ? h('span', { class: 'badge' }, 'idle') : h('span', { class: 'badge good' }, 'reading');
  return h('tr', {}, h('th', { scope: 'row' }, h('bdi', {}, source.topic)), number(source.partition), h('td', {}, time(source.watermark, { none: 'none yet' })), h('td', {}, state), number(source.position), number(source.lag), h('td', { class: source.rejected > 0 ? 'number bad' : 'number' }, count(source.rejected)), h('td', {}, ago(source.heard_at, now)));
}

const partitionRow = (partition) =>
  h('tr', {}, h('th', { scope: 'row', class: 'number' }, String(partition.partition)), h('td', {}, h('code', { title: partition.instance }, partition.instance.slice(0, 8))), h('td', {}, time(partition.watermark, { none: 'none yet' })), number(partition.lag), number(partition.alerts), number(partition.open_alerts), h('td', { class: 'number' }, bytes(partition.state_bytes)), h('td', {}, time(partition.retained_from, { none: 'the beginning' })));

function instanceRow(instance) {
  const answers = instance.answers ? h('span', { class: 'badge good' }, 'yes') : [h('span', { class: 'badge bad' }, 'no'), ' ', instance.error ?? ''];
  return h('tr', {}, h('th', { scope: 'row' }, h('code', { title: instance.instance }, instance.instance.slice(0, 8)), instance.is_this && ' (this one)'), h('td', {}, instance.address ?? h('span', { class: 'muted' }, 'not known')), h('td', {}, answers), h('td', {}, instance.partitions.join(', ') || 'none'));
}

/** Returns entries with their share of the total, the most frequent first. */
function shared(entries) {
  const all = entries.reduce((sum, entry) => sum + entry.count, 0);
  return entries.map((entry) => ({ ...entry, share: entry.count / all })).sort((a, b) => b.count - a.count);
}

const shareRow = (name, entry, kind) => h('tr', {}, h('th', { scope: 'row' }, h('bdi', {}, name)), number(entry.count), h('td', {}, bar(entry.share, kind)));

function bar(share, kind) {
  const width = Math.max(1, share * 100);
  return h('span', { class: 'share' }, s('svg', { width: 100, height: 8, 'aria-hidden': 'true', class: kind }, s('rect', { class: 'track', width: 100, height: 8, rx: 4 }), s('rect', { class: 'value', width, height: 8, rx: 4 })), ` ${share > 0 && share < 0.01 ? '<1' : Math.round(share * 100)} %`);
}

/** Draws the course of a value since the page was opened. */
function curve(name, history, value, write) {
  const points = history.filter((point) => value(point) !== null);
  const latest = points.length > 0 ? write(value(points.at(-1))) : 'not known';
  const most = Math.max(...points.map(value), 0);
  const [width, height] = [560, 90];
  const first = points[0]?.time ?? 0;
  const length = Math.max(20_000, (points.at(-1)?.time ?? 0) - first);
  const at = (point) => `${(((point.time - first) / length) * width).toFixed(1)} ${(height - 4 - (most > 0 ? value(point) / most : 0) * (height - 12)).toFixed(1)}`;
  const line = points.length > 1 ? `M${points.map(at).join('L')}` : '';
  return h(
    'figure',
    {},
    h('figcaption', {}, h('b', {}, name), h('span', {}, `now ${latest}, maximum ${write(most)} since this page was opened`)),
    s('svg', { class: 'curve', viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': `${name}: now ${latest}` }, s('line', { class: 'base', x1: 0, x2: width, y1: height - 4, y2: height - 4 }), line && s('path', { class: 'line', d: line })),
  );
}

function spelled(value) {
  if (value === null) return 'none';
  if (Array.isArray(value)) return value.join(', ');
  return typeof value === 'number' ? count(value) : String(value).replaceAll('_', ' ');
}

const number = (value) => h('td', { class: 'number' }, count(value));
const fact = (name, value) => h('div', {}, h('dt', {}, name), h('dd', {}, h('bdi', {}, value)));
const figure = (name, value, small, kind) => h('div', { class: kind }, h('dt', {}, name), h('dd', {}, value, h('small', {}, small)));
