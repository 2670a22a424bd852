// One alert: how and why it was closed, its activities and its window on a time line, its row, and exports.

import * as api from './api.js';
import { actionOf, activityTable } from './activities.js';
import { copyButton, h, loading, notice, put } from './dom.js';
import { activitiesCsv, download, fileName, kql, pretty } from './export.js';
import { count, counted, millis, origin, period, sentence, severityMark, span, statusMark, time, utc } from './format.js';
import { recordView } from './record.js';
import { timeline } from './timeline.js';

// More than these are loaded only on request: the browser holds some kilobytes for each.
const FETCHED = 10_000;
const OPEN_EVERY = 4000;
const ANSWERED_EVERY = 15_000;

const words = (word) => (word ?? '').replaceAll('_', ' ');

/** Identifies the state of an alert; the activities are requested again when it changes. */
const stateOf = (alert) => [alert.status, alert.revision, alert.activity_count, alert.version_hash].join(' ');

export function alertView(root, id, tenant) {
  const stopped = new AbortController();
  const view = { title: id, every: OPEN_EVERY, refresh, stop };
  const header = h('div', {}, h('h1', {}, h('bdi', {}, id)), loading('the alert'));
  const trouble = h('div', {});
  const why = h('section', { class: 'why', 'aria-label': 'Why' });
  const progress = h('div', {});
  const table = activityTable();
  const line = timeline({ onRange: table.setRange, onPick: table.show });
  const rest = h('div', {});
  const content = h('div', { hidden: true }, why, h('section', { 'aria-labelledby': 'line-title' }, h('h2', { id: 'line-title' }, 'Time line'), progress, line.element), h('section', { 'aria-labelledby': 'activities-title' }, h('h2', { id: 'activities-title' }, 'Activities'), table.element), rest);
  put(root, h('p', { class: 'back' }, h('a', { href: '#/alerts' }, '← Alerts')), header, trouble, content);

  let alert = null;
  let items = [];
  let next = null;
  let known = '';
  let drawnRest = '';
  let settings = null;

  async function refresh() {
    try {
      const fresh = await api.alert(id, tenant, stopped.signal);
      const state = stateOf(fresh);
      const isChanged = state !== known || fresh.status === 'open';
      alert = fresh;
      view.title = alert.alert_name || id;
      view.every = alert.status === 'open' ? OPEN_EVERY : ANSWERED_EVERY;
      content.hidden = false;
      put(trouble);
      drawHeader();
      if (isChanged) {
        await Promise.all([fetchActivities(), explain()]);
        known = state;
        if (alert.status === 'open') drawHeader();
      }
      await drawRest();
    } catch (error) {
      if (stopped.signal.aborted) return;
      fail(error);
    }
  }

  function fail(error) {
    if (alert) {
      put(trouble, notice('bad', error.message, ' The data shown may be out of date.'));
      return;
    }
    if (error.status === 404) return missing(error);
    const hint = error.status === 409 && ' Open it from the list.';
    put(header, h('h1', {}, h('bdi', {}, id)), notice('bad', error.message, hint, ' ', again()));
  }

  /** Shows an id without a stored alert: its explanation says more than the error, which is shown only without one. */
  async function missing(error) {
    const found = await api.explain(id, tenant, stopped.signal).catch(() => null);
    if (stopped.signal.aborted || alert) return;
    const more = found && others(found);
    put(header, h('h1', {}, h('bdi', {}, id)), notice('bad', found ? sentence(found.verdict) : error.message, ' ', again()), more && h('div', { class: 'verdict' }, more));
  }

  const again = () => h('button', { type: 'button', onclick: refresh }, 'Try again');

  async function fetchActivities(isMore = false) {
    // While an alert is open its activities are loaded from the beginning: they are ordered by time, not by arrival.
    let fetched = isMore ? items : [];
    let cursor = isMore ? next : null;
    const most = isMore ? fetched.length + FETCHED : Math.max(FETCHED, items.length);
    do {
      const page = await api.activities(id, tenant, cursor, stopped.signal);
      fetched = fetched.concat(page.activities.map((item) => ({ id: item.id, time: millis(item.activity_time), text: item.activity_time, late: item.late, action: actionOf(item.activity), activity: item.activity })));
      cursor = page.next_cursor;
      if (cursor && items.length === 0) put(progress, loading(`activities, ${count(fetched.length)} so far`));
    } while (cursor && fetched.length < most);
    items = fetched;
    next = cursor;
    put(progress, partial());
    table.update(items);
    drawLine();
  }

  function partial() {
    if (next) return notice('info', `The first ${count(items.length)} ${alert.status === 'open' ? 'activities' : `of ${count(alert.activity_count)} activities`} are shown. `, h('button', { type: 'button', onclick: () => fetchActivities(true).catch(fail) }, 'Load more'));
    if (items.length === 0) return h('p', { class: 'note' }, alert.status === 'open' ? 'No activity is in the window so far.' : 'No activity is in the window.');
    if (alert.status !== 'open' && items.length < alert.activity_count) return notice('info', `${counted(alert.activity_count - items.length, 'activity', 'activities')} of the alert ${alert.activity_count - items.length === 1 ? 'has' : 'have'} been removed by retention: activities are kept from ${alert.retained_from ? utc(alert.retained_from) : 'a later time'}.`);
    return null;
  }

  let near = [];
  function drawLine() {
    line.update({
      items,
      near,
      window: { start: millis(alert.window.start), end: millis(alert.window.end) },
      watermark: alert.watermark ? millis(alert.watermark) : null,
    });
  }

  async function explain() {
    try {
      const found = await api.explain(id, tenant, stopped.signal);
      const misses = found.findings.filter((finding) => finding.cause === 'near_miss').flatMap(({ details }) => [...details.before, ...details.after]);
      // Distant activities would shrink the window on the time line to nothing.
      const reach = Math.max(60_000, millis(alert.window.end) - millis(alert.window.start)) / 1000;
      near = misses.filter((miss) => miss.distance_seconds <= reach).map((miss) => millis(miss.activity_time));
      put(why, findings(found));
      drawLine();
    } catch (error) {
      if (stopped.signal.aborted) throw error;
      put(why, notice('info', `The explanation could not be loaded: ${error.message}`));
    }
  }

  const findings = (found) => h('div', { class: 'verdict' }, h('p', {}, sentence(found.verdict)), others(found));

  function others(found) {
    const others = found.findings.filter((finding) => finding.sentence !== found.verdict);
    return others.length > 0 && h('ul', {}, others.map((finding) => h('li', {}, sentence(finding.sentence))));
  }

  function drawHeader() {
    const answered = alert.closed_at ? [time(alert.closed_at), h('small', {}, `by ${words(alert.closed_by)}`)] : ['not yet', h('small', {}, 'no later than ', time(alert.deadline))];
    const length = millis(alert.window.end) - millis(alert.window.start);
    const complete = { true: 'yes', false: 'possibly not' }[String(alert.complete)] ?? 'not yet';
    put(
      header,
      h('h1', {}, h('bdi', {}, alert.alert_name || id)),
      h('p', { class: 'marks' }, statusMark(alert.status), severityMark(alert.severity), alert.alert_status && h('span', { class: 'badge' }, alert.alert_status), h('span', { class: 'muted' }, h('bdi', {}, origin(alert)))),
      h(
        'dl',
        { class: 'figures' },
        figure('Activities', alert.status === 'open' ? count(items.length) : count(alert.activity_count), alert.status === 'open' ? 'so far' : alert.late_count > 0 ? `${count(alert.late_count)} late` : 'none late'),
        figure('Window (UTC)', period(alert.window), length > 0 ? span(length) : 'empty', 'long'),
        figure('Closed (UTC)', answered[0], answered[1], 'long'),
        figure('Complete', complete, words(alert.complete_because)),
        figure('Revision', count(alert.revision), counted(alert.versions, 'version of the alert', 'versions of the alert')),
      ),
      h(
        'dl',
        { class: 'ids' },
        fact('Alert', code(alert.system_alert_id)),
        fact('Correlation id', alert.correlation_id ? code(alert.correlation_id) : h('span', { class: 'muted' }, 'none')),
        alert.tenant_id && fact('Tenant', code(alert.tenant_id)),
        fact('Generated', time(alert.time_generated)),
        fact('Watermark', time(alert.watermark, { none: 'none yet' })),
      ),
    );
  }

  /** Draws what depends only on the alert's version. It is not redrawn otherwise, so that a selection in the query stays. */
  async function drawRest() {
    settings ??= await api.status(stopped.signal).then((status) => status.settings, () => null);
    const state = `${alert.version_hash} ${settings === null}`;
    if (state === drawnRest) return;
    drawnRest = state;
    const query = kql(alert, settings);
    put(
      rest,
      h(
        'section',
        { 'aria-labelledby': 'take-title' },
        h('h2', { id: 'take-title' }, 'Export'),
        h(
          'p',
          { class: 'foot' },
          h('button', { type: 'button', onclick: () => download(fileName(id, 'json'), 'application/json', pretty({ ...alert, activities: items.map(taken) })) }, 'Export as JSON'),
          h('button', { type: 'button', onclick: () => download(fileName(id, 'csv'), 'text/csv', activitiesCsv(items.map(taken))) }, 'Export activities as CSV'),
        ),
        h('h3', {}, 'The same query in Sentinel'),
        h('p', { class: 'note' }, alert.correlation_id ? ['Paste it into Logs. It returns this alert’s activities; Sentinel may return one twice. It uses the keys ', h('code', {}, 'RawEventData.Data.cid'), ' and ', h('code', {}, 'AlertType'), '; change them if others are configured.'] : 'The alert has no correlation id, so the query finds nothing, like the processor.'),
        settings === null && h('p', { class: 'note' }, 'The settings could not be loaded: the query assumes exclusive bounds.'),
        h('div', { class: 'code' }, copyButton('Copy', () => query), h('pre', { tabindex: 0, role: 'region', 'aria-label': 'KQL query' }, query)),
      ),
      h('section', { 'aria-labelledby': 'row-title' }, h('h2', { id: 'row-title' }, 'The alert’s row'), h('details', {}, h('summary', {}, 'Fields'), recordView(alert.alert, 'the alert'))),
    );
  }

  function stop() {
    stopped.abort();
    line.stop();
    table.stop();
  }

  return view;
}

const taken = ({ id, text, late, activity }) => ({ id, activity_time: text, late, activity });
const code = (value) => [h('code', {}, h('bdi', {}, value)), ' ', copyButton('Copy', () => value)];
const fact = (name, ...value) => h('div', {}, h('dt', {}, name), h('dd', {}, value));
const figure = (name, value, small, kind) => h('div', { class: kind }, h('dt', {}, name), h('dd', {}, value, small && (small instanceof Node ? small : h('small', {}, small))));
