//! Which activities can be late, known without a look at the store.
//!
//! Hardly any activity is late, and to look for answered alerts behind its time costs a third of what it takes to store it. An activity at or
//! behind the end of every answered window lies in none of them. That end is no part of the state: whoever does not know it yet goes over
//! the table, once.

use super::state;
use crate::record::{AlertId, Key};
use crate::store::{Base, Direction, Error, Table, Txn, keys};
use crate::time::{EventTime, Window};

/// Behind every window that has been answered, once anybody has asked.
#[derive(Default, Debug)]
pub(super) struct Answered(Option<EventTime>);

impl Answered {
    /// Notes that an alert has been answered.
    pub(super) fn put<B: Base>(&mut self, key: &Key, window: Window, id: &AlertId, txn: &mut Txn<'_, B>) -> Result<(), Error> {
        self.0 = self.0.map(|end| end.max(window.to));
        txn.put(
            Table::Answered,
            keys::answered(key, window.to, id),
            state::encode(&window.from)?,
        );
        Ok(())
    }

    /// Whether there is an answered alert of `key` whose window ends behind `time`.
    pub(super) fn any_behind<B: Base>(&mut self, key: &Key, time: EventTime, txn: &Txn<'_, B>) -> Result<bool, Error> {
        if time >= self.end(txn)? {
            return Ok(false);
        }
        let span = keys::answered_behind(key, time, None);
        Ok(txn.first(Table::Answered, span, Direction::Forward)?.is_some())
    }

    fn end<B: Base>(&mut self, txn: &Txn<'_, B>) -> Result<EventTime, Error> {
        if let Some(end) = self.0 {
            return Ok(end);
        }
        let mut end = EventTime::MIN;
        for pair in txn.scan(Table::Answered, keys::all_answered(), Direction::Forward) {
            end = end.max(keys::answered_end(&pair?.0)?);
        }
        self.0 = Some(end);
        Ok(end)
    }
}
