//! Checks the end of the repartition topic before anything is written: whether it and the state were built with the
//! current settings, because others would give other results; and how far the input was read, if the group has lost its
//! positions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::Message as _;

use super::Error;
use super::partition_tasks::PartitionTasks;
use crate::config::Config;
use crate::kafka::clients::{self, Logged};
use crate::kafka::{self, reading, topics};
use crate::repartition::{RepartitionRecord, WatermarkUpdate};
use crate::store::StateDir;
use crate::time::WallTime;

/// How many repartition records to read from the end in the first search for watermark updates. The number doubles with
/// each further attempt. Every router sends a watermark update at least once a second.
const FIRST_STEP: i64 = 500;

/// How far back, by the routers' clocks, to search for a position of a source partition: every running router reports
/// it once a second.
const MAX_AGE: Duration = Duration::from_secs(120);
/// Maximum number of records in one step of that search, because the group waits for it.
const MAX_STEP: i64 = 200_000;

/// Fails if a local state was built with other settings.
pub(super) fn check_state(config: &Config, dir: &StateDir) -> Result<(), Error> {
    PartitionTasks::new(config, dir).check_all()
}

/// Fails if the repartition topic was written with other settings.
pub(super) fn check_log(config: &Config, settings: [u8; 32]) -> Result<(), Error> {
    let topic = &config.repartition.topic;
    let read = |cause| Error::Kafka(kafka::Error::read(topic, cause));
    let consumer: BaseConsumer<Logged> = clients::consumer(config, "settings", None, Logged)?;
    let count = topics::partitions(&consumer, topic).map_err(read)?.unwrap_or(0);
    for partition in 0..i32::try_from(count).unwrap_or(0) {
        let mut last = None;
        let mut back = Backwards::new(&consumer, topic, partition).map_err(read)?;
        while last.is_none()
            && back
                .step(&mut |offset, update| last = Some((offset, update.settings)))
                .map_err(read)?
                == BackwardStep::Read
        {}
        match last {
            Some((offset, found)) if found != settings => {
                return Err(Error::OtherSettings {
                    topic: topic.clone(),
                    partition,
                    offset,
                });
            }
            // Every router sends its watermark updates to every partition, so one partition is enough.
            Some(_) => return Ok(()),
            None => {}
        }
    }
    Ok(())
}

/// Returns how far routers report to have read these source partitions: everything before such a position is in the
/// log. It is the least over the partitions of the log that report one. Source partitions without a position were not
/// read recently.
pub(super) fn read_before(
    config: &Config,
    wanted: BTreeSet<SourcePartition>,
) -> Result<BTreeMap<SourcePartition, i64>, kafka::Error> {
    let mut wanted = wanted;
    let topic = &config.repartition.topic;
    let read = |cause| kafka::Error::read(topic, cause);
    let consumer: BaseConsumer<Logged> = clients::consumer(config, "settings", None, Logged)?;
    let count = topics::partitions(&consumer, topic).map_err(read)?.unwrap_or(0);
    let mut least: BTreeMap<SourcePartition, i64> = BTreeMap::new();
    for partition in 0..i32::try_from(count).unwrap_or(0) {
        let mut back = Backwards::new(&consumer, topic, partition).map_err(read)?;
        let mut found = LastPositions::default();
        while !found.is_enough(&wanted) && back.step <= MAX_STEP {
            let mut part = LastPositions::default();
            if back.step(&mut |_, update| part.add(&update)).map_err(read)? == BackwardStep::Begin {
                break;
            }
            found.put_before(part);
        }
        if !found.positions.is_empty() {
            // Every router sends its watermark updates to every partition: what this one does not report, no other
            // does.
            wanted.retain(|source| found.positions.contains_key(source));
        }
        if wanted.is_empty() {
            break;
        }
        for (source, position) in found.positions {
            if wanted.contains(&source) {
                let held = least.entry(source).or_insert(position);
                *held = position.min(*held);
            }
        }
    }
    Ok(least)
}

/// A source partition.
pub(super) type SourcePartition = (String, i32);

/// The latest reported position of each source partition. After a topic was created again, a lower position may follow
/// a higher one.
#[derive(Default)]
struct LastPositions {
    positions: BTreeMap<SourcePartition, i64>,
    first: Option<WallTime>,
    last: Option<WallTime>,
}

