//! The stores that hold the state while a scenario runs.

use alerttrail::store::{Base, Memory};

/// Makes the stores of one run.
pub(super) trait Bases {
    type Base: Base;

    /// Makes an empty store for this partition of the repartition topic.
    fn make(&mut self, partition: usize) -> Self::Base;

    /// Returns the same store as a process that starts again finds it.
    fn reopen(&mut self, partition: usize, base: Self::Base) -> Self::Base;
}

/// Stores in memory, which keep what was written.
pub(super) struct InMemory;

impl Bases for InMemory {
    type Base = Memory;

    fn make(&mut self, _: usize) -> Memory {
        Memory::default()
    }

    fn reopen(&mut self, _: usize, base: Memory) -> Memory {
        base
    }
}

/// Stores in RocksDB: reopening closes the folder and opens it again.
pub(super) struct OnDisk {
    folder: tempfile::TempDir,
    shared: alerttrail::store::Shared,
}

impl Default for OnDisk {
    fn default() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            shared: alerttrail::store::Shared::new(16 << 20),
        }
    }
}

impl Bases for OnDisk {
    type Base = alerttrail::store::State;

    fn make(&mut self, partition: usize) -> Self::Base {
        let path = self.folder.path().join(partition.to_string());
        Self::Base::open(&path, &self.shared).unwrap()
    }

    fn reopen(&mut self, partition: usize, base: Self::Base) -> Self::Base {
        // Dropping the base releases its lock.
        drop(base);
        self.make(partition)
    }
}
