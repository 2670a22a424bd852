//! Tests rules of the state machine that are easy to get wrong, each with a short log.

mod rows;

use std::borrow::Cow;
use std::cell::Cell;
use std::time::Duration;

use super::*;
use crate::record::{Activity, ActivityId, AlertId, Key, Version};
use crate::repartition::{AlertVersion, SourceWatermark, WatermarkUpdate};
use crate::store::{Batch, Memory, Pairs, Span};
use crate::time::Window;

/// A deadline that is never reached.
const FAR: i64 = 1 << 40;

/// Counts the pairs that are read, and the searches for closed alerts.
#[derive(Default)]
struct Counting {
    base: Memory,
    looked_at: Cell<usize>,
    lookups: Cell<usize>,
}

impl Reads for Counting {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.base.get(table, key)
    }

    fn scan<'a>(&'a self, table: Table, span: Span, direction: Direction) -> Pairs<'a> {
        if table == Table::ClosedWindows {
            self.lookups.set(self.lookups.get() + 1);
        }
        let pairs = self.base.scan(table, span, direction);
        Box::new(pairs.inspect(|_| self.looked_at.set(self.looked_at.get() + 1)))
    }
}

impl Backend for Counting {
    fn write(&mut self, batch: Batch) -> Result<(), Error> {
        self.base.write(batch)
    }
}

struct World {
    joiner: Joiner,
    base: Counting,
    offset: i64,
}

impl World {
    fn new(retention_ticks: Option<u64>) -> Self {
        let base = Counting::default();
        let retention = retention_ticks.map(|ticks| Duration::from_nanos(ticks * 100));
        Self {
            joiner: Joiner::open(&base, retention).unwrap(),
            base,
            offset: 0,
        }
    }

    fn apply(&mut self, record: RepartitionRecord<'_>) -> Vec<Output> {
        let mut txn = Txn::new(&self.base);
        let mut out = Outbox::new(Limit::default());
        self.joiner.begin(self.offset, record, &mut txn).unwrap();
        self.offset += 1;
        assert!(self.joiner.step(&mut txn, &mut out).unwrap());
        self.joiner.save(&mut txn).unwrap();
        let batch = txn.into_batch();
        self.base.write(batch).unwrap();
        out.drain().map(|(_, output)| output).collect()
    }

    fn activity(&mut self, correlation_id: &str, time: i64, id: u8) -> Vec<Output> {
        self.apply(RepartitionRecord::Activity(activity(correlation_id, time, id)))
    }

    fn alert(&mut self, version: i64, correlation_id: &str, window: (i64, i64), deadline: i64) -> Vec<Output> {
        self.alert_of(alert_id(), version, correlation_id, window, deadline)
    }

    fn alert_of(&mut self, id: AlertId, version: i64, correlation_id: &str, window: (i64, i64), deadline: i64) -> Vec<Output> {
        self.apply(alert_record(id, version, correlation_id, window, deadline))
    }

    fn update(&mut self, wall: i64, time: Option<i64>) -> Vec<Output> {
        self.apply(watermark_update(wall, time.map(at)))
    }
}

/// Returns an update of a router that reads the only source partition.
pub(super) fn watermark_update(wall: i64, time: Option<EventTime>) -> RepartitionRecord<'static> {
    RepartitionRecord::WatermarkUpdate(WatermarkUpdate {
        wall: WallTime(wall),
        clock: at(0),
        topics: vec![("a".into(), 1)],
        sources: vec![SourceWatermark {
            topic: "a".into(),
            partition: 0,
            position: 0,
            time,
            idle: false,
            rejected: 0,
        }],
        settings: [0; 32],
    })
}

fn alert_record(
    id: AlertId,
    version: i64,
    correlation_id: &str,
    window: (i64, i64),
    deadline: i64,
) -> RepartitionRecord<'static> {
    let version = AlertVersion {
        id,
        version: self::version(version),
        links: Vec::new(),
        row: Cow::Borrowed(b"{}"),
    };
    let window = Window {
        from: at(window.0),
        to: at(window.1),
    };
    RepartitionRecord::Alert(version.by_query(correlation_id.into(), window, WallTime(deadline)))
}

fn activity(correlation_id: &str, time: i64, id: u8) -> Activity<'static> {
    Activity {
        keys: vec![key(correlation_id)],
        time: at(time),
        id: ActivityId([id; 32]),
        row: Cow::Borrowed(b"{}"),
    }
}

fn at(ticks: i64) -> EventTime {
    EventTime::from_ticks(ticks)
}

fn key(correlation_id: &str) -> Key {
    Key {
        correlation_id: correlation_id.into(),
        ..Key::default()
    }
}

