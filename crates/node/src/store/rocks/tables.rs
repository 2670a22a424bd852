use std::path::Path;

use rocksdb::{ColumnFamily, DB, DBIterator, IteratorMode, ReadOptions};

use super::super::checksum::verify_checksum;
use super::super::{Direction, Error, Pairs, Span, Table};
use super::failed;

/// Returns RocksDB's column family of a table.
pub(super) fn family(db: &DB, table: Table) -> Result<&ColumnFamily, Error> {
    db.cf_handle(table.name()).ok_or(Error::Damaged {
        what: "set of column families",
    })
}

/// Checks and returns the value that was found under `key`.
pub(super) fn value(table: Table, key: &[u8], found: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Error> {
    match (table, found) {
        (Table::Meta, Some(stored)) => Ok(Some(verify_checksum(key, &stored)?.to_vec())),
        (_, found) => Ok(found),
    }
}

/// Returns the pairs of a span. `iterate` opens an iterator over the current store or over a snapshot. Every error
/// passes through `on_error`.
pub(super) fn scan<'a>(
    (db, path): (&'a DB, &'a Path),
    table: Table,
    (span, direction): (Span, Direction),
    iterate: impl FnOnce(&ColumnFamily, ReadOptions, IteratorMode<'_>) -> DBIterator<'a>,
    on_error: impl Fn(Error) -> Error + 'a,
) -> Pairs<'a> {
    if span.is_empty() {
        return Box::new(std::iter::empty());
    }
    let family = match family(db, table) {
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
    let pairs = iterate(family, options, mode);
    Box::new(pairs.map(move |pair| {
        let (key, value) = pair.map_err(|error| on_error(failed(path, &error)))?;
        match table {
            Table::Meta => {
                let value = verify_checksum(&key, &value).map_err(&on_error)?.into();
                Ok((key, value))
            }
            _ => Ok((key, value)),
        }
    }))
}
