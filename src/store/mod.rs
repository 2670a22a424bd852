//! State: ordered tables of bytes, read through a transaction, changed by one atomic write.
//!
//! [`Base`] is what holds the state: [`Memory`], RocksDB (`rocks`), or first the one and then the other ([`Spilling`]).
//! [`State`] is what the processor uses: RocksDB, or `Volatile` in builds without it. Both come with the same types. A [`Txn`] lays
//! changes over a base and reads its own writes, so that the join is the same code over all of them; what it gathered becomes one
//! [`Batch`]. [`keys`] lays out the bytes of every key. [`StateDir`] is the folder of one instance, [`Origin`] says which log a partition's
//! folder belongs to, `Emitted` how far its output has gone out. Damage is never repaired: it is an error that [`Error::is_corruption`]
//! knows, and the state is rebuilt from the log. Nothing here knows what the state means. The differential test `tests/it/store.rs` holds
//! the bases against each other.

mod emitted;
mod errors;
#[cfg(feature = "rocksdb")]
mod flush;
mod folder;
pub mod keys;
#[cfg(feature = "rocksdb")]
mod manifest;
mod memory;
mod origin;
#[cfg(feature = "rocksdb")]
mod reader;
mod readers;
#[cfg(feature = "rocksdb")]
mod rocks;
mod seal;
mod spilling;
#[cfg(feature = "rocksdb")]
mod tables;
#[cfg(feature = "rocksdb")]
mod tuning;
mod txn;
#[cfg(not(feature = "rocksdb"))]
mod volatile;

pub use emitted::{Emitted, Noted};
pub use errors::Error;
pub use folder::{StateDir, set_aside};
pub use memory::Memory;
pub use origin::Origin;
pub use readers::Readers;
pub use spilling::Spilling;
pub use txn::Txn;
#[cfg(not(feature = "rocksdb"))]
pub use volatile::{Reader, Shared, Snapshot, Volatile as State};
#[cfg(feature = "rocksdb")]
pub use {
    reader::{Reader, Snapshot},
    rocks::{Rocks, Rocks as State},
    tuning::Shared,
};

/// The tables. Their numbers and names are part of the stored format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Table {
    /// Activities by day, key, time and identity: the row.
    Activities,
    /// Alerts by id: where they stand.
    Alerts,
    /// Alerts by id: the row of the version that counts.
    AlertRows,
    /// Closed alerts by key and end of window: the window's beginning.
    ClosedWindows,
    /// What is to be done to an alert and when.
    Timers,
    /// Everything there is one of.
    Meta,
}

impl Table {
    /// Every table.
    pub const ALL: [Self; 6] = [
        Self::Activities,
        Self::Alerts,
        Self::AlertRows,
        Self::ClosedWindows,
        Self::Timers,
        Self::Meta,
    ];

    /// The table's name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Self::Activities => "activities",
            Self::Alerts => "alerts",
            Self::AlertRows => "alert_rows",
            Self::ClosedWindows => "answered",
            Self::Timers => "timers",
            Self::Meta => "meta",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// The order of a scan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Smallest key first.
    Forward,
    /// Greatest key first.
    Backward,
}

/// The keys from `from` (included) to `to` (excluded).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// The first key inside.
    pub from: Vec<u8>,
    /// The first key behind.
    pub to: Vec<u8>,
}

impl Span {
    fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

/// A key and its value.
pub type Pair = (Box<[u8]>, Box<[u8]>);

/// The pairs of a scan.
pub type Pairs<'a> = Box<dyn Iterator<Item = Result<Pair, Error>> + 'a>;

/// Changes that happen all or not at all: removed spans first, then each table's changes by key.
#[derive(Default, Debug)]
pub struct Batch {
    /// Spans all of whose keys go.
    pub removed: Vec<(Table, Span)>,
    /// Per table (in the order of [`Table::ALL`]) the new value of a key; `None` removes it.
    pub changes: [std::collections::BTreeMap<Vec<u8>, Option<Vec<u8>>>; 6],
}

impl Batch {
    /// Whether anything in `table` changes.
    pub fn touches(&self, table: Table) -> bool {
        !self.changes[table.index()].is_empty() || self.removed.iter().any(|(removed, _)| *removed == table)
    }
}

/// Ordered tables that can be read.
pub trait Reads {
    /// The value of `key`.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// The pairs whose keys lie in `span`, in order.
    fn scan<'a>(&'a self, table: Table, span: Span, direction: Direction) -> Pairs<'a>;
}

/// What holds state: ordered tables with one writer.
pub trait Base: Reads {
    /// Carries out all changes of `batch`, or none.
    fn write(&mut self, batch: Batch) -> Result<(), Error>;

    /// Returns the bytes of the tables on disk; `None` when they are not on disk.
    fn disk_bytes(&self) -> Option<u64> {
        None
    }
}
