//! State: ordered tables of bytes, which are read through a transaction and changed by one atomic write.
//!
//! A [`Backend`] contains the state: [`Memory`], a store on disk, or first the former and then the latter
//! ([`Spilling`]). A [`Txn`] lays changes over a base and reads its own writes, so the join is the same code over all
//! bases; its changes become one [`Batch`]. [`keys`] defines the bytes of every key. Damage is never repaired: it is an
//! error that [`Error::is_corruption`] recognises, and the state is rebuilt from the log. Nothing here depends on the
//! meaning of the state. The differential test `tests/it/store.rs` compares the bases with each other.

mod errors;
pub mod keys;
mod memory;
mod spilling;
mod txn;

pub use errors::Error;
pub use memory::{Memory, Tree};
pub use spilling::Spilling;
pub use txn::Txn;

/// The tables. Their numbers and names are part of the stored format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Table {
    /// Rows of activities, by day, key, time and dedup key.
    Activities,
    /// The state of alerts, by id.
    Alerts,
    /// For each alert, by id, the row of the version that counts.
    AlertRows,
    /// The beginnings of closed windows, by key, end of the window and alert.
    ClosedWindows,
    /// The timers of alerts.
    Timers,
    /// Single values.
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

    /// Returns the table's name on disk.
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

    /// Returns the place of the table in [`Table::ALL`].
    pub fn index(self) -> usize {
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
    /// The first key after the span.
    pub to: Vec<u8>,
}

impl Span {
    /// Returns whether no key is in the span.
    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

/// A key and its value.
pub type Pair = (Box<[u8]>, Box<[u8]>);

/// The pairs of a scan.
pub type Pairs<'a> = Box<dyn Iterator<Item = Result<Pair, Error>> + 'a>;

/// Changes that are written together or not at all: first the removed spans, then each table's changes by key.
#[derive(Default, Debug)]
pub struct Batch {
    /// The spans whose keys are removed.
    pub removed: Vec<(Table, Span)>,
    /// For each table, in the order of [`Table::ALL`], the new values of keys; `None` removes a key.
    pub changes: [std::collections::BTreeMap<Vec<u8>, Option<Vec<u8>>>; 6],
}

impl Batch {
    /// Returns whether anything in `table` changes.
    pub fn touches(&self, table: Table) -> bool {
        !self.changes[table.index()].is_empty() || self.removed.iter().any(|(removed, _)| *removed == table)
    }
}

/// Ordered tables that can be read.
pub trait Reads {
    /// Returns the value of `key`.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// Returns the pairs whose keys are in `span`, in order.
    fn scan<'a>(&'a self, table: Table, span: Span, direction: Direction) -> Pairs<'a>;
}

/// A store of state: ordered tables with one writer.
pub trait Backend: Reads {
    /// Writes all changes of `batch`, or none.
    fn write(&mut self, batch: Batch) -> Result<(), Error>;

    /// Returns the number of bytes of the tables on disk; `None` if they are not on disk.
    fn disk_bytes(&self) -> Option<u64> {
        None
    }
}
