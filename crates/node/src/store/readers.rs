//! The stores that are open in this process, for API requests that read them while partition tasks continue to write.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::disk::Handle;
use super::{Reader, State};

/// The stores that are open in this process, by partition. A reader may keep a store open only during one API request,
/// because the partition task waits for it before it closes the store.
#[derive(Default, Debug)]
pub struct Readers {
    open: Mutex<BTreeMap<i32, Handle>>,
}

impl Readers {
    /// Adds the store of a partition, which is available to readers until its partition task closes it.
    pub fn add(&self, partition: i32, store: &State) {
        self.lock().insert(partition, store.handle());
    }

    /// Returns the stores that are open now, in the order of their partitions.
    pub fn open(&self) -> Vec<(i32, Reader)> {
        let mut readers = Vec::new();
        self.lock().retain(|partition, handle| match handle.reader() {
            Some(reader) => {
                readers.push((*partition, reader));
                true
            }
            None => false,
        });
        readers
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Handle>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
