// Exports: JSON, CSV, and the equivalent query for Sentinel.

import { isExact } from './api.js';

/** Returns indented JSON. */
export const pretty = (value) => JSON.stringify(value, null, 2);

/** Lets the browser save a file. */
export function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Returns a file name for an id, which may contain any character. */
export const fileName = (id, ending) => `alert-${id.replace(/[^\w.-]+/g, '_').slice(0, 80)}.${ending}`;

/** Returns a CSV cell. A text that a spreadsheet would treat as a formula gets an apostrophe in front. */
export function cell(value) {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  const isText = typeof value === 'string';
  let text = isText ? value : JSON.stringify(value);
  if (isText && /^[\s]*[=+\-@\t\r|]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const lines = (rows) => rows.map((row) => `${row.map(cell).join(',')}\r\n`).join('');

const ALERT_COLUMNS = ['system_alert_id', 'tenant_id', 'link', 'correlation_id', 'status', 'alert_name', 'severity', 'provider_name', 'product_name', 'alert_status', 'time_generated', 'activity_count', 'late_count', 'first_activity_time', 'last_activity_time', 'revision', 'closed_by', 'closed_at', 'complete', 'partition'];

/** Returns the alerts of the list as CSV (RFC 4180). */
export function alertRowsCsv(alerts) {
  const body = alerts.map((alert) => [...ALERT_COLUMNS.map((name) => alert[name]), alert.window.start, alert.window.end]);
  return lines([[...ALERT_COLUMNS, 'window_start', 'window_end'], ...body]);
}

const PAIR_COLUMNS = ['id', 'activity_time', 'late', 'link', 'correlation_id', 'activity_id'];

/** Returns activities as CSV: ids, time, lateness, link and key, then every column of their rows; nested values are JSON. */
export function activitiesCsv(activities) {
  const columns = [...new Set(activities.flatMap(({ activity }) => (isRow(activity) ? Object.keys(activity) : [])))];
  const body = activities.map((item) => [...PAIR_COLUMNS.map((name) => item[name]), ...columns.map((name) => (isRow(item.activity) && Object.hasOwn(item.activity, name) ? item.activity[name] : null))]);
  return lines([[...PAIR_COLUMNS, ...columns], ...body]);
}

const isRow = (value) => typeof value === 'object' && value !== null && !Array.isArray(value) && !isExact(value);

/** Returns a KQL string literal; no character of the text can end it. */
export function kqlText(text) {
  const escaped = text.replace(/[\\"'\u0000-\u001f\u007f\u2028\u2029]/g, (c) => (c === '\\' || c === '"' || c === "'" ? `\\${c}` : `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`));
  return `"${escaped}"`;
}

/** Returns the query that finds the same rows in Sentinel; `settings` are those of the status, `null` if not known. */
export function kql(alert, settings) {
  const isInclusive = settings?.bounds === 'inclusive';
  const fold = (column) => (settings?.ignore_case ? `tolower(${column})` : column);
  const datetime = (text) => `datetime(${text.replace(/[^\dTZ:.+-]/g, '')})`;
  return [
    `let AlertId = ${kqlText(alert.system_alert_id)};`,
    `let Start = ${datetime(alert.window.start)};  // the window, with the configured margins`,
    `let End = ${datetime(alert.window.end)};`,
    'let Alert = SecurityAlert',
    `    | where TimeGenerated >= ${datetime(alert.time_generated)} - 1d`,
    '    | where SystemAlertId == AlertId',
    '    | summarize arg_max(TimeGenerated, *) by SystemAlertId',
    `    | extend AlertKey = ${fold('AlertType')};`,
    'CloudAppEvents',
    '| where TimeGenerated >= Start - 1d',
    '| extend correlationId = tostring(parse_json(tostring(RawEventData.Data)).cid)',
    `| where ${fold('correlationId')} == ${fold(kqlText(alert.correlation_id))}`,
    `| extend ActivityKey = ${fold('correlationId')}, CreationTime = todatetime(RawEventData.CreationTime)`,
    `| where CreationTime ${isInclusive ? '>=' : '>'} Start and CreationTime ${isInclusive ? '<=' : '<'} End`,
    '| join kind=inner Alert on $left.ActivityKey == $right.AlertKey',
    '| order by CreationTime asc',
  ].join('\n');
}
