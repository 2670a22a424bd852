//! Closes windows when their timers are due, and emits summaries, revisions and retractions of summaries.

use super::Joiner;
use super::output::{CloseResult, ClosedBy, Completeness, Op, Outbox, Output, Reason, Related, Summary};
use super::state::{AlertState, KeyState};
use super::work::{AlertPairs, Step, activity_row, alert_row, closed_by_watermark, load, save};
use crate::record::{Key, LinkedAlert, Text};
use crate::repartition::WatermarkUpdate;
use crate::store::keys::Timer;
use crate::store::{Backend, Direction, Error, Span, Table, Txn, keys};
use crate::time::{EventTime, WallTime, Window};

impl Joiner {
    /// Applies a watermark update, and plans the closes, revisions and evictions that follow from it.
    pub(super) fn watermark_update(&mut self, update: &WatermarkUpdate) {
        let moved = self.progress.watermarks.observe(update);
        self.sources = None;
        if let Some(time) = self.watermark().filter(|_| moved) {
            self.work.push_back(Step::CloseUntil {
                time,
                end_of_input: false,
            });
        }
        self.work.push_back(Step::DeadlinesUntil { time: update.wall });
        if moved {
            self.work.push_back(Step::Revise);
        }
        if self.cutoff_moves() {
            self.work.push_back(Step::Evict);
        }
    }

    /// Plans to close every window.
    pub(super) fn end_of_input(&mut self) {
        self.work.push_back(Step::CloseUntil {
            time: EventTime::MAX,
            end_of_input: true,
        });
        self.work.push_back(Step::Revise);
    }

    pub(super) fn close_until<B: Backend>(
        &mut self,
        time: EventTime,
        end_of_input: bool,
        txn: &mut Txn<'_, B>,
    ) -> Result<(), Error> {
        let Some((alert, state)) = self.due(Timer::Close, time.ticks(), txn)? else {
            return Ok(());
        };
        let closed_by = match end_of_input {
            true => ClosedBy::EndOfInput,
            false => closed_by_watermark(state.window.to, self.progress.watermarks.by_activities()),
        };
        self.work.push_front(Step::CloseUntil { time, end_of_input });
        self.close(&alert, state, closed_by, txn)
    }

    pub(super) fn deadlines_until<B: Backend>(&mut self, time: WallTime, txn: &mut Txn<'_, B>) -> Result<(), Error> {
        let Some((alert, state)) = self.due(Timer::Deadline, keys::wall(time), txn)? else {
            return Ok(());
        };
        self.work.push_front(Step::DeadlinesUntil { time });
        self.close(&alert, state, ClosedBy::MaxWait, txn)
    }

    /// Returns the open alert with the first timer, if that timer is at or before `time`.
    fn due<B: Backend>(&mut self, timer: Timer, time: i64, txn: &Txn<'_, B>) -> Result<Option<(LinkedAlert, AlertState)>, Error> {
        let Some(key) = self.timers.first(timer, time, txn)? else {
            return Ok(None);
        };
        let alert = keys::timer_alert(&key)?;
        match load(&alert, txn)? {
            Some(state) if state.is_open() => Ok(Some((alert, state))),
            _ => Err(Error::Damaged { what: "timer" }),
        }
    }

    fn close<B: Backend>(
        &mut self,
        alert: &LinkedAlert,
        mut state: AlertState,
        closed_by: ClosedBy,
        txn: &mut Txn<'_, B>,
    ) -> Result<(), Error> {
        self.remove_alert(alert, Some(&state), txn);
        state.closed_by = Some(closed_by);
        let window = state.window;
        // Steps that are put in front later run earlier: the rows of a key run before its summary, and the keys run in
        // their order.
        for key in state.keys.iter_mut().rev() {
            key.result = Some(self.new_result(alert.link, closed_by));
            self.note_forgotten(alert.link, key, &[window]);
            self.work.push_front(Step::Summary {
                alert: alert.clone(),
                correlation_id: key.correlation_id.clone(),
            });
            if !window.is_empty() {
                let rows = AlertPairs::new(alert, &key.correlation_id, window, Op::Upsert, Reason::WindowClosed);
                self.work.push_front(Step::Rows(rows));
            }
        }
        self.write_alert(alert, &state, txn)
    }

