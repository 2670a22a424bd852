// One alert: how and why it was closed, its activities and its window on a time line, its row, and exports.

import * as api from './api.js';
import { actionOf, activityTable } from './activities.js';
import { copyButton, h, keep, loading, notice, put } from './dom.js';
import { activitiesCsv, download, fileName, kql, pretty } from './export.js';
import { count, counted, millis, origin, period, sentence, severityMark, span, statusMark, time, utc } from './format.js';
import { recordView } from './record.js';
import { distinctOf, groupsOf, resultsOf, resultsTable, statusOf } from './results.js';
import { timeline } from './timeline.js';

// More than these are loaded only on request: the browser holds some kilobytes for each.
const FETCHED = 10_000;
// Each result loads at least these, however many results there are.
const LEAST_FETCHED = 500;
const OPEN_EVERY = 4000;
const ANSWERED_EVERY = 15_000;

const words = (word) => (word ?? '').replaceAll('_', ' ');

/** Identifies the state of a result; its activities are requested again when it changes. */
const stateOf = (result, alert) => [result.status, result.revision, result.activity_count, alert.version_hash].join(' ');

/** Returns the bounds of all windows together, in milliseconds. */
const reachOf = (results) => ({ start: Math.min(...results.map(({ window }) => millis(window.start))), end: Math.max(...results.map(({ window }) => millis(window.end))) });

