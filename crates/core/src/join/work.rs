//! What is still to be done for a repartition record. It is stored with the state: the order of variants and fields is
//! part of the stored format.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Joiner;
use super::output::{ClosedBy, Op, Outbox, Output, Reason, Row};
use super::state::{self, AlertState, KeyState};
use crate::record::{ActivityId, Key, LinkId, LinkedAlert, Text};
use crate::repartition::decompress;
use crate::store::{Backend, Direction, Error, Table, Txn, keys};
use crate::time::{EventTime, WallTime, Window};

/// The first byte of a value that names the key under which the row is stored. No other value begins with it: a row
/// begins with a brace or is compressed, and the position of a row in a file begins with zeros.
const ELSEWHERE: u8 = 1;

/// One thing to do. A step that is not finished when the outbox is full is put back at the front of the work.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Step {
    /// Closes the alerts whose windows end at or before this time.
    CloseUntil { time: EventTime, end_of_input: bool },
    /// Closes the alerts whose deadlines are at or before this time.
    DeadlinesUntil { time: WallTime },
    /// Emits the pairs of an alert and the activities of a key within a window.
    Rows(AlertPairs),
    /// Emits a pair for every closed alert whose window contains this activity.
    Late(Late),
    /// Emits the next summary of an alert under a key.
    Summary { alert: LinkedAlert, correlation_id: Text },
    /// Retracts the summary of an alert under a key that the alert no longer has.
    Withdraw {
        alert: LinkedAlert,
        was: KeyState,
        window: Window,
    },
    /// Emits a revision for every alert that has received late activities.
    Revise,
    /// Deletes what is before the retention cut-off.
    Evict,
    /// Emits again pairs that were emitted before, with the alert's newest version.
    Again(AlertPairs),
}

/// Pairs of one alert.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct AlertPairs {
    pub(super) alert: LinkedAlert,
    pub(super) key: Key,
    pub(super) window: Window,
    pub(super) op: Op,
    pub(super) reason: Reason,
    pub(super) sent: Sent,
}

impl AlertPairs {
    pub(super) fn new(alert: &LinkedAlert, correlation_id: &Text, window: Window, op: Op, reason: Reason) -> Self {
        Self {
            alert: alert.clone(),
            key: alert.key(correlation_id),
            window,
            op,
            reason,
            sent: Sent::default(),
        }
    }
}

/// The pairs that have been emitted so far.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Sent {
    /// The day and the stored key of the last activity.
    after: Option<(i64, Vec<u8>)>,
    count: u64,
    first: Option<EventTime>,
    last: Option<EventTime>,
}

/// The outcome of emitting pairs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// All pairs are emitted.
    Done,
    /// The outbox is full.
    Halted,
}

/// A late activity that is being added to the closed alerts whose windows contain it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Late {
    pub(super) key: Key,
    pub(super) time: EventTime,
    pub(super) activity: ActivityId,
    /// The last closed alert that it was added to, as its key in the table of closed windows.
    pub(super) after: Option<Vec<u8>>,
}

impl Joiner {
    pub(super) fn run<B: Backend>(&mut self, step: Step, txn: &mut Txn<'_, B>, out: &mut Outbox) -> Result<(), Error> {
        match step {
            Step::CloseUntil { time, end_of_input } => self.close_until(time, end_of_input, txn),
            Step::DeadlinesUntil { time } => self.deadlines_until(time, txn),
            Step::Rows(mut rows) => match self.rows(&mut rows, txn, out)? {
                Sending::Done => self.rows_sent(&rows, txn),
                Sending::Halted => {
                    self.work.push_front(Step::Rows(rows));
                    Ok(())
                }
            },
            Step::Again(mut rows) => {
                if self.rows(&mut rows, txn, out)? == Sending::Halted {
                    self.work.push_front(Step::Again(rows));
                }
                Ok(())
            }
            Step::Late(late) => self.late(late, txn, out),
            Step::Summary { alert, correlation_id } => self.summary(&alert, &correlation_id, txn, out),
            Step::Withdraw { alert, was, window } => self.withdraw(alert, was, window, out),
            Step::Revise => self.revise(txn),
            Step::Evict => self.evict(txn),
        }
    }

    /// Emits pairs until all are emitted or `out` is full.
    fn rows<B: Backend>(&mut self, rows: &mut AlertPairs, txn: &mut Txn<'_, B>, out: &mut Outbox) -> Result<Sending, Error> {
        let window = rows.window.not_before(self.cutoff(rows.key.link));
        let alert_row = match rows.op {
            Op::Upsert => Some(alert_row(&rows.alert, txn)?),
            Op::Delete => None,
        };
        let from_day = rows
            .sent
            .after
            .as_ref()
            .map_or(window.from.day(), |(day, _)| window.from.day().max(*day));
        let days: Vec<i64> = match window.is_empty() {
            true => Vec::new(),
            false => self.days.range(from_day..=window.to.day()).copied().collect(),
        };
        for day in days {
            let mut span = keys::activities(&rows.key, window, day);
            if let Some((after_day, after)) = &rows.sent.after
                && *after_day == day
            {
                span.from = keys::successor(after);
            }
            for pair in txn.scan(Table::Activities, span, Direction::Forward) {
                let (key, row) = pair?;
                let (time, activity) = keys::activity_parts(&key)?;
                let pair = match &alert_row {
                    Some(alert) => {
                        let get = |key: &[u8]| txn.get(Table::Activities, key);
                        Some((alert.clone(), activity_row(&rows.key, time, activity, row, get)?))
                    }
                    None => None,
                };
                out.push(Output::Row(Row {
                    op: rows.op,
                    reason: rows.reason,
                    alert: rows.alert.alert.clone(),
                    key: rows.key.clone(),
                    activity,
                    time,
                    rows: pair,
                }));
                rows.sent.note(day, key, time);
                if out.is_full() {
                    return Ok(Sending::Halted);
                }
            }
        }
        Ok(Sending::Done)
    }

