//! What the end of the log tells before anything is written: whether it (and the state) was made under the settings of this start, for
//! others would give other answers; and how far the input was read, where the group's own positions are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::Error;
use super::owners::Owners;
use crate::clock;
use crate::config::Config;
use crate::kafka::clients::{self, Logged};
use crate::kafka::{self, topics};
use crate::log::{LogRecord, Marks};
use crate::store::StateDir;
use crate::time::WallTime;

/// How many log records are read from the end in search of marks, at first; twice as many at each further try. Marks come at least
/// once a second from every router.
const FIRST_STEP: i64 = 500;

/// How far back, by the routers' clocks, a word on a source partition is searched for: every router that lives speaks once a second.
const LATELY: Duration = Duration::from_secs(120);
/// The longest stretch that is read in that search: the group waits for it.
const MOST: i64 = 200_000;

/// Fails when a store that is here was made under other settings.
pub(super) fn check_state(config: &Config, dir: &StateDir) -> Result<(), Error> {
    Owners::new(config, dir).check_all()
}

/// Fails when the log was written under other settings.
pub(super) fn check_log(config: &Config, settings: [u8; 32]) -> Result<(), Error> {
    let topic = &config.repartition.topic;
    let read = |cause| {
        Error::Kafka(kafka::Error::Read {
            topics: topic.clone(),
            cause,
        })
    };
    let consumer: BaseConsumer<Logged> = clients::consumer(config, "settings", None, Logged)?;
    let count = topics::partitions(&consumer, topic).map_err(read)?.unwrap_or(0);
    for partition in 0..i32::try_from(count).unwrap_or(0) {
        let mut last = None;
        let mut back = Backwards::new(&consumer, topic, partition).map_err(read)?;
        while last.is_none()
            && back
                .step(&mut |offset, marks| last = Some((offset, marks.settings)))
                .map_err(read)?
                == Step::Read
        {}
        match last {
            Some((offset, found)) if found != settings => {
                return Err(Error::OtherSettings {
                    topic: topic.clone(),
                    partition,
                    offset,
                });
            }
            // Every router writes its marks to every partition: one that agrees speaks for all.
            Some(_) => return Ok(()),
            None => {}
        }
    }
    Ok(())
}

/// How far routers say in the log that they have read these source partitions: everything before such a position is in the log. It is
/// the least over the log's partitions that tell of it. A source partition that is not in the answer was not read lately.
pub(super) fn read_before(config: &Config, wanted: BTreeSet<Source>) -> Result<BTreeMap<Source, i64>, kafka::Error> {
    let mut wanted = wanted;
    let topic = &config.repartition.topic;
    let read = |cause| kafka::Error::Read {
        topics: topic.clone(),
        cause,
    };
    let consumer: BaseConsumer<Logged> = clients::consumer(config, "settings", None, Logged)?;
    let count = topics::partitions(&consumer, topic).map_err(read)?.unwrap_or(0);
    let mut least: BTreeMap<Source, i64> = BTreeMap::new();
    for partition in 0..i32::try_from(count).unwrap_or(0) {
        let mut back = Backwards::new(&consumer, topic, partition).map_err(read)?;
        let mut found = Found::default();
        while !found.is_enough(&wanted) && back.step <= MOST {
            let mut stretch = Found::default();
            if back.step(&mut |_, marks| stretch.hear(&marks)).map_err(read)? == Step::Begin {
                break;
            }
            found.put_before(stretch);
        }
        if !found.positions.is_empty() {
            // Every router writes its marks to every partition: what is not told here is not told elsewhere.
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
pub(super) type Source = (String, i32);

/// What marks say, the latest word on each source partition: a topic that was made anew is read from its beginning again.
#[derive(Default)]
struct Found {
    positions: BTreeMap<Source, i64>,
    first: Option<WallTime>,
    last: Option<WallTime>,
}

impl Found {
    fn hear(&mut self, marks: &Marks) {
        for mark in &marks.sources {
            let partition = i32::try_from(mark.partition).unwrap_or(i32::MAX);
            self.positions.insert((mark.topic.clone(), partition), mark.position);
        }
        self.first = Some(self.first.map_or(marks.wall, |first| first.min(marks.wall)));
        self.last = Some(self.last.map_or(marks.wall, |last| last.max(marks.wall)));
    }

    fn put_before(&mut self, earlier: Self) {
        for (source, position) in earlier.positions {
            self.positions.entry(source).or_insert(position);
        }
        self.first = earlier.first.or(self.first);
        self.last = self.last.or(earlier.last);
    }

    fn is_enough(&self, wanted: &BTreeSet<Source>) -> bool {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return false;
        };
        first < last.minus(LATELY) || wanted.iter().all(|source| self.positions.contains_key(source))
    }
}

/// A partition of the log, read from its end to its beginning in stretches.
struct Backwards<'c> {
    consumer: &'c BaseConsumer<Logged>,
    topic: &'c str,
    partition: i32,
    low: i64,
    end: i64,
    step: i64,
}

/// What a step backwards came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A stretch was read.
    Read,
    /// There is nothing more before.
    Begin,
}

