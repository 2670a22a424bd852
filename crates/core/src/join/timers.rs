//! Finds the timer that is due next without scanning timers that were removed long ago.
//!
//! Timers are removed from the front of their table, and a store scans removed keys until it has compacted them. If
//! many alerts are due at the same time, a search from the beginning of the table for each of them would take quadratic
//! time. So for each kind of timer, this module remembers a key before which there is no timer. That key is not part of
//! the state: if it is not known yet, the first search begins at the beginning of the table.

use crate::record::LinkedAlert;
use crate::store::keys::{self, Timer};
use crate::store::{Base, Direction, Error, Span, Table, Txn};

/// For each kind, in the order of their numbers, a key before which there is no timer of that kind; empty if unknown.
#[derive(Default, Debug)]
pub(super) struct Timers([Vec<u8>; 4]);

impl Timers {
    /// Sets a timer. `time` is in the unit of its kind.
    pub(super) fn set<B: Base>(&mut self, timer: Timer, time: i64, id: &LinkedAlert, txn: &mut Txn<'_, B>) {
        let key = keys::timer(timer, time, id);
        let none_before = &mut self.0[place(timer)];
        if *none_before > key {
            none_before.clone_from(&key);
        }
        txn.put(Table::Timers, key, Vec::new());
    }

    /// Returns the key of the first timer of a kind whose time is at most `until`.
    pub(super) fn first<B: Base>(&mut self, timer: Timer, until: i64, txn: &Txn<'_, B>) -> Result<Option<Box<[u8]>>, Error> {
        let span = self.span(timer, until);
        let end = span.to.clone();
        let found = txn.first(Table::Timers, span, Direction::Forward)?.map(|(key, _)| key);
        let reached = found.as_deref().unwrap_or(&end);
        let none_before = &mut self.0[place(timer)];
        if none_before.as_slice() < reached {
            *none_before = reached.to_vec();
        }
        Ok(found)
    }

    /// Returns a span that contains all timers of a kind whose times are at most `until`.
    pub(super) fn span(&self, timer: Timer, until: i64) -> Span {
        let mut span = keys::timers_until(timer, until);
        let none_before = &self.0[place(timer)];
        if span.from < *none_before {
            span.from.clone_from(none_before);
        }
        span
    }
}

/// Returns the index of a kind. The numbers of the kinds begin at 1.
fn place(timer: Timer) -> usize {
    timer as usize - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::{AlertId, LinkId};
    use crate::store::Memory;

    proptest! {
        /// For any sequence of changes and queries, the result is the first timer in the table.
        #[test]
        fn the_first_is_the_first_of_the_table(steps in prop::collection::vec((0..3_u8, 0..20_i64, 0..3_u8), 1..60)) {
            let base = Memory::default();
            let (mut txn, mut timers) = (Txn::new(&base), Timers::default());
            for (what, time, alert) in steps {
                let alert = AlertId { tenant: "".into(), system_alert_id: alert.to_string().as_str().into() };
                let id = LinkedAlert { alert, link: LinkId::QUERY };
                match what {
                    0 => timers.set(Timer::Close, time, &id, &mut txn),
                    1 => txn.remove(Table::Timers, keys::timer(Timer::Close, time, &id)),
                    _ => {
                        let span = keys::timers_until(Timer::Close, time);
                        let expected = txn.first(Table::Timers, span, Direction::Forward).unwrap().map(|(key, _)| key);
                        prop_assert_eq!(timers.first(Timer::Close, time, &txn).unwrap(), expected);
                    }
                }
            }
        }
    }
}
