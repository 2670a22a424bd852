//! Reads the output topic as a downstream consumer does, and compares it with the expected result.
//!
//! A record is identified by its id and seq. With at-least-once delivery it may be repeated, with the same bytes;
//! with exactly-once delivery it may not.

use std::collections::{BTreeMap, HashMap};
use std::io::BufRead as _;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::report::Mode;
use crate::support::{Instance, World};

/// The fields of a row that identify its pair.
#[derive(Deserialize)]
struct Row {
    id: String,
    seq: i64,
    op: String,
    system_alert_id: String,
    correlation_id: String,
    activity_time: String,
    reason: String,
}

/// The alert, the key and the activity time of a row.
type Pair = (String, String, String);

impl Row {
    fn pair(self) -> Pair {
        (self.system_alert_id, self.correlation_id, self.activity_time)
    }
}

/// The newest record of an id.
struct NewestRecord {
    seq: i64,
    upsert: bool,
    pair: Pair,
}

/// Everything read from the output topic so far.
pub(crate) struct Output {
    consumer: BaseConsumer,
    mode: Mode,
    /// The digest of the value, by id and seq.
    records: HashMap<(String, i64), [u8; 32]>,
    fold: BTreeMap<String, NewestRecord>,
    reasons: BTreeMap<String, usize>,
    repeats: usize,
}

impl Output {
    pub(crate) fn open(world: &World, mode: Mode) -> Self {
        Self::read(world, mode, "read_committed")
    }

    /// Returns a reader that also reads records of open and aborted transactions. In either mode these may be repeated.
    pub(crate) fn uncommitted(world: &World) -> Self {
        Self::read(world, Mode::AtLeastOnce, "read_uncommitted")
    }

    fn read(world: &World, mode: Mode, isolation: &str) -> Self {
        let mut config = world.client();
        config
            .set("group.id", "oracle")
            .set("enable.auto.commit", "false")
            .set("isolation.level", isolation)
            .set("fetch.wait.max.ms", "20");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..3 {
            list.add_partition_offset(&world.topic("rows"), partition, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&list).unwrap();
        Self {
            consumer,
            mode,
            records: HashMap::new(),
            fold: BTreeMap::new(),
            reasons: BTreeMap::new(),
            repeats: 0,
        }
    }

    /// Reads the available records, until there is none for `quiet`.
    pub(crate) fn catch_up(&mut self, quiet: Duration) {
        while let Some(message) = self.consumer.poll(quiet) {
            // The broker may be down in these tests.
            let Ok(message) = message else { continue };
            let value = message.payload().unwrap();
            let digest: [u8; 32] = Sha256::digest(value).into();
            let row: Row = serde_json::from_slice(value).unwrap();
            let key = (row.id.clone(), row.seq);
            if let Some(before) = self.records.insert(key, digest) {
                assert!(before == digest, "{} seq {} was sent twice, and differs", row.id, row.seq);
                self.repeats += 1;
                let (id, seq) = (&row.id, row.seq);
                assert!(
                    self.mode != Mode::ExactlyOnce,
                    "exactly once, and {id} seq {seq} was sent twice"
                );
                continue;
            }
            *self.reasons.entry(row.reason.clone()).or_default() += 1;
            if self.fold.get(&row.id).is_none_or(|newest| newest.seq < row.seq) {
                let (id, seq, upsert) = (row.id.clone(), row.seq, row.op == "upsert");
                let pair = row.pair();
                self.fold.insert(id, NewestRecord { seq, upsert, pair });
            }
        }
    }

    /// Returns the number of records without repeats.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns the number of repeats.
    pub(crate) fn repeats(&self) -> usize {
        self.repeats
    }

    /// Returns the number of records with this reason.
    pub(crate) fn reason(&self, reason: &str) -> usize {
        self.reasons.get(reason).copied().unwrap_or(0)
    }

    /// Returns the number of pairs of this alert that count.
    pub(crate) fn pairs_of(&self, alert: &str) -> usize {
        let newest = self.fold.values().filter(|newest| newest.upsert && newest.pair.0 == alert);
        newest.count()
    }

    /// Reads until `done` returns true. Panics if an instance ends or if it takes too long.
    pub(crate) fn wait(
        &mut self,
        goal: &str,
        timeout: Duration,
        instances: &mut [&mut Instance],
        done: impl Fn(&Self) -> bool,
    ) -> Duration {
        let began = Instant::now();
        loop {
            self.catch_up(Duration::from_millis(50));
            if done(self) {
                return began.elapsed();
            }
            for instance in instances.iter_mut() {
                instance.assert_runs();
            }
            assert!(
                began.elapsed() < timeout,
                "after {timeout:?} still no {goal}; {} records, {} repeats\n{}",
                self.len(),
                self.repeats,
                logs(instances)
            );
        }
    }

    /// Returns the number of missing pairs, and the number of pairs that should not be there.
    pub(crate) fn difference(&self, expected: &Expected) -> (usize, usize) {
        let is_present = |id: &String, pair: &Pair| self.fold.get(id).is_some_and(|newest| newest.upsert && newest.pair == *pair);
        let missing = expected.0.iter().filter(|(id, pair)| !is_present(id, pair)).count();
        let live = self.fold.iter().filter(|(_, newest)| newest.upsert);
        (missing, live.filter(|(id, _)| !expected.0.contains_key(*id)).count())
    }

    /// Waits until the fold is exactly the expected result, and asserts that it stays so.
    pub(crate) fn wait_for(&mut self, expected: &Expected, timeout: Duration, instances: &mut [&mut Instance]) {
        let began = Instant::now();
        loop {
            self.catch_up(Duration::from_millis(200));
            let (missing, wrong) = self.difference(expected);
            if (missing, wrong) == (0, 0) {
                break;
            }
            for instance in instances.iter_mut() {
                instance.assert_runs();
            }
            assert!(
                began.elapsed() < timeout,
                "{missing} of {} pairs are missing, {wrong} are wrong\n{}",
                expected.len(),
                logs(instances)
            );
        }
        // Later records must not change the result.
        std::thread::sleep(Duration::from_secs(1));
        self.catch_up(Duration::from_millis(200));
        assert_eq!(self.difference(expected), (0, 0));
    }
}

/// Returns the last log lines of each instance.
fn logs(instances: &[&mut Instance]) -> String {
    const LINES: usize = 25;
    let last = |log: String| {
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    };
    instances.iter().map(|instance| last(instance.log()) + "\n--\n").collect()
}

/// The expected result for everything sent: pairs by the id of their row.
pub(crate) struct Expected(BTreeMap<String, Pair>);

impl Expected {
    pub(crate) fn compute(world: &World) -> Self {
        let (rows, _) = world.correlate();
        let lines = std::io::BufReader::new(std::fs::File::open(rows).unwrap()).lines();
        let rows = lines.map(|line| {
            let row: Row = serde_json::from_str(&line.unwrap()).unwrap();
            (row.id.clone(), row.pair())
        });
        Self(rows.collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
