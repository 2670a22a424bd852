//! State on disk: RocksDB.
//!
//! `tuning` has RocksDB's options, `tables` reads its column families, `reader` gives read access while the partition
//! task writes, `flush` writes to disk in the background, and `manifest` checks the file that RocksDB reads without
//! checking.

mod flush;
mod manifest;
mod reader;
mod tables;
mod tuning;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use rocksdb::{DB, ErrorKind, WriteBatch, WriteOptions};

use super::checksum::append_checksum;
use super::folder::write_durably;
use super::{Backend, Batch, Direction, Error, Pairs, Reads, Span, Table};
pub use Rocks as State;
pub(super) use reader::Handle;
use reader::OpenReaders;
pub use reader::{Reader, Snapshot};
use tuning::FolderState;
pub use tuning::Shared;

/// Whether state survives the process.
pub const ON_DISK: bool = true;

/// The version of the layout of keys and values on disk.
const FORMAT: u32 = 5;
/// The file that contains this version. It is separate from RocksDB's own files, so that it can be read before RocksDB
/// touches anything.
const FORMAT_FILE: &str = "FORMAT";
/// The file that records that the state is damaged and must be rebuilt.
const DAMAGED_FILE: &str = "DAMAGED";

/// State on disk: one RocksDB database with one column family for each table. There is no write-ahead log: a process
/// that is killed leaves the last flush, which is a state that the store was in. A store flushes when it is dropped or
/// closed.
pub struct Rocks {
    db: Arc<DB>,
    /// Counts the readers, which keep the database open while they read.
    open_readers: Arc<OpenReaders>,
    path: PathBuf,
    /// The number of failed flushes that have been reported.
    seen_errors: AtomicU64,
}

impl Rocks {
    /// Opens or creates the store in the folder `path`.
    pub fn open(path: &Path, shared: &Shared) -> Result<Self, Error> {
        let io = |cause| Error::io(path, &cause);
        fs::create_dir_all(path).map_err(io)?;
        let found = examine(path)?;
        let options = tuning::options(shared, found);
        let families = tuning::families(shared).map_err(|error| failed(path, &error))?;
        let db = DB::open_cf_descriptors(&options, path, families).map_err(|error| match error.kind() {
            // The store lacks one table or all of them.
            ErrorKind::InvalidArgument if found == FolderState::Existing => corrupt(path, error.to_string()),
            _ => failed(path, &error),
        })?;
        if found == FolderState::New {
            write_durably(&path.join(FORMAT_FILE), format!("{FORMAT}\n").as_bytes()).map_err(io)?;
        }
        Ok(Self {
            db: Arc::new(db),
            open_readers: Arc::default(),
            path: path.to_owned(),
            seen_errors: AtomicU64::new(0),
        })
    }

    /// Records in the folder that the state is damaged, so that it is rebuilt the next time it is opened. Damage that
    /// RocksDB finds is recorded automatically; the caller must report damage that the join finds in a value.
    pub fn mark_corrupt(&self, cause: &Error) {
        // Without this file, the damage is detected again when the same data is read.
        if let Err(error) = fs::write(self.path.join(DAMAGED_FILE), cause.to_string()) {
            tracing::warn!(%error, path = %self.path.display(), "cannot note that the store is damaged");
        }
    }

    /// Closes the store, so that its folder is free afterwards. Waits for its readers, which keep it open no longer
    /// than one API request takes.
    pub fn close(self) {
        /// Longer than any API request may take.
        const TIMEOUT: Duration = Duration::from_secs(10);
        if !self.open_readers.wait(TIMEOUT) {
            tracing::warn!(path = %self.path.display(), "the store is still being read; it stays open for that long");
        }
    }

    fn family(&self, table: Table) -> Result<&rocksdb::ColumnFamily, Error> {
        tables::family(&self.db, table)
    }

    fn failed(&self, error: &rocksdb::Error) -> Error {
        self.record_corruption(failed(&self.path, error))
    }

    /// Records an error about damaged data in the folder, and returns the error.
    fn record_corruption(&self, error: Error) -> Error {
        if error.is_corruption() {
            self.mark_corrupt(&error);
        }
        error
    }

