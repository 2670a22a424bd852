//! How what was written comes to the disk, beside the work, and how it is told when it does not.
//!
//! RocksDB tries a flush that has failed again by itself, for as long as it takes, and whoever writes meanwhile waits in it without a word:
//! for room in memory, or for the flush. So nothing here waits in RocksDB. It is asked again and again, and a flush that failed ends the waiting.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rocksdb::FlushOptions;

use super::rocks::Rocks;
use super::{Error, Table};

/// Between two questions to RocksDB.
const PAUSE: Duration = Duration::from_millis(1);
/// What is written to see what the file system says.
const PROBE_FILE: &str = "PROBE";

impl Rocks {
    /// Begins to bring what was written to the disk, all tables at once: what is on the disk is a state as a whole.
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

    /// Fails when something that was to reach the disk did not since this was last asked.
    pub fn check(&self) -> Result<(), Error> {
        // Counted for all tables together, and told with none of them.
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

    /// Brings everything that was written to the disk.
    pub(super) fn flush(&self) -> Result<(), Error> {
        self.begin_flush()?;
        while self.sum("rocksdb.num-immutable-mem-table")? > 0 {
            self.check()?;
            thread::sleep(PAUSE);
        }
        self.check()
    }

    /// Brings what was written to the disk, for the last time. On a full disk, to close a store would wait in RocksDB until there is room: it
    /// stays open until the process ends, which is what comes next.
    pub(super) fn end(&self) {
        if let Err(error @ Error::Full { .. }) = self.flush() {
            tracing::warn!(%error, "the store is not closed; what has not reached the disk is applied from the log again");
            std::mem::forget(Arc::clone(&self.db));
        }
    }

    /// Waits until a write does not have to.
    pub(super) fn wait_for_room(&self) -> Result<(), Error> {
        loop {
            self.check()?;
            thread::sleep(PAUSE);
            if self.property(Table::Meta, "rocksdb.is-write-stopped")? == 0 {
                return Ok(());
            }
        }
    }

    /// RocksDB says that a flush failed, and not why. The file system says it again to a file as large as what waits in memory.
    fn probe(&self) -> io::Result<()> {
        let path = self.path.join(PROBE_FILE);
        let waiting = self.sum("rocksdb.cur-size-all-mem-tables").unwrap_or_default();
        let written = File::create(&path).and_then(|mut file| {
            io::copy(&mut io::repeat(0).take(waiting), &mut file)?;
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
