//! Tracks which input offsets may be committed: those up to which everything sent has been acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::kafka::delivery::PendingAcks;

/// Next offsets by topic and partition.
pub(super) type Positions = BTreeMap<(String, i32), i64>;

/// The messages that were read, in order, with the acknowledgements that are pending for them.
#[derive(Default)]
pub(super) struct OffsetTracker {
    open: Entry,
    closed: VecDeque<Entry>,
    changed: Positions,
}

#[derive(Default)]
struct Entry {
    acks: Arc<PendingAcks>,
    /// In the order in which partitions were first read.
    positions: Vec<Next>,
    /// Index of the partition that was read last. Usually the next message is of the same partition.
    last: usize,
}

/// The next offset of a partition.
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

impl OffsetTracker {
    /// Notes that a message was read. What is sent because of it must be counted in the returned pending
    /// acknowledgements.
    pub(super) fn read(&mut self, topic: &str, partition: i32, next_offset: i64) -> Arc<PendingAcks> {
        let Entry { positions, last, .. } = &mut self.open;
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
    pub(super) fn acks(&self) -> Arc<PendingAcks> {
        Arc::clone(&self.open.acks)
    }

    /// Notes that reading of a partition begins here, so that the position is committed before any message is read.
    pub(super) fn begin(&mut self, topic: &str, partition: i32, position: i64) {
        self.changed.insert((topic.to_owned(), partition), position);
    }

    /// Ends the current group of messages.
    pub(super) fn close_group(&mut self) {
        if !self.open.positions.is_empty() || !self.open.acks.is_empty() {
            self.closed.push_back(std::mem::take(&mut self.open));
        }
    }

    /// Removes the groups of messages that are acknowledged, oldest first. Returns whether none is left.
    pub(super) fn remove_acknowledged(&mut self) -> bool {
        while let Some(entry) = self.closed.front()
            && entry.acks.is_empty()
        {
            let entry = self.closed.pop_front().unwrap_or_default();
            let positions = entry.positions.into_iter();
            self.changed
                .extend(positions.map(|next| ((next.topic, next.partition), next.offset)));
        }
        self.closed.is_empty()
    }

    /// Forgets a partition that another router reads from now on, because its offsets must not be committed here.
    pub(super) fn forget(&mut self, topic: &str, partition: i32) {
        self.changed.remove(&(topic.to_owned(), partition));
        for entry in self.closed.iter_mut().chain([&mut self.open]) {
            entry.positions.retain(|next| !next.is_of(topic, partition));
        }
    }

    /// Returns the offsets that may be committed and have not been returned yet.
    pub(super) fn take_changed(&mut self) -> Positions {
        std::mem::take(&mut self.changed)
    }
}
