//! Applies a version of an alert.

use super::Joiner;
use super::output::{AlertUpdates, CloseResult, ClosedBy, Op, Reason};
use super::state::{AlertState, KeyState};
use super::work::{AlertPairs, Step, closed_by_watermark, load, save};
use crate::record::{LinkId, LinkedAlert, Text, Version};
use crate::repartition::{AlertVersion, LinkVersion};
use crate::store::keys::Timer;
use crate::store::{Backend, Error, Table, Txn, keys};
use crate::time::{EventTime, WallTime, Window};

impl Joiner {
    /// Applies a version. Each link compares it with its own stored version: an older or equal version changes nothing.
    pub(super) fn alert<B: Backend>(&mut self, version: &AlertVersion<'_>, txn: &mut Txn<'_, B>) -> Result<(), Error> {
        let mut again = Vec::new();
        for by_link in &version.links {
            let alert = LinkedAlert {
                alert: version.id.clone(),
                link: by_link.link,
            };
            self.alert_by_link(&alert, version, by_link, &mut again, txn)?;
        }
        self.work.extend(again.into_iter().map(Step::Again));
        Ok(())
    }

    fn alert_by_link<B: Backend>(
        &mut self,
        alert: &LinkedAlert,
        version: &AlertVersion<'_>,
        by_link: &LinkVersion,
        again: &mut Vec<AlertPairs>,
        txn: &mut Txn<'_, B>,
    ) -> Result<(), Error> {
        let before = load(alert, txn)?;
        let window = by_link.window;
        let relation = self.relation(alert.link, version.version, window.to, before.as_ref());
        if !by_link.keys.is_empty() {
            self.count(alert.link, relation, window.is_empty());
        }
        if relation != Relation::Counts {
            return Ok(());
        }
        let before_closed_by = before.as_ref().and_then(|before| self.closed_by(before));
        self.remove_alert(alert, before.as_ref(), txn);
        match by_link.keys.is_empty() {
            true => txn.remove(Table::AlertRows, keys::alert(alert)),
            false => txn.put(Table::AlertRows, keys::alert(alert), version.row.to_vec()),
        }
        let mut state = AlertState {
            version: version.version,
            window,
            deadline: deadline_from_first_arrival(by_link.deadline, window.to, before.as_ref()),
            closed_by: before_closed_by,
            keys: by_link.keys.iter().map(KeyState::new).collect(),
            forget_at: forget_at(version.version, window.to, before.as_ref()),
            versions: before.as_ref().map_or(0, |before| before.versions).saturating_add(1),
        };
        match (before, before_closed_by) {
            (Some(before), Some(closed_by)) => self.update(alert, &mut state, before, closed_by, again),
            _ if state.keys.is_empty() => {}
            _ => {
                state.closed_by = self.passed(window.to);
                if let Some(closed_by) = state.closed_by {
                    for key in &mut state.keys {
                        self.close_key(alert, key, window, closed_by, Reason::LateAlert);
                    }
                }
            }
        }
        self.write_alert(alert, &state, txn)
    }

