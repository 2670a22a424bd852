//! The batch run over a scenario's input.

use std::collections::BTreeMap;

use alerttrail::correlate::local::{self, Local, Resources, Scanner, Stream};
use alerttrail::decode::Settings;
use alerttrail::emit::Emitter;
use alerttrail::shutdown::Shutdown;
use alerttrail::source::file::Chunk;
use alerttrail::store::Memory;
use serde_json::Value;

use super::file::{Batch, Scenario};
use super::stages::{config, emitter};

/// The output of the batch run: the last record of each id.
#[derive(Default)]
struct Fold(BTreeMap<String, Value>);

impl local::Output for Fold {
    fn write(&mut self, stream: Stream, lines: &[u8]) -> std::io::Result<()> {
        if stream == Stream::DeadLetters {
            return Ok(());
        }
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let record = super::show::parse(line);
            let id = record["id"].as_str().unwrap().to_owned();
            match record["op"].as_str() {
                Some("upsert") => self.0.insert(id, record),
                _ => self.0.remove(&id),
            };
        }
        Ok(())
    }
}

/// Runs the batch join over `messages`, each of them a chunk.
fn join(messages: &[Vec<u8>], threads: usize, memory: usize, settings: &Settings, emitter: &Emitter) -> Fold {
    let resources = Resources {
        threads,
        memory,
        folder: std::env::temp_dir(),
    };
    let shutdown = Shutdown::default();
    let mut local = Local::new(
        settings.clone(),
        resources,
        Memory::default(),
        emitter.clone(),
        Fold::default(),
    )
    .unwrap();
    let mut scanner = Scanner::new(settings);
    for message in messages {
        let part = scanner.scan(Chunk::of("scenario", [message.as_slice()]));
        local.take(part, &shutdown).unwrap().unwrap();
    }
    local.end(&shutdown).unwrap().unwrap().1
}

/// Asserts that the folds of the batch run and of the stream are the same, apart from fields that depend on the order
/// of arrival.
pub(super) fn compare(scenario: &Scenario, streamed: &BTreeMap<String, Value>) {
    let config = config(scenario);
    let emitter = Emitter {
        limit: None,
        ..emitter(&config, scenario)
    };
    let messages: Vec<Vec<u8>> = scenario.step.iter().filter_map(super::file::Step::message).collect();
    let batch = join(&messages, 1, usize::MAX, &config.decode, &emitter);
    // The result does not depend on threads or memory, or on the order in which threads reach the memory.
    for (threads, memory) in [(1, 0), (3, usize::MAX), (3, 0)] {
        assert_eq!(
            join(&messages, threads, memory, &config.decode, &emitter).0,
            batch.0,
            "{threads} threads with {memory} bytes"
        );
    }
    let (batch, streamed) = (results(&batch.0), results(streamed));
    match scenario.batch {
        Batch::Same => assert_eq!(batch, streamed, "the batch run (left) and the stream end differently"),
        Batch::Differs => assert_ne!(batch, streamed, "the batch run is expected to end differently, but does not"),
    }
}

/// Returns one line for each record, without what depends on the order of arrival: the version of the alert in a row,
/// how an alert came to be closed, and whether an alert that has lost all its activities has a summary.
fn results(fold: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let mut results = BTreeMap::new();
    for (id, record) in fold {
        let alert = format!(
            "{} on {} by {}",
            record["system_alert_id"], record["correlation_id"], record["link"]
        );
        if record["kind"] == "activity" {
            let line = format!("{alert} with {} at {}", record["activity"], record["activity_time"]);
            results.insert(id.clone(), line);
        } else if record["activity_count"] != 0 {
            let line = format!(
                "{alert}: {} in {}, {} to {}, {}",
                record["activity_count"],
                record["window"],
                record["first_activity_time"],
                record["last_activity_time"],
                record["alert"]
            );
            results.insert(id.clone(), line);
        }
    }
    results
}