    /// Deletes the files whose keys are all in removed spans. This cannot be undone, so the removal itself must be
    /// flushed first: otherwise an earlier state could return after a crash without the activities that it still needs.
    fn delete_obsolete_files(&self, removed: &[(Table, Span)]) -> Result<(), Error> {
        self.flush()?;
        for (table, span) in removed {
            // An empty span has no last key, or one before its first.
            let Some(last) = last_before(&span.to).filter(|last| *last >= span.from) else {
                continue;
            };
            let family = self.family(*table)?;
            let deleted = self.db.delete_file_in_range_cf(family, &span.from, &last);
            deleted.map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    fn prepare(&self, batch: &Batch) -> Result<WriteBatch, Error> {
        let mut write = WriteBatch::with_capacity_bytes(encoded_size_bound(batch));
        for (table, span) in &batch.removed {
            write.delete_range_cf(self.family(*table)?, &span.from, &span.to);
        }
        for (table, changes) in Table::ALL.into_iter().zip(&batch.changes) {
            if changes.is_empty() {
                continue;
            }
            let family = self.family(table)?;
            for (key, value) in changes {
                match value {
                    Some(value) if table == Table::Meta => write.put_cf(family, key, append_checksum(key, value)),
                    Some(value) => write.put_cf(family, key, value),
                    None => write.delete_cf(family, key),
                }
            }
        }
        Ok(write)
    }
}

/// Flushes the store. It does not wait for readers: [`Rocks::close`] does.
impl Drop for Rocks {
    fn drop(&mut self) {
        self.open_readers.refuse();
        self.end();
    }
}

/// Returns a key just before `end`, or `None` if no key is before it. A [`Span`] does not contain its end, but RocksDB
/// deletes a file whose last key is the end, too. Files with keys between the two stay, which costs space but nothing
/// else.
fn last_before(end: &[u8]) -> Option<Vec<u8>> {
    /// Above nearly everything that can follow in a key.
    const FILL: [u8; 64] = [0xff; 64];
    let (last, before) = end.split_last()?;
    Some(match last {
        0 => before.to_vec(),
        last => [before, &[last - 1], &FILL].concat(),
    })
}

/// Returns an upper bound of the bytes that RocksDB needs to encode the changes of a batch. A smaller buffer would grow
/// step by step and copy the rows at each step.
fn encoded_size_bound(batch: &Batch) -> usize {
    /// The bytes that RocksDB adds to a change: its kind, its table, and two lengths.
    const OVERHEAD: usize = 16;
    let value = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
    let changes = batch.changes.iter().flatten();
    changes.map(|(key, changed)| OVERHEAD + key.len() + value(changed)).sum()
}

/// Returns the number of bytes of the tables on disk.
fn disk_bytes(db: &DB) -> u64 {
    sum(db, "rocksdb.total-sst-files-size")
}

/// Returns the number of bytes of the tables that are not on disk yet.
fn unflushed_bytes(db: &DB) -> u64 {
    sum(db, "rocksdb.cur-size-all-mem-tables")
}

/// Returns the sum of a property over all tables.
fn sum(db: &DB, property: &str) -> u64 {
    let size = |table: Table| {
        let family = db.cf_handle(table.name())?;
        db.property_int_value_cf(family, property).ok()?
    };
    Table::ALL.into_iter().filter_map(size).sum()
}

/// Returns whether the folder contains a store, before RocksDB opens it. Fails if the store is damaged.
fn examine(path: &Path) -> Result<FolderState, Error> {
    let io = |cause| Error::io(path, &cause);
    if let Ok(note) = fs::read(path.join(DAMAGED_FILE)) {
        let note: String = String::from_utf8_lossy(&note).chars().take(500).collect();
        return Err(corrupt(path, format!("an earlier run noted: {note}")));
    }
    let format = match fs::read_to_string(path.join(FORMAT_FILE)) {
        Ok(format) => format,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(FolderState::New),
        Err(cause) if cause.kind() == io::ErrorKind::InvalidData => String::new(),
        Err(cause) => return Err(io(cause)),
    };
    match format.trim().parse::<u32>() {
        Ok(FORMAT) => {}
        Ok(_) => {
            return Err(Error::Version {
                path: path.display().to_string(),
                found: format.trim().chars().take(20).collect(),
                expected: FORMAT,
            });
        }
        Err(_) => return Err(corrupt(path, format!("the file {FORMAT_FILE} does not hold a number"))),
    }
    let missing = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => corrupt(path, "the list of its files is missing".to_owned()),
        _ => io(cause),
    };
    let current = fs::read(path.join("CURRENT")).map_err(missing)?;
    let name = String::from_utf8_lossy(&current).trim().to_owned();
    if !name.starts_with("MANIFEST-") || name.contains('/') {
        return Err(corrupt(path, "the file CURRENT is not what was written".to_owned()));
    }
    let manifest = fs::read(path.join(&name)).map_err(missing)?;
    manifest::check(&manifest).map_err(|cause| corrupt(path, format!("in {name}, {cause}")))?;
    Ok(FolderState::Existing)
}

fn corrupt(path: &Path, cause: String) -> Error {
    Error::Corrupt {
        path: path.display().to_string(),
        cause,
    }
}

/// Converts an error of RocksDB, which includes the operating system's error only in its text.
fn failed(path: &Path, error: &rocksdb::Error) -> Error {
    let cause = error.to_string();
    let contains_any = |words: &[&str]| words.iter().any(|words| cause.contains(words));
    let at = path.display().to_string();
    if contains_any(&["No space left on device", "Disk quota exceeded"]) {
        return Error::Full { path: at };
    }
    if contains_any(&["Too many open files"]) {
        return Error::TooManyFiles { path: at };
    }
    if contains_any(&["lock hold by current process", "While lock file"]) {
        let by = "another process".to_owned();
        return Error::InUse { path: at, by };
    }
    // A missing file is one that the store refers to and needs.
    match error.kind() == ErrorKind::Corruption || contains_any(&["No such file or directory"]) {
        true => corrupt(path, cause),
        false => Error::Storage { path: at, cause },
    }
}

impl Reads for Rocks {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let found = self
            .db
            .get_cf(self.family(table)?, key)
            .map_err(|error| self.failed(&error))?;
        tables::value(table, key, found).map_err(|error| self.record_corruption(error))
    }

