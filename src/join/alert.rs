//! A version of an alert comes in.

use super::Joiner;
use super::output::{AlertUpdates, Answer, ClosedBy, Op, Reason};
use super::state::{AlertState, Away, Held};
use super::work::{Rows, Step, closed_by_watermark, load, save};
use crate::record::{Alert, AlertId, Version};
use crate::store::keys::Timer;
use crate::store::{Base, Error, Table, Txn, keys};
use crate::time::{EventTime, WallTime};

impl Joiner {
    /// A version whose key belongs here. An older one than that held, or the same, changes nothing.
    pub(super) fn alert<B: Base>(&mut self, alert: &Alert<'_>, deadline: WallTime, txn: &mut Txn<'_, B>) -> Result<(), Error> {
        let before = load(&alert.id, txn)?;
        let standing = self.standing(alert.version, alert.window.to, before.as_ref());
        self.count(standing, alert.window.is_empty());
        if standing != Standing::Counts {
            return Ok(());
        }
        let mut held = Held {
            version: alert.version,
            key: alert.key.clone(),
            window: alert.window,
            deadline: patience(deadline, alert.window.to, before.as_ref()),
            answer: None,
            revise: false,
            forget_at: self.forget_at(alert.version, alert.window.to, before.as_ref()),
            versions: versions(before.as_ref()),
        };
        self.take_down(&alert.id, before.as_ref(), txn);
        txn.put(Table::AlertRows, keys::alert(&alert.id), alert.row.to_vec());
        match before {
            Some(AlertState::Here(Held {
                answer: Some(answer),
                key,
                window,
                ..
            })) if key == alert.key => {
                let [lost_before, lost_behind] = window.minus(alert.window);
                let [won_before, won_behind] = alert.window.minus(window);
                for (part, op) in [
                    (lost_before, Op::Delete),
                    (lost_behind, Op::Delete),
                    (won_before, Op::Upsert),
                    (won_behind, Op::Upsert),
                ] {
                    self.plan_rows(&alert.id, &held, part, op, Reason::AlertUpdated);
                }
                held.answer = Some(Answer {
                    first: answer.first.filter(|first| alert.window.contains(*first)),
                    last: answer.last.filter(|last| alert.window.contains(*last)),
                    ..answer
                });
                self.note_forgotten(&mut held, &[won_before, won_behind]);
                self.work.push_back(Step::Summary { alert: alert.id.clone() });
                self.plan_again(&alert.id, &held, alert.window.and(window));
            }
            Some(AlertState::Here(was)) if was.answer.is_some() => {
                let closed_by = was.answer.as_ref().map(|answer| answer.closed_by);
                self.plan_withdrawal(&alert.id, was);
                self.answer(&alert.id, &mut held, closed_by, Reason::AlertUpdated);
            }
            Some(AlertState::Elsewhere(away)) if self.answered_by(&away).is_some() => {
                let closed_by = self.answered_by(&away);
                self.answer(&alert.id, &mut held, closed_by, Reason::AlertUpdated);
            }
            _ => {
                let closed_by = self.passed(alert.window.to);
                self.answer(&alert.id, &mut held, closed_by, Reason::LateAlert);
            }
        }
        self.put_up(&alert.id, held, txn)
    }

    /// A version whose key belongs to another partition: what this one held of the alert, it lets go of.
    pub(super) fn alert_elsewhere<B: Base>(
        &mut self,
        id: &AlertId,
        version: Version,
        closes: EventTime,
        deadline: WallTime,
        txn: &mut Txn<'_, B>,
    ) -> Result<(), Error> {
        let before = load(id, txn)?;
        if self.standing(version, closes, before.as_ref()) != Standing::Counts {
            return Ok(());
        }
        self.take_down(id, before.as_ref(), txn);
        txn.remove(Table::AlertRows, keys::alert(id));
        let forget_at = self.forget_at(version, closes, before.as_ref());
        let deadline = patience(deadline, closes, before.as_ref());
        let versions = versions(before.as_ref());
        let answered = match before {
            None => None,
            Some(AlertState::Elsewhere(away)) => self.answered_by(&away),
            Some(AlertState::Here(held)) => {
                let closed_by = held.answer.as_ref().map(|answer| answer.closed_by);
                if closed_by.is_some() {
                    self.plan_withdrawal(id, held);
                }
                closed_by
            }
        };
        self.timers.set(Timer::Forget, forget_at.ticks(), id, txn);
        let away = Away {
            version,
            closes,
            deadline,
            answered,
            forget_at,
            versions,
        };
        save(id, AlertState::Elsewhere(away), txn)
    }

    fn standing(&self, version: Version, closes: EventTime, before: Option<&AlertState>) -> Standing {
        if closes < self.horizon() {
            return Standing::Expired;
        }
        match before {
            Some(before) if before.version() >= version => Standing::Stale,
            _ => Standing::Counts,
        }
    }

    /// In the owner of the key only: the other partitions hear of every version too.
    fn count(&mut self, standing: Standing, is_empty: bool) {
        match standing {
            Standing::Expired => self.counts.expired_alerts += 1,
            Standing::Stale => self.counts.stale_alerts += 1,
            Standing::Counts => {
                self.counts.alerts += 1;
                self.counts.empty_windows += u64::from(is_empty);
            }
        }
    }

    /// What closed a window that ends here, if anything has.
    fn passed(&self, closes: EventTime) -> Option<ClosedBy> {
        let by_activities = self.progress.watermarks.by_activities();
        let passed = self.watermark().is_some_and(|watermark| watermark >= closes);
        passed.then(|| closed_by_watermark(closes, by_activities))
    }