    /// Plans the revisions of the next alert that has received late activities.
    pub(super) fn revise<B: Backend>(&mut self, txn: &mut Txn<'_, B>) -> Result<(), Error> {
        let Some(key) = self.timers.first(Timer::Revise, 0, txn)? else {
            return Ok(());
        };
        let alert = keys::timer_alert(&key)?;
        txn.remove(Table::Timers, key.into());
        self.work.push_front(Step::Revise);
        self.revise_all(&alert, txn)
    }

    /// Plans a revision, before all other steps, for every key of an alert that has received late activities.
    pub(super) fn revise_all<B: Backend>(&mut self, alert: &LinkedAlert, txn: &Txn<'_, B>) -> Result<(), Error> {
        let state = load(alert, txn)?.ok_or(Error::Damaged { what: "timer" })?;
        for key in state.keys.into_iter().rev().filter(|key| key.revise) {
            self.work.push_front(Step::Summary {
                alert: alert.clone(),
                correlation_id: key.correlation_id,
            });
        }
        Ok(())
    }

    pub(super) fn summary<B: Backend>(
        &mut self,
        alert: &LinkedAlert,
        correlation_id: &Text,
        txn: &mut Txn<'_, B>,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let damaged = || Error::Damaged { what: "closed window" };
        let mut state = load(alert, txn)?.ok_or_else(damaged)?;
        let window = state.window;
        let others_revise = state
            .keys
            .iter()
            .any(|key| key.revise && key.correlation_id != *correlation_id);
        let held_key = state.key_mut(correlation_id).ok_or_else(damaged)?;
        let key = alert.key(correlation_id);
        let result = held_key.result.as_mut().ok_or_else(damaged)?;
        self.find_extent(&key, window, result, txn)?;
        let related = self.find_related(&key, window, txn)?;
        let completeness = Some(self.completeness(window, result));
        result.revision += 1;
        if result.activities > 0 {
            if result.revision == 1 {
                self.counts.for_link(alert.link).matched += 1;
            }
            result.ever_matched = true;
        }
        let result = result.clone();
        if std::mem::take(&mut held_key.revise) && !others_revise {
            txn.remove(Table::Timers, keys::timer(Timer::Revise, 0, alert));
        }
        out.push(Output::Summary(Summary {
            op: Op::Upsert,
            alert: alert.alert.clone(),
            key,
            window,
            result,
            completeness,
            watermark: self.watermark(),
            retained_from: self.retained_from(alert.link),
            sources: self.sources(),
            related,
            row: Some(alert_row(alert, txn)?),
        }));
        save(alert, &state, txn)
    }

    pub(super) fn withdraw(&mut self, alert: LinkedAlert, was: KeyState, window: Window, out: &mut Outbox) -> Result<(), Error> {
        let result = was.result.ok_or(Error::Damaged { what: "closed window" })?;
        out.push(Output::Summary(Summary {
            op: Op::Delete,
            key: alert.key(&was.correlation_id),
            window,
            result,
            completeness: None,
            watermark: self.watermark(),
            retained_from: self.retained_from(alert.link),
            alert: alert.alert,
            sources: self.sources(),
            related: Vec::new(),
            row: None,
        }));
        Ok(())
    }

