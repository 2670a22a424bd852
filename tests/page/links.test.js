// An alert with results by several links: what the page computes, and what it shows in a real browser.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { namesOf } from '../../crates/node/src/http/page/entities.js';
import { resultsOf, groupsOf, statusOf } from '../../crates/node/src/http/page/results.js';
import { keyLanes } from '../../crates/node/src/http/page/scale.js';
import { open, startBrowser } from './browser.js';
import { startMock } from './mock.js';
import { HOSTILE, makeAlert, sequence } from './world.js';

const AMARA = '6f1c2b1e-0d1d-4a53-9b51-7f5a3f1f8a01';
let browser;
let mock;
let opened = [];

before(async () => (browser = await startBrowser()));
after(() => browser?.close());
beforeEach(async () => (mock = await startMock()));
afterEach(async () => {
  await Promise.all(opened.map(({ close }) => close()));
  const found = opened.flatMap(({ errors, foreignRequests }) => [...errors, ...foreignRequests]);
  opened = [];
  await mock.stop();
  assert.deepEqual(found, [], 'errors in the page, or requests to other servers');
});

async function visit(address, options) {
  const visited = await open(browser, mock.url + address, options);
  opened.push(visited);
  return visited.page;
}

const linked = () => mock.world.alerts.find(({ item }) => item.system_alert_id === 'linked-1');

test('a key is named by the entity whose id it is', () => {
  const name = (...entities) => namesOf({ Entities: JSON.stringify(entities) });
  const account = { $id: '1', Type: 'account', Name: 'amara', UPNSuffix: 'contoso.example', AadUserId: 'A-1', AadTenantId: 't' };
  assert.equal(name(account)('a-1'), 'amara@contoso.example');
  assert.equal(name(account)('["amara","contoso.example"]'), 'amara@contoso.example');
  assert.equal(name(account)('["p-7","a-1"]'), 'p-7 · amara@contoso.example');
  assert.equal(name(account)('t'), null, 'a tenant is not an account');
  assert.equal(name({ Type: 'mailbox', MailboxPrimaryAddress: 'board@contoso.example', AadUserId: 'm' })('m'), 'board@contoso.example');
  assert.equal(name({ Type: 'ip', Address: '203.0.113.9' })('203.0.113.9'), null, 'an address needs no name');
  const file = name({ $id: '2', Type: 'filehash', Value: 'ff' }, { Type: 'file', Name: 'a.txt', Directory: 'https://x/y/', FileHashes: [{ $ref: '2' }, { Value: 'ee' }] });
  assert.deepEqual(['https://x/y/a.txt', 'ff', 'ee', 'gg'].map(file), ['a.txt', 'a.txt', 'a.txt', null]);
  assert.equal(name(account, { ...account, Name: 'other' })('a-1'), null, 'of two names neither is used');
  for (const Entities of [undefined, null, '', '{', 'null', '[1,null,{"Type":7}]', '[{"$ref":"1"}]']) assert.equal(namesOf({ Entities })('a'), null, String(Entities));
  assert.equal(namesOf(null)('a'), null);
  assert.equal(name({ Type: 'account', Name: '__proto__', AadUserId: 'constructor' })('toString'), null);
});

test('the query alone has no links, and several results are open while one is', () => {
  const item = (link, correlation_id, status) => ({ link, correlation_id, status, window: { start: '', end: '' } });
  const alone = resultsOf({ correlation_id: 'p', status: 'open', links: [item('query', 'p', 'open')], alert: {} });
  assert.deepEqual([alone.length, alone[0].link, groupsOf(alone), statusOf(alone)], [1, null, [], 'open']);
  const links = [item('query', 'p', 'unmatched'), item('users', 'a', 'matched'), item('users', 'b', 'open')];
  const several = resultsOf({ correlation_id: 'p', status: 'unmatched', links, alert: {} });
  assert.deepEqual(groupsOf(several).map(({ link, results }) => [link, results.length]), [['query', 1], ['users', 2]]);
  assert.equal(statusOf(several), 'open');
});

test('a link has a lane for each key, and those beyond the maximum share one', () => {
  const results = Array.from({ length: 12 }, (_, at) => ({ id: `k${at}`, label: `k${at}`, window: {} }));
  const items = Array.from({ length: 100 }, (_, at) => ({ result: `k${at % 12}` })).concat([{ result: 'other link' }]);
  const lanes = keyLanes({ colour: 1, results }, items, 8);
  assert.deepEqual([lanes.length, lanes.at(-1).name], [8, '5 other keys']);
  assert.equal(lanes.reduce((sum, { members }) => sum + members.length, 0), 100);
});

