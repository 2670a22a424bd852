//! Tracks which input offsets may be committed: those up to which everything sent has been acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

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
    open: Group<A>,
    closed: VecDeque<Group<A>>,
    changed: Positions,
}

/// Messages that were read one after the other, and what was sent because of them.
#[derive(Debug, Default)]
struct Group<A> {
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
        let Group { positions, last, .. } = &mut self.open;
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Default)]
    struct Pending(AtomicU64);

    impl Acks for Pending {
        fn is_empty(&self) -> bool {
            self.0.load(Ordering::Relaxed) == 0
        }
    }

    impl Pending {
        fn set(&self, count: u64) {
            self.0.store(count, Ordering::Relaxed);
        }
    }

    fn changed(tracker: &mut OffsetTracker<Pending>) -> Vec<(i32, i64)> {
        tracker.remove_acknowledged();
        let changed = tracker.take_changed().into_iter();
        changed.map(|((_, partition), position)| (partition, position)).collect()
    }

    #[test]
    fn a_group_is_committed_when_it_and_all_before_it_are_acknowledged() {
        let mut tracker = OffsetTracker::<Pending>::default();
        let first = tracker.read("t", 0, 1);
        first.set(2);
        tracker.close_group();
        let second = tracker.read("t", 0, 2);
        assert!(
            Arc::ptr_eq(&second, &tracker.read("t", 1, 8)),
            "messages of one group share them"
        );
        second.set(1);
        assert_eq!(changed(&mut tracker), [], "the second group is still open");
        tracker.close_group();
        second.set(0);
        assert_eq!(changed(&mut tracker), [], "the first group is not acknowledged");
        first.set(0);
        assert_eq!(changed(&mut tracker), [(0, 2), (1, 8)]);
        assert_eq!(changed(&mut tracker), [], "they were returned already");
    }

    #[test]
    fn a_group_without_messages_is_waited_for_too() {
        let mut tracker = OffsetTracker::<Pending>::default();
        tracker.close_group();
        assert!(tracker.remove_acknowledged(), "nothing was sent");
        let update = tracker.acks();
        update.set(1);
        tracker.close_group();
        tracker.read("t", 0, 1);
        tracker.close_group();
        assert!(!tracker.remove_acknowledged());
        update.set(0);
        assert!(tracker.remove_acknowledged());
        assert_eq!(changed(&mut tracker), [(0, 1)]);
    }

    #[test]
    fn a_partition_that_was_forgotten_is_not_committed() {
        let mut tracker = OffsetTracker::<Pending>::default();
        tracker.begin("t", 0, 5);
        tracker.begin("t", 1, 6);
        tracker.read("t", 0, 7);
        tracker.close_group();
        tracker.read("t", 0, 8);
        tracker.read("t", 2, 9);
        tracker.forget("t", 0);
        tracker.close_group();
        assert_eq!(changed(&mut tracker), [(1, 6), (2, 9)]);
    }
}