    /// Plans what a version changes for a closed alert. Under keys that the version lost, everything emitted is
    /// retracted; under keys that it kept, rows are removed and added for the parts that its window lost and gained;
    /// under keys that it gained, the alert is closed at once.
    fn update(
        &mut self,
        alert: &LinkedAlert,
        state: &mut AlertState,
        before: AlertState,
        closed_by: ClosedBy,
        again: &mut Vec<AlertPairs>,
    ) {
        let (old, new) = (before.window, state.window);
        for was in before.keys.iter().filter(|was| state.key(&was.correlation_id).is_none()) {
            self.plan_withdrawal(alert, was, old);
        }
        for key in &mut state.keys {
            match before.key(&key.correlation_id).and_then(|was| was.result.as_ref()) {
                Some(result) => {
                    let [lost_before, lost_behind] = old.minus(new);
                    let [won_before, won_behind] = new.minus(old);
                    for (part, op) in [
                        (lost_before, Op::Delete),
                        (lost_behind, Op::Delete),
                        (won_before, Op::Upsert),
                        (won_behind, Op::Upsert),
                    ] {
                        self.plan_rows(alert, &key.correlation_id, part, op, Reason::AlertUpdated);
                    }
                    key.result = Some(CloseResult {
                        first: result.first.filter(|first| new.contains(*first)),
                        last: result.last.filter(|last| new.contains(*last)),
                        ..result.clone()
                    });
                    self.note_forgotten(alert.link, key, &[won_before, won_behind]);
                    self.plan_summary(alert, &key.correlation_id);
                    let stays = new.and(old);
                    if self.alert_updates == AlertUpdates::Rows && !stays.is_empty() {
                        let id = &key.correlation_id;
                        // These rows follow all other outputs of the record, so the positions of the others do not
                        // depend on the setting, and the setting may change between two starts.
                        again.push(AlertPairs::new(alert, id, stays, Op::Upsert, Reason::AlertUpdated));
                    }
                }
                None => self.close_key(alert, key, new, closed_by, Reason::AlertUpdated),
            }
        }
    }

    fn relation(&self, link: LinkId, version: Version, closes: EventTime, before: Option<&AlertState>) -> Relation {
        if closes < self.cutoff(link) {
            return Relation::Expired;
        }
        match before {
            Some(before) if before.version >= version => Relation::Stale,
            _ => Relation::Counts,
        }
    }

    /// Counts a version only in partitions that own a key, because the other partitions get every version too.
    fn count(&mut self, link: LinkId, relation: Relation, is_empty: bool) {
        let counts = self.counts.for_link(link);
        match relation {
            Relation::Expired => counts.expired_alerts += 1,
            Relation::Stale => counts.stale_alerts += 1,
            Relation::Counts => {
                counts.alerts += 1;
                counts.empty_windows += u64::from(is_empty);
            }
        }
    }

    /// Returns what closed a window that ends at `closes`, if the watermark has passed it.
    fn passed(&self, closes: EventTime) -> Option<ClosedBy> {
        let by_activities = self.progress.watermarks.by_activities();
        let passed = self.watermark().is_some_and(|watermark| watermark >= closes);
        passed.then(|| closed_by_watermark(closes, by_activities))
    }

    /// Returns what closed the alert, if it is closed. For a local alert, the timers of its keys decide; for a remote
    /// alert, the watermark and the clock decide, which other partitions have too.
    fn closed_by(&self, state: &AlertState) -> Option<ClosedBy> {
        if !state.keys.is_empty() {
            return state.closed_by;
        }
        let waited = self.wall().is_some_and(|wall| wall >= state.deadline);
        let by_now = || self.passed(state.window.to).or(waited.then_some(ClosedBy::MaxWait));
        state.closed_by.or_else(by_now)
    }

    fn plan_rows(&mut self, alert: &LinkedAlert, correlation_id: &Text, part: Window, op: Op, reason: Reason) {
        if !part.is_empty() {
            let rows = AlertPairs::new(alert, correlation_id, part, op, reason);
            self.work.push_back(Step::Rows(rows));
        }
    }

    fn plan_summary(&mut self, alert: &LinkedAlert, correlation_id: &Text) {
        self.work.push_back(Step::Summary {
            alert: alert.clone(),
            correlation_id: correlation_id.clone(),
        });
    }

    /// Plans to delete every pair under a lost key, and to retract its summary.
    fn plan_withdrawal(&mut self, alert: &LinkedAlert, was: &KeyState, window: Window) {
        self.plan_rows(alert, &was.correlation_id, window, Op::Delete, Reason::AlertUpdated);
        self.work.push_back(Step::Withdraw {
            alert: alert.clone(),
            was: was.clone(),
            window,
        });
    }

    /// Closes the alert under a key at once.
    fn close_key(&mut self, alert: &LinkedAlert, key: &mut KeyState, window: Window, closed_by: ClosedBy, reason: Reason) {
        key.result = Some(self.new_result(alert.link, closed_by));
        self.note_forgotten(alert.link, key, &[window]);
        self.plan_rows(alert, &key.correlation_id, window, Op::Upsert, reason);
        self.plan_summary(alert, &key.correlation_id);
    }