fn alert_id() -> AlertId {
    AlertId {
        tenant: "".into(),
        system_alert_id: "A".into(),
    }
}

fn version(time_generated: i64) -> Version {
    Version {
        time_generated: at(time_generated),
        hash: [0; 32],
    }
}

fn rows(outputs: &[Output]) -> Vec<(Op, i64)> {
    let row = |output: &Output| match output {
        Output::Row(row) => Some((row.op, row.time.ticks())),
        Output::Summary(_) => None,
    };
    outputs.iter().filter_map(row).collect()
}

fn summary(outputs: Vec<Output>) -> Summary {
    let upsert = |output| match output {
        Output::Summary(summary) if summary.op == Op::Upsert => Some(summary),
        _ => None,
    };
    outputs.into_iter().filter_map(upsert).next_back().unwrap()
}

fn extent(summary: &Summary) -> (u64, Option<i64>, Option<i64>) {
    let result = &summary.result;
    (
        result.activities,
        result.first.map(EventTime::ticks),
        result.last.map(EventTime::ticks),
    )
}

#[test]
fn activities_in_one_record_are_as_activities_one_after_another() {
    let came = [
        ("k", 10, 1),
        ("k", 20, 2),
        ("other", 15, 3),
        ("k", 10, 1),
        ("k", 95, 4),
        ("k", 50, 5),
    ];
    let results = |together: bool| {
        let mut world = World::new(None);
        world.activity("k", 5, 9);
        world.alert(1, "k", (0, 60), FAR);
        let mut outputs = world.update(0, Some(60));
        let activities = came.map(|(key, time, id)| activity(key, time, id));
        match together {
            true => outputs.extend(world.apply(RepartitionRecord::Activities(activities.into()))),
            false => activities
                .into_iter()
                .for_each(|one| outputs.extend(world.apply(RepartitionRecord::Activity(one)))),
        }
        outputs.extend(world.update(1, Some(70)));
        outputs
    };
    let outputs = results(true);
    let times: Vec<i64> = rows(&outputs).into_iter().map(|(_, time)| time).collect();
    assert_eq!(times, [5, 10, 20, 50]);
    assert_eq!(format!("{outputs:?}"), format!("{:?}", results(false)));
}

#[test]
fn the_window_that_closes_next_is_the_one_that_ends_first() {
    let mut world = World::new(None);
    assert_eq!(world.joiner.next_close(&world.base).unwrap(), None);
    world.alert(1, "k", (0, 60), FAR);
    assert_eq!(world.joiner.next_close(&world.base).unwrap(), Some(at(60)));
    world.alert(2, "k", (0, 40), FAR);
    assert_eq!(world.joiner.next_close(&world.base).unwrap(), Some(at(40)));
    world.update(0, Some(40));
    assert_eq!(world.joiner.next_close(&world.base).unwrap(), None);
}

#[test]
fn the_earliest_activity_is_found_again_when_the_window_moves_forward() {
    let mut world = World::new(None);
    for (id, time) in [(1, 10), (2, 50), (3, 90), (4, 120)] {
        world.activity("k", time, id);
    }
    world.alert(1, "k", (0, 100), FAR);
    assert_eq!(extent(&summary(world.update(1, Some(200)))), (3, Some(10), Some(90)));
    assert_eq!(
        extent(&summary(world.alert(2, "k", (20, 150), FAR))),
        (3, Some(50), Some(120))
    );
}

#[test]
fn the_latest_activity_is_found_again_when_the_window_moves_back() {
    let mut world = World::new(None);
    for (id, time) in [(1, 10), (2, 60), (3, 90), (4, 140)] {
        world.activity("k", time, id);
    }
    world.alert(1, "k", (50, 150), FAR);
    world.update(1, Some(200));
    assert_eq!(extent(&summary(world.alert(2, "k", (0, 100), FAR))), (3, Some(10), Some(90)));
}

#[test]
fn a_watermark_that_jumps_beyond_the_retention_still_closes_over_what_was_accepted() {
    let mut world = World::new(Some(1_000));
    world.activity("k", 10, 1);
    world.alert(1, "k", (0, 100), FAR);
    assert_eq!(rows(&world.update(1, Some(5_000))), [(Op::Upsert, 10)]);
    assert_eq!(world.base.base.len(Table::Activities), 1, "the day is not over");
    assert_eq!(world.base.base.len(Table::Alerts), 0);
    world.activity("k", 20, 2);
    assert_eq!(world.joiner.take_counts().query().expired_activities, 1);
}

#[test]
fn a_newer_version_does_not_wait_anew() {
    let mut world = World::new(None);
    world.activity("k", 10, 1);
    world.alert(1, "k", (0, 100), 1_000);
    world.alert(2, "k", (0, 100), 1_900);
    assert_eq!(rows(&world.update(1_001, None)), [(Op::Upsert, 10)]);
}

