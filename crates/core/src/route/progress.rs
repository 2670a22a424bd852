//! Tracks how far source partitions have been read, and which of them are idle.

use std::collections::VecDeque;
use std::time::Duration;

use crate::log::SourceWatermark;
use crate::time::{EventTime, WallTime};

/// How far every source partition of one router has been read.
#[derive(Debug, Default)]
pub struct Progress {
    /// In the order of topics and partitions.
    sources: Vec<Source>,
    /// The index of the partition that was read last, because several messages in a row usually come from one
    /// partition.
    last: usize,
    /// The partitions that were revoked, in the state that they had then: after a rebalance, most are assigned again at
    /// once.
    left: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    topic: String,
    partition: u32,
    position: i64,
    latest: Option<EventTime>,
    /// Whether it was idle in the last watermark update, and no activity has been read since.
    idle: bool,
    /// The time at which an activity was last read, or at which reading began.
    active: WallTime,
    /// Log-end offsets with the times at which they were requested, oldest first.
    ends: VecDeque<(WallTime, i64)>,
    /// The number of dead-letter records that no watermark update has counted yet.
    rejected: u64,
}

/// The settings that determine when a partition is idle, and what its watermark is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Idleness {
    /// How long no activity must arrive before a partition is idle.
    pub timeout: Duration,
    /// How far out of order activities may arrive.
    pub out_of_orderness: Duration,
}

/// The greatest number of log-end offsets that are kept. More of them within one timeout would add nothing.
const MOST_SAMPLES: usize = 64;

impl Progress {
    /// Begins to read a partition at `position`. If this router has read it up to that position or further, what it
    /// knows of the partition's activities stays true.
    pub fn assign(&mut self, topic: &str, partition: u32, position: i64, now: WallTime) {
        let known = self
            .left
            .iter()
            .position(|left| left.partition == partition && left.topic == topic);
        let known = known.map(|place| self.left.swap_remove(place));
        let known = known.filter(|known| position <= known.position);
        let source = Source {
            topic: topic.to_owned(),
            partition,
            position,
            latest: known.as_ref().and_then(|known| known.latest),
            idle: false,
            active: known.map_or(now, |known| known.active),
            ends: VecDeque::new(),
            rejected: 0,
        };
        match self.find(topic, partition) {
            Ok(place) => self.sources[place] = source,
            Err(place) => self.sources.insert(place, source),
        }
    }

    /// Returns the index of the partition, or the index at which it must be inserted.
    fn find(&self, topic: &str, partition: u32) -> Result<usize, usize> {
        let key = |source: &Source| source.topic.as_str().cmp(topic).then(source.partition.cmp(&partition));
        self.sources.binary_search_by(key)
    }

    fn get(&mut self, topic: &str, partition: u32) -> Option<&mut Source> {
        let is_last = |source: &Source| source.partition == partition && source.topic == topic;
        if !self.sources.get(self.last).is_some_and(is_last) {
            self.last = self.find(topic, partition).ok()?;
        }
        self.sources.get_mut(self.last)
    }

    /// Removes a partition that another router reads from now on.
    pub fn revoke(&mut self, topic: &str, partition: u32) {
        if let Ok(place) = self.find(topic, partition) {
            let left = self.sources.remove(place);
            self.left.push(left);
        }
    }

    /// Notes that a partition has had no activity since this time, although another router read it.
    pub fn silent_since(&mut self, topic: &str, partition: u32, since: WallTime) {
        if let Some(source) = self.get(topic, partition) {
            source.active = source.active.min(since);
        }
    }

