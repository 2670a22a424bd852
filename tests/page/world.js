// Alerts, activities and a status in the shapes of docs/api.md, the same at every run. Names and ids are made up.

import { makeLinked } from './linked.js';

const HOUR = 3_600_000;
export const NOW = Date.parse('2026-03-01T14:25:02Z');

/** Returns the next number of a sequence, from 0 up to 1, that is the same for the same seed. */
export function sequence(seed) {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296;
    return state / 4294967296;
  };
}

export const iso = (time) => `${new Date(time).toISOString().slice(0, -1)}0000Z`;
const hex = (random, digits) => Array.from({ length: digits }, () => Math.floor(random() * 16).toString(16)).join('');
const guid = (random) => [8, 4, 4, 4, 12].map((digits) => hex(random, digits)).join('-');
const pick = (random, list) => list[Math.floor(random() * list.length)];

/** A hostile name: markup, a handler, an end of a script, a template, a text that turns direction. */
export const HOSTILE = `<img src=x onerror="document.title='owned'"></script><script>document.title='owned'</script>{{7*7}} \u202Egnp.exe`;

const NAMES = ['Passport numbers mailed to external recipients', 'Mass download by a single user', 'Anonymous link to a confidential folder', 'Forwarding rule to an unknown domain', 'Sign-in from an unfamiliar place', 'Customer list copied to a USB drive', 'Unusual volume of file deletion', 'Credit card numbers in a Teams chat'];
const PRODUCTS = [['Microsoft 365 Defender', 'OATP'], ['Microsoft Data Loss Prevention', 'MDLP'], ['Microsoft Cloud App Security', 'MCAS'], ['Azure Sentinel', 'ASI Scheduled Alerts']];
const PEOPLE = ['Hiro Halloran', 'Amara Okafor', 'Søren Lindqvist', 'Lucía Ferrer', 'Wei Zhang'];
const ACTIONS = ['FileDownloaded', 'FileAccessed', 'AnonymousLinkCreated', 'MailItemsAccessed', 'FileUploaded', 'SharingSet', 'New-InboxRule', 'FileDeleted', 'UserLoggedIn', 'FileRenamed', 'FolderCreated'];
const FILES = ['Travel bookings west 886.docx', 'Passports 2026.xlsx', 'Board minutes.pdf', 'Customers EMEA.csv', 'Salaries.xlsx'];

function activity(random, time, correlation) {
  const action = ACTIONS[Math.floor(random() ** 2.2 * ACTIONS.length)];
  const person = pick(random, PEOPLE);
  const file = pick(random, FILES);
  return {
    Timestamp: iso(time),
    ActionType: action,
    Application: pick(random, ['Microsoft SharePoint Online', 'Microsoft Exchange Online', 'Microsoft OneDrive for Business']),
    AccountDisplayName: person,
    AccountObjectId: guid(random),
    IPAddress: `203.0.113.${Math.floor(random() * 250) + 1}`,
    CountryCode: pick(random, ['DE', 'FR', 'US', 'JP']),
    IsExternalUser: random() < 0.1,
    ObjectName: file,
    RawEventData: { CreationTime: iso(time).slice(0, 19), Id: guid(random), Operation: action, Workload: 'SharePoint', UserId: `${person.split(' ')[0].toLowerCase()}@contoso.example`, Data: JSON.stringify({ cid: correlation, op: action, f: file }) },
    ReportId: hex(random, 32),
  };
}

