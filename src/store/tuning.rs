//! RocksDB's settings: what it may take of memory and files, and what it must check.

use rocksdb::{BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, Options, WriteBufferManager};

use super::Table;

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
        // Without stalls: a store that is written to would wait for buffers of other stores, which nobody empties meanwhile.
        let write_buffers = WriteBufferManager::new_write_buffer_manager_with_cache(bytes / 2, false, cache.clone());
        Self { cache, write_buffers }
    }
}

/// Whether a folder holds a store already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    New,
    Existing,
}

/// Memory that a table takes at once while it gathers writes. RocksDB would take 1 MiB: 64 partitions with six tables each would pass the
/// limit of all write buffers with next to nothing in them, and would write small files without end.
const ARENA: usize = 64 << 10;

/// The settings of one store.
pub(super) fn options(shared: &Shared, found: Found) -> Options {
    let mut options = Options::default();
    // Where there was a store, one that lacks a part is damaged. To begin anew there would be a wrong answer.
    options.create_if_missing(found == Found::New);
    options.create_missing_column_families(found == Found::New);
    options.set_paranoid_checks(true);
    // All tables reach the disk together, so that the files alone are a state the store was in.
    options.set_atomic_flush(true);
    options.set_write_buffer_manager(&shared.write_buffers);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(2);
    options.set_max_open_files(64);
    options
}

/// The settings of each table.
pub(super) fn families(shared: &Shared) -> Result<Vec<ColumnFamilyDescriptor>, rocksdb::Error> {
    let named = |table: Table| Ok(ColumnFamilyDescriptor::new(table.name(), family(table, shared)?));
    Table::ALL.into_iter().map(named).collect()
}

/// Files not yet sorted in with the others, at which writes wait.
const STOP_AT: i32 = 36;

/// Whoever asks reads a snapshot, and with the end of each RocksDB writes files anew that could be smaller without it: a tenth of a core at full
/// speed, to save next to nothing. Files must be so many seconds old for that; the binding knows this setting by its name only.
const LEFT_ALONE: &str = "bottommost_file_compaction_delay=4294967295";

/// Of the memory for writes, the filter that spares most lookups a search in it: 64 KiB, some 20 bits for each of the activities that fit.
const FILTER_SHARE: f64 = 0.001;

/// Rows are large and compress well, and most lookups of an activity find nothing (it is new): hence lz4, and a filter in each file and
/// over what is not in a file yet.
/// The other tables are small.
fn family(table: Table, shared: &Shared) -> Result<Options, rocksdb::Error> {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&shared.cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_format_version(5);
    let mut options = Options::default().get_options_from_string(LEFT_ALONE)?;
    if table == Table::Activities {
        blocks.set_bloom_filter(10.0, false);
        blocks.set_block_size(16 << 10);
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(FILTER_SHARE);
        options.set_write_buffer_size(64 << 20);
        options.set_compression_type(DBCompressionType::Lz4);
    } else {
        options.set_write_buffer_size(8 << 20);
    }
    options.set_arena_block_size(ARENA);
    // A write waits or it does not: to be slowed down a little, in RocksDB, is not foreseen (see `flush.rs`).
    options.set_level_zero_slowdown_writes_trigger(STOP_AT);
    options.set_level_zero_stop_writes_trigger(STOP_AT);
    options.set_soft_pending_compaction_bytes_limit(0);
    options.set_block_based_table_factory(&blocks);
    Ok(options)
}
