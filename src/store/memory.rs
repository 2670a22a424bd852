use std::collections::BTreeMap;
use std::ops::Bound;

use super::{Base, Batch, Direction, Error, Pairs, Reads, Span, Table};

/// State in memory: for tests, the simulation, and builds without RocksDB.
#[derive(Default, Debug, Clone)]
pub struct Memory {
    tables: [BTreeMap<Vec<u8>, Vec<u8>>; 6],
}

impl Memory {
    fn table(&self, table: Table) -> &BTreeMap<Vec<u8>, Vec<u8>> {
        &self.tables[table.index()]
    }

    /// Number of keys in `table`.
    pub fn len(&self, table: Table) -> usize {
        self.table(table).len()
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

impl Base for Memory {
    fn write(&mut self, batch: Batch) -> Result<(), Error> {
        for (table, span) in batch.removed {
            self.tables[table.index()].retain(|key, _| *key < span.from || *key >= span.to);
        }
        for (table, changes) in self.tables.iter_mut().zip(batch.changes) {
            for (key, value) in changes {
                match value {
                    Some(value) => table.insert(key, value),
                    None => table.remove(&key),
                };
            }
        }
        Ok(())
    }
}
