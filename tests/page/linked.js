// An alert with results by three links: two accounts and a name; a file, an address and a mailbox. Names and ids are made up.

import { iso, makeAlert, sequence } from './world.js';

const HOUR = 3_600_000;
const MINUTE = 60_000;

const AMARA = '6f1c2b1e-0d1d-4a53-9b51-7f5a3f1f8a01';
const WEI = 'b7a90c44-52c1-4c0e-8f0d-20d0a5b9e702';
const MAILBOX = '9d0e5f3a-7c55-4f6e-a1b2-c3d4e5f60711';
const FILE = 'https://contoso.sharepoint.example/sites/travel/Passports 2026.xlsx';
const ADDRESS = '203.0.113.77';
const SOREN = '["soren","contoso.example"]';

const ENTITIES = [
  { $id: '1', Type: 'account', Name: 'amara', UPNSuffix: 'contoso.example', AadUserId: AMARA, AadTenantId: 't-1' },
  { $id: '2', Type: 'account', Name: 'wei', UPNSuffix: 'contoso.example', AadUserId: WEI.toUpperCase(), AadTenantId: 't-1' },
  { $id: '3', Type: 'account', Name: 'soren', UPNSuffix: 'contoso.example', AadTenantId: 't-1' },
  { $id: '4', Type: 'filehash', Algorithm: 'SHA256', Value: 'aa11' },
  { $id: '5', Type: 'file', Name: 'Passports 2026.xlsx', Directory: 'https://contoso.sharepoint.example/sites/travel', FileHashes: [{ $ref: '4' }] },
  { $id: '6', Type: 'ip', Address: ADDRESS },
  { $id: '7', Type: 'mailbox', MailboxPrimaryAddress: 'board@contoso.example', AadUserId: MAILBOX },
  { $ref: '1' },
];

/** `{ item, detail, row, activities, near, results }`: the `results` are by link and key, each with its activities. */
export function makeLinked(id, name) {
  const random = sequence(23);
  const day = Date.parse('2026-03-01T00:00:00Z');
  const alert = makeAlert(random, { id, at: day + 10 * HOUR, number: 3, late: 1, status: 'matched', name, severity: 'High' });
  const window = { start: day + 10 * HOUR, end: day + 11 * HOUR };
  const wide = { start: window.start - HOUR, end: window.end + HOUR };
  const result = (link, key, bounds, activities) => {
    const late = activities.filter((activity) => activity.late).length;
    const first = activities[0]?.activity_time ?? null;
    const last = activities.at(-1)?.activity_time ?? null;
    const item = { link, correlation_id: key, status: activities.length > 0 ? 'matched' : 'unmatched', window: { start: iso(bounds.start), end: iso(bounds.end) }, activity_count: activities.length, late_count: late, first_activity_time: first, last_activity_time: last, revision: 1 + late, closed_by: 'watermark', closed_at: iso(bounds.end + 302_117), complete: true, partition: Math.floor(random() * 8), summary_id: '0'.repeat(32) };
    return { item, activities };
  };
  const near = { start: window.start - 30 * MINUTE, end: wide.end };
  /** Makes activities whose rows have these columns. */
  const made = (columns, { start, end }, number, late = 0) => {
    const { activities } = makeAlert(random, { at: start, length: end - start, number, late, status: 'matched' });
    for (const { activity } of activities) Object.assign(activity, columns);
    return activities;
  };
  const users = [
    [AMARA, made({ AccountDisplayName: 'Amara Okafor', AccountObjectId: AMARA }, wide, 31, 2)],
    [WEI, made({ AccountDisplayName: 'Wei Zhang', AccountObjectId: WEI }, wide, 14)],
    [SOREN, []],
  ];
  // What Amara did with the file belongs to the alert by two links: one activity, two rows.
  const shared = users[0][1].slice(12, 18).map((activity) => ({ ...activity, id: `f${activity.id.slice(1)}` }));
  for (const { activity } of shared) Object.assign(activity, { ActionType: 'FileDownloaded', ObjectName: FILE });
  const objects = [
    [FILE, shared],
    [ADDRESS, made({ IPAddress: ADDRESS }, near, 9, 1)],
    [MAILBOX, made({ ActionType: 'MailItemsAccessed', ObjectName: MAILBOX }, near, 4)],
  ];
  const results = [
    result('query', alert.item.correlation_id, window, alert.activities),
    ...users.map(([key, activities]) => result('users', key, wide, activities)),
    ...objects.map(([key, activities]) => result('objects', key, near, activities)),
  ];
  const row = { ...JSON.parse(alert.row), Entities: JSON.stringify(ENTITIES) };
  return { ...alert, results, row: JSON.stringify(row) };
}
