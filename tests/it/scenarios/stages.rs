//! The stages, assembled for one scenario, with their own clock.

use std::collections::BTreeMap;

use alerttrail::config::Config;
use alerttrail::decode::{Decoder, QUERY};
use alerttrail::emit::{Emitted, Emitter, Links};
use alerttrail::join::{Counts, Joiner, Limit, Outbox, Output, Retention};
use alerttrail::repartition::{RepartitionRecord, WatermarkUpdate};
use alerttrail::route::{Arrival, Idleness, Progress, Routed, Router, Seen, Settings};
use alerttrail::store::Backend;
use alerttrail::time::WallTime;

use super::backends::Backends;
use super::file::{Scenario, Step, time};
use super::show::{Names, Outcome};

/// The name of the input topic.
const TOPIC: &str = "input";

/// When the join ends a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Transactions {
    /// A record and all its outputs are one transaction.
    OnePerRecord,
    /// Every output ends a transaction. After it, a new joiner continues from the content of the store.
    RestartAfterEveryOutput,
}

pub(super) struct Stages<B: Backends> {
    config: Config,
    clock: WallTime,
    router: Router,
    progress: Progress,
    sources: Vec<Source>,
    tasks: Vec<Task<B::Backend>>,
    /// Declared after the tasks: fields are dropped in this order, so a backend on disk is closed before its folder is
    /// deleted.
    backends: B,
    transactions: Transactions,
    emitter: Emitter,
    names: Names,
    outputs: Vec<(i64, Output)>,
    ended: bool,
}

/// A partition of the input topic.
#[derive(Clone, Default)]
struct Source {
    position: i64,
    unread: i64,
}

/// The partition task of a partition of the repartition topic.
struct Task<B> {
    joiner: Joiner,
    backend: B,
    next_offset: i64,
}

impl<B: Backends> Stages<B> {
    pub(super) fn new(scenario: &Scenario, partitions: u32, transactions: Transactions, mut backends: B) -> Self {
        let config = config(scenario);
        let task = |partition| {
            let backend = backends.create(partition);
            Task {
                joiner: joiner(&backend, &config),
                backend,
                next_offset: 0,
            }
        };
        let tasks = (0..partitions as usize).map(task).collect();
        let mut stages = Self {
            clock: time(&scenario.clock).to_wall(),
            router: router(&config, partitions, scenario.limit),
            progress: Progress::default(),
            sources: vec![Source::default(); scenario.sources as usize],
            backends,
            tasks,
            transactions,
            emitter: emitter(&config, scenario),
            config,
            names: Names::default(),
            outputs: Vec::new(),
            ended: false,
        };
        stages.assign();
        stages
    }

    /// Runs one step and returns its output.
    pub(super) fn run(&mut self, step: &Step) -> Outcome {
        let mut outcome = Outcome::new(self.tasks.len());
        if let Some(message) = step.message() {
            self.read(&message, step, &mut outcome);
        } else if let Some(watermark) = &step.watermark {
            self.move_watermark(watermark, step.partition);
            self.send_watermark_update(&mut outcome);
        } else if let Some(clock) = &step.clock {
            let clock = time(clock).to_wall();
            assert!(clock >= self.clock, "the clock does not go back");
            self.clock = clock;
            self.send_watermark_update(&mut outcome);
        } else if step.watermark_update.is_some() {
            self.send_watermark_update(&mut outcome);
        } else if let Some(unread) = step.unread {
            let source = &mut self.sources[step.partition.unwrap_or(0) as usize];
            // Records that are no longer unread have been read; they belong to other tables.
            let partition = step.partition.unwrap_or(0);
            source.position += (source.unread - unread).max(0);
            source.unread = unread;
            self.progress.read(TOPIC, partition, source.position);
        } else if step.restart.is_some() {
            self.restart();
        } else {
            assert!(step.end.is_some(), "nothing happens in {step:?}");
            self.end_of_input(&mut outcome);
        }
        outcome.name(&mut self.names);
        outcome
    }

    /// Closes all open alerts, and returns the fold of all output.
    pub(super) fn end(mut self) -> BTreeMap<String, serde_json::Value> {
        self.close();
        self.names.into_fold()
    }

    /// Closes all open alerts. Returns all outputs of the join with their offsets in the repartition topic.
    pub(super) fn into_outputs(mut self) -> Vec<(i64, Output)> {
        self.close();
        self.outputs
    }