#[test]
fn what_closed_an_alert_goes_with_it_to_another_key() {
    let mut world = World::new(None);
    world.activity("l", 10, 1);
    world.alert(1, "k", (0, 100), 1_000);
    assert_eq!(summary(world.update(1_001, None)).result.closed_by, ClosedBy::MaxWait);
    assert_eq!(
        summary(world.alert(2, "l", (0, 100), 2_000)).result.closed_by,
        ClosedBy::MaxWait
    );
}

#[test]
fn an_alert_closed_by_waiting_never_says_that_it_is_complete() {
    let mut world = World::new(None);
    world.alert(1, "k", (0, 100), 1_000);
    assert_eq!(
        summary(world.update(1_001, None)).completeness,
        Some(Completeness::ClosedByMaxWait)
    );
    world.activity("k", 10, 1);
    let late = summary(world.update(1_002, Some(500)));
    assert_eq!((late.result.revision, late.result.late), (2, 1));
    assert_eq!(late.completeness, Some(Completeness::ClosedByMaxWait));
}

#[test]
fn a_version_is_counted_where_its_row_is() {
    let mut world = World::new(None);
    let mut elsewhere = alert_record(alert_id(), 1, "k", (0, 100), FAR);
    if let RepartitionRecord::Alert(version) = &mut elsewhere {
        version.links[0].keys.clear();
    }
    world.apply(elsewhere);
    assert_eq!(world.joiner.take_counts().query().alerts, 0);
    world.alert(2, "k", (0, 0), FAR);
    let counts = world.joiner.take_counts().query();
    assert_eq!((counts.alerts, counts.empty_windows), (1, 1));
}

#[test]
fn a_full_outbox_is_worked_off_across_a_restart() {
    let mut world = World::new(None);
    for id in 0..5 {
        world.activity("k", 10 + i64::from(id), id);
    }
    world.alert(1, "k", (0, 100), FAR);
    let update = watermark_update(1, Some(at(200)));
    let one = Limit {
        outputs: 1,
        ..Limit::default()
    };
    let mut times = Vec::new();
    let mut record = Some(update);
    loop {
        // Only the base is carried from one step to the next.
        let mut joiner = Joiner::open(&world.base, None).unwrap();
        let mut txn = Txn::new(&world.base);
        let mut out = Outbox::new(one);
        if let Some(record) = record.take() {
            joiner.begin(world.offset, record, &mut txn).unwrap();
        }
        let done = joiner.step(&mut txn, &mut out).unwrap();
        assert!(out.len() <= 1);
        times.extend(out.drain().map(|(at, output)| (at, rows(&[output]))));
        joiner.save(&mut txn).unwrap();
        let batch = txn.into_batch();
        world.base.write(batch).unwrap();
        if done {
            let (offset, outputs) = (world.offset + 1, 0);
            assert_eq!(joiner.position(), Position { offset, outputs });
            break;
        }
    }
    let expected: Vec<Vec<(Op, i64)>> = (10..15).map(|time| vec![(Op::Upsert, time)]).chain([vec![]]).collect();
    assert_eq!(times.iter().map(|(_, rows)| rows.clone()).collect::<Vec<_>>(), expected);
    let places: Vec<Position> = (0..6)
        .map(|outputs| Position {
            offset: world.offset,
            outputs,
        })
        .collect();
    assert_eq!(
        times.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
        places,
        "five rows and a summary"
    );
}

/// If many alerts are due at the same time, by the watermark or by the clock, the search for each one begins after the
/// previous one.
#[test]
fn windows_that_end_at_once_do_not_look_for_each_other() {
    const ALERTS: usize = 400;
    for by_clock in [false, true] {
        let mut world = World::new(None);
        for number in 0..ALERTS {
            let id = AlertId {
                tenant: "".into(),
                system_alert_id: number.to_string().as_str().into(),
            };
            world.alert_of(id, 1, "k", (0, 10), 50);
        }
        let before = world.base.looked_at.take();
        let outputs = match by_clock {
            false => world.update(0, Some(20)),
            true => world.update(50, None),
        };
        assert_eq!((before, outputs.len()), (0, ALERTS));
        let looked_at = world.base.looked_at.get();
        assert!(looked_at < 4 * ALERTS, "{looked_at} pairs looked at, {by_clock}");
    }
}

