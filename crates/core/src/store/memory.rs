use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::{Backend, Batch, Direction, Error, Pairs, Reads, Span, Table};

/// State in memory, for tests, the simulation, and builds without RocksDB. A clone shares each table with the original
/// until one of them changes it.
#[derive(Default, Debug, Clone)]
pub struct Memory {
    tables: [Arc<Tree>; 6],
    bytes: usize,
}

/// The content of a table.
pub type Tree = BTreeMap<Vec<u8>, Vec<u8>>;

impl Memory {
    /// Returns the content of `table`, shared with the copies of this state.
    pub fn table(&self, table: Table) -> &Arc<Tree> {
        &self.tables[table.index()]
    }

    /// Returns the number of keys in `table`.
    pub fn len(&self, table: Table) -> usize {
        self.table(table).len()
    }

    /// Returns the approximate number of bytes of the state.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns everything in it as batches to be written to an empty base.
    pub fn into_batches(self) -> impl Iterator<Item = Batch> {
        const AT_ONCE: usize = 1_000;
        self.tables.into_iter().enumerate().flat_map(|(table, pairs)| {
            let mut pairs = Arc::unwrap_or_clone(pairs).into_iter();
            std::iter::from_fn(move || {
                let mut batch = Batch::default();
                let changes = batch.changes.get_mut(table)?;
                changes.extend(pairs.by_ref().take(AT_ONCE).map(|(key, value)| (key, Some(value))));
                (!changes.is_empty()).then_some(batch)
            })
        })
    }
}

impl Reads for Memory {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.table(table).get(key).cloned())
    }

    fn scan<'a>(&'a self, table: Table, span: Span, direction: Direction) -> Pairs<'a> {
        if span.is_empty() {
            return Box::new(std::iter::empty());
        }
        let bounds = (Bound::Included(span.from), Bound::Excluded(span.to));
        let pairs = self.table(table).range::<Vec<u8>, _>(bounds);
        let owned = |(key, value): (&Vec<u8>, &Vec<u8>)| Ok((key.clone().into(), value.clone().into()));
        match direction {
            Direction::Forward => Box::new(pairs.map(owned)),
            Direction::Backward => Box::new(pairs.rev().map(owned)),
        }
    }
}

impl Backend for Memory {
    fn write(&mut self, batch: Batch) -> Result<(), Error> {
        let bytes = &mut self.bytes;
        for (table, span) in batch.removed {
            Arc::make_mut(&mut self.tables[table.index()]).retain(|key, value| {
                let stays = *key < span.from || *key >= span.to;
                if !stays {
                    *bytes -= size(key.len(), value);
                }
                stays
            });
        }
        let changed = self.tables.iter_mut().zip(batch.changes);
        for (table, changes) in changed.filter(|(_, changes)| !changes.is_empty()) {
            let table = Arc::make_mut(table);
            for (key, value) in changes {
                let length = key.len();
                let before = match value {
                    Some(value) => {
                        *bytes += size(length, &value);
                        table.insert(key, value)
                    }
                    None => table.remove(&key),
                };
                *bytes -= before.map_or(0, |before| size(length, &before));
            }
        }
        Ok(())
    }
}

/// Returns the approximate bytes of a key and its value, including their allocations and their share of the tree.
fn size(key: usize, value: &[u8]) -> usize {
    const BESIDE: usize = 96;
    key + value.len() + BESIDE
}