export function alertView(root, id, tenant) {
  const stopped = new AbortController();
  const view = { title: id, every: OPEN_EVERY, refresh, stop };
  const header = h('div', {}, h('h1', {}, h('bdi', {}, id)), loading('the alert'));
  const trouble = h('div', {});
  const by = h('select', { onchange: () => explain().catch(fail) });
  const byLine = h('p', { class: 'by', hidden: true }, h('label', {}, 'Explain the result by ', by));
  const verdict = h('div', {});
  const why = h('section', { class: 'why', 'aria-label': 'Why' }, byLine, verdict);
  const byLinks = h('section', { 'aria-labelledby': 'links-title', hidden: true }, h('h2', { id: 'links-title' }, 'Results by link and key'), h('div', {}));
  const progress = h('div', {});
  const table = activityTable();
  const line = timeline({ onRange: table.setRange, onPick: table.show });
  const rest = h('div', {});
  const content = h('div', { hidden: true }, byLinks, why, h('section', { 'aria-labelledby': 'line-title' }, h('h2', { id: 'line-title' }, 'Time line'), progress, line.element), h('section', { 'aria-labelledby': 'activities-title' }, h('h2', { id: 'activities-title' }, 'Activities'), table.element), rest);
  put(root, h('p', { class: 'back' }, h('a', { href: '#/alerts' }, '← Alerts')), header, trouble, content);

  let alert = null;
  let results = [];
  let groups = [];
  // What was loaded of each result: its state, its items, and the cursor of the next page.
  const fetched = new Map();
  let items = [];
  let known = '';
  const isOpen = () => statusOf(results) === 'open';
  const isLinked = () => groups.length > 0;
  let drawnRest = '';
  let settings = null;

  async function refresh() {
    try {
      const fresh = await api.alert(id, tenant, stopped.signal);
      alert = fresh;
      results = resultsOf(alert);
      groups = groupsOf(results);
      const state = results.map((result) => `${result.id} ${stateOf(result, alert)}`).join('\n');
      const isChanged = state !== known || isOpen();
      view.title = alert.alert_name || id;
      view.every = isOpen() ? OPEN_EVERY : ANSWERED_EVERY;
      content.hidden = false;
      put(trouble);
      drawHeader();
      if (isChanged) {
        await Promise.all([fetchActivities(), explain()]);
        known = state;
        drawHeader();
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
    const found = await api.explain(id, tenant, null, stopped.signal).catch(() => null);
    if (stopped.signal.aborted || alert) return;
    const more = found && others(found);
    put(header, h('h1', {}, h('bdi', {}, id)), notice('bad', found ? sentence(found.verdict) : error.message, ' ', again()), more && h('div', { class: 'verdict' }, more));
  }

  const again = () => h('button', { type: 'button', onclick: refresh }, 'Try again');

  async function fetchActivities(isMore = false) {
    const share = Math.max(LEAST_FETCHED, Math.floor(FETCHED / results.length));
    for (const result of results) {
      const had = fetched.get(result.id);
      const state = stateOf(result, alert);
      const isKnown = had?.state === state && result.status !== 'open';
      if (isMore ? had?.next : !isKnown) fetched.set(result.id, { state, ...(await fetchResult(result, had, isMore, share)) });
    }
    for (const name of fetched.keys()) if (!results.some((result) => result.id === name)) fetched.delete(name);
    items = results.flatMap((result) => fetched.get(result.id)?.items ?? []);
    if (isLinked()) items.sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0));
    put(progress, partial());
    table.update(items, groups);
    drawLine();
  }

  async function fetchResult(result, had, isMore, share) {
    const mustAsk = result.status === 'open' || result.activity_count > 0;
    // While a result is open its activities are loaded from the beginning: they are ordered by time, not by arrival.
    let found = isMore ? had.items : [];
    let cursor = isMore ? had.next : null;
    const most = isMore ? found.length + share : Math.max(share, had?.items.length ?? 0);
    if (!mustAsk) return { items: found, next: null };
    const { link, key, name, label } = result;
    do {
      const page = await api.activities(id, tenant, result, cursor, stopped.signal);
      found = found.concat(page.activities.map((item) => ({ id: item.id, activityId: item.activity_id, time: millis(item.activity_time), text: item.activity_time, late: item.late, action: actionOf(item.activity), activity: item.activity, result: result.id, link, key, name, label })));
      cursor = page.next_cursor;
      if (cursor && items.length === 0) put(progress, loading(`activities, ${count(found.length)} so far`));
    } while (cursor && found.length < most);
    return { items: found, next: cursor };
  }

  /** Counts the rows of all closed results. */
  const rowCount = () => results.reduce((sum, result) => sum + result.activity_count, 0);

  function partial() {
    const noun = isLinked() ? 'rows' : 'activities';
    if ([...fetched.values()].some(({ next }) => next)) return notice('info', `The first ${count(items.length)} ${isOpen() ? noun : `of ${count(rowCount())} ${noun}`} are shown. `, h('button', { type: 'button', onclick: () => fetchActivities(true).catch(fail) }, 'Load more'));
    if (items.length === 0) return h('p', { class: 'note' }, isOpen() ? 'No activity is in the window so far.' : 'No activity is in the window.');
    const lost = isOpen() ? 0 : rowCount() - items.length;
    if (lost > 0) return notice('info', `${isLinked() ? counted(lost, 'row', 'rows') : counted(lost, 'activity', 'activities')} of the alert ${lost === 1 ? 'has' : 'have'} been removed by retention: activities are kept from ${alert.retained_from && !isLinked() ? utc(alert.retained_from) : 'a later time'}.`);
    return null;
  }

  let near = [];
  function drawLine() {
    line.update({
      items,
      near,
      window: reachOf(results),
      groups: groups.map((group) => ({ ...group, results: group.results.map((result) => ({ ...result, window: reachOf([result]) })) })),
      watermark: alert.watermark ? millis(alert.watermark) : null,
    });
  }

  /** Returns the result to explain: the one that is selected, or the first. */
  function explained() {
    const chosen = by.value;
    const options = results.map((result) => ({ value: result.id, text: `${result.link}: ${result.label}` }));
    byLine.hidden = !isLinked();
    keep(by, options, ({ value }) => value, ({ value, text }) => h('option', { value }, text));
    const result = results.find((known) => known.id === chosen) ?? results[0];
    by.value = result.id;
    return result;
  }

  async function explain() {
    const result = explained();
    try {
      const found = await api.explain(id, tenant, result, stopped.signal);
      if (by.value !== result.id) return;
      const misses = found.findings.filter((finding) => finding.cause === 'near_miss').flatMap(({ details }) => [...details.before, ...details.after]);
      // Distant activities would shrink the window on the time line to nothing.
      const reach = Math.max(60_000, millis(result.window.end) - millis(result.window.start)) / 1000;
      near = misses.filter((miss) => miss.distance_seconds <= reach).map((miss) => millis(miss.activity_time));
      put(verdict, findings(found));
      drawLine();
    } catch (error) {
      if (stopped.signal.aborted) throw error;
      put(verdict, notice('info', `The explanation could not be loaded: ${error.message}`));
    }
  }

  const findings = (found) => h('div', { class: 'verdict' }, h('p', {}, sentence(found.verdict)), others(found));

  function others(found) {
    const others = found.findings.filter((finding) => finding.sentence !== found.verdict);
    return others.length > 0 && h('ul', {}, others.map((finding) => h('li', {}, sentence(finding.sentence))));
  }

  /** Returns the figures of an alert with several results; the table below has those of each. */
  function figuresByLink() {
    const done = results.filter((result) => result.status !== 'open');
    const closes = done.map((result) => result.closed_at).filter(Boolean).sort();
    const incomplete = done.filter((result) => result.complete === false).length;
    const late = items.filter((item) => item.late);
    const reach = reachOf(results);
    const window = { start: new Date(reach.start).toISOString(), end: new Date(reach.end).toISOString() };
    return [
      figure('Activities', count(distinctOf(items)), `in ${counted(items.length, 'row', 'rows')}${isOpen() ? ' so far' : late.length > 0 ? `, ${count(distinctOf(late))} late` : ', none late'}`),
      figure('Windows (UTC)', period(window), reach.end > reach.start ? span(reach.end - reach.start) : 'empty', 'long'),
      figure('Closed (UTC)', closes.length > 0 ? time(closes.at(-1)) : 'not yet', `${count(done.length)} of ${counted(results.length, 'result', 'results')}`, 'long'),
      figure('Complete', incomplete > 0 ? 'possibly not' : done.length < results.length ? 'not yet' : 'yes', incomplete > 0 && `${counted(incomplete, 'result', 'results')} of ${count(results.length)}`),
      figure('Links', count(groups.length), `${counted(results.length, 'key', 'keys')}, ${counted(alert.versions, 'version of the alert', 'versions of the alert')}`),
    ];
  }

  function figures() {
    if (isLinked()) return figuresByLink();
    const answered = alert.closed_at ? [time(alert.closed_at), h('small', {}, `by ${words(alert.closed_by)}`)] : ['not yet', h('small', {}, 'no later than ', time(alert.deadline))];
    const length = millis(alert.window.end) - millis(alert.window.start);
    const complete = { true: 'yes', false: 'possibly not' }[String(alert.complete)] ?? 'not yet';
    return [
      figure('Activities', alert.status === 'open' ? count(items.length) : count(alert.activity_count), alert.status === 'open' ? 'so far' : alert.late_count > 0 ? `${count(alert.late_count)} late` : 'none late'),
      figure('Window (UTC)', period(alert.window), length > 0 ? span(length) : 'empty', 'long'),
      figure('Closed (UTC)', answered[0], answered[1], 'long'),
      figure('Complete', complete, words(alert.complete_because)),
      figure('Revision', count(alert.revision), counted(alert.versions, 'version of the alert', 'versions of the alert')),
    ];
  }

  function drawHeader() {
    put(
      header,
      h('h1', {}, h('bdi', {}, alert.alert_name || id)),
      h('p', { class: 'marks' }, statusMark(statusOf(results)), severityMark(alert.severity), alert.alert_status && h('span', { class: 'badge' }, alert.alert_status), h('span', { class: 'muted' }, h('bdi', {}, origin(alert)))),
      h('dl', { class: 'figures' }, figures()),
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
    byLinks.hidden = !isLinked();
    if (isLinked()) put(byLinks.lastElementChild, resultsTable(results));
  }

  /** Draws what depends only on the alert's version. It is not redrawn otherwise, so that a selection in the query stays. */
  async function drawRest() {
    settings ??= await api.status(stopped.signal).then((status) => status.settings, () => null);
    const state = `${alert.version_hash} ${settings === null} ${isLinked()}`;
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
        h('p', { class: 'note' }, alert.correlation_id ? [`Paste it into Logs. It returns this alert’s activities${isLinked() ? ' by the link “query”' : ''}; Sentinel may return one twice. It uses the keys `, h('code', {}, 'RawEventData.Data.cid'), ' and ', h('code', {}, 'AlertType'), '; change them if others are configured.'] : 'The alert has no correlation id, so the query finds nothing, like the processor.'),
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

const taken = ({ id, activityId, text, late, link, key, activity }) => ({ id, activity_id: activityId, activity_time: text, late, link: link ?? 'query', correlation_id: key, activity });
const code = (value) => [h('code', {}, h('bdi', {}, value)), ' ', copyButton('Copy', () => value)];
const fact = (name, ...value) => h('div', {}, h('dt', {}, name), h('dd', {}, value));
const figure = (name, value, small, kind) => h('div', { class: kind }, h('dt', {}, name), h('dd', {}, value, small && (small instanceof Node ? small : h('small', {}, small))));
