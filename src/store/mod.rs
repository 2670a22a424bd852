//! The stores of an instance: on its disk, or in memory in builds without RocksDB.
//!
//! [`Base`] and everything else that the join needs from a store come from the core. The processor uses [`State`]:
//! RocksDB (`rocks`), or `Volatile` in builds without it, under the same names. [`StateDir`] is the folder of one
//! instance, [`Origin`] identifies the log that a partition's folder belongs to, and `Emitted` records how far its
//! output has been sent.

mod emitted;
#[cfg(feature = "rocksdb")]
mod flush;
mod folder;
#[cfg(feature = "rocksdb")]
mod manifest;
mod origin;
#[cfg(feature = "rocksdb")]
mod reader;
mod readers;
#[cfg(feature = "rocksdb")]
mod rocks;
mod seal;
#[cfg(feature = "rocksdb")]
mod tables;
#[cfg(feature = "rocksdb")]
mod tuning;
#[cfg(not(feature = "rocksdb"))]
mod volatile;

pub use alerttrail_core::store::{
    Base, Batch, Direction, Error, Memory, Pair, Pairs, Reads, Span, Spilling, Table, Tree, Txn, keys,
};
pub use emitted::{Emitted, Noted};
pub use folder::{StateDir, set_aside};
pub use origin::Origin;
pub use readers::Readers;
#[cfg(not(feature = "rocksdb"))]
pub use volatile::{Reader, Shared, Snapshot, Volatile as State};
#[cfg(feature = "rocksdb")]
pub use {
    reader::{Reader, Snapshot},
    rocks::{Rocks, Rocks as State},
    tuning::Shared,
};
