//! The repartition topic: encodes its records to bytes and decodes them, by kind.
//!
//! `cargo bench --bench repartition`; an element is a record.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set itself up panics")]

mod common;

use std::hint::black_box;

use alerttrail::repartition::RepartitionRecord;
use common::routing::Routing;
use common::{SIZE, Story, decoded};
use criterion::Throughput;

/// The number of records in each measurement.
const RECORDS: u64 = 1_000;

/// Returns records by kind.
fn cases() -> [(&'static str, Vec<Vec<u8>>); 4] {
    let story = Story::new(1);
    let mut remote = Vec::new();
    for number in 0..1_000 {
        let message = story.alert_message(number, 10);
        // Of two partitions, the one with the alert's key gets its row, and the other a version without it.
        Routing::new(2).message(&message, &mut |_, record| {
            if matches!(decoded(record), RepartitionRecord::Alert(version) if version.row.is_empty()) {
                remote.push(record.to_vec());
            }
        });
    }
    let update = RepartitionRecord::WatermarkUpdate(common::watermark_update(32, Story::time(0)));
    [
        ("activity", story.activities(0..RECORDS, SIZE)),
        ("alert", (0..1_000).map(|number| story.alert(number, 10)).collect()),
        ("alert_elsewhere", remote),
        (
            "watermark_update_of_32_sources",
            vec![update.encode(Vec::new()).unwrap(); 1_000],
        ),
    ]
}

fn main() {
    let mut criterion = common::criterion();
    let cases = cases();
    for (name, records) in &cases {
        assert_eq!(records.len() as u64, RECORDS, "{name}");
    }
    let mut group = criterion.benchmark_group("repartition/encode");
    for (name, bytes) in &cases {
        let records: Vec<RepartitionRecord<'_>> = bytes.iter().map(|record| decoded(record)).collect();
        group.throughput(Throughput::Elements(RECORDS));
        group.bench_function(*name, |bencher| {
            // One buffer for all records, as in ROUTE.
            let mut scratch = Vec::new();
            bencher.iter(|| {
                for record in &records {
                    scratch.clear();
                    scratch = black_box(record.encode(std::mem::take(&mut scratch)).unwrap());
                }
            });
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("repartition/decode");
    for (name, bytes) in &cases {
        group.throughput(Throughput::Elements(RECORDS));
        group.bench_function(*name, |bencher| {
            bencher.iter(|| bytes.iter().for_each(|record| drop(black_box(decoded(record)))));
        });
    }
    group.finish();
    criterion.final_summary();
}
