//! The batch run over a scenario's input.

use std::collections::BTreeMap;

use alerttrail::emit::{Emitter, Kind};
use alerttrail::pipeline::local::{self, Local};
use alerttrail::route::Arrival;
use alerttrail::shutdown::Shutdown;
use alerttrail::sink::dead_letter::DeadLetter;
use alerttrail::store::Memory;
use serde_json::Value;

use super::file::{Batch, Scenario, time};
use super::world::{config, emitter, router};

/// What comes out of the batch run: of each id the last record.
#[derive(Default)]
struct Fold(BTreeMap<String, Value>);

impl local::Output for Fold {
    fn record(&mut self, _: Kind, value: &[u8]) -> std::io::Result<()> {
        let record = super::show::parse(value);
        let id = record["id"].as_str().unwrap().to_owned();
        match record["op"].as_str() {
            Some("upsert") => self.0.insert(id, record),
            _ => self.0.remove(&id),
        };
        Ok(())
    }

    fn dead_letter(&mut self, _: DeadLetter<'_>) -> std::io::Result<()> {
        Ok(())
    }
}

/// The fold of the batch run is the stream's, in everything that does not tell of the way there.
pub(super) fn compare(scenario: &Scenario, streamed: &BTreeMap<String, Value>) {
    let config = config(scenario);
    let emitter = Emitter {
        limit: None,
        ..emitter(&config, scenario)
    };
    let mut local = Local::new(router(&config, 1, None), Memory::default(), None, emitter, Fold::default()).unwrap();
    let arrival = Arrival {
        now: time(&scenario.clock).to_wall(),
        timestamp: None,
    };
    let messages: Vec<Vec<u8>> = scenario.step.iter().filter_map(super::file::Step::message).collect();
    let numbered = (0..).zip(messages.iter().map(Vec::as_slice));
    local.messages("scenario", numbered, arrival).unwrap();
    let (_, batch) = local.end(&Shutdown::default()).unwrap().unwrap();
    let (batch, streamed) = (answers(&batch.0), answers(streamed));
    match scenario.batch {
        Batch::Same => assert_eq!(batch, streamed, "the batch run (left) and the stream end differently"),
        Batch::Differs => assert_ne!(batch, streamed, "the batch run is said to end otherwise, but does not"),
    }
}

/// What each record says of the answer, in a line. The version of the alert in a row and how an alert came to be answered depend on
/// the order of arrival; so does whether an alert is told of that has lost all its activities.
fn answers(fold: &BTreeMap<String, Value>) -> BTreeMap<String, String> {
    let mut answers = BTreeMap::new();
    for (id, record) in fold {
        let alert = format!("{} on {}", record["system_alert_id"], record["correlation_id"]);
        if record["kind"] == "activity" {
            let line = format!("{alert} with {} at {}", record["activity"], record["activity_time"]);
            answers.insert(id.clone(), line);
        } else if record["activity_count"] != 0 {
            let line = format!(
                "{alert}: {} in {}, {} to {}, {}",
                record["activity_count"],
                record["window"],
                record["first_activity_time"],
                record["last_activity_time"],
                record["alert"]
            );
            answers.insert(id.clone(), line);
        }
    }
    answers
}
