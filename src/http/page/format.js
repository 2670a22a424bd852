// Times, numbers and sizes as they are written on the page.

import { h } from './dom.js';

const GROUPED = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
const LOCAL = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' });

/** 1,234,567 */
export const count = (number) => (number === null || number === undefined ? 'not known' : GROUPED.format(number));

/** One, or several, with the noun: 1 activity, 2 activities. */
export const counted = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;

/** A rate: three digits below a thousand. */
export const rate = (number) => (Math.abs(number) >= 100 ? GROUPED.format(number) : SHORT.format(number));

/** 8.12 GB */
export function bytes(number) {
  if (number === null || number === undefined) return 'not known';
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  const step = number < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(number) / 3));
  return `${SHORT.format(number / 1000 ** step)} ${units[step]}`;
}

/** 1h 30m; at most two units, and milliseconds below ten seconds. */
export function span(milliseconds) {
  const rest = Math.abs(milliseconds);
  if (rest < 1000) return `${SHORT.format(rest)} ms`;
  if (rest < 10_000) return `${SHORT.format(rest / 1000)} s`;
  const seconds = Math.round(rest / 1000);
  const parts = [
    [Math.floor(seconds / 86400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([number]) => number > 0);
  const shown = parts.slice(first, first + 2).filter(([number]) => number > 0);
  return shown.map(([number, unit]) => `${number}${unit}`).join(' ');
}

/** Milliseconds since 1970 of a time of the API; finer digits are cut. */
export const millis = (text) => Date.parse(text);

/** 2026-03-01 10:12:00.5: UTC, with the digits that are not zero. */
export function utc(text) {
  const match = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d+))?Z$/.exec(text);
  if (!match) return text;
  const fraction = (match[3] ?? '').replace(/0+$/, '');
  return `${match[1]} ${match[2]}${fraction ? `.${fraction}` : ''}`;
}

/** 10:12:00 of a time in milliseconds, as fine as `step` milliseconds between two marks need; with the day where that is told by `day`. */
export function tick(time, step, day) {
  const iso = new Date(time).toISOString();
  const end = step < 1000 ? 23 : step < 60_000 ? 19 : 16;
  if (step >= 86_400_000) return iso.slice(5, 10);
  return (day ? `${iso.slice(5, 10)} ` : '') + iso.slice(11, end);
}

/** A time as an element: UTC, with the local time and all digits as its title. `short` leaves the day out, `coarse` what is below a second. */
export function time(text, { short = false, coarse = false, none = 'none' } = {}) {
  if (!text) return h('span', { class: 'muted' }, none);
  const full = utc(text);
  const date = new Date(text);
  const title = Number.isNaN(date.getTime()) ? full : `${full} UTC\n${LOCAL.format(date)}`;
  return h('time', { datetime: text, title }, full.slice(short ? 11 : 0, coarse ? 19 : undefined));
}

/** A sentence of the API: the times in it as elements. */
export function sentence(text) {
  const parts = text.split(/(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/);
  return parts.map((part, at) => (at % 2 === 1 ? time(part) : part));
}

/** A window as an element: the day once where both ends share it. */
export function period(window) {
  const sameDay = window.start.slice(0, 10) === window.end.slice(0, 10);
  return h('span', { class: 'period' }, time(window.start, { coarse: true }), ' – ', time(window.end, { short: sameDay, coarse: true }));
}

/** How far a time lies behind another, or before it: 5m behind, 2s ahead of. */
export const behind = (seconds) => `${span(seconds * 1000)} ${seconds < 0 ? 'ahead of' : 'behind'}`;

/** Product and provider of an alert, once where they are the same. */
export const origin = (alert) => [...new Set([alert.product_name, alert.provider_name].filter(Boolean))].join(' · ');

/** How long ago, in words. */
export const ago = (text, now) => `${span(now - millis(text))} ago`;

const SEVERITIES = ['high', 'medium', 'low', 'informational'];

/** Where an alert stands: told by shape and word, not by colour alone. */
export const statusMark = (status) => h('span', { class: `status is-${status}` }, status);

/** A severity; ones that are not known are shown as they are. */
export function severityMark(severity) {
  if (!severity) return h('span', { class: 'muted' }, 'none');
  const known = SEVERITIES.indexOf(severity.toLowerCase());
  return h('span', { class: `severity is-${known < 0 ? 'other' : SEVERITIES[known]}` }, severity);
}