    fn close(&mut self) {
        if !self.ended {
            let mut outcome = Outcome::new(self.tasks.len());
            self.end_of_input(&mut outcome);
            outcome.name(&mut self.names);
        }
    }

    fn assign(&mut self) {
        for (partition, source) in (0..).zip(&self.sources) {
            self.progress.assign(TOPIC, partition, source.position, self.clock);
        }
    }

    fn read(&mut self, message: &[u8], step: &Step, outcome: &mut Outcome) {
        let arrival = Arrival {
            now: self.clock,
            timestamp: step.arrived.as_deref().map(|arrived| time(arrived).to_wall()),
        };
        let mut log = Vec::new();
        // A Kafka tombstone has no value.
        let message = (!message.is_empty()).then_some(message);
        let seen = self.router.route(message, arrival, &mut |routed| match routed {
            Routed::Record { partition, record } => log.push((partition, record.encode(Vec::new()).unwrap())),
            Routed::Rejected { index, reject } => outcome.note(match index {
                0 => format!("dead letter {}", reject.reason.as_str()),
                _ => format!("dead letter {} (record {index})", reject.reason.as_str()),
            }),
            Routed::OtherTable(table) => outcome.note(format!("other table {table}")),
            Routed::SecondTenant => outcome.note("second tenant"),
        });
        let partition = step.partition.unwrap_or(0);
        let source = &mut self.sources[partition as usize];
        source.position += 1;
        let mut read = self.progress.read(TOPIC, partition, source.position).unwrap();
        read.rejected(seen.rejected);
        if seen.activities > 0 {
            read.activities(seen.latest, self.clock);
        }
        note_seen(seen, outcome);
        for (partition, bytes) in log {
            self.apply(partition as usize, &bytes, outcome);
        }
    }

    /// Moves the watermark as activities without a key would, because the join does not see those.
    fn move_watermark(&mut self, watermark: &str, partition: Option<u32>) {
        let latest = time(watermark).plus(self.config.watermark.out_of_orderness);
        for (number, source) in (0..).zip(&mut self.sources) {
            if partition.is_none_or(|partition| partition == number) {
                source.position += 1;
                let read = self.progress.read(TOPIC, number, source.position).unwrap();
                read.activities(Some(latest), self.clock);
            }
        }
    }

    /// Sends a watermark update to every partition of the repartition topic.
    fn send_watermark_update(&mut self, outcome: &mut Outcome) {
        let watermark = &self.config.watermark;
        for (number, source) in (0..).zip(&self.sources) {
            let end = source.position + source.unread;
            self.progress.ended_at(TOPIC, number, end, self.clock);
        }
        let idleness = Idleness {
            timeout: watermark.idle_timeout,
            out_of_orderness: watermark.out_of_orderness,
        };
        let update = RepartitionRecord::WatermarkUpdate(WatermarkUpdate {
            wall: self.clock,
            clock: self
                .clock
                .minus(watermark.idle_timeout)
                .to_event()
                .minus(watermark.out_of_orderness),
            topics: vec![(TOPIC.to_owned(), self.sources.len() as u32)],
            sources: self.progress.source_watermarks(self.clock, idleness),
            settings: [0; 32],
        });
        self.progress.mark_sent();
        self.send_to_all(&update, outcome);
    }

    fn end_of_input(&mut self, outcome: &mut Outcome) {
        self.ended = true;
        self.send_to_all(&RepartitionRecord::EndOfInput, outcome);
    }

    fn send_to_all(&mut self, record: &RepartitionRecord<'_>, outcome: &mut Outcome) {
        let bytes = record.encode(Vec::new()).unwrap();
        for partition in 0..self.tasks.len() {
            self.apply(partition, &bytes, outcome);
        }
    }

