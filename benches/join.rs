//! The join over state in memory: activities come in, a window closes over many, and one comes late.
//!
//! `cargo bench --no-default-features --bench join`. An element is an activity, or a row that goes out. Log records are decoded within
//! the measurement, as JOIN does, and state is written as it is behind every batch.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set itself up has nothing to say")]

#[expect(dead_code, reason = "each bench uses a part of it")]
mod common;

use alerttrail::join::{Joiner, Limit, Outbox};
use alerttrail::log::{LogRecord, Mark, Marks};
use alerttrail::store::{Base as _, Memory, Txn};
use alerttrail::time::{EventTime, WallTime};
use common::{Story, decoded};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};

/// Size of an activity: that of an ordinary one.
const SIZE: usize = 2_600;
/// Log records in one transaction: as many as JOIN takes in at the most.
const BATCH: usize = 2_000;

/// A partition: its state, and who works on it.
struct Partition {
    base: Memory,
    joiner: Joiner,
    offset: i64,
    rows: usize,
}

impl Partition {
    fn open(base: Memory) -> Self {
        let joiner = Joiner::open(&base, None).unwrap();
        let offset = joiner.next_offset();
        Self {
            base,
            joiner,
            offset,
            rows: 0,
        }
    }

    /// Takes in records with everything that follows from them, and writes state behind every full outbox and every batch.
    fn apply<'r>(&mut self, records: impl Iterator<Item = LogRecord<'r>>) {
        let mut records = records.peekable();
        let mut outbox = Outbox::new(Limit::default());
        loop {
            let mut txn = Txn::new(&self.base);
            for _ in 0..BATCH {
                if !self.joiner.step(&mut txn, &mut outbox).unwrap() || outbox.is_full() {
                    break;
                }
                let Some(record) = records.next() else { break };
                self.joiner.begin(self.offset, record, &mut txn).unwrap();
                self.offset += 1;
            }
            let done = self.joiner.step(&mut txn, &mut outbox).unwrap();
            self.rows += outbox.drain().count();
            self.joiner.save(&mut txn).unwrap();
            let batch = txn.into_batch();
            self.base.write(batch).unwrap();
            if done && records.peek().is_none() {
                return;
            }
        }
    }
}

/// The only source partition has been read up to `time`.
fn marks(time: EventTime) -> LogRecord<'static> {
    LogRecord::Marks(Marks {
        wall: WallTime(0),
        clock: EventTime::MIN,
        topics: vec![("cloudappevents".into(), 1)],
        sources: vec![Mark {
            topic: "cloudappevents".into(),
            partition: 0,
            position: 0,
            time: Some(time),
            idle: false,
        }],
        settings: [0; 32],
    })
}

/// State with this many activities and, when `alert`, an open alert whose window holds them all.
fn state(story: &Story, activities: u64, alert: bool) -> Memory {
    let mut records = story.activities(0..activities, SIZE);
    if alert {
        records.push(story.alert(activities));
    }
    let mut partition = Partition::open(Memory::default());
    partition.apply(records.iter().map(|record| decoded(record)));
    partition.base
}

fn insert(criterion: &mut Criterion, story: &Story) {
    const COUNT: u64 = 10_000;
    let records = story.activities(0..COUNT, SIZE);
    let mut group = criterion.benchmark_group("join/insert");
    group.throughput(Throughput::Elements(COUNT));
    group.bench_function("new", |bencher| {
        bencher.iter_batched(
            || Partition::open(Memory::default()),
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
            || Partition::open(full.clone()),
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
        let open = state(story, matches, true);
        group.throughput(Throughput::Elements(matches));
        group.bench_function(BenchmarkId::from_parameter(matches), |bencher| {
            bencher.iter_batched(
                || Partition::open(open.clone()),
                |mut partition| {
                    partition.apply(std::iter::once(marks(Story::time(matches))));
                    assert_eq!(partition.rows as u64, matches + 1, "every row and the summary");
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
    records.push(story.alert(THERE));
    let mut answered = Partition::open(Memory::default());
    answered.apply(
        records
            .iter()
            .map(|record| decoded(record))
            .chain([marks(Story::time(THERE))]),
    );
    let records = story.activities(late.into_iter(), SIZE);
    let mut group = criterion.benchmark_group("join/late");
    group.throughput(Throughput::Elements(LATE));
    group.bench_function("into_one_alert", |bencher| {
        bencher.iter_batched(
            || Partition::open(answered.base.clone()),
            |mut partition| {
                partition.apply(records.iter().map(|record| decoded(record)));
                assert_eq!(partition.rows as u64, LATE, "every one goes out");
                partition
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let story = Story::new(1);
    insert(&mut criterion, &story);
    close(&mut criterion, &story);
    late(&mut criterion, &story);
    criterion.final_summary();
}
