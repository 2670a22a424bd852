// Formats times, numbers and sizes.

import { h } from './dom.js';

const GROUPED = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
const LOCAL = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' });

/** 1,234,567 */
export const count = (number) => (number === null || number === undefined ? 'not known' : GROUPED.format(number));

/** Returns a number with its noun: 1 activity, 2 activities. */
export const counted = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;

/** Formats a rate: three significant digits below a hundred. */
export const rate = (number) => (Math.abs(number) >= 100 ? GROUPED.format(number) : SHORT.format(number));

/** 8.12 GB */
export function bytes(number) {
  if (number === null || number === undefined) return 'not known';
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  const step = number < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(number) / 3));
  return `${SHORT.format(number / 1000 ** step)} ${units[step]}`;
}

/** Formats a duration: 1h 30m; two units at most, and milliseconds below ten seconds. */
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

/** Returns a time of the API as milliseconds since 1970; finer digits are cut off. */
export const millis = (text) => Date.parse(text);

/** Formats a time in UTC, without trailing zeros: 2026-03-01 10:12:00.5 */
export function utc(text) {
  const match = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d+))?Z$/.exec(text);
  if (!match) return text;
  const fraction = (match[3] ?? '').replace(/0+$/, '');
  return `${match[1]} ${match[2]}${fraction ? `.${fraction}` : ''}`;
}

/** Formats a time in milliseconds for an axis with ticks `step` milliseconds apart: 10:12:00; `day` adds the day. */
export function tick(time, step, day) {
  const iso = new Date(time).toISOString();
  const end = step < 1000 ? 23 : step < 60_000 ? 19 : 16;
  if (step >= 86_400_000) return iso.slice(5, 10);
  return (day ? `${iso.slice(5, 10)} ` : '') + iso.slice(11, end);
}

/**
 * Returns a time as an element: UTC, with the local time and all digits as its title. `short` omits the day, `coarse`
 * fractions of a second.
 */
export function time(text, { short = false, coarse = false, none = 'none' } = {}) {
  if (!text) return h('span', { class: 'muted' }, none);
  const full = utc(text);
  const date = new Date(text);
  const title = Number.isNaN(date.getTime()) ? full : `${full} UTC\n${LOCAL.format(date)}`;
  return h('time', { datetime: text, title }, full.slice(short ? 11 : 0, coarse ? 19 : undefined));
}

/** Returns a sentence of the API with its times as elements. */
export function sentence(text) {
  const parts = text.split(/(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z)/);
  return parts.map((part, at) => (at % 2 === 1 ? time(part) : part));
}

/** Returns a window as an element, with the day only once if both ends share it. */
export function period(window) {
  const sameDay = window.start.slice(0, 10) === window.end.slice(0, 10);
  return h('span', { class: 'period' }, time(window.start, { coarse: true }), ' – ', time(window.end, { short: sameDay, coarse: true }));
}

/** Formats the distance between two times: 5m behind, 2s ahead of. */
export const behind = (seconds) => `${span(seconds * 1000)} ${seconds < 0 ? 'ahead of' : 'behind'}`;

/** Returns product and provider of an alert, once if they are the same. */
export const origin = (alert) => [...new Set([alert.product_name, alert.provider_name].filter(Boolean))].join(' · ');

/** Returns how long ago a time was. */
export const ago = (text, now) => `${span(now - millis(text))} ago`;

const SEVERITIES = ['high', 'medium', 'low', 'informational'];

/** Returns the status of an alert as an element with a symbol and a word, so that it does not depend on colour. */
export const statusMark = (status) => h('span', { class: `status is-${status}` }, status);

/** Returns a severity as an element; unknown ones are shown unchanged. */
export function severityMark(severity) {
  if (!severity) return h('span', { class: 'muted' }, 'none');
  const known = SEVERITIES.indexOf(severity.toLowerCase());
  return h('span', { class: `severity is-${known < 0 ? 'other' : SEVERITIES[known]}` }, severity);
}
