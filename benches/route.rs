//! ROUTE without a broker: from the bytes of a message to the bytes of repartition records, and the reading progress.
//!
//! `cargo bench --bench route`; the throughput of messages is that of their bytes. For the
//! progress, an element is a message or a source partition.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set itself up panics")]

mod common;

use std::hint::black_box;
use std::time::Duration;

use alerttrail::generate::{Envelope, Options};
use alerttrail::route::{Idleness, Progress};
use alerttrail::time::WallTime;
use common::Story;
use common::routing::Routing;
use criterion::{BenchmarkId, Criterion, Throughput};

/// The number of messages in each measurement.
const MESSAGES: u64 = 1_000;
/// The number of partitions of the repartition topic.
const PARTITIONS: u32 = 16;

/// Measures everything that ROUTE does with a message except sending: parses and reads it, finds the partition,
/// encodes, records the progress.
fn message(criterion: &mut Criterion) {
    let activities = |keyed_share, envelope| {
        common::messages(&Options {
            activities: MESSAGES,
            alerts: 10,
            keyed_share,
            envelope,
            ..Options::default()
        })
    };
    let story = Story::new(1);
    let alerts: Vec<Vec<u8>> = (1..=100).map(|number| story.alert_message(number, 10)).collect();
    let cases = [
        // Like real traffic: 3 of 100 have a correlation id.
        ("mixed", activities(Options::default().keyed_share, Envelope::Mixed)),
        ("unkeyed", activities(0.0, Envelope::Streaming)),
        ("keyed", activities(1.0, Envelope::Streaming)),
        ("alerts", alerts),
    ];
    let mut group = criterion.benchmark_group("route/message");
    for (name, messages) in cases {
        group.throughput(Throughput::Bytes(common::bytes(&messages)));
        group.bench_function(name, |bencher| {
            let mut routing = Routing::new(PARTITIONS);
            bencher.iter(|| {
                for message in &messages {
                    black_box(routing.message(message, &mut |partition, record| {
                        black_box((partition, record));
                    }));
                }
            });
        });
    }
    group.finish();
}

/// Returns the progress of `sources` partitions of one topic, each with an activity that was read and a known log-end
/// offset.
fn progress(sources: u32) -> Progress {
    let mut progress = Progress::default();
    for partition in 0..sources {
        progress.assign("cloudappevents", partition, 0, WallTime(0));
        progress.ended_at("cloudappevents", partition, 1, WallTime(1));
        let read = progress.read("cloudappevents", partition, 1).unwrap();
        read.activities(Some(Story::time(0)), WallTime(1));
    }
    progress
}

fn read_progress(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route/progress/read");
    group.throughput(Throughput::Elements(MESSAGES));
    for sources in [1_u32, 32, 256] {
        let mut progress = progress(sources);
        group.bench_function(BenchmarkId::from_parameter(sources), |bencher| {
            bencher.iter(|| {
                for (offset, partition) in (0..MESSAGES).zip((0..sources).cycle()) {
                    let read = progress.read("cloudappevents", black_box(partition), 2).unwrap();
                    read.activities(Some(Story::time(offset)), WallTime(2));
                }
            });
        });
    }
    group.finish();
}

fn watermark_update(criterion: &mut Criterion) {
    let idleness = Idleness {
        timeout: Duration::from_secs(60),
        out_of_orderness: Duration::from_secs(300),
    };
    let mut group = criterion.benchmark_group("route/progress/source_watermarks");
    for sources in [1_u32, 32, 256] {
        let mut progress = progress(sources);
        group.throughput(Throughput::Elements(sources.into()));
        group.bench_function(BenchmarkId::from_parameter(sources), |bencher| {
            bencher.iter(|| black_box(progress.source_watermarks(black_box(WallTime(2)), idleness)));
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = common::criterion();
    message(&mut criterion);
    read_progress(&mut criterion);
    watermark_update(&mut criterion);
    criterion.final_summary();
}
