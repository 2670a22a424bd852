//! Stores activities, and emits the rows of those that arrive after the close of an alert.
//!
//! An activity with several keys in a partition is stored once, under the first of them. Under each of the other keys,
//! the value names the first key.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Joiner;
use super::output::{Op, Outbox, Output, Reason, Row};
use super::state;
use super::work::{Late, Step, activity_row, alert_row, least, load, reference, save};
use crate::record::{Activity, Key, LinkId, LinkedAlert};
use crate::store::{Backend, Direction, Error, Table, Txn, keys};
use crate::time::{EventTime, Window};

/// The number of closed alerts that one scan looks up.
const AT_ONCE: usize = 256;

/// An activity that is being stored under one key after another.
struct Storing<'a> {
    activity: &'a Activity<'a>,
    /// The key under which the row is stored.
    first: Option<&'a Key>,
    /// The link of a key under which the activity was already stored.
    known: Option<LinkId>,
}

/// What happened to an activity.
enum StoreOutcome {
    /// It was stored under at least one key under which it was not stored before.
    New,
    /// It was already stored under all its keys, including one of this link.
    Known(LinkId),
    /// It is before the retention cut-off of all its links.
    Expired,
}

impl<'a> Storing<'a> {
    fn new(activity: &'a Activity<'a>) -> Self {
        Self {
            activity,
            first: None,
            known: None,
        }
    }

    /// Stores the activity under a key, and returns whether it was not stored there before. The keys must be passed in
    /// the order of the retention of their links, the longest first.
    fn put<B: Backend>(&mut self, key: &'a Key, txn: &mut Txn<'_, B>) -> Result<bool, Error> {
        let stored = keys::activity(key, self.activity.time, self.activity.id);
        if txn.contains(Table::Activities, &stored)? {
            self.known = Some(key.link);
            return Ok(false);
        }
        let value = match self.first {
            None => self.activity.row.to_vec(),
            Some(first) => reference(first),
        };
        self.first = self.first.or(Some(key));
        txn.put(Table::Activities, stored, value);
        Ok(true)
    }

    fn outcome(&self) -> StoreOutcome {
        match (self.first, self.known) {
            (Some(_), _) => StoreOutcome::New,
            (None, Some(link)) => StoreOutcome::Known(link),
            (None, None) => StoreOutcome::Expired,
        }
    }
}

impl Joiner {
    /// Stores an activity under each of its keys. If it is already stored under a key, nothing changes there: this
    /// makes redelivery, double routing and replay harmless.
    pub(super) fn activity<B: Backend>(&mut self, activity: &Activity<'_>, txn: &mut Txn<'_, B>) -> Result<(), Error> {
        let mut storing = Storing::new(activity);
        // Nearly every activity has one key in a partition.
        match activity.keys.as_slice() {
            [key] => self.under(key, &mut storing, txn)?,
            several => {
                let mut keys: Vec<&Key> = several.iter().collect();
                // The row is stored under the key whose link has the longest retention, so that nothing that refers to
                // it is kept longer.
                keys.sort_by_key(|key| std::cmp::Reverse(self.retention.for_link(key.link).unwrap_or(Duration::MAX)));
                keys.into_iter().try_for_each(|key| self.under(key, &mut storing, txn))?;
            }
        }
        match storing.outcome() {
            StoreOutcome::New => {
                let day = activity.time.day();
                if self.days.insert(day) {
                    txn.put(Table::Meta, keys::day(day), Vec::new());
                }
            }
            StoreOutcome::Known(link) => self.counts.for_link(link).redelivered_activities += 1,
            StoreOutcome::Expired => {}
        }
        Ok(())
    }

