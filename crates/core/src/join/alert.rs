//! Applies a version of an alert.

use super::Joiner;
use super::output::{AlertUpdates, Answer, ClosedBy, Op, Reason};
use super::state::{Held, HeldKey};
use super::work::{Rows, Step, closed_by_watermark, load, save};
use crate::log::{AlertVersion, LinkVersion};
use crate::record::{LinkId, LinkedAlert, Text, Version};
use crate::store::keys::Timer;
use crate::store::{Base, Error, Table, Txn, keys};
use crate::time::{EventTime, WallTime, Window};

impl Joiner {
    /// Applies a version. Each link compares it with its own stored version: an older or equal version changes nothing.
    pub(super) fn alert<B: Base>(&mut self, version: &AlertVersion<'_>, txn: &mut Txn<'_, B>) -> Result<(), Error> {
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

    fn alert_by_link<B: Base>(
        &mut self,
        alert: &LinkedAlert,
        version: &AlertVersion<'_>,
        by_link: &LinkVersion,
        again: &mut Vec<Rows>,
        txn: &mut Txn<'_, B>,
    ) -> Result<(), Error> {
        let before = load(alert, txn)?;
        let window = by_link.window;
        let standing = self.standing(alert.link, version.version, window.to, before.as_ref());
        if !by_link.keys.is_empty() {
            self.count(alert.link, standing, window.is_empty());
        }
        if standing != Standing::Counts {
            return Ok(());
        }
        let before_closed_by = before.as_ref().and_then(|before| self.closed_by(before));
        self.take_down(alert, before.as_ref(), txn);
        match by_link.keys.is_empty() {
            true => txn.remove(Table::AlertRows, keys::alert(alert)),
            false => txn.put(Table::AlertRows, keys::alert(alert), version.row.to_vec()),
        }
        let mut held = Held {
            version: version.version,
            window,
            deadline: patience(by_link.deadline, window.to, before.as_ref()),
            closed_by: before_closed_by,
            keys: by_link.keys.iter().map(HeldKey::new).collect(),
            forget_at: forget_at(version.version, window.to, before.as_ref()),
            versions: before.as_ref().map_or(0, |before| before.versions).saturating_add(1),
        };
        match (before, before_closed_by) {
            (Some(before), Some(closed_by)) => self.update(alert, &mut held, before, closed_by, again),
            _ if held.keys.is_empty() => {}
            _ => {
                held.closed_by = self.passed(window.to);
                if let Some(closed_by) = held.closed_by {
                    for key in &mut held.keys {
                        self.answer(alert, key, window, closed_by, Reason::LateAlert);
                    }
                }
            }
        }
        self.put_up(alert, &held, txn)
    }

    /// Plans what a version changes for a closed alert. Under keys that the version lost, everything emitted is
    /// retracted; under keys that it kept, rows are removed and added for the parts that its window lost and gained;
    /// under keys that it gained, the alert is closed at once.
    fn update(&mut self, alert: &LinkedAlert, held: &mut Held, before: Held, closed_by: ClosedBy, again: &mut Vec<Rows>) {
        let (old, new) = (before.window, held.window);
        for was in before.keys.iter().filter(|was| held.key(&was.correlation_id).is_none()) {
            self.plan_withdrawal(alert, was, old);
        }
        for key in &mut held.keys {
            match before.key(&key.correlation_id).and_then(|was| was.answer.as_ref()) {
                Some(answer) => {
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
                    key.answer = Some(Answer {
                        first: answer.first.filter(|first| new.contains(*first)),
                        last: answer.last.filter(|last| new.contains(*last)),
                        ..answer.clone()
                    });
                    self.note_forgotten(alert.link, key, &[won_before, won_behind]);
                    self.plan_summary(alert, &key.correlation_id);
                    let stays = new.and(old);
                    if self.alert_updates == AlertUpdates::Rows && !stays.is_empty() {
                        let id = &key.correlation_id;
                        // These rows follow all other outputs of the record, so the positions of the others do not
                        // depend on the setting, and the setting may change between two starts.
                        again.push(Rows::new(alert, id, stays, Op::Upsert, Reason::AlertUpdated));
                    }
                }
                None => self.answer(alert, key, new, closed_by, Reason::AlertUpdated),
            }
        }
    }

    fn standing(&self, link: LinkId, version: Version, closes: EventTime, before: Option<&Held>) -> Standing {
        if closes < self.cutoff(link) {
            return Standing::Expired;
        }
        match before {
            Some(before) if before.version >= version => Standing::Stale,
            _ => Standing::Counts,
        }
    }

    /// Counts a version only in partitions that own a key, because the other partitions get every version too.
    fn count(&mut self, link: LinkId, standing: Standing, is_empty: bool) {
        let counts = self.counts.of(link);
        match standing {
            Standing::Expired => counts.expired_alerts += 1,
            Standing::Stale => counts.stale_alerts += 1,
            Standing::Counts => {
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
    fn closed_by(&self, held: &Held) -> Option<ClosedBy> {
        if !held.keys.is_empty() {
            return held.closed_by;
        }
        let waited = self.wall().is_some_and(|wall| wall >= held.deadline);
        let by_now = || self.passed(held.window.to).or(waited.then_some(ClosedBy::MaxWait));
        held.closed_by.or_else(by_now)
    }

    fn plan_rows(&mut self, alert: &LinkedAlert, correlation_id: &Text, part: Window, op: Op, reason: Reason) {
        if !part.is_empty() {
            let rows = Rows::new(alert, correlation_id, part, op, reason);
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
    fn plan_withdrawal(&mut self, alert: &LinkedAlert, was: &HeldKey, window: Window) {
        self.plan_rows(alert, &was.correlation_id, window, Op::Delete, Reason::AlertUpdated);
        self.work.push_back(Step::Withdraw {
            alert: alert.clone(),
            was: was.clone(),
            window,
        });
    }

    /// Closes the alert under a key at once.
    fn answer(&mut self, alert: &LinkedAlert, key: &mut HeldKey, window: Window, closed_by: ClosedBy, reason: Reason) {
        key.answer = Some(self.new_answer(alert.link, closed_by));
        self.note_forgotten(alert.link, key, &[window]);
        self.plan_rows(alert, &key.correlation_id, window, Op::Upsert, reason);
        self.plan_summary(alert, &key.correlation_id);
    }

    pub(super) fn new_answer(&mut self, link: LinkId, closed_by: ClosedBy) -> Answer {
        self.counts.of(link).closed += 1;
        Answer {
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
    pub(super) fn note_forgotten(&self, link: LinkId, key: &mut HeldKey, parts: &[Window]) {
        let Some(answer) = &mut key.answer else { return };
        let cutoff = self.cutoff(link);
        for part in parts.iter().filter(|part| !part.is_empty() && part.from < cutoff) {
            answer.whole_from = answer.whole_from.max(part.to.min(cutoff));
        }
    }

    /// Writes an alert with its timers and its closed windows.
    pub(super) fn put_up<B: Base>(&mut self, alert: &LinkedAlert, held: &Held, txn: &mut Txn<'_, B>) -> Result<(), Error> {
        if held.is_open() {
            self.timers.set(Timer::Close, held.window.to.ticks(), alert, txn);
            self.timers.set(Timer::Deadline, keys::wall(held.deadline), alert, txn);
        }
        for key in held.keys.iter().filter(|key| key.answer.is_some()) {
            self.closed_windows
                .put(&alert.key(&key.correlation_id), held.window, alert, txn)?;
        }
        self.timers.set(Timer::Forget, held.forget_at.ticks(), alert, txn);
        save(alert, held, txn)
    }

    /// Removes the timers and the closed windows of an alert.
    pub(super) fn take_down<B: Base>(&self, alert: &LinkedAlert, held: Option<&Held>, txn: &mut Txn<'_, B>) {
        let Some(held) = held else { return };
        txn.remove(Table::Timers, keys::timer(Timer::Forget, held.forget_at.ticks(), alert));
        if held.is_open() {
            txn.remove(Table::Timers, keys::timer(Timer::Close, held.window.to.ticks(), alert));
            txn.remove(Table::Timers, keys::timer(Timer::Deadline, keys::wall(held.deadline), alert));
        } else if !held.keys.is_empty() {
            for key in &held.keys {
                let key = alert.key(&key.correlation_id);
                txn.remove(Table::ClosedWindows, keys::closed_window(&key, held.window.to, alert));
            }
            txn.remove(Table::Timers, keys::timer(Timer::Revise, 0, alert));
        }
    }
}

impl HeldKey {
    fn new(correlation_id: &Text) -> Self {
        Self {
            correlation_id: correlation_id.clone(),
            answer: None,
            revise: false,
        }
    }
}

/// How an arriving version relates to the state of the partition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is the greatest version so far.
    Counts,
    /// It is the stored version, or an older one.
    Stale,
    /// Its window ends before the retention cut-off.
    Expired,
}

/// Returns the time after which the alert can be forgotten: by then, no window that it ever had is read any more, and
/// an older version that arrives again has expired or cannot be distinguished from a new alert.
fn forget_at(version: Version, closes: EventTime, before: Option<&Held>) -> EventTime {
    let latest = closes.max(version.time_generated);
    before.map_or(latest, |before| before.forget_at.max(latest))
}

/// Returns the deadline of an alert, which waits from its first arrival: a newer version that does not end later does
/// not extend the deadline.
fn patience(deadline: WallTime, closes: EventTime, before: Option<&Held>) -> WallTime {
    match before {
        Some(before) if closes <= before.window.to => deadline.min(before.deadline),
        _ => deadline,
    }
}
