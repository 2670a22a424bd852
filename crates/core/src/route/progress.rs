//! Tracks how far source partitions have been read: which of them are idle and what their watermarks are, and which
//! offsets may be committed, because everything sent up to them has been acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::repartition::SourceWatermark;
use crate::time::{EventTime, WallTime};

/// How far every source partition of one router has been read.
#[derive(Debug, Default)]
pub struct Progress {
    /// In the order of topics and partitions.
    sources: Vec<SourceProgress>,
    /// The index of the partition that was read last, because several messages in a row usually come from one
    /// partition.
    last: usize,
    /// The partitions that were revoked, in the state that they had then: after a rebalance, most are assigned again at
    /// once.
    left: Vec<SourceProgress>,
}

#[derive(Debug)]
struct SourceProgress {
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

impl Idleness {
    /// Returns the watermark that the clock alone gives, for use while every partition is idle.
    pub fn watermark_by_clock(self, now: WallTime) -> EventTime {
        now.minus(self.timeout).to_event().minus(self.out_of_orderness)
    }
}

/// The greatest number of log-end offsets that are kept. More of them within one timeout would add nothing.
const MAX_SAMPLES: usize = 64;

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
        let source = SourceProgress {
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
        let key = |source: &SourceProgress| source.topic.as_str().cmp(topic).then(source.partition.cmp(&partition));
        self.sources.binary_search_by(key)
    }

    fn get(&mut self, topic: &str, partition: u32) -> Option<&mut SourceProgress> {
        let is_last = |source: &SourceProgress| source.partition == partition && source.topic == topic;
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
    pub fn inactive_since(&mut self, topic: &str, partition: u32, since: WallTime) {
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
            if source.ends.len() > MAX_SAMPLES {
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
    pub fn mark_sent(&mut self) {
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

    /// Returns the position of a partition, if it is read here.
    pub fn position(&self, topic: &str, partition: u32) -> Option<i64> {
        let place = self.find(topic, partition).ok()?;
        self.sources.get(place).map(|source| source.position)
    }

    /// Returns the partitions and their positions.
    pub fn positions(&self) -> impl Iterator<Item = (&str, u32, i64)> {
        let sources = self.sources.iter();
        sources.map(|source| (source.topic.as_str(), source.partition, source.position))
    }
}

/// A partition that has just been read.
pub struct Read<'a> {
    source: &'a mut SourceProgress,
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

impl SourceProgress {
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

/// Returns whether two watermark updates with these entries say the same about watermarks. Positions change with every
/// message and alone do not justify an update.
pub fn are_equal_but_positions(one: &[SourceWatermark], other: &[SourceWatermark]) -> bool {
    let compared = |source: &SourceWatermark| (source.partition, source.time, source.idle);
    one.iter().map(compared).eq(other.iter().map(compared))
}

/// The acknowledgements that are pending for messages that were sent together.
pub trait Acks: Default {
    /// Returns whether every message has been acknowledged.
    fn is_empty(&self) -> bool;
}

/// Next offsets by topic and partition.
pub type Positions = BTreeMap<(String, i32), i64>;

/// The messages that were read, in order, with the acknowledgements that are pending for them.
#[derive(Debug, Default)]
pub struct OffsetTracker<A> {
    open: TrackedMessages<A>,
    closed: VecDeque<TrackedMessages<A>>,
    changed: Positions,
}

/// Messages that were read one after the other, and what was sent because of them.
#[derive(Debug, Default)]
struct TrackedMessages<A> {
    acks: Arc<A>,
    /// In the order in which partitions were first read.
    positions: Vec<Next>,
    /// Index of the partition that was read last. Usually the next message is of the same partition.
    last: usize,
}

/// The next offset of a partition.
#[derive(Debug)]
struct Next {
    topic: String,
    partition: i32,
    offset: i64,
}

impl Next {
    fn is_of(&self, topic: &str, partition: i32) -> bool {
        self.partition == partition && self.topic == topic
    }
}

impl<A: Acks> OffsetTracker<A> {
    /// Notes that a message was read. What is sent because of it must be counted in the returned pending
    /// acknowledgements.
    pub fn read(&mut self, topic: &str, partition: i32, next_offset: i64) -> Arc<A> {
        let TrackedMessages { positions, last, .. } = &mut self.open;
        if !positions.get(*last).is_some_and(|next| next.is_of(topic, partition)) {
            let known = positions.iter().position(|next| next.is_of(topic, partition));
            *last = known.unwrap_or_else(|| {
                positions.push(Next {
                    topic: topic.to_owned(),
                    partition,
                    offset: next_offset,
                });
                positions.len() - 1
            });
        }
        positions[*last].offset = next_offset;
        self.acks()
    }

    /// Returns the pending acknowledgements of the messages read since the last [`OffsetTracker::close_group`].
    pub fn acks(&self) -> Arc<A> {
        Arc::clone(&self.open.acks)
    }

    /// Notes that reading of a partition begins here, so that the position is committed before any message is read.
    pub fn begin(&mut self, topic: &str, partition: i32, position: i64) {
        self.changed.insert((topic.to_owned(), partition), position);
    }

    /// Ends the current group of messages.
    pub fn close_group(&mut self) {
        if !self.open.positions.is_empty() || !self.open.acks.is_empty() {
            self.closed.push_back(std::mem::take(&mut self.open));
        }
    }

    /// Removes the groups of messages that are acknowledged, oldest first. Returns whether none is left.
    pub fn remove_acknowledged(&mut self) -> bool {
        while let Some(group) = self.closed.front()
            && group.acks.is_empty()
        {
            let group = self.closed.pop_front().unwrap_or_default();
            let positions = group.positions.into_iter();
            self.changed
                .extend(positions.map(|next| ((next.topic, next.partition), next.offset)));
        }
        self.closed.is_empty()
    }

    /// Forgets a partition that another router reads from now on, because its offsets must not be committed here.
    pub fn forget(&mut self, topic: &str, partition: i32) {
        self.changed.remove(&(topic.to_owned(), partition));
        for group in self.closed.iter_mut().chain([&mut self.open]) {
            group.positions.retain(|next| !next.is_of(topic, partition));
        }
    }

    /// Returns the offsets that may be committed and have not been returned yet.
    pub fn take_changed(&mut self) -> Positions {
        std::mem::take(&mut self.changed)
    }
}
