//! The processor's state in a build without RocksDB. It is in memory, with snapshots for readers while its partition
//! task continues to write. It is lost when the process ends, and the next process rebuilds it from the log.

use std::marker::PhantomData;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, Weak};

use super::Tree;
use super::{Backend, Batch, Direction, Error, Memory, Pairs, Reads, Span, Table};
pub use Volatile as State;

/// Whether state survives the process.
pub const ON_DISK: bool = false;

/// State that is lost when the process ends.
pub struct Volatile(Arc<RwLock<Memory>>);

/// A placeholder for the memory that RocksDB's stores share. Stores in memory share no limit.
#[derive(Clone)]
pub struct Shared;

/// Opens readers of a store.
#[derive(Debug)]
pub(super) struct Handle(Weak<RwLock<Memory>>);

/// A store that is kept open during one API request.
pub struct Reader(Arc<RwLock<Memory>>);

/// A store as it was at one moment.
pub struct Snapshot<'r> {
    memory: Memory,
    reader: PhantomData<&'r Reader>,
}

impl Shared {
    /// Returns the placeholder; the number of bytes has no effect.
    pub fn new(_: usize) -> Self {
        Self
    }
}

impl Volatile {
    /// Returns an empty store, whatever the folder contains.
    pub fn open(_: &Path, _: &Shared) -> Result<Self, Error> {
        Ok(Self(Arc::default()))
    }

    /// Does nothing, because there is no disk to flush to.
    pub fn begin_flush(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Returns no error, because nothing is written to a disk.
    pub fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Closes the store. Readers keep it until they are dropped.
    pub fn close(self) {}

    /// Returns a handle that opens readers of this store.
    pub(super) fn handle(&self) -> Handle {
        Handle(Arc::downgrade(&self.0))
    }
}

impl Handle {
    /// Returns a reader; `None` if the store has been closed.
    pub(super) fn reader(&self) -> Option<Reader> {
        self.0.upgrade().map(Reader)
    }
}

impl Reader {
    /// Returns the store as it is now. When a table is changed afterwards, it is copied once.
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            memory: lock(&self.0).clone(),
            reader: PhantomData,
        }
    }

    /// Returns the approximate number of bytes in the store.
    pub fn bytes(&self) -> u64 {
        lock(&self.0).bytes() as u64
    }
}

impl Reads for Volatile {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        lock(&self.0).get(table, key)
    }

    fn scan<'a>(&'a self, table: Table, span: Span, direction: Direction) -> Pairs<'a> {
        let tree = Arc::clone(lock(&self.0).table(table));
        scan(tree, span, direction)
    }
}

impl Backend for Volatile {
    fn write(&mut self, batch: Batch) -> Result<(), Error> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).write(batch)
    }
}

impl Reads for Snapshot<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.memory.get(table, key)
    }

    fn scan<'a>(&'a self, table: Table, span: Span, direction: Direction) -> Pairs<'a> {
        self.memory.scan(table, span, direction)
    }
}

fn lock(memory: &RwLock<Memory>) -> RwLockReadGuard<'_, Memory> {
    memory.read().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the pairs of a span. The tables are not locked in the meantime, so each pair is looked up after the previous
/// one.
fn scan<'a>(tree: Arc<Tree>, span: Span, direction: Direction) -> Pairs<'a> {
    if span.is_empty() {
        return Box::new(std::iter::empty());
    }
    let (mut from, mut to) = (Bound::Included(span.from), Bound::Excluded(span.to));
    Box::new(std::iter::from_fn(move || {
        let mut left = tree.range::<Vec<u8>, _>((from.as_ref(), to.as_ref()));
        let (key, value) = match direction {
            Direction::Forward => left.next(),
            Direction::Backward => left.next_back(),
        }?;
        let seen = Bound::Excluded(key.clone());
        match direction {
            Direction::Forward => from = seen,
            Direction::Backward => to = seen,
        }
        Some(Ok((key.clone().into(), value.clone().into())))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Readers, Txn};

    fn put(store: &mut Volatile, pairs: &[(&str, &str)]) {
        let mut txn = Txn::new(store);
        for (key, value) in pairs {
            txn.put(Table::Alerts, key.as_bytes().to_vec(), value.as_bytes().to_vec());
        }
        let batch = txn.into_batch();
        store.write(batch).unwrap();
    }

    fn all(reads: &impl Reads, direction: Direction) -> Vec<(String, String)> {
        let span = Span {
            from: b"a".to_vec(),
            to: b"z".to_vec(),
        };
        let text = |bytes: Box<[u8]>| String::from_utf8(bytes.into()).unwrap();
        let pairs = reads.scan(Table::Alerts, span, direction).map(Result::unwrap);
        pairs.map(|(key, value)| (text(key), text(value))).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_snapshot_does_not_change_while_the_store_is_written_to() {
        let readers = Readers::default();
        let mut store = Volatile::open(Path::new("nowhere"), &Shared::new(0)).unwrap();
        readers.add(7, &store);
        put(&mut store, &[("k1", "old"), ("k2", "old")]);
        let open = readers.open();
        assert_eq!(open.iter().map(|(partition, _)| *partition).collect::<Vec<_>>(), [7]);
        let before = open[0].1.snapshot();
        put(&mut store, &[("k1", "new"), ("k3", "new")]);
        let after = open[0].1.snapshot();
        let mut batch = Batch::default();
        let everything = Span {
            from: vec![],
            to: vec![0xff],
        };
        batch.removed.push((Table::Alerts, everything));
        store.write(batch).unwrap();

        assert_eq!(before.get(Table::Alerts, b"k1").unwrap().as_deref(), Some(&b"old"[..]));
        assert_eq!(all(&before, Direction::Forward), pairs(&[("k1", "old"), ("k2", "old")]));
        assert_eq!(
            all(&after, Direction::Backward),
            pairs(&[("k3", "new"), ("k2", "old"), ("k1", "new")])
        );
        assert_eq!(all(&store, Direction::Forward), []);
    }

    #[test]
    fn a_closed_store_has_no_readers() {
        let readers = Readers::default();
        let store = Volatile::open(Path::new("nowhere"), &Shared::new(0)).unwrap();
        readers.add(0, &store);
        assert_eq!(readers.open().len(), 1);
        drop(store);
        assert_eq!(readers.open().len(), 0);
    }
}
