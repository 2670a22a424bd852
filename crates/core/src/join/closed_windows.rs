//! Decides which activities can be late without reading the store.
//!
//! Hardly any activity is late, and a search for closed alerts that end after its time costs a third of what storing it
//! costs. An activity at or after the end of every closed window is in none of these windows. The greatest end is not
//! part of the state: if it is not known yet, the table is scanned once.

use std::collections::BTreeMap;

use super::state;
use crate::record::{Key, LinkId, LinkedAlert};
use crate::store::{Base, Direction, Error, Table, Txn, keys};
use crate::time::{EventTime, Window};

/// For each link, the greatest end of all closed windows; `None` until it is first needed.
#[derive(Default, Debug)]
pub(super) struct ClosedWindows(Option<BTreeMap<LinkId, EventTime>>);

impl ClosedWindows {
    /// Adds a closed window.
    pub(super) fn put<B: Base>(
        &mut self,
        key: &Key,
        window: Window,
        id: &LinkedAlert,
        txn: &mut Txn<'_, B>,
    ) -> Result<(), Error> {
        if let Some(ends) = &mut self.0 {
            let end = ends.entry(key.link).or_insert(EventTime::MIN);
            *end = window.to.max(*end);
        }
        txn.put(
            Table::ClosedWindows,
            keys::closed_window(key, window.to, id),
            state::encode(&window.from)?,
        );
        Ok(())
    }

    /// Returns whether there is a closed alert of `key` whose window ends after `time`.
    pub(super) fn any_after<B: Base>(&mut self, key: &Key, time: EventTime, txn: &Txn<'_, B>) -> Result<bool, Error> {
        if time >= self.end(key.link, txn)? {
            return Ok(false);
        }
        let span = keys::closed_windows_after(key, time, None);
        Ok(txn.first(Table::ClosedWindows, span, Direction::Forward)?.is_some())
    }

    fn end<B: Base>(&mut self, link: LinkId, txn: &Txn<'_, B>) -> Result<EventTime, Error> {
        if self.0.is_none() {
            let mut ends = BTreeMap::new();
            for pair in txn.scan(Table::ClosedWindows, keys::all_closed_windows(), Direction::Forward) {
                let (link, end) = keys::closed_window_end(&pair?.0)?;
                let greatest = ends.entry(link).or_insert(EventTime::MIN);
                *greatest = end.max(*greatest);
            }
            self.0 = Some(ends);
        }
        let end = self.0.as_ref().and_then(|ends| ends.get(&link));
        Ok(end.copied().unwrap_or(EventTime::MIN))
    }
}