    fn scan<'a>(&'a self, table: Table, span: Span, direction: Direction) -> Pairs<'a> {
        tables::scan(
            (&self.db, &self.path),
            table,
            (span, direction),
            |family, options, mode| self.db.iterator_cf_opt(family, options, mode),
            |error| self.record_corruption(error),
        )
    }
}

impl Backend for Rocks {
    fn write(&mut self, batch: Batch) -> Result<(), Error> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        options.set_no_slowdown(true);
        loop {
            match self.db.write_opt(self.prepare(&batch)?, &options) {
                // The write buffers are full of data that is not on disk yet. This is so rare that the batch can be
                // prepared again.
                Err(error) if error.kind() == ErrorKind::Incomplete => self.wait_for_room()?,
                written => break written.map_err(|error| self.failed(&error))?,
            }
        }
        match batch.removed.is_empty() {
            true => Ok(()),
            false => self.delete_obsolete_files(&batch.removed),
        }
    }

    fn disk_bytes(&self) -> Option<u64> {
        Some(disk_bytes(&self.db))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Txn;

    pub(super) fn write(store: &mut Rocks, change: impl FnOnce(&mut Txn<'_, Rocks>)) {
        let mut txn = Txn::new(store);
        change(&mut txn);
        let batch = txn.into_batch();
        store.write(batch).unwrap();
    }

    #[test]
    fn the_end_of_a_removed_span_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Rocks::open(folder.path(), &Shared::new(1 << 20)).unwrap();
        // The last span is empty.
        for (inside, end) in [("a", "b"), ("a", "b\0"), ("", "")] {
            let (inside, end) = (inside.as_bytes().to_vec(), end.as_bytes());
            write(&mut store, |txn| {
                txn.put(Table::Activities, inside.clone(), b"inside".to_vec());
                txn.put(Table::Activities, end.to_vec(), b"the end".to_vec());
            });
            store.flush().unwrap();
            // Only files below the first level are deleted.
            let family = store.family(Table::Activities).unwrap();
            store.db.compact_range_cf(family, None::<&[u8]>, None::<&[u8]>);
            let span = Span {
                from: inside.clone(),
                to: end.to_vec(),
            };
            write(&mut store, |txn| txn.remove_span(Table::Activities, span));
            assert_eq!(store.get(Table::Activities, &inside).unwrap().is_some(), inside == end);
            assert_eq!(store.get(Table::Activities, end).unwrap().as_deref(), Some(&b"the end"[..]));
        }
    }

    #[test]
    fn the_last_key_before_an_end_is_before_it() {
        for end in [&b"b"[..], b"b\0", b"\x01", b"\0", b"a\xff"] {
            assert!(last_before(end).unwrap().as_slice() < end, "{end:?}");
        }
        assert_eq!(last_before(b""), None);
        assert!(last_before(b"b").unwrap().as_slice() > &b"a and what follows it in a key"[..]);
    }
}
