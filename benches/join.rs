//! The join over state in memory: activities arrive, a window with many closes, some are late, the watermark moves,
//! and the state before the retention cut-off is dropped.
//!
//! `cargo bench --bench join`. An element is an activity, an emitted row, or an alert that is
//! dropped. As in JOIN, the measurement includes the decoding of repartition records, and the state is written after
//! every batch.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set itself up panics")]

mod common;

use alerttrail::repartition::RepartitionRecord;
use alerttrail::store::{Memory, Table};
use common::partition::Partition;
use common::{SIZE, Story, decoded};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use std::time::Duration;

/// The number of activities.
const COUNT: u64 = 10_000;

/// Returns an update after the only source partition has been read up to the time of activity `number`.
fn watermark_update(number: u64) -> RepartitionRecord<'static> {
    RepartitionRecord::WatermarkUpdate(common::watermark_update(1, Story::time(number)))
}

fn open(backend: &Memory) -> Partition {
    Partition::open(backend.clone(), None)
}

/// Returns a state with this many activities and, if `alert`, an open alert whose window holds them all.
fn state(story: &Story, activities: u64, alert: bool) -> Memory {
    let mut records = story.activities(0..activities, SIZE);
    if alert {
        records.push(story.alert(1, activities));
    }
    let mut partition = open(&Memory::default());
    partition.apply(records.iter().map(|record| decoded(record)));
    partition.backend
}

fn insert(criterion: &mut Criterion, story: &Story) {
    let records = story.activities(0..COUNT, SIZE);
    let mut group = criterion.benchmark_group("join/insert");
    group.throughput(Throughput::Elements(COUNT));
    group.bench_function("new", |bencher| {
        bencher.iter_batched(
            || open(&Memory::default()),
            |mut partition| {
                partition.apply(records.iter().map(|record| decoded(record)));
                partition
            },
            BatchSize::PerIteration,
        );
    });
    let full = state(story, COUNT, false);
    group.bench_function("delivered_again", |bencher| {
        bencher.iter_batched(
            || open(&full),
            |mut partition| {
                partition.apply(records.iter().map(|record| decoded(record)));
                partition
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn close(criterion: &mut Criterion, story: &Story) {
    let mut group = criterion.benchmark_group("join/close");
    for matches in [100, 10_000] {
        let state = state(story, matches, true);
        group.throughput(Throughput::Elements(matches));
        group.bench_function(BenchmarkId::from_parameter(matches), |bencher| {
            bencher.iter_batched(
                || open(&state),
                |mut partition| {
                    partition.apply(std::iter::once(watermark_update(matches)));
                    assert_eq!(partition.outputs, matches + 1, "every row and the summary");
                    partition
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn late(criterion: &mut Criterion, story: &Story) {
    const ALL: u64 = 10_000;
    const LATE: u64 = 1_000;
    // Every tenth activity of the window is missing when it closes.
    let (late, in_time): (Vec<u64>, Vec<u64>) = (0..ALL).partition(|number| number % (ALL / LATE) == 0);
    let mut records = story.activities(in_time.into_iter(), SIZE);
    records.push(story.alert(1, ALL));
    let mut closed = open(&Memory::default());
    closed.apply(records.iter().map(|record| decoded(record)).chain([watermark_update(ALL)]));
    let records = story.activities(late.into_iter(), SIZE);
    let mut group = criterion.benchmark_group("join/late");
    group.throughput(Throughput::Elements(LATE));
    group.bench_function("into_one_alert", |bencher| {
        bencher.iter_batched(
            || open(&closed.backend),
            |mut partition| {
                partition.apply(records.iter().map(|record| decoded(record)));
                assert_eq!(partition.outputs, LATE, "every one is emitted");
                partition
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// Measures the whole sequence, by the share of activities that belong to an alert: they arrive, the alert arrives,
/// its window closes.
fn hit_rate(criterion: &mut Criterion, story: &Story) {
    let activities = story.activities(0..COUNT, SIZE);
    let mut group = criterion.benchmark_group("join/hit_rate");
    group.throughput(Throughput::Elements(COUNT));
    for (name, hits) in [("0", 0), ("0.01", COUNT / 100), ("0.1", COUNT / 10), ("1", COUNT)] {
        let alert = story.alert(1, hits);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || open(&Memory::default()),
                |mut partition| {
                    let records = activities.iter().chain([&alert]);
                    partition.apply(records.map(|record| decoded(record)).chain([watermark_update(COUNT)]));
                    assert_eq!(partition.outputs, hits + 1, "every hit and the summary");
                    partition
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// Measures a watermark move that closes nothing, by the number of source partitions: every partition pays this every
/// second.
fn observe(criterion: &mut Criterion, story: &Story) {
    const TIMES: u64 = 100;
    let mut group = criterion.benchmark_group("join/watermark_updates");
    group.throughput(Throughput::Elements(TIMES));
    // Each update checks an alert that stays open.
    let state = state(story, 1_000, true);
    for sources in [1, 32, 256] {
        let updates: Vec<Vec<u8>> = (0..TIMES)
            .map(|number| RepartitionRecord::WatermarkUpdate(common::watermark_update(sources, Story::time(number))))
            .map(|record| record.encode(Vec::new()).unwrap())
            .collect();
        group.bench_function(BenchmarkId::from_parameter(sources), |bencher| {
            bencher.iter_batched(
                || open(&state),
                |mut partition| {
                    partition.apply(updates.iter().map(|record| decoded(record)));
                    assert_eq!(partition.outputs, 0, "the window is open");
                    partition
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// Measures how everything falls before the retention cut-off: a day of activities at once, closed alerts one by one.
fn evict(criterion: &mut Criterion, story: &Story) {
    const ALERTS: u32 = 1_000;
    const RETENTION: Option<Duration> = Some(Duration::from_secs(86_400));
    const WEEK: u64 = 7 * 86_400;
    let mut group = criterion.benchmark_group("join/evict");
    for (name, activities, alerts) in [("activities", COUNT, 0), ("alerts", 1, ALERTS)] {
        let mut records = story.activities(0..activities, SIZE);
        records.extend((1..=alerts).map(|number| story.alert(number, activities)));
        let mut full = Partition::open(Memory::default(), RETENTION);
        full.apply(
            records
                .iter()
                .map(|record| decoded(record))
                .chain([watermark_update(activities)]),
        );
        group.throughput(Throughput::Elements(activities.max(alerts.into())));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || Partition::open(full.backend.clone(), RETENTION),
                |mut partition| {
                    partition.apply(std::iter::once(watermark_update(WEEK)));
                    for table in [Table::Activities, Table::Alerts, Table::Timers] {
                        assert_eq!(partition.backend.len(table), 0, "{} is not empty", table.name());
                    }
                    partition
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = common::criterion();
    let story = Story::new(1);
    insert(&mut criterion, &story);
    hit_rate(&mut criterion, &story);
    close(&mut criterion, &story);
    late(&mut criterion, &story);
    observe(&mut criterion, &story);
    evict(&mut criterion, &story);
    criterion.final_summary();
}
