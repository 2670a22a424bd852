//! Gives read access to state on disk while its owner continues to write.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rocksdb::DB;

use super::rocks::failed;
use super::{Direction, Error, Pairs, Reads, Rocks, Span, Table, tables};

/// Opens readers of a store.
#[derive(Debug)]
pub(super) struct Handle {
    db: Weak<DB>,
    /// Locked while a reader is opened, so that a store that is being closed gets no new readers.
    closed: Arc<Mutex<bool>>,
    path: PathBuf,
}

/// A store that is kept open during one API request.
pub struct Reader {
    db: Arc<DB>,
    path: PathBuf,
}

/// A store as it was at one moment.
pub struct Snapshot<'r> {
    reader: &'r Reader,
    snapshot: rocksdb::Snapshot<'r>,
}

impl Rocks {
    /// Returns a handle that opens readers of this store.
    pub(super) fn handle(&self) -> Handle {
        Handle {
            db: Arc::downgrade(&self.db),
            closed: Arc::clone(self.closed()),
            path: self.path.clone(),
        }
    }
}

impl Handle {
    /// Returns a reader, which keeps the store open; `None` if the store is being closed.
    pub(super) fn reader(&self) -> Option<Reader> {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let db = self.db.upgrade().filter(|_| !*closed)?;
        let path = self.path.clone();
        Some(Reader { db, path })
    }
}

impl Reader {
    /// Returns the store as it is now.
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            reader: self,
            snapshot: self.db.snapshot(),
        }
    }

    /// Returns the number of bytes of the tables: on disk, and in memory before a flush.
    pub fn bytes(&self) -> u64 {
        super::rocks::disk_bytes(&self.db) + super::rocks::unflushed_bytes(&self.db)
    }
}

/// Readers return damage as an error. Only the owner records it and has the state rebuilt.
impl Reads for Snapshot<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let found = self.snapshot.get_cf(tables::family(&self.reader.db, table)?, key);
        tables::value(table, key, found.map_err(|error| failed(&self.reader.path, &error))?)
    }

    fn scan<'a>(&'a self, table: Table, span: Span, direction: Direction) -> Pairs<'a> {
        tables::scan(
            (&self.reader.db, &self.reader.path),
            table,
            (span, direction),
            |family, options, mode| self.snapshot.iterator_cf_opt(family, options, mode),
            |error| error,
        )
    }
}

#[cfg(test)]
mod tests {
    use rocksdb::WaitForCompactOptions;

    use super::*;
    use crate::store::{Base, Readers, Shared, Txn};

    fn write(store: &mut Rocks, change: impl FnOnce(&mut Txn<'_, Rocks>)) {
        let mut txn = Txn::new(store);
        change(&mut txn);
        let batch = txn.into_batch();
        store.write(batch).unwrap();
    }

    fn files(store: &Rocks) -> Vec<String> {
        store.db.wait_for_compact(&WaitForCompactOptions::default()).unwrap();
        let files = store.db.live_files().unwrap();
        files.into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn questions_have_no_files_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Rocks::open(folder.path(), &Shared::new(1 << 20)).unwrap();
        let readers = Readers::default();
        readers.add(0, &store);
        // While a snapshot is open, RocksDB cannot drop the old value from a file; afterwards it could.
        write(&mut store, |txn| txn.put(Table::Alerts, b"key".to_vec(), b"old".to_vec()));
        let open = readers.open();
        let asked = open[0].1.snapshot();
        write(&mut store, |txn| txn.remove(Table::Alerts, b"key".to_vec()));
        store.flush().unwrap();
        write(&mut store, |txn| txn.put(Table::Alerts, b"key".to_vec(), b"new".to_vec()));
        let before = files(&store);
        assert_eq!(asked.get(Table::Alerts, b"key").unwrap().as_deref(), Some(&b"old"[..]));
        drop(asked);
        drop(open[0].1.snapshot());
        assert_eq!(before.len(), 1);
        assert_eq!(files(&store), before);
    }
}
