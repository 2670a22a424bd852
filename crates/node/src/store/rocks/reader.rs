//! Gives read access to state on disk while its partition task continues to write.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use rocksdb::DB;

use super::super::{Direction, Error, Pairs, Reads, Span, Table};
use super::{Rocks, failed, tables};

/// Opens readers of a store.
#[derive(Debug)]
pub(in super::super) struct Handle {
    db: Weak<DB>,
    open_readers: Arc<OpenReaders>,
    path: PathBuf,
}

/// A store that is kept open during one API request.
pub struct Reader {
    /// Dropped before the guard, so that no reader uses the database when none is counted.
    db: Arc<DB>,
    path: PathBuf,
    _guard: ReaderGuard,
}

/// Counts the readers of one store.
#[derive(Default, Debug)]
pub(super) struct OpenReaders {
    state: Mutex<OpenReadersState>,
    left: Condvar,
}

#[derive(Default, Debug)]
struct OpenReadersState {
    count: usize,
    /// Whether the store is being closed.
    is_closing: bool,
}

/// Counts one reader until it is dropped.
struct ReaderGuard(Arc<OpenReaders>);

impl OpenReaders {
    /// Counts another reader; `None` if the store is being closed.
    fn enter(self: &Arc<Self>) -> Option<ReaderGuard> {
        let mut state = self.lock();
        if state.is_closing {
            return None;
        }
        state.count += 1;
        Some(ReaderGuard(Arc::clone(self)))
    }

    /// Refuses further readers.
    pub(super) fn refuse(&self) {
        self.lock().is_closing = true;
    }

    /// Refuses further readers and waits until none is left. Returns whether that was within `timeout`.
    pub(super) fn wait(&self, timeout: Duration) -> bool {
        self.refuse();
        let waited = self.left.wait_timeout_while(self.lock(), timeout, |state| state.count > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.count == 0
    }

    fn lock(&self) -> MutexGuard<'_, OpenReadersState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ReaderGuard {
    fn drop(&mut self) {
        self.0.lock().count -= 1;
        self.0.left.notify_all();
    }
}

/// A store as it was at one moment.
pub struct Snapshot<'r> {
    reader: &'r Reader,
    snapshot: rocksdb::Snapshot<'r>,
}

impl Rocks {
    /// Returns a handle that opens readers of this store.
    pub(in super::super) fn handle(&self) -> Handle {
        Handle {
            db: Arc::downgrade(&self.db),
            open_readers: Arc::clone(&self.open_readers),
            path: self.path.clone(),
        }
    }
}

impl Handle {
    /// Returns a reader, which keeps the store open; `None` if the store is being closed.
    pub(in super::super) fn reader(&self) -> Option<Reader> {
        let guard = self.open_readers.enter()?;
        Some(Reader {
            db: self.db.upgrade()?,
            path: self.path.clone(),
            _guard: guard,
        })
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
        super::disk_bytes(&self.db) + super::unflushed_bytes(&self.db)
    }
}

/// Readers return damage as an error. Only the partition task records it, so that the state is rebuilt.
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
    use std::sync::mpsc;
    use std::thread;

    use rocksdb::WaitForCompactOptions;

    use super::super::tests::write;
    use super::*;
    use crate::store::{Readers, Shared};

    fn files(store: &Rocks) -> Vec<String> {
        store.db.wait_for_compact(&WaitForCompactOptions::default()).unwrap();
        let files = store.db.live_files().unwrap();
        files.into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn snapshots_do_not_cause_files_to_be_rewritten() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Rocks::open(folder.path(), &Shared::new(1 << 20)).unwrap();
        let readers = Readers::default();
        readers.add(0, &store);
        // While a snapshot is open, RocksDB cannot drop the old value from a file; afterwards it could.
        write(&mut store, |txn| txn.put(Table::Alerts, b"key".to_vec(), b"old".to_vec()));
        let open = readers.open();
        let snapshot = open[0].1.snapshot();
        write(&mut store, |txn| txn.remove(Table::Alerts, b"key".to_vec()));
        store.flush().unwrap();
        write(&mut store, |txn| txn.put(Table::Alerts, b"key".to_vec(), b"new".to_vec()));
        let before = files(&store);
        assert_eq!(snapshot.get(Table::Alerts, b"key").unwrap().as_deref(), Some(&b"old"[..]));
        drop(snapshot);
        drop(open[0].1.snapshot());
        assert_eq!(before.len(), 1);
        assert_eq!(files(&store), before);
    }

    #[test]
    fn closing_a_store_waits_for_its_readers_and_refuses_new_ones() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Rocks::open(folder.path(), &Shared::new(1 << 20));
        let store = open().unwrap();
        let readers = Readers::default();
        readers.add(0, &store);
        let reading = readers.open();
        let (finished, has_finished) = mpsc::sync_channel(1);
        let reader = thread::spawn(move || {
            thread::sleep(Duration::from_millis(200));
            finished.send(()).unwrap();
            drop(reading);
        });
        store.close();
        assert!(has_finished.try_recv().is_ok(), "did not wait");
        assert_eq!(readers.open().len(), 0);
        open().unwrap().close();
        reader.join().unwrap();
    }

    #[test]
    fn dropping_a_store_does_not_wait_for_its_readers() {
        let folder = tempfile::tempdir().unwrap();
        let store = Rocks::open(folder.path(), &Shared::new(1 << 20)).unwrap();
        let readers = Readers::default();
        readers.add(0, &store);
        let reading = readers.open();
        let (dropped, is_dropped) = mpsc::sync_channel(1);
        thread::spawn(move || {
            drop(store);
            dropped.send(())
        });
        assert!(is_dropped.recv_timeout(Duration::from_secs(5)).is_ok(), "waits");
        assert_eq!((readers.open().len(), reading.len()), (0, 1));
        assert_eq!(reading[0].1.snapshot().get(Table::Alerts, b"key").unwrap(), None);
    }
}
