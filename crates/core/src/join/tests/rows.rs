//! Tests where the rows of activities are stored, and that they are found.

use std::time::Duration;

use super::super::*;
use super::watermark_update;
use crate::record::{Activity, ActivityId, AlertId, Version};
use crate::repartition::{AlertVersion, LinkVersion, RowCompressor};
use crate::store::Memory;

const HOUR: i64 = 3_600 * 10_000_000;
const ROW: &[u8] = br#"{"ReportId":"an activity"}"#;
const QUERY: LinkId = LinkId::QUERY;
const LONG: LinkId = LinkId(2);
/// A link that keeps activities for only an hour.
const SHORT: LinkId = LinkId(1);

fn retention() -> Retention {
    let hours = |hours: u64| Duration::from_secs(3_600 * hours);
    Retention::new(hours(24 * 10), [Some(hours(1)), None].into_iter())
}

struct World {
    joiner: Joiner,
    base: Memory,
    offset: i64,
}

impl World {
    fn new() -> Self {
        let base = Memory::default();
        Self {
            joiner: Joiner::open(&base, retention()).unwrap(),
            base,
            offset: 0,
        }
    }

    fn apply(&mut self, record: RepartitionRecord<'_>) -> Result<Vec<Output>, Error> {
        let mut txn = Txn::new(&self.base);
        let mut out = Outbox::new(Limit::default());
        self.joiner.begin(self.offset, record, &mut txn)?;
        self.offset += 1;
        assert!(self.joiner.step(&mut txn, &mut out)?);
        self.joiner.save(&mut txn)?;
        let batch = txn.into_batch();
        self.base.write(batch)?;
        Ok(out.drain().map(|(_, output)| output).collect())
    }

    fn activity(&mut self, keys: &[Key]) {
        self.activity_with(keys, ROW);
    }

    fn activity_with(&mut self, keys: &[Key], row: &[u8]) {
        self.apply(RepartitionRecord::Activity(Activity {
            keys: keys.to_vec(),
            time: at(1),
            id: ID,
            row: row.into(),
        }))
        .unwrap();
    }

    /// Returns the rows that a late alert finds by a key.
    fn rows_by(&mut self, key: &Key) -> Result<Vec<Vec<u8>>, Error> {
        let version = AlertVersion {
            id: AlertId {
                tenant: "".into(),
                system_alert_id: format!("alert {}", self.offset).as_str().into(),
            },
            version: Version {
                time_generated: at(0),
                hash: [0; 32],
            },
            links: vec![LinkVersion {
                link: key.link,
                window: Window {
                    from: at(0),
                    to: at(24 * 5),
                },
                deadline: WallTime(0),
                keys: vec![key.correlation_id.clone()],
            }],
            row: b"{}".into(),
        };
        let mut outputs = self.apply(RepartitionRecord::Alert(version))?;
        outputs.extend(self.apply(RepartitionRecord::EndOfInput)?);
        let row = |output| match output {
            Output::Row(row) => row.rows.map(|(_, activity)| activity.into()),
            Output::Summary(_) => None,
        };
        Ok(outputs.into_iter().filter_map(row).collect())
    }

    /// Moves the watermark by activities to this hour.
    fn watermark(&mut self, hour: i64) {
        self.apply(watermark_update(0, Some(at(hour)))).unwrap();
    }

    fn value(&self, key: &Key) -> Option<Vec<u8>> {
        use crate::store::Reads as _;
        self.base.get(Table::Activities, &keys::activity(key, at(1), ID)).unwrap()
    }
}

const ID: ActivityId = ActivityId([7; 32]);

fn at(hour: i64) -> EventTime {
    EventTime::from_ticks(hour * HOUR)
}

fn key(link: LinkId, correlation_id: &str) -> Key {
    Key {
        tenant: "".into(),
        link,
        correlation_id: correlation_id.into(),
    }
}

#[test]
fn a_row_with_several_keys_is_stored_once_and_found_by_each() {
    let all = [
        key(QUERY, "p"),
        key(SHORT, "u"),
        key(LONG, "p"),
        key(LONG, "u"),
        key(LONG, "v"),
    ];
    let mut world = World::new();
    world.activity(&all);
    let rows = all.iter().filter(|key| world.value(key).as_deref() == Some(ROW)).count();
    assert_eq!((rows, world.base.len(Table::Activities)), (1, all.len()));
    for key in &all {
        assert_eq!(world.rows_by(key).unwrap(), [ROW], "{key:?}");
    }
    assert!(world.rows_by(&key(SHORT, "p")).unwrap().is_empty());
    // A second delivery changes nothing.
    world.activity(&all);
    let counts = world.joiner.take_counts().all();
    assert_eq!((counts.duplicate_activities, counts.redelivered_activities), (5, 1));
    assert_eq!(world.value(&all[0]).as_deref(), Some(ROW));
}