    fn under<'a, B: Backend>(&mut self, key: &'a Key, storing: &mut Storing<'a>, txn: &mut Txn<'_, B>) -> Result<(), Error> {
        let activity = storing.activity;
        if activity.time < self.cutoff(key.link) {
            self.counts.for_link(key.link).expired_activities += 1;
            return Ok(());
        }
        if !storing.put(key, txn)? {
            self.counts.for_link(key.link).duplicate_activities += 1;
            return Ok(());
        }
        self.counts.for_link(key.link).activities += 1;
        if self.closed_windows.any_after(key, activity.time, txn)? {
            self.work.push_back(Step::Late(Late {
                key: key.clone(),
                time: activity.time,
                activity: activity.id,
                after: None,
            }));
        }
        Ok(())
    }

    /// Emits a row at once for each closed alert whose window contains the activity, and plans a revision for the next
    /// time that the watermark advances. It scans only the alerts of the activity's key that end after its time, which
    /// are few: they are those that closed too early for the activity.
    pub(super) fn late<B: Backend>(&mut self, mut late: Late, txn: &mut Txn<'_, B>, out: &mut Outbox) -> Result<(), Error> {
        loop {
            let alerts = closed_windows(&late, txn)?;
            let all = alerts.len() < AT_ONCE;
            for alert in alerts {
                if out.is_full() {
                    self.work.push_front(Step::Late(late));
                    return Ok(());
                }
                self.late_for(&late, &alert, txn, out)?;
                late.after = Some(alert);
            }
            if all {
                return Ok(());
            }
        }
    }

    fn late_for<B: Backend>(
        &mut self,
        late: &Late,
        closed_window: &[u8],
        txn: &mut Txn<'_, B>,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let alert = keys::closed_window_alert(&late.key, closed_window)?;
        let damaged = || Error::Damaged { what: "closed window" };
        let mut state = load(&alert, txn)?.ok_or_else(damaged)?;
        let key = state.key_mut(&late.key.correlation_id).ok_or_else(damaged)?;
        let result = key.result.as_mut().ok_or_else(damaged)?;
        result.activities += 1;
        result.late += 1;
        result.first = least(result.first, Some(late.time));
        result.last = result.last.max(Some(late.time));
        if !key.revise {
            key.revise = true;
            self.timers.set(keys::Timer::Revise, 0, &alert, txn);
        }
        save(&alert, &state, txn)?;
        txn.put(Table::Activities, keys::late(&alert, late.time, late.activity), Vec::new());
        let stored = keys::activity(&late.key, late.time, late.activity);
        let value = txn.get(Table::Activities, &stored)?.ok_or_else(damaged)?;
        let row = activity_row(&late.key, late.time, late.activity, value.into(), |key| {
            txn.get(Table::Activities, key)
        })?;
        out.push(Output::Row(Row {
            op: Op::Upsert,
            reason: Reason::LateActivity,
            rows: Some((alert_row(&alert, txn)?, row)),
            alert: alert.alert,
            key: late.key.clone(),
            activity: late.activity,
            time: late.time,
        }));
        let counts = self.counts.for_link(late.key.link);
        counts.late_activities += 1;
        counts.upserts += 1;
        Ok(())
    }
}

/// Returns the next closed alerts whose windows contain the activity, as keys of their table.
fn closed_windows<B: Backend>(late: &Late, txn: &Txn<'_, B>) -> Result<Vec<Vec<u8>>, Error> {
    let span = keys::closed_windows_after(&late.key, late.time, late.after.as_deref());
    let mut found = Vec::new();
    for pair in txn.scan(Table::ClosedWindows, span, Direction::Forward) {
        let (key, from) = pair?;
        let from: EventTime = state::decode(&from, "beginning of a window")?;
        if from <= late.time {
            found.push(key.into());
            if found.len() == AT_ONCE {
                break;
            }
        }
    }
    Ok(found)
}

/// Decides which activities can be late without reading the store: for each link, the greatest end of all closed
/// windows; `None` until it is first needed.
///
/// Hardly any activity is late, and a search for closed alerts that end after its time costs a third of what storing it
/// costs. An activity at or after the end of every closed window is in none of these windows. The greatest end is not
/// part of the state: if it is not known yet, the table is scanned once.
#[derive(Default, Debug)]
pub(super) struct ClosedWindows(Option<BTreeMap<LinkId, EventTime>>);

impl ClosedWindows {
    /// Adds a closed window.
    pub(super) fn put<B: Backend>(
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
    pub(super) fn any_after<B: Backend>(&mut self, key: &Key, time: EventTime, txn: &Txn<'_, B>) -> Result<bool, Error> {
        if time >= self.end(key.link, txn)? {
            return Ok(false);
        }
        let span = keys::closed_windows_after(key, time, None);
        Ok(txn.first(Table::ClosedWindows, span, Direction::Forward)?.is_some())
    }

    fn end<B: Backend>(&mut self, link: LinkId, txn: &Txn<'_, B>) -> Result<EventTime, Error> {
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