    /// Notes that everything before `position` has been read. The activities that were read are added to the returned
    /// value.
    pub fn read(&mut self, topic: &str, partition: u32, position: i64) -> Option<Read<'_>> {
        let source = self.get(topic, partition)?;
        source.position = source.position.max(position);
        Some(Read { source })
    }

    /// Notes that the log-end offset of the partition was `end` when the clock showed `at`.
    pub fn ended_at(&mut self, topic: &str, partition: u32, end: i64, at: WallTime) {
        if let Some(source) = self.get(topic, partition) {
            source.ends.push_back((at, end));
            if source.ends.len() > MOST_SAMPLES {
                source.ends.pop_front();
            }
        }
    }

    /// Returns the entries of the next watermark update, one for each partition.
    pub fn source_watermarks(&mut self, now: WallTime, idleness: Idleness) -> Vec<SourceWatermark> {
        let watermarks = self.sources.iter_mut().map(|source| {
            source.idle = source.is_idle(now, idleness.timeout);
            SourceWatermark {
                topic: source.topic.clone(),
                partition: source.partition,
                position: source.position,
                time: source.latest.map(|latest| latest.minus(idleness.out_of_orderness)),
                idle: source.idle,
                rejected: source.rejected,
            }
        });
        watermarks.collect()
    }

    /// Notes that the last entries have been sent.
    pub fn told(&mut self) {
        for source in &mut self.sources {
            source.rejected = 0;
        }
    }

    /// Returns the watermark of the partitions that are read here and are not idle; `None` while one of them has no
    /// activity time yet.
    pub fn watermark(&self, idleness: Idleness) -> Option<EventTime> {
        let awake = self.sources.iter().filter(|source| !source.idle);
        // `None` is less than every `Some`.
        let least = awake.map(|source| source.latest).min()??;
        Some(least.minus(idleness.out_of_orderness))
    }

    /// Returns the partitions and their positions.
    pub fn positions(&self) -> impl Iterator<Item = (&str, u32, i64)> {
        let sources = self.sources.iter();
        sources.map(|source| (source.topic.as_str(), source.partition, source.position))
    }
}

/// A partition that has just been read.
pub struct Read<'a> {
    source: &'a mut Source,
}

impl Read<'_> {
    /// Adds records that were read and sent to the dead-letter topic.
    pub fn rejected(&mut self, records: u64) {
        self.source.rejected += records;
    }

    /// Adds activities that were read at `now`. `latest` is the latest of their times that may move the watermark.
    pub fn activities(self, latest: Option<EventTime>, now: WallTime) {
        self.source.active = self.source.active.max(now);
        self.source.idle = false;
        self.source.latest = self.source.latest.max(latest);
    }
}

