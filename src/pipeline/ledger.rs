//! Which input offsets may be committed: those behind which everything sent has been acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::kafka::delivery::Flight;

/// Next offsets by topic and partition.
pub(super) type Positions = BTreeMap<(String, i32), i64>;

/// Messages read, in the order of reading, with what was sent because of them.
#[derive(Default)]
pub(super) struct Ledger {
    open: Entry,
    sealed: VecDeque<Entry>,
    changed: Positions,
}

#[derive(Default)]
struct Entry {
    flight: Arc<Flight>,
    positions: Positions,
}

impl Ledger {
    /// A message has been read; what is sent because of it belongs to the flight.
    pub(super) fn read(&mut self, topic: &str, partition: i32, next_offset: i64) -> Arc<Flight> {
        match self
            .open
            .positions
            .iter_mut()
            .find(|((name, number), _)| name == topic && *number == partition)
        {
            Some((_, position)) => *position = next_offset,
            None => {
                self.open.positions.insert((topic.to_owned(), partition), next_offset);
            }
        }
        self.flight()
    }

    /// The flight that is being filled.
    pub(super) fn flight(&self) -> Arc<Flight> {
        Arc::clone(&self.open.flight)
    }

    /// Reading of a partition begins here: a position to be committed although nothing was read yet.
    pub(super) fn begin(&mut self, topic: &str, partition: i32, position: i64) {
        self.changed.insert((topic.to_owned(), partition), position);
    }

    /// Closes the flight that is being filled.
    pub(super) fn seal(&mut self) {
        if !self.open.positions.is_empty() || !self.open.flight.is_empty() {
            self.sealed.push_back(std::mem::take(&mut self.open));
        }
    }

    /// Takes note of the flights that have been acknowledged, oldest first; whether none is left.
    pub(super) fn settle(&mut self) -> bool {
        while let Some(entry) = self.sealed.front()
            && entry.flight.is_empty()
        {
            let entry = self.sealed.pop_front().unwrap_or_default();
            self.changed.extend(entry.positions);
        }
        self.sealed.is_empty()
    }

    /// A partition is read by another router from now on: its offsets are not ours to commit.
    pub(super) fn forget(&mut self, topic: &str, partition: i32) {
        let key = (topic.to_owned(), partition);
        self.changed.remove(&key);
        self.open.positions.remove(&key);
        for entry in &mut self.sealed {
            entry.positions.remove(&key);
        }
    }

    /// The offsets that may be committed and have not been taken yet.
    pub(super) fn take_changed(&mut self) -> Positions {
        std::mem::take(&mut self.changed)
    }
}
