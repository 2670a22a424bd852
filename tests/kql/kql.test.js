// Every query that the documents print and that the page offers is accepted by Microsoft's own editors.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kql } from '../../crates/node/src/http/page/export.js';
import { makeAlerts } from '../page/world.js';
import { blocks, documents, madeTables, savedFunctions, spans, transformations } from './documents.js';
import { checker } from './service.js';
import { CloudAppEvents, Rows, SecurityAlert } from './tables.js';

const pages = documents();
const tables = { CloudAppEvents, SecurityAlert, Rows, ...Object.assign({}, ...pages.map(madeTables)) };
const functions = pages.flatMap(savedFunctions).join('');
const check = checker(tables);

// The query in Microsoft's documentation compares a dynamic value with times. It is printed as it is there, and README shows
// what the editors accept instead.
const documented = (query) => query.includes('| where RawEventData.CreationTime > StartTime and RawEventData.CreationTime < EndTime');
const accepted = (query) => query.replaceAll('RawEventData.CreationTime', 'todatetime(RawEventData.CreationTime)');

function assertAccepted(query, where) {
  assert.deepEqual(check(query), [], `${where}:\n${query}`);
}

test('the service refuses what is wrong', () => {
  const codes = (query) => check(query).map(({ code }) => code);
  assert.deepEqual(codes('CloudAppEvents | where NoSuchColumn == 1'), ['KS142']);
  assert.deepEqual(codes('CloudAppEvents | where TimeGenerated > RawEventData.CreationTime'), ['KS106']);
  assert.deepEqual(codes('NoSuchTable | count'), ['KS204']);
  assert.deepEqual(codes('CloudAppEvents | count'), []);
});

test('the blocks of the documents are accepted, except for the query that is replaced', () => {
  let checked = 0;
  const refused = [];
  for (const page of pages) {
    for (const query of blocks(page)) {
      checked += 1;
      if (documented(query)) {
        assert.deepEqual(check(query).map(({ code }) => code), ['KS106', 'KS106'], page.name);
        assertAccepted(accepted(query), page.name);
        refused.push(page.name);
      } else if (savedFunctions({ text: `\`\`\`kusto\n${query}\`\`\`\n` }).length === 0) {
        assertAccepted(functions + query, page.name);
      }
    }
  }
  assert.ok(checked >= 7, `${checked} blocks`);
  assert.deepEqual(refused, ['README.md']);
  const readme = pages.find(({ name }) => name === 'README.md').text;
  assert.ok(readme.includes('`todatetime(RawEventData.CreationTime)`'), 'README shows what to write instead');
});

test('the functions that are saved in a workspace are accepted', () => {
  assert.match(functions, /let AlertActivities = .*let AlertSummaries = /s);
  assertAccepted(`${functions}AlertActivities(7d) | union AlertSummaries() | count`, 'functions');
});

test('the queries within sentences are accepted', () => {
  const found = pages.flatMap((page) => spans(page, Object.keys(tables)).map((query) => ({ name: page.name, query })));
  assert.ok(found.length >= 4, `${found.length} queries`);
  for (const { name, query } of found) assertAccepted(functions + query, name);
});

test('a rule turns its stream into the columns of its table', () => {
  const found = pages.flatMap(transformations);
  assert.equal(found.length, 2);
  for (const { query, source, target } of found) {
    const names = (text) => [...text.matchAll(/\['(\w+)'\]/g)].map(([, name]) => name).sort();
    assert.deepEqual(checker({ source })(query), [], query);
    assert.deepEqual([...query.matchAll(/(\w+) = /g)].map(([, name]) => name).sort(), names(tables[target]), target);
  }
  // The query for a hub that Azure reads by itself.
  const raw = checker({ source: 'TimeGenerated: datetime, RawData: string, Properties: dynamic' });
  const others = pages.flatMap((page) => spans(page, ['source']));
  assert.equal(others.length, 1);
  for (const query of others) assert.deepEqual(raw(query), [], query);
});

test('the queries that the page offers for Sentinel are accepted, whatever the settings', () => {
  const settings = [null, { bounds: 'inclusive', ignore_case: true }, { bounds: 'exclusive', ignore_case: false }];
  for (const { item } of makeAlerts().slice(0, 40)) {
    for (const chosen of settings) {
      if (item.correlation_id !== null) assertAccepted(kql(item, chosen), item.system_alert_id);
    }
  }
});