    pub(super) fn new_result(&mut self, link: LinkId, closed_by: ClosedBy) -> CloseResult {
        self.counts.for_link(link).closed += 1;
        CloseResult {
            closed_by,
            closed_at: self.wall(),
            revision: 0,
            activities: 0,
            first: None,
            last: None,
            ever_matched: false,
            watermark: self.watermark(),
            late: 0,
            whole_from: EventTime::MIN,
        }
    }

    /// Records in the result the end of what is before the retention cut-off in these parts of the window, which are
    /// read now. The result cannot be known to be complete there.
    pub(super) fn note_forgotten(&self, link: LinkId, key: &mut KeyState, parts: &[Window]) {
        let Some(result) = &mut key.result else { return };
        let cutoff = self.cutoff(link);
        for part in parts.iter().filter(|part| !part.is_empty() && part.from < cutoff) {
            result.whole_from = result.whole_from.max(part.to.min(cutoff));
        }
    }

    /// Writes an alert with its timers and its closed windows.
    pub(super) fn write_alert<B: Backend>(
        &mut self,
        alert: &LinkedAlert,
        state: &AlertState,
        txn: &mut Txn<'_, B>,
    ) -> Result<(), Error> {
        if state.is_open() {
            self.timers.set(Timer::Close, state.window.to.ticks(), alert, txn);
            self.timers.set(Timer::Deadline, keys::wall(state.deadline), alert, txn);
        }
        for key in state.keys.iter().filter(|key| key.result.is_some()) {
            self.closed_windows
                .put(&alert.key(&key.correlation_id), state.window, alert, txn)?;
        }
        self.timers.set(Timer::Forget, state.forget_at.ticks(), alert, txn);
        save(alert, state, txn)
    }

    /// Removes the timers and the closed windows of an alert.
    pub(super) fn remove_alert<B: Backend>(&self, alert: &LinkedAlert, state: Option<&AlertState>, txn: &mut Txn<'_, B>) {
        let Some(state) = state else { return };
        txn.remove(Table::Timers, keys::timer(Timer::Forget, state.forget_at.ticks(), alert));
        if state.is_open() {
            txn.remove(Table::Timers, keys::timer(Timer::Close, state.window.to.ticks(), alert));
            txn.remove(Table::Timers, keys::timer(Timer::Deadline, keys::wall(state.deadline), alert));
        } else if !state.keys.is_empty() {
            for key in &state.keys {
                let key = alert.key(&key.correlation_id);
                txn.remove(Table::ClosedWindows, keys::closed_window(&key, state.window.to, alert));
            }
            txn.remove(Table::Timers, keys::timer(Timer::Revise, 0, alert));
        }
    }
}

impl KeyState {
    fn new(correlation_id: &Text) -> Self {
        Self {
            correlation_id: correlation_id.clone(),
            result: None,
            revise: false,
        }
    }
}

/// How an arriving version relates to the state of the partition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    /// It is the greatest version so far.
    Counts,
    /// It is the stored version, or an older one.
    Stale,
    /// Its window ends before the retention cut-off.
    Expired,
}

/// Returns the time after which the alert can be forgotten: by then, no window that it ever had is read any more, and
/// an older version that arrives again has expired or cannot be distinguished from a new alert.
fn forget_at(version: Version, closes: EventTime, before: Option<&AlertState>) -> EventTime {
    let latest = closes.max(version.time_generated);
    before.map_or(latest, |before| before.forget_at.max(latest))
}

/// Returns the deadline of an alert, which waits from its first arrival: a newer version that does not end later does
/// not extend the deadline.
fn deadline_from_first_arrival(deadline: WallTime, closes: EventTime, before: Option<&AlertState>) -> WallTime {
    match before {
        Some(before) if closes <= before.window.to => deadline.min(before.deadline),
        _ => deadline,
    }
}