/** An alert with `number` activities, of which the last `late` are late. */
export function makeAlert(random, { at, length = HOUR, number = 0, late = 0, status, name, severity, id, clustered = true }) {
  const correlation = guid(random);
  const window = { start: at, end: at + length };
  const middles = [0.12, 0.4, 0.47, 0.82].map((share) => share + (random() - 0.5) * 0.1);
  const share = () => (clustered && random() < 0.7 ? pick(random, middles) + (random() + random() + random() - 1.5) * 0.06 : random());
  const times = Array.from({ length: number }, () => Math.round(window.start + Math.min(0.999, Math.max(0.001, share())) * length)).sort((a, b) => a - b);
  const lateOnes = new Set();
  while (lateOnes.size < late) lateOnes.add(Math.floor(random() * number));
  const ids = () => ((id) => ({ id, activity_id: id + id }))(hex(random, 32));
  const activities = times.map((time, place) => ({ ...ids(), activity_time: iso(time), late: lateOnes.has(place), activity: activity(random, time, correlation) }));
  const [product, provider] = pick(random, PRODUCTS);
  const isOpen = status === 'open';
  const item = {
    system_alert_id: id ?? guid(random),
    tenant_id: null,
    link: 'query',
    correlation_id: correlation,
    status,
    alert_name: name ?? pick(random, NAMES),
    severity: severity === undefined ? pick(random, ['High', 'Medium', 'Medium', 'Low', 'Informational']) : severity,
    provider_name: provider,
    product_name: product,
    alert_status: isOpen ? 'New' : pick(random, ['New', 'InProgress', 'Resolved']),
    time_generated: iso(window.end + 300_000),
    window: { start: iso(window.start), end: iso(window.end) },
    activity_count: isOpen ? 0 : number,
    late_count: isOpen ? 0 : late,
    first_activity_time: isOpen ? null : activities[0]?.activity_time ?? null,
    last_activity_time: isOpen ? null : activities.at(-1)?.activity_time ?? null,
    revision: isOpen ? 0 : 1 + Math.min(late, 3),
    closed_by: isOpen ? null : 'watermark',
    closed_at: isOpen ? null : iso(window.end + 302_117),
    complete: isOpen ? null : true,
    partition: Math.floor(random() * 8),
    cursor: '',
  };
  const row = { SystemAlertId: item.system_alert_id, AlertName: item.alert_name, AlertSeverity: item.severity, AlertType: correlation, ProviderName: provider, ProductName: product, StartTime: item.window.start, EndTime: item.window.end, TimeGenerated: item.time_generated, Status: item.alert_status, Entities: JSON.stringify([{ $id: '1', Type: 'account', Name: 'hiro', UPNSuffix: 'contoso.example' }]), ConfidenceScore: null };
  const detail = { complete_because: isOpen ? null : 'passed_by_activities', watermark_at_close: isOpen ? null : iso(window.end + 1200), watermark: iso(isOpen ? window.start + length * 0.68 : NOW - 302_000), retained_from: null, versions: 1, version_hash: hex(random, 64), deadline: iso(window.end + HOUR), summary_id: hex(random, 32) };
  return { item, detail, row: JSON.stringify(row), activities, near: { before: [], after: [] } };
}

/** The alerts that the tests know by id, and many others. */
export function makeAlerts() {
  const random = sequence(7);
  const day = Date.parse('2026-03-01T00:00:00Z');
  const known = [
    makeAlert(random, { id: 'open-1', at: NOW - 2 * HOUR, number: 23, status: 'open', name: 'Mass download by a single user', severity: 'High' }),
    makeAlert(random, { id: 'hostile-1', at: day + 12.2 * HOUR, number: 3, status: 'matched', name: HOSTILE, severity: '<b>High</b>' }),
    makeAlert(random, { id: 'usual-1', at: day + 10 * HOUR, number: 64, late: 5, status: 'matched', name: 'Passport numbers mailed to external recipients', severity: 'Medium' }),
    makeAlert(random, { id: 'many-1', at: day + 6 * HOUR, length: 6 * HOUR, number: 5000, late: 140, status: 'matched', name: 'Unusual volume of file deletion', severity: 'High' }),
    makeAlert(random, { id: 'unmatched-1', at: day + 9 * HOUR, status: 'unmatched', name: 'Sign-in from an unfamiliar place', severity: 'Low' }),
    makeAlert(random, { id: 'empty/window?1', at: day + 8 * HOUR, length: 0, status: 'unmatched', name: 'Customer list copied to a USB drive', severity: null }),
  ];
  const usual = known[2];
  const end = Date.parse('2026-03-01T11:00:00Z');
  usual.near = { before: [], after: [90, 150].map((seconds) => ({ activity_time: iso(end + seconds * 1000), distance_seconds: seconds, setting: 'after', value: `${Math.floor((seconds + 1) / 60)}m ${(seconds + 1) % 60}s` })) };
  const hostile = known[1];
  Object.assign(hostile.activities[0].activity, { ActionType: '<svg onload=alert(1)>', AccountDisplayName: HOSTILE, ObjectName: '=HYPERLINK("http://evil.example","x")', ['<i>key</i>']: '<b>value</b>' });
  // A number that JavaScript cannot represent, as it is sent.
  hostile.rawNumber = '12345678901234567890.10';
  const linked = makeLinked('linked-1', 'Passport numbers shared outside by two people');
  const others = Array.from({ length: 133 }, (_, at) => {
    const status = at % 5 === 3 ? 'unmatched' : 'matched';
    const number = status === 'matched' ? 1 + Math.floor(random() ** 3 * 60) : 0;
    return makeAlert(random, { at: day + 9.7 * HOUR - at * 0.37 * HOUR, length: HOUR / 2, number, late: number > 20 ? 2 : 0, status });
  });
  const all = [...known, linked, ...others];
  all.forEach((alert, at) => (alert.item.cursor = at.toString(16).padStart(6, '0')));
  return all;
}