#[test]
fn the_row_stands_under_the_key_that_is_kept_longest() {
    let (short, long, other) = (key(SHORT, "u"), key(LONG, "u"), key(LONG, "v"));
    let mut world = World::new();
    // The list begins with a key of the link with the shorter retention.
    world.activity(&[short.clone(), long.clone(), other.clone()]);
    assert_eq!(world.value(&long).as_deref(), Some(ROW));
    assert_ne!(world.value(&short).as_deref(), Some(ROW));
    // The day of the activity is before the short link's retention cut-off.
    world.watermark(26);
    assert_eq!(world.value(&short), None);
    for key in [&long, &other] {
        assert_eq!(world.rows_by(key).unwrap(), [ROW], "{key:?}");
    }
    assert!(world.rows_by(&short).unwrap().is_empty());
    world.watermark(24 * 12);
    assert_eq!(world.base.len(Table::Activities), 0);
}

#[test]
fn activities_of_a_short_link_are_dropped_after_a_restart_too() {
    let (short, long) = (key(SHORT, "u"), key(LONG, "u"));
    let mut world = World::new();
    world.activity(&[short.clone(), long.clone()]);
    world.watermark(3);
    // The activity is before the retention cut-off, but a part of its day is not.
    assert!(world.value(&short).is_some());
    assert!(world.rows_by(&short).unwrap().is_empty());
    world.joiner = Joiner::open(&world.base, retention()).unwrap();
    world.watermark(26);
    assert_eq!((world.value(&short), world.base.len(Table::Activities)), (None, 1));
    assert_eq!(world.rows_by(&long).unwrap(), [ROW]);
}

/// If the report id is the dedup key, two records with different keys can be the same activity.
#[test]
fn a_key_that_comes_with_a_later_delivery_has_a_row_of_its_own() {
    let (short, long) = (key(SHORT, "u"), key(LONG, "u"));
    let mut world = World::new();
    world.activity(std::slice::from_ref(&short));
    world.activity(&[short.clone(), long.clone()]);
    world.watermark(26);
    assert_eq!(world.value(&short), None);
    assert_eq!(world.rows_by(&long).unwrap(), [ROW]);
}

#[test]
fn a_compressed_row_is_stored_as_it_is_and_emitted_as_it_was() {
    let row = br#"{"ActionType":"FileDownloaded","Application":"SharePoint","AccountObjectId":"e3491938"}"#;
    let compressed = RowCompressor::default().compress(row.into());
    assert!(compressed.len() < row.len());
    let (first, second) = (key(LONG, "u"), key(LONG, "v"));
    let mut world = World::new();
    world.activity_with(&[first.clone(), second.clone()], &compressed);
    assert_eq!(world.value(&first).as_deref(), Some(&*compressed));
    for key in [&first, &second] {
        assert_eq!(world.rows_by(key).unwrap(), [row], "{key:?}");
    }
}

#[test]
fn a_compressed_row_that_is_cut_is_damage() {
    let row = RowCompressor::default().compress(br#"{"ActionType":"FileDownloaded","Application":"SharePoint"}"#.into());
    let mut world = World::new();
    world.activity_with(&[key(LONG, "u")], &row[..row.len() - 1]);
    let error = world.rows_by(&key(LONG, "u")).unwrap_err();
    assert!(error.to_string().contains("row of an activity"), "{error}");
}

#[test]
fn a_reference_to_a_row_that_is_not_there_is_damage() {
    let (first, second) = (key(LONG, "u"), key(LONG, "v"));
    let mut world = World::new();
    world.activity(&[first.clone(), second.clone()]);
    let mut txn = Txn::new(&world.base);
    txn.remove(Table::Activities, keys::activity(&first, at(1), ID));
    let batch = txn.into_batch();
    world.base.write(batch).unwrap();
    let error = world.rows_by(&second).unwrap_err();
    assert!(error.to_string().contains("row of an activity"), "{error}");
}
