use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::*;

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