/// The greatest end of all closed windows is known whatever order they end in, so an activity after it is stored
/// without a search for closed alerts.
#[test]
fn an_activity_after_every_closed_window_does_not_look_for_alerts() {
    let mut world = World::new(None);
    let id = |name: &str| AlertId {
        tenant: "".into(),
        system_alert_id: name.into(),
    };
    world.activity("k", 1, 1);
    world.alert_of(id("later"), 1, "k", (0, 60), FAR);
    world.alert_of(id("sooner"), 1, "k", (0, 50), FAR);
    world.update(0, Some(60));
    world.base.lookups.take();
    for (number, time) in [(2, 60), (3, 61), (4, 1_000)] {
        assert_eq!(rows(&world.activity("k", time, number)), []);
    }
    assert_eq!(world.base.lookups.take(), 0);
    assert_eq!(rows(&world.activity("k", 59, 5)), [(Op::Upsert, 59)]);
    // Only one of the two windows extends that far.
    assert_eq!(rows(&world.activity("k", 50, 6)), [(Op::Upsert, 50)]);
    assert_eq!(rows(&world.activity("k", 49, 7)), [(Op::Upsert, 49); 2]);
}

#[test]
fn late_activities_are_known_behind_a_restart() {
    let mut world = World::new(None);
    world.alert(1, "k", (0, 60), FAR);
    world.update(0, Some(60));
    for number in 1..3 {
        world.joiner = Joiner::open(&world.base, None).unwrap();
        world.base.lookups.take();
        assert_eq!(rows(&world.activity("k", 60, 10 * number)), []);
        assert_eq!(world.base.lookups.take(), 1, "to learn where the windows end");
        assert_eq!(rows(&world.activity("k", 59, number)), [(Op::Upsert, 59)]);
    }
}

/// Returns what a newer version brings with this setting, for a closed window that loses, keeps and gains activities.
fn updated(alert_updates: AlertUpdates) -> (World, Vec<Output>) {
    let mut world = World::new(None);
    world.joiner = Joiner::open(&world.base, None).unwrap().with_alert_updates(alert_updates);
    for (id, time) in [(1, 5), (2, 15), (3, 25), (4, 35)] {
        world.activity("k", time, id);
    }
    world.alert(1, "k", (0, 30), FAR);
    world.update(0, Some(60));
    let outputs = world.alert(2, "k", (10, 40), FAR);
    (world, outputs)
}

/// Positions in the output have the same meaning with either setting, so that the setting may change between two
/// starts, even in the middle of a record.
#[test]
fn rows_that_go_out_again_stand_behind_all_other_outputs_of_their_record() {
    let (mut one, summary) = updated(AlertUpdates::Summary);
    let (mut other, all) = updated(AlertUpdates::Rows);
    assert_eq!(rows(&summary), [(Op::Delete, 5), (Op::Upsert, 35)]);
    assert_eq!(all[..summary.len()], summary);
    assert_eq!(rows(&all[summary.len()..]), [(Op::Upsert, 15), (Op::Upsert, 25)]);
    let again = all.last();
    assert!(matches!(again, Some(Output::Row(row)) if row.reason == Reason::AlertUpdated && row.rows.is_some()));
    // They are the same activities, so the counts and the next outputs are the same.
    assert_eq!(one.joiner.take_counts(), other.joiner.take_counts());
    let next = [&mut one, &mut other].map(|world| world.alert(3, "other", (10, 40), FAR));
    assert_eq!(next[0], next[1]);
}

/// Steps that are stored in the middle of such a record are also executed under the other setting.
#[test]
fn rows_that_go_out_again_are_sent_across_a_restart() {
    let (_, expected) = updated(AlertUpdates::Rows);
    for switched in 0..expected.len() {
        let (mut world, _) = updated(AlertUpdates::Summary);
        let offset = world.offset;
        let mut record = Some(alert_record(alert_id(), 3, "k", (10, 50), FAR));
        let mut made = Vec::new();
        for number in 0.. {
            let updates = if number > switched {
                AlertUpdates::Summary
            } else {
                AlertUpdates::Rows
            };
            let mut joiner = Joiner::open(&world.base, None).unwrap().with_alert_updates(updates);
            let mut txn = Txn::new(&world.base);
            let mut out = Outbox::new(Limit {
                outputs: 1,
                ..Limit::default()
            });
            if let Some(record) = record.take() {
                joiner.begin(offset, record, &mut txn).unwrap();
            }
            let done = joiner.step(&mut txn, &mut out).unwrap();
            made.extend(out.drain().map(|(_, output)| output));
            joiner.save(&mut txn).unwrap();
            let batch = txn.into_batch();
            world.base.write(batch).unwrap();
            if done {
                break;
            }
        }
        assert_eq!(
            rows(&made),
            [(Op::Upsert, 15), (Op::Upsert, 25), (Op::Upsert, 35)],
            "{switched}"
        );
    }
}