    /// What the alert has been answered by in the partition that it is in, if it has been answered.
    fn answered_by(&self, away: &Away) -> Option<ClosedBy> {
        let waited = self.wall().is_some_and(|wall| wall >= away.deadline);
        let here_and_now = || self.passed(away.closes).or(waited.then_some(ClosedBy::MaxWait));
        away.answered.or_else(here_and_now)
    }

    /// When the horizon has passed this, the alert can be forgotten: no window it ever had is read any more, and an older version
    /// that comes again is expired or cannot be told from a new alert by anyone.
    fn forget_at(&self, version: Version, closes: EventTime, before: Option<&AlertState>) -> EventTime {
        let latest = closes.max(version.time_generated);
        before.map_or(latest, |before| before.forget_at().max(latest))
    }

    fn plan_rows(&mut self, id: &AlertId, held: &Held, part: crate::time::Window, op: Op, reason: Reason) {
        if !part.is_empty() {
            let rows = Rows::new(id, &held.key, part, op, reason);
            self.work.push_back(Step::Rows(rows));
        }
    }

    /// Sends the pairs in `part` of the window, which are out already, once more. They stand behind everything else
    /// that the record brings: the places of the other outputs do not depend on the setting, so it may change between
    /// two starts.
    fn plan_again(&mut self, id: &AlertId, held: &Held, part: crate::time::Window) {
        if self.alert_updates == AlertUpdates::Rows && !part.is_empty() {
            let rows = Rows::new(id, &held.key, part, Op::Upsert, Reason::AlertUpdated);
            self.work.push_back(Step::Again(rows));
        }
    }

    /// Every pair under the old key goes, and so does the answer.
    fn plan_withdrawal(&mut self, id: &AlertId, was: Held) {
        self.plan_rows(id, &was, was.window, Op::Delete, Reason::AlertUpdated);
        self.work.push_back(Step::Withdraw { alert: id.clone(), was });
    }

    /// Answers `held` at once, if anything has closed it.
    fn answer(&mut self, id: &AlertId, held: &mut Held, closed_by: Option<ClosedBy>, reason: Reason) {
        let Some(closed_by) = closed_by else { return };
        held.answer = Some(self.new_answer(closed_by));
        self.note_forgotten(held, &[held.window]);
        self.plan_rows(id, held, held.window, Op::Upsert, reason);
        self.work.push_back(Step::Summary { alert: id.clone() });
    }

    pub(super) fn new_answer(&mut self, closed_by: ClosedBy) -> Answer {
        self.counts.closed += 1;
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

    /// Notes in the answer what of these parts of the window, which are read now, lies behind the horizon: it cannot be known to be whole.
    pub(super) fn note_forgotten(&self, held: &mut Held, parts: &[crate::time::Window]) {
        let Some(answer) = &mut held.answer else { return };
        for part in parts.iter().filter(|part| !part.is_empty() && part.from < self.horizon()) {
            answer.whole_from = answer.whole_from.max(part.to.min(self.horizon()));
        }
    }

    /// Writes an alert with everything that points to it.
    pub(super) fn put_up<B: Base>(&mut self, id: &AlertId, held: Held, txn: &mut Txn<'_, B>) -> Result<(), Error> {
        if held.answer.is_some() {
            self.answered.put(&held.key, held.window, id, txn)?;
        } else {
            self.timers.set(Timer::Close, held.window.to.ticks(), id, txn);
            self.timers.set(Timer::Deadline, keys::wall(held.deadline), id, txn);
        }
        self.timers.set(Timer::Forget, held.forget_at.ticks(), id, txn);
        save(id, AlertState::Here(held), txn)
    }

    /// Removes everything that points to an alert.
    pub(super) fn take_down<B: Base>(&self, id: &AlertId, state: Option<&AlertState>, txn: &mut Txn<'_, B>) {
        let Some(state) = state else { return };
        let forget = keys::timer(Timer::Forget, state.forget_at().ticks(), id);
        txn.remove(Table::Timers, forget);
        if let AlertState::Here(held) = state {
            if held.answer.is_some() {
                txn.remove(Table::Answered, keys::answered(&held.key, held.window.to, id));
                txn.remove(Table::Timers, keys::timer(Timer::Revise, 0, id));
            } else {
                let close = keys::timer(Timer::Close, held.window.to.ticks(), id);
                txn.remove(Table::Timers, close);
                let deadline = keys::timer(Timer::Deadline, keys::wall(held.deadline), id);
                txn.remove(Table::Timers, deadline);
            }
        }
    }
}

/// What a version that comes in is to the partition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is the greatest so far.
    Counts,
    /// It is the one held, or older.
    Stale,
    /// Its window ends behind the horizon.
    Expired,
}

/// How many versions have counted with the one that comes behind `before`.
fn versions(before: Option<&AlertState>) -> u32 {
    before.map_or(0, AlertState::versions).saturating_add(1)
}

/// An alert waits from its first arrival: a newer version that does not end later does not wait longer either.
fn patience(deadline: WallTime, closes: EventTime, before: Option<&AlertState>) -> WallTime {
    match before {
        Some(AlertState::Here(held)) if closes <= held.window.to => deadline.min(held.deadline),
        Some(AlertState::Elsewhere(away)) if closes <= away.closes => deadline.min(away.deadline),
        _ => deadline,
    }
}