    fn apply(&mut self, partition: usize, bytes: &[u8], outcome: &mut Outcome) {
        let task = &mut self.tasks[partition];
        let mut outbox = Outbox::new(match self.transactions {
            Transactions::OnePerRecord => Limit::default(),
            Transactions::RestartAfterEveryOutput => Limit { outputs: 1, bytes: 1 },
        });
        let mut records = std::iter::once((task.next_offset, RepartitionRecord::decode(bytes).unwrap()));
        task.next_offset += 1;
        while records.len() > 0 || task.joiner.has_work() {
            let changes = task.joiner.apply(&task.backend, &mut records, &mut outbox).unwrap();
            task.backend.write(changes).unwrap();
            for (at, output) in outbox.drain() {
                self.outputs.push((at.offset, output.clone()));
                let mut value = Vec::new();
                match self.emitter.emit(&output, at.offset, &mut value) {
                    Emitted::Record(headers) => outcome.record(partition, headers, value),
                    Emitted::TooLarge(_) => outcome.note("dead letter too_large"),
                    Emitted::Omitted => {}
                }
            }
            for (link, counts) in task.joiner.take_counts().iter() {
                note_counts(counts, self.emitter.links.name(link), outcome);
            }
            if self.transactions == Transactions::RestartAfterEveryOutput {
                task.joiner = joiner(&task.backend, &self.config);
            }
        }
        assert_eq!(task.joiner.next_offset(), task.next_offset);
    }

    fn restart(&mut self) {
        let tasks = std::mem::take(&mut self.tasks);
        for (partition, task) in tasks.into_iter().enumerate() {
            let backend = self.backends.reopen(partition, task.backend);
            let joiner = joiner(&backend, &self.config);
            assert_eq!(joiner.position(), task.joiner.position());
            self.tasks.push(Task { joiner, backend, ..task });
        }
        self.router = router(&self.config, self.tasks.len() as u32, self.emitter.limit);
        self.progress = Progress::default();
        self.assign();
    }
}

/// Returns the configuration that a file with the scenario's settings gives.
pub(super) fn config(scenario: &Scenario) -> Config {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), toml::to_string(&scenario.config).unwrap()).unwrap();
    Config::load(Some(file.path()), std::iter::empty()).unwrap_or_else(|errors| panic!("{errors}"))
}

pub(super) fn router(config: &Config, partitions: u32, limit: Option<usize>) -> Router {
    let settings = Settings {
        partitions,
        max_wait: config.watermark.max_wait,
        max_future_skew: config.watermark.max_future_skew,
        max_window_ahead: config.watermark.max_window_ahead,
        tenants: config.decode.tenants.is_some(),
    };
    let decoder = Decoder::new(config.decode.clone());
    Router::new(limit.into_iter().fold(decoder, Decoder::with_limit), settings)
}

/// Opens a joiner whose summaries list activities in every format: this must not change the output of formats that do
/// not list them.
fn joiner(backend: &impl Backend, config: &Config) -> Joiner {
    let link_retentions = config.decode.links.iter().map(|link| link.retention);
    Joiner::open(backend, Retention::new(config.state.retention, link_retentions))
        .unwrap()
        .with_related(3)
        .with_alert_updates(config.output.alert_updates)
}

pub(super) fn emitter(config: &Config, scenario: &Scenario) -> Emitter {
    Emitter {
        format: config.output.format,
        links: Links::new(&config.decode),
        summaries: config.output.summary_topic.is_some(),
        unmatched: config.output.unmatched == alerttrail::config::Unmatched::Emit,
        limit: scenario.limit,
    }
}

fn note_seen(seen: Seen, outcome: &mut Outcome) {
    for (count, note) in [
        (seen.tombstones, "tombstone"),
        (seen.timeless, "activity without key and time"),
        (seen.unreadable, "unreadable activity"),
        (seen.ignored, "ignored"),
        (seen.activities - seen.keyed, "activity without key"),
        (seen.future, "too far in the future"),
        (seen.far_windows, "window far ahead"),
        (seen.null_words, "null word as a key"),
        (seen.cut_keys, "too many keys"),
    ] {
        if count > 0 {
            outcome.note(note);
        }
    }
}

/// Adds each count once, because an alert goes to every partition of the repartition topic.
fn note_counts(counts: Counts, link: &str, outcome: &mut Outcome) {
    for (count, note) in [
        (counts.duplicate_activities, "delivered again"),
        (counts.expired_activities, "expired activity"),
        (counts.expired_alerts, "expired alert"),
        (counts.stale_alerts, "no newer version"),
        (counts.empty_windows, "empty window"),
    ] {
        if count > 0 && link == QUERY {
            outcome.note_once(note);
        } else if count > 0 {
            outcome.note_once(&format!("{note} by {link}"));
        }
    }
}