export function makeStatus(alerts, statusRequests = 0, links = ['query']) {
  const random = sequence(11);
  const turn = Math.sin(statusRequests / 3);
  const now = NOW + statusRequests * 2000;
  const sources = ['cloudappevents', 'securityalert'].flatMap((topic) => Array.from({ length: 4 }, (_, partition) => {
    const isEvents = topic === 'cloudappevents';
    const end = Math.floor(random() * 5e7);
    const lag = isEvents ? Math.floor(random() * 900) : 0;
    return { topic, partition, position: end - lag, end, lag, watermark: isEvents ? iso(now - 302_000 - (partition === 2 ? 90_000 : random() * 4000)) : null, idle: partition === 3, holds_back: isEvents && partition === 2, since: iso(now - 21_000), heard_at: iso(now - 600), rejected: partition === 0 && isEvents ? 17 : 0 };
  }));
  const instances = [hex(random, 32), hex(random, 32)];
  const partitions = Array.from({ length: 8 }, (_, partition) => ({ partition, instance: instances[partition % 2], watermark: iso(now - 392_000), position: 912331, end: 912340, lag: 9, alerts: 600 + partition * 7, open_alerts: partition % 3, retained_from: partition === 5 ? '2026-01-30T14:18:30.0000000Z' : null, state_bytes: 1_000_000_000 + partition * 3_100_000 }));
  return {
    version: '0.1.0', application_id: 'alerttrail', now: iso(now), started_at: '2026-03-01T08:00:00.0000000Z', watermark: iso(now - 392_000), watermark_lag_seconds: 392 + turn * 8,
    throughput: { seconds: 10, messages: 41230.5 + turn * 3000, bytes: 142.2e6 + turn * 1e7, activities: 41000, alerts: 0.2, rows: 12, summaries: 0.3, dead_letters: 0 },
    totals: { messages: 180233411, bytes: 621e9, activities: 180100000, alerts: 5012, rows: 100713, summaries: 5400, dead_letters: 21 },
    open_alerts: 12, alerts: 5012, state_bytes: 8123456789,
    dead_letters: [{ reason: 'invalid_time', count: 17 }, { reason: 'invalid_json', count: 4 }],
    skipped: [{ table: 'AlertInfo', count: 90211 }, { table: '<b>Table</b>', count: 310 }],
    sources, partitions,
    instances: instances.map((instance, at) => ({ instance, address: `127.0.0.1:${8686 + at}`, is_this: at === 0, answers: true, partitions: partitions.filter((p) => p.partition % 2 === at).map((p) => p.partition), error: null })),
    settings: { links, bounds: 'exclusive', before: '0s', after: '0s', ignore_case: false, out_of_orderness: '5m', idle_timeout: '1m', max_wait: '1h', retention: '30d', delivery: 'at_least_once', unmatched: 'omit', input_topics: ['cloudappevents', 'securityalert'], output_topic: 'alert-activities', summary_topic: null, dead_letter_topic: 'alerttrail-dead-letters', repartition_partitions: 8 },
    unanswered_partitions: [],
  };
}
