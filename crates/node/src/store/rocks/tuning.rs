//! RocksDB's settings: how much memory and how many files it may use, and what it must check.

use rocksdb::{BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, Options, WriteBufferManager};

use super::super::Table;

/// The memory that all stores of one process share, so that the same setting suits one partition and 64.
#[derive(Clone)]
pub struct Shared {
    cache: Cache,
    write_buffers: WriteBufferManager,
}

impl Shared {
    /// Returns a common limit of `bytes` for blocks that are read and for writes that are not on disk yet. At most half
    /// of it is for the writes.
    pub fn new(bytes: usize) -> Self {
        let cache = Cache::new_lru_cache(bytes);
        // Without stalls: with them, a store that is written to would wait for the buffers of other stores, which are
        // not flushed in the meantime.
        let write_buffers = WriteBufferManager::new_write_buffer_manager_with_cache(bytes / 2, false, cache.clone());
        Self { cache, write_buffers }
    }
}

/// Whether a folder already contains a store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FolderState {
    New,
    Existing,
}

/// The memory that a table allocates at once while it collects writes. RocksDB's default is 1 MiB: 64 partitions with
/// six tables each would exceed the limit of all write buffers with almost nothing in them, and would continually write
/// small files.
const ARENA: usize = 64 << 10;

/// Returns the settings of one store.
pub(super) fn options(shared: &Shared, folder_state: FolderState) -> Options {
    let mut options = Options::default();
    // An existing store that lacks a part is damaged. An empty part in its place would give wrong results.
    options.create_if_missing(folder_state == FolderState::New);
    options.create_missing_column_families(folder_state == FolderState::New);
    options.set_paranoid_checks(true);
    // All tables are flushed together, so that the files alone are a state that the store was in.
    options.set_atomic_flush(true);
    options.set_write_buffer_manager(&shared.write_buffers);
    // A store has one writer, so a write buffer needs no memory of its own for each core.
    options.set_allow_concurrent_memtable_write(false);
    options.set_max_background_jobs(2);
    options.set_keep_log_file_num(2);
    options.set_max_open_files(64);
    options
}

/// Returns the settings of each table.
pub(super) fn families(shared: &Shared) -> Result<Vec<ColumnFamilyDescriptor>, rocksdb::Error> {
    let named = |table: Table| Ok(ColumnFamilyDescriptor::new(table.name(), family(table, shared)?));
    Table::ALL.into_iter().map(named).collect()
}

/// The number of files on level 0 at which writes wait.
const STOP_TRIGGER: i32 = 36;

/// API requests read snapshots, and whenever a snapshot ends, RocksDB rewrites files that could be smaller without it.
/// This costs a tenth of a core at full speed and saves almost nothing. This setting is the age in seconds that a file
/// must have to be rewritten; the Rust binding has no function for it, so it is set by name.
const COMPACTION_DELAY: &str = "bottommost_file_compaction_delay=4294967295";

/// The share of the write buffer that is used for a filter, which makes most searches in the buffer unnecessary: 64
/// KiB, about 20 bits for each activity that fits in the buffer.
const FILTER_SHARE: f64 = 0.001;

/// Returns the settings of a table.
///
/// Most lookups of an activity find nothing because it is new. Therefore the table of activities has a filter in each
/// file and over the write buffer. Its rows are compressed already (`repartition::RowCompressor`), so RocksDB writes
/// them as they are, in flushes and in every compaction. The other tables are small.
fn family(table: Table, shared: &Shared) -> Result<Options, rocksdb::Error> {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&shared.cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_format_version(5);
    let mut options = Options::default().get_options_from_string(COMPACTION_DELAY)?;
    if table == Table::Activities {
        blocks.set_bloom_filter(10.0, false);
        blocks.set_block_size(16 << 10);
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(FILTER_SHARE);
        options.set_write_buffer_size(64 << 20);
        options.set_compression_type(DBCompressionType::None);
    } else {
        options.set_write_buffer_size(8 << 20);
    }
    options.set_arena_block_size(ARENA);
    // A write either waits or it does not: `flush.rs` does not expect RocksDB to slow writes down.
    options.set_level_zero_slowdown_writes_trigger(STOP_TRIGGER);
    options.set_level_zero_stop_writes_trigger(STOP_TRIGGER);
    options.set_soft_pending_compaction_bytes_limit(0);
    options.set_block_based_table_factory(&blocks);
    Ok(options)
}
