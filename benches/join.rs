//! The join over state in memory: activities come in, a window closes over many, some come late, the watermark moves,
//! and the state before the retention cut-off is dropped.
//!
//! `cargo bench --bench join`. An element is an activity, an emitted row, or an alert that is
//! dropped. As in JOIN, the measurement includes the decoding of log records, and the state is written after every
//! batch.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set itself up has nothing to say")]

mod common;

use alerttrail::log::LogRecord;
use alerttrail::store::{Memory, Table};
use common::partition::Partition;
use common::{SIZE, Story, decoded};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use std::time::Duration;

/// The number of activities.
const COUNT: u64 = 10_000;

/// Returns an update after the only source partition has been read up to the time of activity `number`.
fn watermark_update(number: u64) -> LogRecord<'static> {
    LogRecord::WatermarkUpdate(common::watermark_update(1, Story::time(number)))
}

fn open(base: &Memory) -> Partition {
    Partition::open(base.clone(), None)
}

/// Returns a state with this many activities and, if `alert`, an open alert whose window holds them all.
fn state(story: &Story, activities: u64, alert: bool) -> Memory {
    let mut records = story.activities(0..activities, SIZE);
    if alert {
        records.push(story.alert(1, activities));
    }
    let mut partition = open(&Memory::default());
    partition.apply(records.iter().map(|record| decoded(record)));
    partition.base
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
    const THERE: u64 = 10_000;
    const LATE: u64 = 1_000;
    // Every tenth activity of the window is missing when it closes.
    let (late, there): (Vec<u64>, Vec<u64>) = (0..THERE).partition(|number| number % (THERE / LATE) == 0);
    let mut records = story.activities(there.into_iter(), SIZE);
    records.push(story.alert(1, THERE));
    let mut answered = open(&Memory::default());
    answered.apply(records.iter().map(|record| decoded(record)).chain([watermark_update(THERE)]));
    let records = story.activities(late.into_iter(), SIZE);
    let mut group = criterion.benchmark_group("join/late");
    group.throughput(Throughput::Elements(LATE));
    group.bench_function("into_one_alert", |bencher| {
        bencher.iter_batched(
            || open(&answered.base),
            |mut partition| {
                partition.apply(records.iter().map(|record| decoded(record)));
                assert_eq!(partition.outputs, LATE, "every one goes out");
                partition
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// Measures the whole sequence, by the share of activities that belong to an alert: they come in, the alert comes, its
/// window closes.
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
            .map(|number| LogRecord::WatermarkUpdate(common::watermark_update(sources, Story::time(number))))
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
                || Partition::open(full.base.clone(), RETENTION),
                |mut partition| {
                    partition.apply(std::iter::once(watermark_update(WEEK)));
                    for table in [Table::Activities, Table::Alerts, Table::Timers] {
                        assert_eq!(partition.base.len(table), 0, "{} is not empty", table.name());
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