impl Source {
    /// Returns whether there has been no activity for the whole timeout, and everything that existed when the timeout
    /// began has been read. That no message arrives proves nothing: a throttled broker answers a fetch with no
    /// messages.
    fn is_idle(&mut self, now: WallTime, timeout: Duration) -> bool {
        let begin = now.minus(timeout);
        while self.ends.front().is_some_and(|(at, _)| *at < begin) {
            self.ends.pop_front();
        }
        let all_read = self.ends.front().is_some_and(|(_, end)| self.position >= *end);
        self.active <= begin && all_read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLENESS: Idleness = Idleness {
        timeout: Duration::from_millis(100),
        out_of_orderness: Duration::from_nanos(500),
    };

    fn at(millis: i64) -> WallTime {
        WallTime(millis)
    }

    fn idle(progress: &mut Progress, now: i64) -> bool {
        progress.source_watermarks(at(now), IDLENESS)[0].idle
    }

    #[test]
    fn the_watermark_of_a_partition_is_its_greatest_time_less_the_out_of_orderness() {
        let mut progress = Progress::default();
        progress.assign("t", 0, 0, at(0));
        assert_eq!(progress.source_watermarks(at(0), IDLENESS)[0].time, None);
        for ticks in [100, 90] {
            let read = progress.read("t", 0, 1).unwrap();
            read.activities(Some(EventTime::from_ticks(ticks)), at(0));
        }
        assert_eq!(
            progress.source_watermarks(at(0), IDLENESS)[0].time,
            Some(EventTime::from_ticks(95))
        );
    }

    #[test]
    fn the_watermark_is_the_least_of_those_that_are_not_idle() {
        let mut progress = Progress::default();
        assert_eq!(progress.watermark(IDLENESS), None);
        for (partition, ticks) in [(0, 100), (1, 50)] {
            progress.assign("t", partition, 0, at(0));
            assert_eq!(
                progress.watermark(IDLENESS),
                None,
                "partition {partition} has said nothing yet"
            );
            let read = progress.read("t", partition, 1).unwrap();
            read.activities(Some(EventTime::from_ticks(ticks)), at(0));
        }
        assert_eq!(progress.watermark(IDLENESS), Some(EventTime::from_ticks(45)));
        progress.ended_at("t", 1, 1, at(890));
        progress.ended_at("t", 1, 1, at(950));
        progress.read("t", 0, 2).unwrap().activities(None, at(1_000));
        progress.source_watermarks(at(1_000), IDLENESS);
        assert_eq!(progress.watermark(IDLENESS), Some(EventTime::from_ticks(95)));
        progress.read("t", 1, 2).unwrap().activities(None, at(1_000));
        assert_eq!(progress.watermark(IDLENESS), Some(EventTime::from_ticks(45)));
    }

    #[test]
    fn dead_letters_are_told_once() {
        let mut progress = Progress::default();
        progress.assign("t", 0, 0, at(0));
        progress.read("t", 0, 1).unwrap().rejected(2);
        progress.read("t", 0, 2).unwrap().rejected(1);
        let rejected = |progress: &mut Progress| progress.source_watermarks(at(0), IDLENESS)[0].rejected;
        assert_eq!(
            (rejected(&mut progress), rejected(&mut progress)),
            (3, 3),
            "nobody was told yet"
        );
        progress.told();
        assert_eq!(rejected(&mut progress), 0);
    }

    #[test]
    fn silence_alone_is_no_proof_of_idleness() {
        let mut progress = Progress::default();
        progress.assign("t", 0, 0, at(0));
        assert!(!idle(&mut progress, 1_000), "nobody has looked where the partition ends");
        progress.ended_at("t", 0, 7, at(950));
        assert!(!idle(&mut progress, 1_000), "seven records have not been read");
        progress.read("t", 0, 7).unwrap();
        assert!(idle(&mut progress, 1_000));
        assert!(!idle(&mut progress, 1_051), "the end is not known for the last 100 ms");
    }

    #[test]
    fn records_that_came_since_do_not_matter() {
        let mut progress = Progress::default();
        progress.assign("t", 0, 7, at(0));
        progress.ended_at("t", 0, 7, at(910));
        progress.ended_at("t", 0, 9, at(990));
        assert!(idle(&mut progress, 1_000));
    }

    #[test]
    fn a_partition_that_comes_back_is_as_silent_as_before() {
        let mut progress = Progress::default();
        progress.assign("t", 0, 0, at(0));
        progress
            .read("t", 0, 7)
            .unwrap()
            .activities(Some(EventTime::from_ticks(100)), at(5));
        let comes_back = |progress: &mut Progress, position| {
            progress.revoke("t", 0);
            progress.assign("t", 0, position, at(200));
            assert!(!idle(progress, 201), "its log-end offset is unknown");
            progress.ended_at("t", 0, position, at(201));
            idle(progress, 201)
        };
        assert!(comes_back(&mut progress, 7));
        assert_eq!(
            progress.source_watermarks(at(201), IDLENESS)[0].time,
            Some(EventTime::from_ticks(95))
        );
        assert!(comes_back(&mut progress, 4), "records are read again");
        assert!(
            !comes_back(&mut progress, 8),
            "another router has read a record, maybe an activity"
        );
    }

    #[test]
    fn an_activity_ends_idleness() {
        let mut progress = Progress::default();
        progress.assign("t", 0, 0, at(0));
        progress.ended_at("t", 0, 0, at(95));
        assert!(idle(&mut progress, 100));
        progress.read("t", 0, 1).unwrap().activities(None, at(100));
        assert!(!idle(&mut progress, 150));
    }
}
