//! Decoding, the hot path of ROUTE: bytes of messages to what the join needs of them, by envelope and by size.
//!
//! `cargo bench --no-default-features --bench decode`; the throughput is that of the messages' bytes.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set itself up has nothing to say")]

#[expect(dead_code, reason = "each bench uses a part of it")]
mod common;

use std::hint::black_box;

use alerttrail::decode::{Decoder, Settings};
use alerttrail::generate::{Envelope, Options};
use criterion::{BenchmarkId, Criterion, Throughput};

/// Records for each measurement.
const RECORDS: u64 = 1_000;

fn options() -> Options {
    Options {
        activities: RECORDS,
        alerts: 10,
        ..Options::default()
    }
}

fn measure(criterion: &mut Criterion, group: &str, cases: impl IntoIterator<Item = (String, Options)>) {
    let mut decoder = Decoder::new(Settings::default());
    let mut group = criterion.benchmark_group(group);
    for (name, options) in cases {
        let messages = common::messages(&options);
        group.throughput(Throughput::Bytes(common::bytes(&messages)));
        group.bench_with_input(BenchmarkId::from_parameter(name), &messages, |bencher, messages| {
            bencher.iter(|| {
                for message in messages {
                    decoder.decode(Some(message), &mut |item| drop(black_box(item)));
                }
            });
        });
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let envelopes = [
        ("streaming", Envelope::Streaming),
        ("log_analytics", Envelope::LogAnalytics),
        ("mixed", Envelope::Mixed),
    ];
    measure(
        &mut criterion,
        "decode/envelope",
        envelopes.map(|(name, envelope)| (name.to_owned(), Options { envelope, ..options() })),
    );
    measure(
        &mut criterion,
        "decode/record_bytes",
        [1_500, 2_600, 10_000, 50_000].map(|record_size| {
            (
                record_size.to_string(),
                Options {
                    record_size,
                    ..options()
                },
            )
        }),
    );
    measure(
        &mut criterion,
        "decode/records_in_a_message",
        [1, 100].map(|batch_max| (batch_max.to_string(), Options { batch_max, ..options() })),
    );
    // What can join is read in full and hashed; most of real traffic is not.
    measure(
        &mut criterion,
        "decode/keyed_share",
        [0.0, 1.0].map(|keyed_share| {
            (
                keyed_share.to_string(),
                Options {
                    keyed_share,
                    ..options()
                },
            )
        }),
    );
    criterion.final_summary();
}
