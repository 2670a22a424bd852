// What the page computes, without a browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { activitiesCsv, alertRowsCsv, cell, fileName, kql, kqlText } from '../../crates/node/src/http/page/export.js';
import { behind, bytes, origin, span, utc } from '../../crates/node/src/http/page/format.js';
import { merge } from '../../crates/node/src/http/page/list.js';
import { fields } from '../../crates/node/src/http/page/record.js';
import { binned, lanes, moved, stepFor, ticks, wholeRange, zoomed } from '../../crates/node/src/http/page/scale.js';
import { plain } from '../../crates/node/src/http/page/dom.js';
import { HOSTILE, makeAlerts } from './world.js';

test('every item of a range is in one bin', () => {
  const items = Array.from({ length: 5000 }, (_, at) => ({ time: at, late: at % 10 === 0 }));
  const bins = binned(items, { from: 0, to: 4999 }, 37);
  assert.equal(bins.reduce((sum, bin) => sum + bin.onTime, 0), 4500);
  assert.equal(bins.reduce((sum, bin) => sum + bin.late, 0), 500);
  assert.equal(binned(items, { from: 100, to: 199 }, 4).reduce((sum, bin) => sum + bin.onTime + bin.late, 0), 100);
});

test('lanes lose nothing and are at most as many as requested', () => {
  const items = Array.from({ length: 100 }, (_, at) => ({ action: `a${at % 12}` }));
  const found = lanes(items, 8);
  assert.equal(found.length, 8);
  assert.equal(found.at(-1).name, '5 others');
  assert.equal(found.reduce((sum, lane) => sum + lane.members.length, 0), 100);
});

test('zooming and moving stay within the whole', () => {
  const whole = { from: 0, to: 1000 };
  assert.deepEqual(zoomed(whole, whole, 0.5), { from: 250, to: 750 });
  assert.deepEqual(zoomed({ from: 250, to: 750 }, whole, 9), whole);
  assert.deepEqual(moved({ from: 250, to: 750 }, whole, 3), { from: 500, to: 1000 });
  assert.deepEqual(zoomed({ from: 0, to: 30 }, whole, 0.001), { from: 5, to: 25 });
});

test('a window without length is drawn with room around it', () => {
  const { from, to } = wholeRange({ start: 5e9, end: 5e9 }, []);
  assert.ok(from < 5e9 && to > 5e9);
});

test('an axis has marks that do not overlap, from a second to years', () => {
  for (const length of [50, 1000, 60_000, 3_600_000, 86_400_000, 30 * 86_400_000, 4000 * 86_400_000]) {
    const step = stepFor(0, length, 1000, 96);
    const found = ticks(0, length, step);
    assert.ok(found.length <= 12, `${found.length} marks over ${length}`);
  }
});

test('cells of CSV are neither formulas nor line breaks', () => {
  assert.equal(cell('=1+1'), "'=1+1");
  assert.equal(cell('  @SUM(A1)'), "'  @SUM(A1)");
  assert.equal(cell('a"b,c\n'), '"a""b,c\n"');
  assert.equal(cell(-5), '-5');
  assert.equal(cell(null), '');
  assert.equal(cell({ a: 1 }), '"{""a"":1}"');
});

test('CSV has a column for every field and survives rows that are no objects', () => {
  const text = activitiesCsv([{ id: 'x', activity_id: '0a', activity_time: 't', late: true, link: 'query', correlation_id: 'p', activity: { A: 1 } }, { id: 'y', activity_time: 't', late: false, activity: { B: 'b', __proto__: null } }, { id: 'z', activity_time: 't', late: false, activity: null }]);
  assert.equal(text, 'id,activity_time,late,link,correlation_id,activity_id,A,B\r\nx,t,true,query,p,0a,1,\r\ny,t,false,,,,,b\r\nz,t,false,,,,,\r\n');
  assert.equal(alertRowsCsv(makeAlerts().map(({ item }) => item)).split('\r\n')[0].split(',').length, 22);
});

