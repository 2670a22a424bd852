//! Generated traffic in every format: records as they are met in the field.

use alerttrail::config::Config;
use alerttrail::decode::Decoder;
use alerttrail::emit::Emitter;
use alerttrail::generate::{Generator, Messages, Options};
use alerttrail::join::{Joiner, Outbox, Output};
use alerttrail::log::LogRecord;
use alerttrail::route::{Arrival, Routed, Router, Settings};
use alerttrail::store::{Base as _, Memory, Txn};
use alerttrail::time::{WallTime, Widening};

use super::{FORMATS, Judge};

/// What the join says of generated traffic.
fn outputs() -> Vec<(i64, Output)> {
    let config = Config::defaults().unwrap();
    let settings = Settings {
        partitions: 1,
        max_wait: config.watermark.max_wait,
        max_future_skew: config.watermark.max_future_skew,
        tenants: false,
    };
    let mut router = Router::new(Decoder::new(config.decode.clone()), settings);
    let options = Options {
        activities: 4_000,
        alerts: 60,
        seed: 7,
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
    log.push(LogRecord::EndOfInput.encode(Vec::new()).unwrap());
    apply(&log)
}

fn apply(log: &[Vec<u8>]) -> Vec<(i64, Output)> {
    let mut base = Memory::default();
    let mut joiner = Joiner::open(&base, None).unwrap().with_related(100);
    let mut outputs = Vec::new();
    let mut outbox = Outbox::default();
    for (offset, bytes) in (0..).zip(log) {
        let mut txn = Txn::new(&base);
        joiner.begin(offset, LogRecord::decode(bytes).unwrap(), &mut txn).unwrap();
        while !joiner.step(&mut txn, &mut outbox).unwrap() {
            outputs.extend(outbox.drain().map(|(at, output)| (at.offset, output)));
        }
        outputs.extend(outbox.drain().map(|(at, output)| (at.offset, output)));
        let batch = txn.into_batch();
        base.write(batch).unwrap();
    }
    outputs
}

#[test]
fn generated_traffic_is_valid_in_every_format() {
    let (judge, mut wrong) = (Judge::new(), Vec::new());
    let emitter = Emitter {
        format: alerttrail::emit::Format::Native,
        widening: Widening::default(),
        summaries: true,
        unmatched: true,
        limit: None,
    };
    let outputs = outputs();
    let mut records = 0;
    for (seq, output) in &outputs {
        for format in FORMATS {
            records += judge.judge(&emitter, format, output, *seq, &mut wrong);
        }
    }
    assert!(records > 1_000, "{records} records of {} outputs prove little", outputs.len());
    wrong.truncate(20);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