    /// Counts the emitted pairs, and updates the alert's result under the key accordingly, unless the alert no longer
    /// has that key.
    fn rows_sent<B: Backend>(&mut self, rows: &AlertPairs, txn: &mut Txn<'_, B>) -> Result<(), Error> {
        let counts = self.counts.for_link(rows.key.link);
        match rows.op {
            Op::Upsert => counts.upserts += rows.sent.count,
            Op::Delete => counts.deletes += rows.sent.count,
        }
        let Some(mut state) = load(&rows.alert, txn)? else {
            return Ok(());
        };
        let key = state.key_mut(&rows.key.correlation_id);
        let Some(result) = key.and_then(|key| key.result.as_mut()) else {
            return Ok(());
        };
        match rows.op {
            Op::Upsert => {
                // If there are activities whose earliest or latest time is not known, the summary looks it up, because
                // that activity may not be among the pairs emitted here.
                let is_empty = result.activities == 0;
                if is_empty || result.first.is_some() {
                    result.first = least(result.first, rows.sent.first);
                }
                if is_empty || result.last.is_some() {
                    result.last = result.last.max(rows.sent.last);
                }
                result.activities += rows.sent.count;
            }
            Op::Delete => result.activities = result.activities.saturating_sub(rows.sent.count),
        }
        save(&rows.alert, &state, txn)
    }
}

impl Sent {
    fn note(&mut self, day: i64, key: Box<[u8]>, time: EventTime) {
        self.after = Some((day, key.into()));
        self.count += 1;
        self.first = self.first.or(Some(time));
        self.last = Some(time);
    }
}

/// Returns the earlier of two times, either of which may be missing.
pub(super) fn least(one: Option<EventTime>, other: Option<EventTime>) -> Option<EventTime> {
    [one, other].into_iter().flatten().min()
}

pub(super) fn load<B: Backend>(alert: &LinkedAlert, txn: &Txn<'_, B>) -> Result<Option<AlertState>, Error> {
    let bytes = txn.get(Table::Alerts, &keys::alert(alert))?;
    bytes.map(|bytes| state::decode(&bytes, "alert")).transpose()
}

pub(super) fn save<B: Backend>(alert: &LinkedAlert, state: &AlertState, txn: &mut Txn<'_, B>) -> Result<(), Error> {
    txn.put(Table::Alerts, keys::alert(alert), state::encode(state)?);
    Ok(())
}

/// Returns the row of the version that counts.
pub(super) fn alert_row<B: Backend>(alert: &LinkedAlert, txn: &Txn<'_, B>) -> Result<Arc<[u8]>, Error> {
    let row = txn.get(Table::AlertRows, &keys::alert(alert))?;
    Ok(row.ok_or(Error::Damaged { what: "alert's row" })?.into())
}

/// Returns the value of an activity whose row is stored under the key `first`.
pub(super) fn reference(first: &Key) -> Vec<u8> {
    [&[ELSEWHERE, first.link.0], first.correlation_id.as_bytes()].concat()
}

/// Returns the row of an activity, decompressed, whose value under `key` is `value`. `get` reads the table of
/// activities.
pub(super) fn activity_row(
    key: &Key,
    time: EventTime,
    id: ActivityId,
    value: Box<[u8]>,
    get: impl FnOnce(&[u8]) -> Result<Option<Vec<u8>>, Error>,
) -> Result<Box<[u8]>, Error> {
    let damaged = || Error::Damaged {
        what: "row of an activity",
    };
    let row = match &*value {
        [ELSEWHERE, link, correlation_id @ ..] => {
            let first = Key {
                tenant: key.tenant.clone(),
                link: LinkId(*link),
                correlation_id: correlation_id.to_vec().into(),
            };
            get(&keys::activity(&first, time, id))?.ok_or_else(damaged)?.into()
        }
        _ => value,
    };
    decompress(row).map_err(|_| damaged())
}

/// Returns the [`ClosedBy`] of a window that the watermark has passed: activities, if they have moved the watermark up
/// to the window's end, and otherwise the clock.
pub(super) fn closed_by_watermark(closes: EventTime, by_activities: Option<EventTime>) -> ClosedBy {
    match by_activities.is_some_and(|watermark| watermark >= closes) {
        true => ClosedBy::Watermark,
        false => ClosedBy::Clock,
    }
}
