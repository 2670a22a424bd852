//! Flushes writes to disk in the background, and detects when a flush fails.
//!
//! RocksDB retries a failed flush until it succeeds, and blocks writers in the meantime without an error: they wait for
//! memory, or for the flush. So nothing in this program waits inside RocksDB. It polls RocksDB
//! instead, and stops waiting when a flush has failed.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rocksdb::FlushOptions;

use super::super::{Error, Table};
use super::Rocks;

/// The time between two polls of RocksDB.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// The file that is written to find out what the file system reports.
const PROBE_FILE: &str = "PROBE";

impl Rocks {
    /// Begins to flush all writes to disk, all tables together, so that the files are always one state of the store.
    pub fn begin_flush(&self) -> Result<(), Error> {
        let mut options = FlushOptions::default();
        options.set_wait(false);
        let families: Vec<_> = Table::ALL
            .into_iter()
            .filter_map(|table| self.db.cf_handle(table.name()))
            .collect();
        self.db
            .flush_cfs_opt(&families, &options)
            .map_err(|error| self.failed(&error))
    }

    /// Fails if a flush has failed since the last call.
    pub fn check(&self) -> Result<(), Error> {
        // RocksDB counts the errors of all tables together, so this property is not read from a table.
        let errors = self.db.property_int_value("rocksdb.background-errors");
        let errors = errors.map_err(|error| self.failed(&error))?.unwrap_or_default();
        if errors <= self.seen_errors.swap(errors, Ordering::Relaxed) {
            return Ok(());
        }
        let cause = match self.probe() {
            Err(cause) => return Err(Error::io(&self.path, &cause)),
            Ok(()) => "what was written did not reach the disk, its file LOG says why".to_owned(),
        };
        Err(Error::Storage {
            path: self.path.display().to_string(),
            cause,
        })
    }

    /// Flushes all writes to disk, and waits for it.
    pub(super) fn flush(&self) -> Result<(), Error> {
        self.begin_flush()?;
        while self.sum("rocksdb.num-immutable-mem-table")? > 0 {
            self.check()?;
            thread::sleep(POLL_INTERVAL);
        }
        self.check()
    }

    /// Flushes all writes to disk for the last time. On a full disk, closing the store would wait inside RocksDB until
    /// space is available. Then the store stays open until the process ends, which is the next step anyway.
    pub(super) fn end(&self) {
        if let Err(error @ Error::Full { .. }) = self.flush() {
            tracing::warn!(%error, "the store is not closed; what has not reached the disk is applied from the log again");
            std::mem::forget(Arc::clone(&self.db));
        }
    }

    /// Waits until RocksDB accepts writes again.
    pub(super) fn wait_for_room(&self) -> Result<(), Error> {
        loop {
            self.check()?;
            thread::sleep(POLL_INTERVAL);
            if self.property(Table::Meta, "rocksdb.is-write-stopped")? == 0 {
                return Ok(());
            }
        }
    }

    /// Finds out why a flush failed, because RocksDB only reports that it failed. The file system reports its error
    /// again for a file that is as large as the writes in memory.
    fn probe(&self) -> io::Result<()> {
        let path = self.path.join(PROBE_FILE);
        let unflushed = self.sum("rocksdb.cur-size-all-mem-tables").unwrap_or_default();
        let written = File::create(&path).and_then(|mut file| {
            io::copy(&mut io::repeat(0).take(unflushed), &mut file)?;
            file.sync_all()
        });
        match fs::remove_file(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => written.and(Err(cause)),
            _ => written,
        }
    }

    fn sum(&self, name: &str) -> Result<u64, Error> {
        Table::ALL.into_iter().map(|table| self.property(table, name)).sum()
    }

    fn property(&self, table: Table, name: &str) -> Result<u64, Error> {
        let value = self.db.property_int_value_cf(self.family(table)?, name);
        Ok(value.map_err(|error| self.failed(&error))?.unwrap_or_default())
    }
}
