use std::fs;
use std::path::{Path, PathBuf};

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, IteratorMode, Options, ReadOptions, WriteBatch,
    WriteBufferManager, WriteOptions,
};
use rustix::process::{Flock, FlockType, Pid, fcntl_getlk};

use super::{Base, Batch, Direction, Error, Pairs, Span, Table};

/// The version of the layout of keys and values on disk.
const FORMAT: u32 = 1;
/// The file that names it. It stands beside RocksDB's own, so that it can be read before RocksDB touches anything.
const FORMAT_FILE: &str = "FORMAT";

/// State on disk: one RocksDB, one column family for each table.
pub struct Rocks {
    db: DB,
    path: PathBuf,
    durability: Durability,
}

/// What a write must survive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// The end of the process, however it comes.
    Process,
    /// Nothing: the state is thrown away afterwards.
    None,
}

/// The memory that all stores of one process share: a setting that holds with 64 partitions as with one.
#[derive(Clone)]
pub struct Shared {
    cache: Cache,
    write_buffers: WriteBufferManager,
}

impl Shared {
    /// `bytes` for blocks read and for writes not yet on disk together; at most half of it for the latter.
    pub fn new(bytes: usize) -> Self {
        let cache = Cache::new_lru_cache(bytes);
        let write_buffers = WriteBufferManager::new_write_buffer_manager_with_cache(bytes / 2, false, cache.clone());
        Self { cache, write_buffers }
    }
}

impl Rocks {
    /// Opens the store in the folder `path`, or makes one.
    pub fn open(path: &Path, shared: &Shared, durability: Durability) -> Result<Self, Error> {
        let storage = |cause: std::io::Error| Error::Storage {
            path: path.display().to_string(),
            cause: cause.to_string(),
        };
        fs::create_dir_all(path).map_err(storage)?;
        check_format(path)?;
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_write_buffer_manager(&shared.write_buffers);
        options.set_max_background_jobs(2);
        options.set_keep_log_file_num(2);
        options.set_max_open_files(64);
        options.set_max_total_wal_size(256 << 20);
        let families = Table::ALL.map(|table| ColumnFamilyDescriptor::new(table.name(), family(table, shared)));
        let db = DB::open_cf_descriptors(&options, path, families).map_err(|error| failed(path, &error))?;
        if !path.join(FORMAT_FILE).exists() {
            let written = path.join("FORMAT.new");
            fs::write(&written, format!("{FORMAT}\n")).map_err(storage)?;
            fs::rename(written, path.join(FORMAT_FILE)).map_err(storage)?;
        }
        Ok(Self {
            db,
            path: path.to_owned(),
            durability,
        })
    }

    /// The process that has the store in the folder `path` open; `None` when nobody has, or no store is there.
    pub fn owner(path: &Path) -> Result<Option<i32>, Error> {
        let storage = |cause: std::io::Error| Error::Storage {
            path: path.display().to_string(),
            cause: cause.to_string(),
        };
        let lock = match fs::File::open(path.join("LOCK")) {
            Ok(lock) => lock,
            Err(cause) if matches!(cause.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(cause) => return Err(storage(cause)),
        };
        // To ask is no claim: RocksDB's lock is one of fcntl, which tells whose it is.
        let held = fcntl_getlk(&lock, &Flock::from(FlockType::WriteLock)).map_err(|error| storage(error.into()))?;
        Ok(held.map(|held| held.pid.map_or(0, Pid::as_raw_pid)))
    }

    /// Bytes of the tables on disk.
    pub fn disk_bytes(&self) -> u64 {
        let size = |table| {
            let family = self.family(table).ok()?;
            self.db.property_int_value_cf(family, "rocksdb.total-sst-files-size").ok()?
        };
        Table::ALL.into_iter().filter_map(size).sum()
    }

    fn family(&self, table: Table) -> Result<&rocksdb::ColumnFamily, Error> {
        self.db.cf_handle(table.name()).ok_or(Error::Damaged {
            what: "set of column families",
        })
    }

    fn failed(&self, error: &rocksdb::Error) -> Error {
        failed(&self.path, error)
    }
}

/// Rows are large and compress well, and most lookups of an activity find nothing (it is new): hence lz4 and a filter. The other tables
/// are small.
fn family(table: Table, shared: &Shared) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&shared.cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_format_version(5);
    let mut options = Options::default();
    if table == Table::Activities {
        blocks.set_bloom_filter(10.0, false);
        blocks.set_block_size(16 << 10);
        options.set_write_buffer_size(64 << 20);
        options.set_compression_type(DBCompressionType::Lz4);
    } else {
        options.set_write_buffer_size(8 << 20);
    }
    options.set_block_based_table_factory(&blocks);
    options
}

fn check_format(path: &Path) -> Result<(), Error> {
    let Ok(found) = fs::read_to_string(path.join(FORMAT_FILE)) else {
        return Ok(());
    };
    match found.trim() == FORMAT.to_string() {
        true => Ok(()),
        false => Err(Error::Version {
            path: path.display().to_string(),
            found: found.trim().chars().take(20).collect(),
            expected: FORMAT,
        }),
    }
}

fn failed(path: &Path, error: &rocksdb::Error) -> Error {
    let path = path.display().to_string();
    let cause = error.to_string();
    // RocksDB has no kind of its own for a lock that is held.
    match cause.contains("lock") && cause.contains("LOCK") {
        true => Error::InUse { path },
        false => Error::Storage { path, cause },
    }
}

impl Base for Rocks {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let value = self.db.get_cf(self.family(table)?, key);
        value.map_err(|error| self.failed(&error))
    }

    fn scan<'a>(&'a self, table: Table, span: Span, direction: Direction) -> Pairs<'a> {
        if span.is_empty() {
            return Box::new(std::iter::empty());
        }
        let family = match self.family(table) {
            Ok(family) => family,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        let mode = match direction {
            Direction::Forward => IteratorMode::Start,
            Direction::Backward => IteratorMode::End,
        };
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(span.from);
        options.set_iterate_upper_bound(span.to);
        let pairs = self.db.iterator_cf_opt(family, options, mode);
        Box::new(pairs.map(|pair| pair.map_err(|error| self.failed(&error))))
    }

    fn write(&mut self, batch: Batch) -> Result<(), Error> {
        let mut write = WriteBatch::default();
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
                    Some(value) => write.put_cf(family, key, value),
                    None => write.delete_cf(family, key),
                }
            }
        }
        let mut options = WriteOptions::default();
        options.disable_wal(self.durability == Durability::None);
        self.db.write_opt(write, &options).map_err(|error| self.failed(&error))?;
        for (table, span) in &batch.removed {
            // The span is gone already; this gives back the files that held nothing else at once.
            let given_back = self.db.delete_file_in_range_cf(self.family(*table)?, &span.from, &span.to);
            given_back.map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }
}
