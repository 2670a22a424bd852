// A mock processor over a generated world: the page's files with the policy with which they are really served, and the API of docs/api.md.
// `node mock.js` serves it on 127.0.0.1:8687 for manual tests.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { makeAlerts, makeStatus } from './world.js';

const PAGE = new URL('../../crates/node/src/http/page/', import.meta.url);
const TYPES = { html: 'text/html; charset=utf-8', css: 'text/css; charset=utf-8', js: 'text/javascript; charset=utf-8', svg: 'image/svg+xml' };

class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Returns an alert of the list by a link: its numbers are those of all keys. */
function byLink({ item, results }, link) {
  if (link === 'query') return item;
  const own = results.map((result) => result.item).filter((result) => result.link === link);
  const sum = (name) => own.reduce((all, result) => all + result[name], 0);
  return { ...item, link, correlation_id: own[0].correlation_id, window: own[0].window, status: sum('activity_count') > 0 ? 'matched' : 'unmatched', activity_count: sum('activity_count'), late_count: sum('late_count') };
}

/** Returns the result by the query. */
function linkItem({ item, detail }) {
  const { link, correlation_id, status, window, activity_count, late_count, first_activity_time, last_activity_time, revision, closed_by, closed_at, complete, partition } = item;
  return { link, correlation_id, status, window, activity_count, late_count, first_activity_time, last_activity_time, revision, closed_by, closed_at, complete, partition, summary_id: detail.summary_id };
}