    /// Returns whether every activity of the window is known to have arrived, and why. A window that the clock or
    /// `max_wait` closed is never complete.
    pub(super) fn completeness(&self, window: Window, result: &CloseResult) -> Completeness {
        let by_activities = self.progress.watermarks.by_activities();
        match result.closed_by {
            ClosedBy::Clock => Completeness::ClosedByClock,
            ClosedBy::MaxWait => Completeness::ClosedByMaxWait,
            _ if !window.is_empty() && window.from < result.whole_from => Completeness::Retention,
            ClosedBy::EndOfInput => Completeness::EndOfInput,
            ClosedBy::Watermark if by_activities.is_some_and(|watermark| watermark >= window.to) => {
                Completeness::PassedByActivities
            }
            ClosedBy::Watermark => Completeness::NotPassedByActivities,
        }
    }

    /// Looks up the earliest and the latest activity if a change of the window has removed the known one.
    fn find_extent<B: Backend>(
        &self,
        key: &Key,
        window: Window,
        result: &mut CloseResult,
        txn: &Txn<'_, B>,
    ) -> Result<(), Error> {
        let window = window.not_before(self.cutoff(key.link));
        if result.activities == 0 {
            (result.first, result.last) = (None, None);
            return Ok(());
        }
        if window.is_empty() {
            return Ok(());
        }
        let days = self.days.range(window.from.day()..=window.to.day());
        let find = |day: &i64, direction| -> Result<Option<EventTime>, Error> {
            let span = keys::activities(key, window, *day);
            let pair = txn.first(Table::Activities, span, direction)?;
            pair.map(|(key, _)| Ok(keys::activity_parts(&key)?.0)).transpose()
        };
        if result.first.is_none() {
            let mut found = days.clone().map(|day| find(day, Direction::Forward));
            result.first = found.find_map(Result::transpose).transpose()?;
        }
        if result.last.is_none() {
            let mut found = days.rev().map(|day| find(day, Direction::Backward));
            result.last = found.find_map(Result::transpose).transpose()?;
        }
        Ok(())
    }

    /// Returns the first activities of a result, as many as summaries list.
    fn find_related<B: Backend>(&self, key: &Key, window: Window, txn: &Txn<'_, B>) -> Result<Vec<Related>, Error> {
        let mut related = Vec::new();
        let window = window.not_before(self.cutoff(key.link));
        if self.related == 0 || window.is_empty() {
            return Ok(related);
        }
        for day in self.days.range(window.from.day()..=window.to.day()) {
            let span = keys::activities(key, window, *day);
            for pair in txn.scan(Table::Activities, span, Direction::Forward) {
                if related.len() >= self.related {
                    return Ok(related);
                }
                let (stored, value) = pair?;
                let (time, activity) = keys::activity_parts(&stored)?;
                let row = activity_row(key, time, activity, value, |key| txn.get(Table::Activities, key))?;
                related.push(Related { time, activity, row });
            }
        }
        Ok(related)
    }
}

/// Finds the timer that is due next without scanning timers that were removed long ago: for each kind, in the order of
/// their numbers, a key before which there is no timer of that kind; empty if unknown.
///
/// Timers are removed from the front of their table, and a store scans removed keys until it has compacted them. If
/// many alerts are due at the same time, a search from the beginning of the table for each of them would take quadratic
/// time. The keys are not part of the state: if one is not known yet, the first search begins at the beginning of the
/// table.
#[derive(Default, Debug)]
pub(super) struct Timers([Vec<u8>; 4]);

impl Timers {
    /// Sets a timer. `time` is in the unit of its kind.
    pub(super) fn set<B: Backend>(&mut self, timer: Timer, time: i64, id: &LinkedAlert, txn: &mut Txn<'_, B>) {
        let key = keys::timer(timer, time, id);
        let none_before = &mut self.0[place(timer)];
        if *none_before > key {
            none_before.clone_from(&key);
        }
        txn.put(Table::Timers, key, Vec::new());
    }

    /// Returns the key of the first timer of a kind whose time is at most `until`.
    pub(super) fn first<B: Backend>(&mut self, timer: Timer, until: i64, txn: &Txn<'_, B>) -> Result<Option<Box<[u8]>>, Error> {
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
