//! The store: writes activities, reads those of one key in order, and drops a day of them. Over memory
//! and over RocksDB.
//!
//! `cargo bench --bench store`; the throughput is that of the rows' bytes.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set itself up panics")]

mod common;

use std::hint::black_box;

use alerttrail::record::Activity;
use alerttrail::repartition::RepartitionRecord;
use alerttrail::store::{Backend, Direction, Memory, Shared, State, Table, Txn, keys};
use alerttrail::time::Window;
use common::{SIZE, Story, decoded};
use criterion::{BatchSize, Criterion, Throughput};

/// The number of activities in the store.
const ACTIVITIES: u64 = 10_000;
/// The number of activities in one write: the maximum that JOIN writes at once.
const BATCH: usize = 2_000;

fn activity(record: &[u8]) -> Activity<'_> {
    match decoded(record) {
        RepartitionRecord::Activity(activity) => activity,
        other => panic!("not an activity: {other:?}"),
    }
}

fn fill(backend: &mut impl Backend, activities: &[Activity<'_>]) {
    for some in activities.chunks(BATCH) {
        let mut txn = Txn::new(backend);
        for activity in some {
            let key = keys::activity(&activity.keys[0], activity.time, activity.id);
            txn.put(Table::Activities, key, activity.row.to_vec());
        }
        let batch = txn.into_batch();
        backend.write(batch).unwrap();
    }
}

/// Opens a store in memory.
fn memory() -> (Memory, ()) {
    (Memory::default(), ())
}

/// Opens a store on disk. Returns it with its folder.
fn on_disk() -> (State, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let shared = Shared::new(512_000_000);
    (State::open(folder.path(), &shared).unwrap(), folder)
}

fn measure<B: Backend, F>(criterion: &mut Criterion, name: &str, open: fn() -> (B, F)) {
    let records = Story::new(1).activities(0..ACTIVITIES, SIZE);
    let activities: Vec<Activity<'_>> = records.iter().map(|record| activity(record)).collect();
    let bytes: u64 = activities.iter().map(|activity| activity.row.len() as u64).sum();
    let mut group = criterion.benchmark_group(format!("store/{name}"));
    group.throughput(Throughput::Bytes(bytes));
    group.bench_function("write", |bencher| {
        bencher.iter_batched(
            open,
            |(mut backend, folder)| {
                fill(&mut backend, &activities);
                (backend, folder)
            },
            BatchSize::PerIteration,
        );
    });
    let (mut backend, _folder) = open();
    fill(&mut backend, &activities);
    let key = &activities.first().unwrap().keys[0];
    let window = Window {
        from: Story::time(0),
        to: Story::time(ACTIVITIES),
    };
    group.bench_function("scan", |bencher| {
        bencher.iter(|| {
            let days = window.from.day()..=window.to.day();
            let spans = days.map(|day| keys::activities(key, window, day));
            let txn = Txn::new(&backend);
            let pairs = spans.flat_map(|span| txn.scan(Table::Activities, span, Direction::Forward));
            let read: u64 = pairs.map(|pair| black_box(pair.unwrap()).1.len() as u64).sum();
            assert_eq!(read, bytes);
        });
    });
    group.bench_function("evict", |bencher| {
        bencher.iter_batched(
            || {
                let (mut backend, folder) = open();
                fill(&mut backend, &activities);
                (backend, folder)
            },
            |(mut backend, folder)| {
                let mut txn = Txn::new(&backend);
                let days = (window.from.day(), window.to.day() + 1);
                txn.remove_span(Table::Activities, keys::activities_of_days(days.0, days.1));
                let batch = txn.into_batch();
                backend.write(batch).unwrap();
                (backend, folder)
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn main() {
    let mut criterion = common::criterion();
    measure(&mut criterion, "memory", memory);
    measure(&mut criterion, "rocksdb", on_disk);
    criterion.final_summary();
}