test('a file name has no path', () => {
  assert.equal(fileName('../../etc/passwd', 'json'), 'alert-.._.._etc_passwd.json');
});

test('nothing ends a string of KQL', () => {
  assert.equal(kqlText('a"b\\c\nd'), '"a\\"b\\\\c\\u000ad"');
  const { item } = makeAlerts()[2];
  const query = kql({ ...item, system_alert_id: 'x" | take 1 //' }, null);
  assert.match(query, /let AlertId = "x\\" \| take 1 \/\/";/);
  assert.match(query, /CreationTime > Start and CreationTime < End/);
  const other = kql(item, { bounds: 'inclusive', ignore_case: true });
  assert.match(other, /CreationTime >= Start and CreationTime <= End/);
  assert.match(other, /tolower\(correlationId\) == tolower\("/);
});

test('times keep their digits and lose zeros', () => {
  assert.equal(utc('2026-03-01T10:12:00.1234567Z'), '2026-03-01 10:12:00.1234567');
  assert.equal(utc('2026-03-01T10:12:00.0000000Z'), '2026-03-01 10:12:00');
  assert.equal(utc('<b>'), '<b>');
});

test('spans and sizes are short', () => {
  assert.deepEqual([0, 600, 1500, 61_000, 5_400_000, 90_000_000].map(span), ['0 ms', '600 ms', '1.5 s', '1m 1s', '1h 30m', '1d 1h']);
  assert.deepEqual([0, 999, 8123456789].map(bytes), ['0 B', '999 B', '8.12 GB']);
});

test('a watermark ahead of the clock is not called behind', () => {
  assert.equal(behind(302), '5m 2s behind');
  assert.equal(behind(-552.7), '9m 13s ahead of');
});

test('an origin is named once', () => {
  assert.equal(origin({ product_name: 'P', provider_name: 'P' }), 'P');
  assert.equal(origin({ product_name: null, provider_name: 'Q' }), 'Q');
});

test('characters that deceive are spelled out', () => {
  assert.equal(plain('a\u202Eb\u0000c\u{e0041}'), 'a\\u{202e}b\\u{0}c\\u{e0041}');
  assert.equal(plain('Søren 李\n'), 'Søren 李\n');
  assert.ok(!plain(HOSTILE).includes('\u202E'));
});

test('fields of nested strings are opened, and depth and number have an end', () => {
  const record = { RawEventData: JSON.stringify({ Data: JSON.stringify({ cid: 'p-7' }), list: [1, { a: 2 }] }), empty: {}, broken: '{"a":' };
  assert.deepEqual(fields(record), [['RawEventData.Data.cid', 'p-7'], ['RawEventData.list[0]', 1], ['RawEventData.list[1].a', 2], ['empty', {}], ['broken', '{"a":']]);
  let deep = 1;
  for (let at = 0; at < 100; at += 1) deep = { deep };
  assert.equal(fields(deep).length, 1);
  assert.equal(fields(Object.fromEntries(Array.from({ length: 5000 }, (_, at) => [`k${at}`, at]))).length, 400);
});

test('a new first page keeps the pages behind it', () => {
  const row = (id, revision = 1) => ({ system_alert_id: id, tenant_id: null, revision });
  const had = ['e', 'd', 'c', 'b', 'a'].map((id) => row(id));
  const next = merge(had, 'cursor', { alerts: [row('f'), row('e', 2), row('d')], next_cursor: 'd' });
  assert.deepEqual(next.rows.map((r) => r.system_alert_id + r.revision), ['f1', 'e2', 'd1', 'c1', 'b1', 'a1']);
  assert.equal(next.next, 'cursor');
  const far = merge(had, 'cursor', { alerts: [row('z'), row('y')], next_cursor: 'y' });
  assert.deepEqual(far, { rows: [row('z'), row('y')], next: 'y' });
  const all = merge(had, 'cursor', { alerts: [row('e')], next_cursor: null });
  assert.equal(all.rows.length, 1);
});