/** Starts a mock. `world` may be changed while it runs; `requests` has the requested paths of the API. */
export async function startMock(port = 0) {
  const world = { alerts: makeAlerts(), token: null, fail: null, empty: false, sparse: false, unanswered: [], statusRequests: 0, requests: [], links: ['query', 'users', 'objects'] };
  const policy = (await readFile(new URL('policy.txt', PAGE), 'utf8')).trim();

  async function asset(url, response) {
    const name = url.pathname === '/' ? 'index.html' : url.pathname.replace('/page/', '');
    const body = await readFile(new URL(name, PAGE)).catch(() => null);
    if (!body || name.includes('/')) throw new Refusal(404, 'no such file');
    response.writeHead(200, { 'Content-Type': TYPES[name.split('.').at(-1)], 'Content-Security-Policy': policy, 'X-Content-Type-Options': 'nosniff' });
    response.end(body);
  }

  function list(query) {
    const link = query.get('link') ?? 'query';
    if (!world.links.includes(link)) throw new Refusal(400, `there is no link ${JSON.stringify(link)} in the configuration`);
    const status = query.get('status');
    const text = query.get('text')?.toLowerCase();
    const severity = query.get('severity')?.toLowerCase();
    const fits = ({ item, row, results }) =>
      (link === 'query' || results?.some((result) => result.item.link === link)) &&
      (!status || item.status === status || (status === 'closed' && item.status !== 'open')) &&
      (!severity || item.severity?.toLowerCase() === severity) &&
      (!text || row.toLowerCase().includes(text)) &&
      (!query.get('from') || Date.parse(item.time_generated) >= Date.parse(query.get('from'))) &&
      (!query.get('to') || Date.parse(item.time_generated) < Date.parse(query.get('to')));
    const from = query.get('cursor') ? world.alerts.findIndex(({ item }) => item.cursor === query.get('cursor')) + 1 : 0;
    const examined = world.sparse ? 10 : world.alerts.length;
    const part = world.empty ? [] : world.alerts.slice(from, from + examined);
    const limit = Number(query.get('limit') ?? 50);
    const found = part.filter(fits).slice(0, limit);
    const isEnd = world.empty || (found.length < limit && from + examined >= world.alerts.length);
    const last = found.length === limit ? found.at(-1) : part.at(-1);
    return { alerts: found.map((alert) => byLink(alert, link)), next_cursor: isEnd ? null : last.item.cursor, examined: part.length, unanswered_partitions: world.unanswered };
  }

  function one(id) {
    const found = world.alerts.find(({ item }) => item.system_alert_id === id);
    if (!found) throw new Refusal(404, `no alert with the id ${id} is stored`);
    return found;
  }

  /** Returns the result by the requested link and key; by default the query's. */
  function resultOf(alert, query) {
    const results = alert.results ?? [{ item: linkItem(alert), activities: alert.activities }];
    const link = query.get('link') ?? 'query';
    const ofLink = results.filter(({ item }) => item.link === link);
    if (!world.links.includes(link)) throw new Refusal(400, `there is no link ${JSON.stringify(link)} in the configuration`);
    const found = ofLink.find(({ item }) => !query.has('correlation_id') || item.correlation_id === query.get('correlation_id'));
    if (!found) throw new Refusal(404, 'the alert has no such key');
    return found;
  }

  function activities(alert, query) {
    const limit = Number(query.get('limit') ?? 100);
    if (limit > 500) throw new Refusal(400, 'limit is at most 500');
    const from = query.get('cursor') ? parseInt(query.get('cursor'), 16) : 0;
    const { item, activities: all } = resultOf(alert, query);
    const end = from + limit;
    return { system_alert_id: alert.item.system_alert_id, tenant_id: null, link: item.link, correlation_id: item.correlation_id, status: item.status, window: item.window, activity_count: item.activity_count, activities: all.slice(from, end), next_cursor: end < all.length ? end.toString(16) : null };
  }

  function explain(id, query) {
    const alert = world.alerts.find(({ item }) => item.system_alert_id === id);
    const common = { system_alert_id: id, tenant_id: null, scan: null, link: null, correlation_id: null, window: null, watermark: alert?.detail.watermark ?? null, retained_from: null, partition: alert?.item.partition ?? null };
    if (!alert) {
      const sentence = `No alert with the id ${id} is stored.`;
      return { ...common, status: 'unknown', verdict: sentence, findings: [{ cause: 'unknown_alert', sentence, details: { retained_from: null, rejected: 0 } }] };
    }
    const { near } = alert;
    const { item } = resultOf(alert, query);
    const verdict = {
      open: `It waits for activities up to ${item.window.end}: partition 2 of cloudappevents holds the watermark back. It is answered at ${alert.detail.deadline} at the latest.`,
      matched: `It was answered by the watermark with ${item.activity_count} activities.`,
      unmatched: 'No activity with its correlation id is held, inside the window or outside.',
    }[item.status];
    const findings = [{ cause: 'answered', sentence: verdict, details: {} }];
    if (near.after.length > 0) findings.push({ cause: 'near_miss', sentence: 'The nearest activity with its correlation id outside the window lies 1m 30s after its end (correlation.after = "1m 31s" takes it in).', details: near });
    return { ...common, link: item.link, correlation_id: item.correlation_id, window: item.window, status: item.status, verdict, findings };
  }

  function result(url, headers) {
    world.requests.push(url.pathname + url.search);
    if (world.token && headers.authorization !== `Bearer ${world.token}`) throw new Refusal(401, 'send the token of http.token as `Authorization: Bearer <token>`');
    if (world.fail) throw new Refusal(world.fail.status, world.fail.error);
    const [, , , kind, id, part] = url.pathname.split('/').map(decodeURIComponent);
    if (kind === 'status') return JSON.stringify({ ...makeStatus(world.alerts, (world.statusRequests += 1), world.links), unanswered_partitions: world.unanswered });
    if (kind !== 'alerts') throw new Refusal(404, 'there is nothing here');
    if (id === undefined) return JSON.stringify(list(url.searchParams));
    if (part === 'explain') return JSON.stringify(explain(id, url.searchParams));
    const alert = one(id);
    if (part === 'activities') {
      const text = JSON.stringify(activities(alert, url.searchParams));
      return alert.rawNumber ? text.replace('"ActionType"', `"Precise":${alert.rawNumber},"ActionType"`) : text;
    }
    const links = alert.results?.map(({ item }) => item) ?? [linkItem(alert)];
    return JSON.stringify({ ...alert.item, ...alert.detail, links, alert: '' }).replace('"alert":""', () => `"alert":${alert.row}`);
  }

  const server = createServer(async (request, response) => {
    const url = new URL(request.url, 'http://localhost');
    try {
      if (!url.pathname.startsWith('/api/')) return await asset(url, response);
      const body = result(url, request.headers);
      response.writeHead(200, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
      response.end(body);
    } catch (error) {
      response.writeHead(error.status ?? 500, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify({ error: error.message }));
    }
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  const stop = () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve)));
  return { url: `http://127.0.0.1:${server.address().port}/`, world, stop };
}

if (import.meta.url === `file://${process.argv[1]}`) console.log((await startMock(8687)).url);
