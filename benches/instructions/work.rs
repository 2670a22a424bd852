//! The pieces of work: each is set up, and then done on request. Nothing in them is random, and each proves that it was
//! done.

use std::hint::black_box;
use std::time::Duration;

use alerttrail::decode::{Decoded, Decoder, Settings};
use alerttrail::emit::Emitted;
use alerttrail::generate::{Envelope, Options};
use alerttrail::repartition::RepartitionRecord;
use alerttrail::route::{Idleness, Progress};
use alerttrail::store::Memory;
use alerttrail::time::WallTime;

use crate::common::partition::Partition;
use crate::common::routing::Routing;
use crate::common::{self, SIZE, Story, decoded};

/// A piece of work that has been set up.
pub(crate) type Prepared = Box<dyn FnMut()>;

/// The number of records in each piece of work.
pub(crate) const RECORDS: u64 = 500;

/// Every piece of work: its name, and the function that sets it up.
pub(crate) const WORK: [(&str, fn() -> Prepared); 11] = [
    ("decode/streaming_unkeyed", || decode(Envelope::Streaming, 0.0)),
    ("decode/log_analytics_unkeyed", || decode(Envelope::LogAnalytics, 0.0)),
    ("decode/streaming_keyed", || decode(Envelope::Streaming, 1.0)),
    ("route/mixed", route),
    ("route/progress", progress),
    ("repartition/encode", repartition_encode),
    ("repartition/decode", repartition_decode),
    ("join/apply_and_close", || join(RECORDS)),
    ("join/apply_without_hits", || join(0)),
    ("join/late", late),
    ("emit/native", emit),
];

fn messages(envelope: Envelope, keyed_share: f64) -> Vec<Vec<u8>> {
    common::messages(&Options {
        activities: RECORDS,
        alerts: 10,
        duplicates: 0.0,
        keyed_share,
        envelope,
        ..Options::default()
    })
}

fn decode(envelope: Envelope, keyed_share: f64) -> Prepared {
    let messages = messages(envelope, keyed_share);
    let mut decoder = Decoder::new(Settings::default());
    Box::new(move || {
        let (mut keyed, mut unkeyed) = (0, 0);
        for message in &messages {
            decoder.decode(Some(message), &mut |item| match black_box(item).what {
                Decoded::Activity(_) => keyed += 1,
                Decoded::Unkeyed { .. } => unkeyed += 1,
                other => panic!("not an activity: {other:?}"),
            });
        }
        let expected = if keyed_share > 0.0 { (RECORDS, 0) } else { (0, RECORDS) };
        assert_eq!((keyed, unkeyed), expected);
    })
}

/// Like real traffic: all envelopes, and 3 of 100 messages have a correlation id.
fn route() -> Prepared {
    let messages = messages(Envelope::Mixed, Options::default().keyed_share);
    let mut routing = Routing::new(16);
    Box::new(move || {
        let (mut activities, mut keyed, mut sent) = (0, 0, 0);
        for message in &messages {
            let seen = routing.message(message, &mut |partition, record| {
                black_box((partition, record));
                sent += 1;
            });
            activities += seen.activities;
            keyed += seen.keyed;
        }
        assert_eq!(activities, RECORDS);
        assert!(0 < sent && sent == keyed, "{sent} of {keyed} were sent");
    })
}

fn progress() -> Prepared {
    const SOURCES: u32 = 32;
    let idleness = Idleness {
        timeout: Duration::from_secs(60),
        out_of_orderness: Duration::from_secs(300),
    };
    let mut progress = Progress::default();
    for partition in 0..SOURCES {
        progress.assign("cloudappevents", partition, 0, WallTime(0));
        progress.ended_at("cloudappevents", partition, 0, WallTime(0));
    }
    Box::new(move || {
        for (number, partition) in (0..RECORDS).zip((0..SOURCES).cycle()) {
            let read = progress.read("cloudappevents", partition, 1).unwrap();
            read.activities(Some(Story::time(number)), WallTime(1));
            // Watermark updates are sent far less often than messages arrive.
            if number % 100 == 0 {
                assert_eq!(progress.source_watermarks(WallTime(1), idleness).len(), SOURCES as usize);
            }
        }
    })
}

fn repartition_encode() -> Prepared {
    let bytes: &'static [Vec<u8>] = Story::new(1).activities(0..RECORDS, SIZE).leak();
    let records: Vec<RepartitionRecord<'_>> = bytes.iter().map(|record| decoded(record)).collect();
    Box::new(move || {
        let mut scratch = Vec::new();
        for (record, bytes) in records.iter().zip(bytes) {
            scratch.clear();
            scratch = record.encode(std::mem::take(&mut scratch)).unwrap();
            assert_eq!(black_box(&scratch).len(), bytes.len());
        }
    })
}

fn repartition_decode() -> Prepared {
    let bytes = Story::new(1).activities(0..RECORDS, SIZE);
    Box::new(move || {
        for record in &bytes {
            assert!(matches!(black_box(decoded(record)), RepartitionRecord::Activity(_)));
        }
    })
}

/// Joins activities, then an alert that matches `hits` of them, then closes its window.
fn join(hits: u64) -> Prepared {
    let story = Story::new(1);
    let mut records = story.activities(0..RECORDS, SIZE);
    records.push(story.alert(1, hits));
    let mut partition = Partition::open(Memory::default(), None);
    Box::new(move || {
        let end = RepartitionRecord::WatermarkUpdate(common::watermark_update(1, Story::time(RECORDS)));
        partition.apply(records.iter().map(|record| decoded(record)).chain([end]));
        assert_eq!(partition.outputs, hits + 1, "every row and the summary");
    })
}

/// Applies activities to a window that has closed without them.
fn late() -> Prepared {
    let story = Story::new(1);
    let records = story.activities(0..RECORDS, SIZE);
    let alert = story.alert(1, RECORDS);
    let mut partition = Partition::open(Memory::default(), None);
    let end = RepartitionRecord::WatermarkUpdate(common::watermark_update(1, Story::time(RECORDS)));
    partition.apply([decoded(&alert), end].into_iter());
    assert_eq!(partition.outputs, 1, "the summary");
    Box::new(move || {
        partition.apply(records.iter().map(|record| decoded(record)));
        assert_eq!(partition.outputs, 1 + RECORDS, "every row");
    })
}

/// Emits rows, and as many summaries.
fn emit() -> Prepared {
    let outputs = common::outputs(250, 1);
    let emitter = common::emitter(None);
    Box::new(move || {
        let mut value = Vec::new();
        for output in &outputs {
            let emitted = black_box(emitter.emit(output, 7, &mut value));
            assert!(matches!(emitted, Emitted::Record(_)));
        }
        assert_eq!(outputs.len() as u64, RECORDS);
    })
}