impl<'c> Backwards<'c> {
    fn new(consumer: &'c BaseConsumer<Logged>, topic: &'c str, partition: i32) -> KafkaResult<Self> {
        let (low, end) = consumer.fetch_watermarks(topic, partition, topics::TIMEOUT)?;
        Ok(Self {
            consumer,
            topic,
            partition,
            low,
            end,
            step: FIRST_STEP,
        })
    }

    /// Shows all marks of the stretch before the last one, in their order.
    fn step(&mut self, look: &mut dyn FnMut(i64, Marks)) -> KafkaResult<Step> {
        if self.end <= self.low {
            return Ok(Step::Begin);
        }
        let begin = self.low.max(self.end - self.step);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(self.topic, self.partition, Offset::Offset(begin))?;
        self.consumer.assign(&list)?;
        let began = clock::start();
        while began.elapsed() < topics::TIMEOUT {
            let Some(message) = self.consumer.poll(Duration::from_millis(100)) else {
                continue;
            };
            let message = message?;
            if message.offset() >= self.end {
                break;
            }
            if let Ok(LogRecord::Marks(marks)) = LogRecord::decode(message.payload().unwrap_or_default()) {
                look(message.offset(), marks);
            }
            if message.offset() + 1 >= self.end {
                break;
            }
        }
        self.end = begin;
        self.step = self.step.saturating_mul(2);
        Ok(Step::Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Mark;
    use crate::time::EventTime;

    fn marks(wall: i64, sources: &[(u32, i64)]) -> Marks {
        let mark = |&(partition, position): &(u32, i64)| Mark {
            topic: "a".into(),
            partition,
            position,
            time: None,
            idle: false,
            rejected: 0,
        };
        Marks {
            wall: WallTime(wall),
            clock: EventTime::from_ticks(0),
            topics: vec![("a".into(), 3)],
            sources: sources.iter().map(mark).collect(),
            settings: [0; 32],
        }
    }

    fn wanted(partitions: &[i32]) -> BTreeSet<Source> {
        partitions.iter().map(|partition| ("a".to_owned(), *partition)).collect()
    }

    #[test]
    fn the_latest_word_counts_even_when_it_is_less() {
        let mut found = Found::default();
        found.hear(&marks(5_000, &[(0, 600)]));
        found.hear(&marks(6_000, &[(0, 7)]));
        let mut earlier = Found::default();
        earlier.hear(&marks(4_000, &[(0, 500), (1, 40)]));
        found.put_before(earlier);
        assert_eq!(found.positions[&("a".to_owned(), 0)], 7);
        assert_eq!(found.positions[&("a".to_owned(), 1)], 40);
    }

    #[test]
    fn it_looks_back_until_all_is_found_but_not_for_ever() {
        let mut found = Found::default();
        assert!(!found.is_enough(&wanted(&[0])));
        found.hear(&marks(10_000_000, &[(0, 1)]));
        assert!(found.is_enough(&wanted(&[0])));
        assert!(!found.is_enough(&wanted(&[0, 1])));
        let lately = i64::try_from(LATELY.as_millis()).unwrap();
        let mut earlier = Found::default();
        earlier.hear(&marks(10_000_000 - lately - 1, &[(0, 1)]));
        found.put_before(earlier);
        assert!(found.is_enough(&wanted(&[0, 1])), "no router has spoken of it for so long");
    }
}