impl LastPositions {
    fn add(&mut self, update: &WatermarkUpdate) {
        for mark in &update.sources {
            let partition = i32::try_from(mark.partition).unwrap_or(i32::MAX);
            self.positions.insert((mark.topic.clone(), partition), mark.position);
        }
        self.first = Some(self.first.map_or(update.wall, |first| first.min(update.wall)));
        self.last = Some(self.last.map_or(update.wall, |last| last.max(update.wall)));
    }

    fn put_before(&mut self, earlier: Self) {
        for (source, position) in earlier.positions {
            self.positions.entry(source).or_insert(position);
        }
        self.first = earlier.first.or(self.first);
        self.last = self.last.or(earlier.last);
    }

    fn is_enough(&self, wanted: &BTreeSet<SourcePartition>) -> bool {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return false;
        };
        first < last.minus(MAX_AGE) || wanted.iter().all(|source| self.positions.contains_key(source))
    }
}

/// A partition of the log that is read from its end to its beginning, in stretches.
struct Backwards<'c> {
    consumer: &'c BaseConsumer<Logged>,
    topic: &'c str,
    partition: i32,
    low: i64,
    end: i64,
    step: i64,
}

/// Result of a step backwards.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BackwardStep {
    /// A part was read.
    Read,
    /// There are no records before.
    Begin,
}

impl<'c> Backwards<'c> {
    fn new(consumer: &'c BaseConsumer<Logged>, topic: &'c str, partition: i32) -> KafkaResult<Self> {
        let (low, end) = consumer.fetch_watermarks(topic, partition, clients::REQUEST_TIMEOUT)?;
        Ok(Self {
            consumer,
            topic,
            partition,
            low,
            end,
            step: FIRST_STEP,
        })
    }

    /// Calls `visit` with all watermark updates of the preceding part, in order.
    fn step(&mut self, visit: &mut dyn FnMut(i64, WatermarkUpdate)) -> KafkaResult<BackwardStep> {
        if self.end <= self.low {
            return Ok(BackwardStep::Begin);
        }
        let begin = self.low.max(self.end - self.step);
        let part = (self.topic, self.partition, begin, self.end);
        reading::read_ranges(self.consumer, &[part], clients::REQUEST_TIMEOUT, &mut |message| {
            if let Ok(RepartitionRecord::WatermarkUpdate(update)) =
                RepartitionRecord::decode(message.payload().unwrap_or_default())
            {
                visit(message.offset(), update);
            }
            true
        })?;
        self.end = begin;
        self.step = self.step.saturating_mul(2);
        Ok(BackwardStep::Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repartition::SourceWatermark;
    use crate::time::EventTime;

    fn watermark_update(wall: i64, sources: &[(u32, i64)]) -> WatermarkUpdate {
        let mark = |&(partition, position): &(u32, i64)| SourceWatermark {
            topic: "a".into(),
            partition,
            position,
            time: None,
            idle: false,
            rejected: 0,
        };
        WatermarkUpdate {
            wall: WallTime(wall),
            clock: EventTime::from_ticks(0),
            topics: vec![("a".into(), 3)],
            sources: sources.iter().map(mark).collect(),
            settings: [0; 32],
        }
    }

    fn wanted(partitions: &[i32]) -> BTreeSet<SourcePartition> {
        partitions.iter().map(|partition| ("a".to_owned(), *partition)).collect()
    }

    #[test]
    fn the_latest_position_counts_even_if_it_is_smaller() {
        let mut found = LastPositions::default();
        found.add(&watermark_update(5_000, &[(0, 600)]));
        found.add(&watermark_update(6_000, &[(0, 7)]));
        let mut earlier = LastPositions::default();
        earlier.add(&watermark_update(4_000, &[(0, 500), (1, 40)]));
        found.put_before(earlier);
        assert_eq!(found.positions[&("a".to_owned(), 0)], 7);
        assert_eq!(found.positions[&("a".to_owned(), 1)], 40);
    }

    #[test]
    fn the_search_ends_when_all_is_found_or_at_the_age_limit() {
        let mut found = LastPositions::default();
        assert!(!found.is_enough(&wanted(&[0])));
        found.add(&watermark_update(10_000_000, &[(0, 1)]));
        assert!(found.is_enough(&wanted(&[0])));
        assert!(!found.is_enough(&wanted(&[0, 1])));
        let max_age = i64::try_from(MAX_AGE.as_millis()).unwrap();
        let mut earlier = LastPositions::default();
        earlier.add(&watermark_update(10_000_000 - max_age - 1, &[(0, 1)]));
        found.put_before(earlier);
        assert!(found.is_enough(&wanted(&[0, 1])), "no router has spoken of it for so long");
    }
}