test('lanes, legend and table are by link and key, with the names of entities', async () => {
  const page = await visit('#/alerts/linked-1');
  await page.waitForSelector('circle.mark');
  assert.deepEqual(await page.locator('.plot .link-title').allTextContents(), ['query', 'users', 'objects']);
  const names = (await page.locator('.plot .lane-name').allTextContents()).filter((name) => !name.startsWith('All'));
  assert.equal(names.length, 7);
  for (const name of ['amara@contoso.example', 'wei@contoso.example', 'soren@contoso.example', 'Passports 2026.xlsx', 'board@contoso.example', '203.0.113.77']) assert.ok(names.some((lane) => lane.startsWith(name)), `${name} of ${names}`);
  assert.deepEqual(await page.locator('.legend .link-name').allTextContents(), ['query', 'users', 'objects']);
  assert.equal(await page.locator('.plot rect.window').count(), 7, 'each lane has the window of its link');
  assert.match(await page.locator('svg.plot').getAttribute('aria-label'), /users: amara@contoso\.example 31, wei@contoso\.example 14, soren@contoso\.example 0\. objects:/);
  // 67 rows; the six activities by the account and by the file are counted once.
  assert.match(await page.locator('.timeline-tools .note').textContent(), /^61 activities/);
  assert.match(await page.locator('.figures').textContent(), /61in 67 rows/);
  const results = await page.locator('.results tbody tr').allTextContents();
  assert.equal(results.length, 7);
  assert.ok(results[2].startsWith(`usersamara@contoso.example${AMARA}`) || results[1].startsWith(`usersamara@contoso.example${AMARA}`), results[1]);
});

test('the list of activities is grouped by link and shows the key', async () => {
  const page = await visit('#/alerts/linked-1');
  await page.waitForSelector('.group-row');
  assert.deepEqual(await page.locator('.group-row th').allTextContents(), ['query 3 activities', 'users 45 activities', 'objects 19 activities']);
  assert.deepEqual((await page.locator('.activities thead th').allTextContents()).slice(0, 3), ['Time (UTC)', 'Key', 'Action']);
  assert.match(await page.locator('.activities tbody').nth(1).locator('td.key').first().textContent(), /@contoso\.example/);
  assert.match(await page.locator('.summary').textContent(), /^67 rows, 61 different activities$/);
  await page.fill('input[placeholder="Any text in the record"]', 'nothing is like this');
  await page.waitForSelector('text=0 of 67 rows');
  await page.fill('input[placeholder="Any text in the record"]', '');
  await page.waitForSelector('.group-row');
  const first = page.locator('.activities tbody').nth(2).locator('tr', { hasText: 'Passports 2026.xlsx' }).first();
  await first.locator('.fold').click();
  assert.match(await page.locator('tr.detail').textContent(), /also belongs to the alert by users amara@contoso\.example\./);
});

test('a mark of a link opens its own row', async () => {
  const page = await visit('#/alerts/linked-1');
  // Marks of one lane may overlap: the click hits the uppermost.
  await page.locator('circle.mark.link-2').last().click();
  await page.locator('tr.detail').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.closest('tbody').querySelector('.link-name').textContent), 'objects');
});

test('a result of thousands does not keep the others from being loaded', async () => {
  const { item, activities } = linked().results[1];
  activities.push(...makeAlert(sequence(5), { at: Date.parse(item.window.start), length: 3 * 3_600_000, number: 2969, status: 'matched' }).activities);
  item.activity_count = activities.length;
  const page = await visit('#/alerts/linked-1');
  await page.waitForSelector('text=The first 1,536 of 3,036 rows are shown.');
  assert.deepEqual(await page.locator('.group-row th').allTextContents(), ['query 3 activities', 'users 1,514 activities', 'objects 19 activities']);
  assert.equal(await page.locator('.activities tbody').nth(1).locator('[data-stop]').count(), 100);
  await page.locator('.activities tbody').nth(1).locator('text=Show 100 more').click();
  assert.equal(await page.locator('.activities tbody').nth(1).locator('[data-stop]').count(), 200);
  await page.click('text=Load more');
  await page.waitForSelector('.group-row >> text=3,014 activities');
  assert.equal(await page.locator('text=Load more').count(), 0);
});

