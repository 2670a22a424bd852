//! Generated traffic in every format: records as they occur in practice.

use std::collections::BTreeMap;

use alerttrail::config::Config;
use alerttrail::decode::Decoder;
use alerttrail::emit::{Emitter, Format, Links};
use alerttrail::generate::{Generator, Messages, Options};
use alerttrail::join::{Joiner, Outbox, Output};
use alerttrail::repartition::RepartitionRecord;
use alerttrail::route::{Arrival, Routed, Router, Settings};
use alerttrail::store::{Backend as _, Memory};
use alerttrail::time::{WallTime, Widening};
use serde_json::Value;

use super::{Checker, FORMATS, emit};

/// The number of activities that a finding lists here.
const LISTED: usize = 5;

/// Returns the outputs of the join for generated traffic.
fn outputs() -> Vec<(i64, Output)> {
    let config = Config::defaults().unwrap();
    let settings = Settings {
        partitions: 1,
        max_wait: config.watermark.max_wait,
        max_future_skew: config.watermark.max_future_skew,
        max_window_ahead: config.watermark.max_window_ahead,
        tenants: false,
    };
    let mut router = Router::new(Decoder::new(config.decode), settings);
    let options = Options {
        activities: 4_000,
        alerts: 60,
        seed: 7,
        keyed_share: 0.5,
        in_window_share: 0.9,
        ..Options::default()
    };
    let generator = Generator::new(&options).unwrap();
    let mut log = Vec::new();
    let mut read = |messages: &mut dyn Messages| {
        let mut message = Vec::new();
        while messages.next_message(&mut message).is_some() {
            let arrival = Arrival {
                now: WallTime(i64::MAX / 4),
                timestamp: None,
            };
            router.route(Some(&message), arrival, &mut |routed| {
                if let Routed::Record { record, .. } = routed {
                    log.push(record.encode(Vec::new()).unwrap());
                }
            });
            message.clear();
        }
    };
    read(&mut generator.activities());
    read(&mut generator.alerts());
    log.push(RepartitionRecord::EndOfInput.encode(Vec::new()).unwrap());
    apply(&log)
}

fn apply(log: &[Vec<u8>]) -> Vec<(i64, Output)> {
    let mut backend = Memory::default();
    let mut joiner = Joiner::open(&backend, None).unwrap().with_related(LISTED);
    let mut outputs = Vec::new();
    let mut outbox = Outbox::default();
    for (offset, bytes) in (0..).zip(log) {
        let mut records = std::iter::once((offset, RepartitionRecord::decode(bytes).unwrap()));
        while records.len() > 0 || joiner.has_work() {
            let changes = joiner.apply(&backend, &mut records, &mut outbox).unwrap();
            backend.write(changes).unwrap();
            outputs.extend(outbox.drain().map(|(at, output)| (at.offset, output)));
        }
    }
    outputs
}

fn emitter() -> Emitter {
    Emitter {
        format: Format::Native,
        links: Links::query(Widening::default()),
        summaries: true,
        unmatched: true,
        limit: None,
    }
}

#[test]
fn generated_traffic_is_valid_in_every_format() {
    let (checker, mut wrong, emitter) = (Checker::new(), Vec::new(), emitter());
    let outputs = outputs();
    let mut records = 0;
    for (seq, output) in &outputs {
        for format in FORMATS {
            records += checker.check(&emitter, format, output, *seq, &mut wrong);
        }
    }
    assert!(records > 1_000, "{records} records of {} outputs prove little", outputs.len());
    wrong.truncate(20);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_finding_lists_its_first_activities_by_the_ids_of_their_rows() {
    let emitter = emitter();
    let mut rows: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut longer = 0;
    for (seq, output) in outputs() {
        let record = emit(&emitter, Format::Ocsf, &output, seq).unwrap().value;
        let alert = record["unmapped"]["alerttrail"]["system_alert_id"]
            .as_str()
            .unwrap()
            .to_owned();
        let rows = rows.entry(alert).or_default();
        let Output::Summary(_) = output else {
            rows.push(serde_json::json!({
                "uid": record["metadata"]["uid"],
                "type_uid": record["type_uid"],
                "type_name": record["type_name"],
                "created_time": record["time"],
            }));
            continue;
        };
        let info = &record["finding_info"];
        let listed: Vec<&Value> = info["related_events"].as_array().into_iter().flatten().collect();
        let first: Vec<&Value> = rows.iter().take(LISTED).collect();
        assert_eq!(listed, first);
        assert_eq!(info["related_events_count"], rows.len());
        // The times of the finding cover its events; the alert's window is in the native record.
        let time = |row: Option<&Value>| row.map(|row| row["created_time"].clone());
        assert_eq!(record.get("start_time"), time(rows.first()).as_ref());
        assert_eq!(record.get("end_time"), time(rows.last()).as_ref());
        assert!(record["unmapped"]["alerttrail"]["window"]["start"].is_string());
        longer += usize::from(rows.len() > LISTED);
    }
    assert!(longer > 3, "{longer} findings with more activities than are listed");
}
