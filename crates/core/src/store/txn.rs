use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::Bound;

use super::{Batch, Direction, Error, Pair, Pairs, Reads, Span, Table};

/// Changes on top of a base. Reads through the transaction see them; the base does not until they are written as one
/// [`Batch`].
pub struct Txn<'b, B> {
    base: &'b B,
    batch: Batch,
}

impl<'b, B: Reads> Txn<'b, B> {
    /// Returns a transaction on `base` without changes.
    pub fn new(base: &'b B) -> Self {
        Self {
            base,
            batch: Batch::default(),
        }
    }

    /// Returns the value of `key`.
    pub fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.changes(table).get(key) {
            Some(changed) => Ok(changed.clone()),
            None if self.is_removed(table, key) => Ok(None),
            None => self.base.get(table, key),
        }
    }

    /// Returns whether `key` exists.
    pub fn contains(&self, table: Table, key: &[u8]) -> Result<bool, Error> {
        Ok(self.get(table, key)?.is_some())
    }

    /// Sets the value of `key`.
    pub fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.batch.changes[table.index()].insert(key, Some(value));
    }

    /// Removes `key`.
    pub fn remove(&mut self, table: Table, key: Vec<u8>) {
        self.batch.changes[table.index()].insert(key, None);
    }

    /// Removes every key in `span`.
    pub fn remove_span(&mut self, table: Table, span: Span) {
        self.batch.changes[table.index()].retain(|key, _| *key < span.from || *key >= span.to);
        self.batch.removed.push((table, span));
    }

    /// Returns the pairs whose keys are in `span`, in order.
    pub fn scan<'a>(&'a self, table: Table, span: Span, direction: Direction) -> Pairs<'a> {
        if span.is_empty() {
            return Box::new(std::iter::empty());
        }
        let bounds = (Bound::Included(span.from.clone()), Bound::Excluded(span.to.clone()));
        let over = self.changes(table).range::<Vec<u8>, _>(bounds);
        let over: Box<dyn Iterator<Item = Change<'a>> + 'a> = match direction {
            Direction::Forward => Box::new(over),
            Direction::Backward => Box::new(over.rev()),
        };
        let under = self.base.scan(table, span, direction);
        let under: Pairs<'a> = match self.batch.removed.iter().any(|(removed, _)| *removed == table) {
            true => Box::new(under.filter(move |pair| !pair.as_ref().is_ok_and(|(key, _)| self.is_removed(table, key)))),
            false => under,
        };
        Box::new(Overlay {
            under: under.peekable(),
            over: over.peekable(),
            direction,
        })
    }

    /// Returns the first pair in `span`.
    pub fn first(&self, table: Table, span: Span, direction: Direction) -> Result<Option<Pair>, Error> {
        self.scan(table, span, direction).next().transpose()
    }

    /// Returns the changes collected so far.
    pub fn into_batch(self) -> Batch {
        self.batch
    }

    /// Returns the number of changed keys.
    pub fn len(&self) -> usize {
        self.batch.changes.iter().map(BTreeMap::len).sum()
    }

    /// Returns whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0 && self.batch.removed.is_empty()
    }

    fn changes(&self, table: Table) -> &BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        &self.batch.changes[table.index()]
    }

    fn is_removed(&self, table: Table, key: &[u8]) -> bool {
        let inside = |span: &Span| span.from.as_slice() <= key && key < span.to.as_slice();
        self.batch
            .removed
            .iter()
            .any(|(removed, span)| *removed == table && inside(span))
    }
}

type Change<'a> = (&'a Vec<u8>, &'a Option<Vec<u8>>);

/// Two ordered sequences merged into one. If both have a key, the upper one counts.
struct Overlay<'a> {
    under: Peekable<Pairs<'a>>,
    over: Peekable<Box<dyn Iterator<Item = Change<'a>> + 'a>>,
    direction: Direction,
}

impl Iterator for Overlay<'_> {
    type Item = Result<Pair, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.under.peek(), self.over.peek()) {
                (None, None) => return None,
                (Some(Err(_)), _) | (Some(_), None) => return self.under.next(),
                (None, Some(_)) => std::cmp::Ordering::Greater,
                (Some(Ok((under, _))), Some((over, _))) => match self.direction {
                    Direction::Forward => (**under).cmp(over),
                    Direction::Backward => (***over).cmp(under),
                },
            };
            match order {
                std::cmp::Ordering::Less => return self.under.next(),
                std::cmp::Ordering::Equal => drop(self.under.next()),
                std::cmp::Ordering::Greater => {}
            }
            if let Some((key, Some(value))) = self.over.next() {
                return Some(Ok((key.clone().into(), value.clone().into())));
            }
        }
    }
}
