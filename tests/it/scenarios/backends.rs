//! The stores that hold the state while a scenario runs.

use alerttrail::store::{Backend, Memory};

/// Creates the stores of one run.
pub(super) trait Backends {
    type Backend: Backend;

    /// Creates an empty store for this partition of the repartition topic.
    fn create(&mut self, partition: usize) -> Self::Backend;

    /// Returns the same store as a process that starts again finds it.
    fn reopen(&mut self, partition: usize, backend: Self::Backend) -> Self::Backend;
}

/// Stores in memory, which keep what was written.
pub(super) struct InMemory;

impl Backends for InMemory {
    type Backend = Memory;

    fn create(&mut self, _: usize) -> Memory {
        Memory::default()
    }

    fn reopen(&mut self, _: usize, backend: Memory) -> Memory {
        backend
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

impl Backends for OnDisk {
    type Backend = alerttrail::store::State;

    fn create(&mut self, partition: usize) -> Self::Backend {
        let path = self.folder.path().join(partition.to_string());
        Self::Backend::open(&path, &self.shared).unwrap()
    }

    fn reopen(&mut self, partition: usize, backend: Self::Backend) -> Self::Backend {
        // Dropping the backend releases its lock.
        drop(backend);
        self.create(partition)
    }
}
