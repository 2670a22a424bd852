//! The closed windows of the model: the rows that are emitted for each key of an alert, and their summaries.

use std::collections::BTreeSet;

use crate::due::{Due, Left, Summary};
use crate::links::{LinkKey, QUERY};
use crate::model::Model;
use crate::state::{Activity, Alert, ClosedWindow};
use crate::world::{TICKS_PER_MILLI, ticks};

impl Model<'_> {
    pub(crate) fn closed_window(&mut self, id: usize, key: LinkKey) -> &mut ClosedWindow {
        self.alerts.get_mut(&id).unwrap().closed_windows.get_mut(&key).unwrap()
    }

    pub(crate) fn close_window(&mut self, id: usize, key: LinkKey, closed_by: Option<&'static str>) {
        self.counts.closed += 1;
        let alert = self.alerts.get_mut(&id).unwrap();
        let closed = ClosedWindow {
            closed_by,
            closed_at: self.clock.wall,
            revision: 0,
            ever_matched: false,
            late: false,
            late_count: 0,
            watermark: self.clock.watermark,
            whole_from: i64::MIN,
            emitted: BTreeSet::new(),
        };
        alert.closed_windows.insert(key, closed);
        let window = alert.window;
        self.read_part(id, key, window);
    }

    /// Records that this part of the window is read now. It is unknown what the retention cut-off has already removed
    /// from it.
    pub(crate) fn read_part(&mut self, id: usize, key: LinkKey, (from, to): (i64, i64)) {
        let cutoff = self.cutoff;
        let closed = self.closed_window(id, key);
        if from < to && from < cutoff {
            closed.whole_from = closed.whole_from.max(to.min(cutoff));
        }
    }

    /// Updates the emitted rows to what they have to be, except for activities before the retention cut-off. Returns
    /// whether any row was added or removed.
    pub(crate) fn settle(&mut self, id: usize, key: LinkKey, reason: &'static str, due: &mut Due) -> bool {
        let alert = &self.alerts[&id];
        let emitted = alert.closed_windows[&key].emitted.clone();
        let (from, to) = alert.window;
        let is_inside = |activity: &Activity| activity.keys.contains(&key) && from <= activity.time && activity.time < to;
        let mut now_emitted = emitted.clone();
        for (number, activity) in &self.activities {
            if activity.time < self.cutoff || is_inside(activity) == emitted.contains(number) {
                continue;
            }
            let mut row = alert.row(key, *number, reason);
            if now_emitted.remove(number) {
                self.hits.hit("update: after the close, rows are removed");
            } else {
                now_emitted.insert(*number);
                if reason == "alert_updated" {
                    self.hits.hit("update: after the close, rows are added");
                }
                row.is_upsert = true;
                row.records = Some((alert.record, activity.record));
            }
            due.rows.insert(row);
        }
        let moved = emitted != now_emitted;
        self.closed_window(id, key).emitted = now_emitted;
        moved
    }

    /// Emits the rows that stay again, except for activities before the retention cut-off.
    pub(crate) fn emit_again(&mut self, id: usize, key: LinkKey, before: &Alert, due: &mut Due) {
        let alert = &self.alerts[&id];
        let [was, is] = [before, alert].map(|alert| &alert.closed_windows[&key].emitted);
        let is_kept = |number: &&usize| self.activities[*number].time >= self.cutoff;
        for number in was.intersection(is).filter(is_kept) {
            self.hits.hit("update: after the close, kept rows are emitted again");
            let mut row = alert.row(key, *number, "alert_updated");
            due.again.insert(row.pair);
            row.is_upsert = true;
            row.records = Some((alert.record, self.activities[number].record));
            due.rows.insert(row);
        }
    }

    /// Withdraws the rows under a key that the alert no longer has, except for activities before the retention cut-off.
    pub(crate) fn withdraw(&mut self, before: &Alert, key: LinkKey, due: &mut Due) {
        for activity in &before.closed_windows[&key].emitted {
            if self.activities[activity].time >= self.cutoff {
                due.rows.insert(before.row(key, *activity, "alert_updated"));
            }
        }
        due.summaries.push(self.summary(before, key, false));
    }

    pub(crate) fn emit_late_summaries(&mut self, due: &mut Due) {
        let late: Vec<usize> = self
            .alerts
            .iter()
            .filter(|(_, alert)| alert.is_late())
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            self.hits.hit("revision: for late activities");
            self.emit_late_summary(id, due);
        }
    }

    fn emit_late_summary(&mut self, id: usize, due: &mut Due) {
        for key in self.alerts[&id].keys.clone() {
            if self.alerts[&id].closed_windows.get(&key).is_some_and(|closed| closed.late) {
                self.revise(id, key, due);
            }
        }
    }

    pub(crate) fn revise(&mut self, id: usize, key: LinkKey, due: &mut Due) {
        let closed = self.closed_window(id, key);
        closed.revision += 1;
        closed.late = false;
        closed.ever_matched |= !closed.emitted.is_empty();
        let is_first_match = closed.revision == 1 && closed.ever_matched;
        self.counts.matched += u64::from(is_first_match);
        due.summaries.push(self.summary(&self.alerts[&id], key, true));
    }

    fn summary(&self, alert: &Alert, key: LinkKey, is_upsert: bool) -> Summary {
        let closed = &alert.closed_windows[&key];
        let times: BTreeSet<i64> = closed.emitted.iter().map(|activity| self.activities[activity].time).collect();
        let is_known = times.iter().all(|time| *time >= self.cutoff);
        Summary {
            is_upsert,
            alert: alert.version.alert,
            key,
            revision: closed.revision,
            count: closed.emitted.len(),
            extent: is_known.then(|| (times.first().copied(), times.last().copied())),
            closed_by: closed.closed_by,
            closed_at: closed.closed_at,
            complete: match closed.closed_by {
                Some("clock" | "max_wait") => false,
                _ if alert.window.0 < alert.window.1 && alert.window.0 < closed.whole_from => false,
                Some("end_of_input") => true,
                _ => self.clock.by_activities.is_some_and(|time| time >= alert.window.1),
            },
            late_count: closed.late_count,
            watermark_at_close: closed.watermark,
            cutoff: self.cutoff,
            watermark: self.clock.watermark,
            version: alert.version.clone(),
            record: alert.record,
            ever_matched: closed.ever_matched,
        }
    }

    /// Returns the time before which a link no longer reads anything.
    pub(crate) fn cutoff_of(&self, link: usize) -> i64 {
        let kept = self.evicted.zip(self.settings.retention(link));
        kept.map_or(i64::MIN, |(watermark, retention)| watermark - ticks(retention))
    }

    /// Moves the cut-offs up to the watermark of activities, after everything that this watermark closes has been
    /// emitted. Forgets an alert that no link can read any more, but first emits a summary for late activities that no
    /// summary has counted.
    pub(crate) fn forget(&mut self, due: &mut Due) {
        self.evicted = self.clock.by_activities;
        (self.cutoff, self.last_cutoff) = (self.cutoff_of(self.link), self.cutoff_of(QUERY));
        let is_expired = |alert: &Alert| alert.forget_at < self.last_cutoff;
        let expired: Vec<usize> = self
            .alerts
            .iter()
            .filter(|(_, alert)| is_expired(alert))
            .map(|(id, _)| *id)
            .collect();
        for id in expired {
            self.emit_late_summary(id, due);
            self.hits.hit("alert: forgotten");
            self.alerts.remove(&id);
            self.forgotten.insert(id);
        }
    }

    /// Returns the state that is left of this link, and adds to `days` those on which it has activities.
    pub(crate) fn left(&mut self, days: &mut BTreeSet<i64>) -> Left {
        const DAY: i64 = 86_400_000 * TICKS_PER_MILLI;
        let day = |activity: usize| self.activities[&activity].time.div_euclid(DAY);
        let [first_day, last_first_day] = [self.cutoff, self.last_cutoff].map(|cutoff| cutoff.div_euclid(DAY));
        let all = self.activities.iter().map(|(number, activity)| (day(*number), activity));
        days.extend(all.clone().map(|(day, _)| day).filter(|day| *day >= last_first_day));
        let kept = all.clone().filter(|(day, _)| *day >= first_day);
        let dropped = all.clone().filter(|(day, _)| *day < first_day);
        if dropped.clone().next().is_some() {
            self.hits.hit("activity: dropped from state");
        }
        if dropped.clone().any(|(day, _)| day >= last_first_day) {
            self.hits.hit("link: activity dropped from state before the others");
        }
        let here = self.alerts.values().filter(|alert| alert.is_here());
        let open = here.clone().filter(|alert| !alert.is_closed).count();
        let uncounted = here.clone().filter(|alert| alert.is_late()).count();
        let is_kept = |(_, activity): &&(usize, usize)| day(*activity) >= last_first_day;
        Left {
            activities: kept.map(|(_, activity)| activity.keys.len()).sum::<usize>()
                + self.late_arrivals.iter().filter(is_kept).count(),
            alerts: self.alerts.len(),
            alert_rows: here.clone().count(),
            closed_windows: here.map(|alert| alert.closed_windows.len()).sum(),
            // One timer to forget each alert, two to close an open alert by either clock, and one to emit a summary for
            // late activities.
            timers: self.alerts.len() + 2 * open + uncounted,
            meta: 0,
        }
    }
}
