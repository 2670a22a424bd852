//! The stores of an instance: on its disk, or in memory in builds without RocksDB.
//!
//! [`Backend`] and everything else that the join needs from a store come from the core. The processor uses [`State`]:
//! RocksDB (`rocks`), or memory in builds without it (`volatile`), under the same names. [`StateDir`] is the folder of
//! one instance, [`LogOrigin`] identifies the log that a partition's folder belongs to, and `Emitted` records how far
//! its output has been sent.

mod checksum;
mod emitted;
mod folder;
mod origin;
mod readers;
#[cfg(feature = "rocksdb")]
mod rocks;
#[cfg(feature = "rocksdb")]
use rocks as disk;
#[cfg(not(feature = "rocksdb"))]
mod volatile;
#[cfg(not(feature = "rocksdb"))]
use volatile as disk;

pub use alerttrail_core::store::{
    Backend, Batch, Direction, Error, Memory, Pair, Pairs, Reads, Span, Spilling, Table, Tree, Txn, keys,
};
pub use disk::{ON_DISK, Reader, Shared, Snapshot, State};
pub use emitted::{Emitted, Noted};
pub use folder::{StateDir, set_aside};
pub use origin::LogOrigin;
pub use readers::Readers;
