//! Decoding, the hot path of ROUTE: from the bytes of messages to the fields that the join needs, by envelope and by
//! size.
//!
//! `cargo bench --bench decode`; the throughput is that of the messages' bytes. `decode/floor`
//! measures the minimum work on the messages of `decode/envelope/streaming`.

#![expect(clippy::unwrap_used, reason = "a bench that cannot set itself up panics")]

mod common;

use std::borrow::Cow;
use std::hint::black_box;

use alerttrail::decode::{Decoder, Settings};
use alerttrail::generate::{Envelope, Options};
use criterion::{BenchmarkId, Criterion, Throughput};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The number of records in each measurement.
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

/// The fields of the streaming API's envelope that a reader with fixed types needs.
#[derive(Deserialize)]
struct Streaming<'m> {
    #[serde(borrow)]
    category: Cow<'m, str>,
    #[serde(borrow)]
    properties: Properties<'m>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties<'m> {
    /// An object, or a string that holds one.
    #[serde(borrow)]
    raw_event_data: &'m RawValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawEvent<'m> {
    #[serde(borrow)]
    creation_time: Cow<'m, str>,
    #[serde(borrow)]
    data: Option<&'m RawValue>,
}

/// Reads the fields that decide about a record, with types that serde derives. Returns whether the record has a place
/// for a correlation id.
fn typed(message: &[u8]) -> bool {
    fn has_data(event: &str) -> bool {
        let event: RawEvent<'_> = serde_json::from_str(event).unwrap();
        black_box(event.creation_time);
        event.data.is_some()
    }
    let record: Streaming<'_> = serde_json::from_slice(message).unwrap();
    black_box(record.category);
    let event = record.properties.raw_event_data.get();
    match event.starts_with('"') {
        true => has_data(&serde_json::from_str::<String>(event).unwrap()),
        false => has_data(event),
    }
}

/// Reads the same bytes with less work: looks at every byte once, finds every string, validates the JSON, reads the
/// relevant fields with serde.
fn floor(criterion: &mut Criterion) {
    let messages = common::messages(&Options {
        envelope: Envelope::Streaming,
        ..options()
    });
    let mut group = criterion.benchmark_group("decode/floor");
    group.throughput(Throughput::Bytes(common::bytes(&messages)));
    let mut case = |name: &str, read: &dyn Fn(&[u8])| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| messages.iter().for_each(|message| read(message)))
        });
    };
    // No message contains a line end, so each message is searched to its end.
    case("memchr", &|message| {
        assert!(black_box(memchr::memchr(b'\n', message)).is_none())
    });
    case("memchr_quotes", &|message| {
        let quotes = memchr::memchr2_iter(b'"', b'\\', message);
        black_box(quotes.count());
    });
    case("serde_json_validated", &|message| {
        black_box(serde_json::from_slice::<&RawValue>(message).unwrap());
    });
    case("serde_json_typed", &|message| {
        black_box(typed(message));
    });
    group.finish();
}

fn main() {
    let mut criterion = common::criterion();
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
    // Records that can join are read in full and hashed; most of real traffic is not.
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
    floor(&mut criterion);
    criterion.final_summary();
}