test('an open alert is open while one of its results is', async () => {
  const { item } = linked().results[2];
  const had = { ...item };
  Object.assign(item, { status: 'open', activity_count: 0, late_count: 0, revision: 0, closed_by: null, closed_at: null, complete: null });
  const page = await visit('#/alerts/linked-1');
  await page.waitForSelector('.marks .status.is-open');
  await page.waitForSelector('text=6 of 7 results');
  assert.match(await page.locator('.figures').textContent(), /in 67 rows so far/);
  Object.assign(item, had);
  await page.waitForSelector('.marks .status.is-matched', { timeout: 10_000 });
  await page.waitForSelector('text=7 of 7 results');
});

test('the explanation is requested by link and key', async () => {
  const page = await visit('#/alerts/linked-1');
  await page.waitForSelector('circle.mark');
  assert.match(await page.locator('.verdict').textContent(), /with 3 activities/);
  await page.selectOption('.by select', { label: 'users: wei@contoso.example' });
  await page.waitForSelector('.verdict >> text=with 14 activities');
  const explanations = mock.world.requests.filter((path) => path.includes('/explain'));
  assert.ok(explanations.at(-1).includes('link=users') && explanations.at(-1).includes('correlation_id=b7a90c44'), explanations.at(-1));
});

test('a result that changes is requested again, and the others are not', async () => {
  const page = await visit('#/alerts/linked-1');
  await page.waitForSelector('circle.mark');
  const { item, activities } = linked().results[1];
  const had = mock.world.requests.length;
  activities.pop();
  Object.assign(item, { activity_count: activities.length, revision: item.revision + 1 });
  await page.waitForSelector('.group-row >> text=44 activities', { timeout: 20_000 });
  const requests = mock.world.requests.slice(had).filter((path) => path.includes('/activities'));
  assert.ok(requests.length > 0 && requests.every((path) => path.includes(`correlation_id=${AMARA}`)), requests.join(' '));
});

test('the list shows the status of alerts by a link', async () => {
  const page = await visit('');
  await page.locator('table.alerts tbody tr').nth(49).waitFor();
  await page.selectOption('label:has-text("Link") select', 'users');
  await page.waitForSelector('text=1 alert, latest first');
  assert.match(page.url(), /link=users/);
  assert.match(await page.locator('table.alerts tbody tr').textContent(), /452 late/);
  await page.reload();
  await page.waitForSelector('text=1 alert, latest first');
  await page.waitForSelector('label:has-text("Link"):visible');
  assert.equal(await page.locator('label:has-text("Link") select').inputValue(), 'users');
  await page.selectOption('label:has-text("Link") select', 'query');
  await page.locator('table.alerts tbody tr').nth(49).waitFor();
  assert.ok(!page.url().includes('link='));
  mock.world.links = ['query'];
  await page.reload();
  await page.locator('table.alerts tbody tr').nth(49).waitFor();
  await page.waitForTimeout(300);
  assert.equal(await page.locator('label:has-text("Link"):visible').count(), 0);
});

test('with the query alone no links are shown', async () => {
  const page = await visit('#/alerts/usual-1');
  await page.waitForSelector('circle.mark');
  for (const part of ['.link-name:visible', '.group-row', '.results:visible', '.by:visible', '.plot .link-title', '.activities thead th:nth-child(2):visible']) assert.equal(await page.locator(part).count(), 0, part);
  assert.ok(mock.world.requests.every((path) => !path.includes('link=')), mock.world.requests.join(' '));
});

test('names of links, keys and entities stay text', async () => {
  const alert = linked();
  alert.results[3].item.correlation_id = HOSTILE;
  alert.results[1].item.correlation_id = 'x-1';
  alert.row = JSON.stringify({ ...JSON.parse(alert.row), Entities: [{ Type: 'account', Name: HOSTILE, AadUserId: 'x-1' }] });
  const page = await visit('#/alerts/linked-1');
  await page.waitForSelector('circle.mark');
  const shown = HOSTILE.replace('\u202E', '\\u{202e}');
  assert.ok((await page.locator('.results').textContent()).includes(shown));
  assert.ok((await page.locator('.by select').textContent()).includes(shown));
  for (const tag of ['main script', 'main img']) assert.equal(await page.locator(tag).count(), 0, tag);
  assert.ok(!(await page.title()).startsWith('owned'));
});
