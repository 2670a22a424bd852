//! What every record of the log has to lead to: worked out from the inputs and the journal, slowly and without a thought of how the
//! program does it.
//!
//! For each partition of the log and after each of its records, the rows that are out are, for every answered alert, its activities
//! so far. So what a record has to bring is the difference between what was out before and what has to be out now. Kept are plain lists:
//! every activity ever accepted, and for every alert the version that counts and the rows that are out.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use alerttrail::join::Counts;

use crate::clock::Clock;
use crate::due::{Due, Expected, Left, Summary};
use crate::held::{Activity, Alert, Answer};
use crate::hits::Hits;
use crate::router::{Entry, Log, Said, owner};
use crate::world::{Settings, TICKS_PER_MILLI, Version, What, World, millis, ticks, wall_of};

/// Works out what partition `number` of the log has to bring.
pub(crate) fn expect(world: &World, number: usize, log: &Log, hits: &mut Hits) -> Expected {
    let mut model = Model {
        world,
        settings: &world.settings,
        number,
        clock: Clock::default(),
        horizon: i64::MIN,
        activities: BTreeMap::new(),
        alerts: BTreeMap::new(),
        forgotten: BTreeSet::new(),
        came_late: BTreeSet::new(),
        counts: Counts::default(),
        hits,
    };
    let due = log.journal.iter().map(|entry| model.record(entry)).collect();
    Expected {
        due,
        left: model.left(),
        counts: model.counts,
    }
}

struct Model<'a> {
    world: &'a World,
    settings: &'a Settings,
    number: usize,
    clock: Clock,
    /// What lies before it is not read any more.
    horizon: i64,
    /// By number.
    activities: BTreeMap<usize, Activity>,
    alerts: BTreeMap<usize, Alert>,
    forgotten: BTreeSet<usize>,
    /// Alerts and activities that came when those had been answered.
    came_late: BTreeSet<(usize, usize)>,
    counts: Counts,
    hits: &'a mut Hits,
}

impl Model<'_> {
    fn record(&mut self, entry: &Entry) -> Due {
        let mut due = Due::default();
        match entry {
            Entry::Gap => {}
            Entry::Activity(record) => self.activity(*record, &mut due),
            Entry::Alert { record, now } => self.alert(*record, *now, &mut due),
            Entry::Marks(said) => self.marks(said, &mut due),
            Entry::End => self.end(&mut due),
        }
        let upserts = due.rows.iter().filter(|row| row.is_upsert).count();
        self.counts.upserts += (upserts - due.again.len()) as u64;
        self.counts.deletes += (due.rows.len() - upserts) as u64;
        due.summaries
            .retain(|summary| self.settings.unmatched || summary.ever_matched);
        due
    }

    fn activity(&mut self, record: usize, due: &mut Due) {
        let What::Activity { number, key, time } = self.world.records[record].what else {
            unreachable!("the journal is wrong")
        };
        if time < self.horizon {
            self.counts.expired_activities += 1;
            return self.hits.hit("activity: expired");
        }
        if self.activities.contains_key(&number) {
            self.counts.duplicate_activities += 1;
            return self.hits.hit("activity: again");
        }
        self.counts.activities += 1;
        let record = self.world.records[record].twin;
        self.activities.insert(number, Activity { key, time, record });
        let answered: Vec<usize> = self
            .alerts
            .iter()
            .filter(|(_, alert)| alert.answer.is_some())
            .map(|(id, _)| *id)
            .collect();
        let mut came = 0;
        for id in answered {
            if self.settle(id, "late_activity", due) {
                came += 1;
                self.counts.late_activities += 1;
                let answer = self.alerts.get_mut(&id).unwrap().answer.as_mut().unwrap();
                answer.late = true;
                answer.late_count += 1;
                self.came_late.insert((id, number));
            }
        }
        match came {
            0 => {}
            1 => self.hits.hit("activity: late"),
            _ => self.hits.hit("activity: late for several alerts"),
        }
    }

    fn alert(&mut self, record: usize, now: i64, due: &mut Due) {
        let What::Alert(version) = self.world.records[record].what.clone() else {
            unreachable!("the journal is wrong")
        };
        let id = version.alert;
        let before = self.alerts.get(&id).cloned();
        let is_here = owner(version.key, self.settings.partitions) == self.number;
        if !self.counts_now(&version, is_here, before.as_ref()) {
            return;
        }
        let alert = self.next(version, record, now, before.as_ref());
        alert.note_update(before.as_ref(), self.hits);
        if alert.answer.is_none()
            && let Some(before) = &before
        {
            self.withdraw(before, due);
        }
        let (is_new, is_due) = (alert.answer.is_none(), is_here && alert.is_answered);
        let to = alert.window.1;
        self.alerts.insert(id, alert);
        if !is_due {
            return;
        }
        let was_answered = before.as_ref().is_some_and(|before| before.is_answered);
        if is_new {
            // What had closed it elsewhere is not known for sure.
            let closed_by = match before.as_ref().and_then(|before| before.answer.as_ref()) {
                Some(answer) => answer.closed_by,
                None if was_answered => None,
                None => self.passed(to),
            };
            self.answer(id, closed_by);
        } else if let Some(before) = &before {
            // What the old window had no part in.
            let ((from, to), (new_from, new_to)) = (before.window, self.alerts[&id].window);
            match from < to {
                true => {
                    self.read_part(id, (new_from, new_to.min(from)));
                    self.read_part(id, (new_from.max(to), new_to));
                }
                false => self.read_part(id, (new_from, new_to)),
            }
        }
        let moved = self.settle(id, if was_answered { "alert_updated" } else { "late_alert" }, due);
        if !was_answered {
            self.hits.hit("alert: late");
        } else if !is_new && !moved {
            self.hits.hit("update: after the close, nothing moves");
        }
        if let Some(before) = before.filter(|_| self.settings.rows_again && was_answered && !is_new) {
            self.again(id, &before, due);
        }
        self.revise(id, due);
    }

    /// The rows that stay go out again, but for what lies behind the horizon.
    fn again(&mut self, id: usize, before: &Alert, due: &mut Due) {
        let alert = &self.alerts[&id];
        let [was, is] = [before, alert].map(|alert| &alert.answer.as_ref().unwrap().out);
        let is_held = |number: &&usize| self.activities[*number].time >= self.horizon;
        for number in was.intersection(is).filter(is_held) {
            self.hits.hit("update: after the close, rows that stay come again");
            due.again.insert((id, *number));
            let mut row = alert.row(*number, "alert_updated");
            row.is_upsert = true;
            row.records = Some((alert.record, self.activities[number].record));
            due.rows.insert(row);
        }
    }

    /// Whether a version is the greatest so far and not expired.
    fn counts_now(&mut self, version: &Version, is_here: bool, before: Option<&Alert>) -> bool {
        let (from, to) = self.settings.window(version);
        // The owner counts, for all partitions hear of every version.
        let counted = u64::from(is_here);
        if to < self.horizon {
            self.counts.expired_alerts += counted;
            self.hits.hit("alert: expired");
            return false;
        }
        let order = before.map(|before| before.version.order().cmp(&version.order()));
        if before.is_some_and(|before| before.version.generated == version.generated) && order.is_some_and(Ordering::is_ne) {
            self.hits.hit("alert: tie of TimeGenerated");
        }
        match order {
            Some(Ordering::Equal) => self.hits.hit("alert: same version again"),
            Some(Ordering::Greater) => self.hits.hit("alert: older version after a newer one"),
            Some(Ordering::Less) | None => {
                self.counts.alerts += counted;
                self.counts.empty_windows += u64::from(is_here && from >= to);
                return true;
            }
        }
        self.counts.stale_alerts += counted;
        false
    }

    /// Where an alert stands with this version.
    fn next(&mut self, version: Version, record: usize, now: i64, before: Option<&Alert>) -> Alert {
        let (from, to) = self.settings.window(&version);
        let is_here = owner(version.key, self.settings.partitions) == self.number;
        if version.key.is_empty() {
            self.hits.hit("alert: without a key");
        }
        if before.is_none() && self.forgotten.contains(&version.alert) {
            self.hits.hit("alert: back after it was forgotten");
        }
        let latest = to.max(version.generated);
        let mut deadline = now.max(wall_of(to)) + millis(self.settings.max_wait);
        if let Some(before) = before.filter(|before| to <= before.window.1) {
            // It has waited since its first version came.
            deadline = deadline.min(before.deadline);
        }
        // Where an alert is, it is answered when marks say so; where it is not, there is nothing to wait for.
        let waited = !is_here && self.clock.wall.is_some_and(|wall| wall >= deadline);
        let kept = before.filter(|before| is_here && before.is_here && before.version.key == version.key);
        Alert {
            record: self.world.records[record].twin,
            window: (from, to),
            deadline,
            forget_at: before.map_or(latest, |before| before.forget_at.max(latest)),
            is_here,
            was_here: is_here || before.is_some_and(|before| before.was_here),
            is_answered: before.is_some_and(|before| before.is_answered) || self.passed(to).is_some() || waited,
            answer: kept.and_then(|before| before.answer.clone()),
            version,
        }
    }

    /// What was out under a key that the alert no longer has goes, but for what lies behind the horizon.
    fn withdraw(&mut self, before: &Alert, due: &mut Due) {
        let Some(answer) = &before.answer else { return };
        for activity in &answer.out {
            if self.activities[activity].time >= self.horizon {
                due.rows.insert(before.row(*activity, "alert_updated"));
            }
        }
        due.summaries.push(self.summary(before, false));
    }

    fn marks(&mut self, said: &Said, due: &mut Due) {
        let moved = self.clock.observe(said, self.hits);
        let open: Vec<usize> = self
            .alerts
            .iter()
            .filter(|(_, alert)| !alert.is_answered)
            .map(|(id, _)| *id)
            .collect();
        for id in open {
            let alert = &self.alerts[&id];
            let late_by = match alert.is_here {
                true => said.wall,
                false => self.clock.wall.unwrap(),
            };
            let waited = (late_by >= alert.deadline).then_some("max_wait");
            let Some(closed_by) = self.passed(alert.window.1).or(waited) else {
                continue;
            };
            self.close(id, closed_by, due);
        }
        if moved {
            self.tell_of_late_ones(due);
        }
        self.forget(due);
    }

    /// What has closed a window that ends here.
    fn passed(&self, to: i64) -> Option<&'static str> {
        let is_passed = |time: Option<i64>| time.is_some_and(|time| time >= to);
        match () {
            () if is_passed(self.clock.by_activities) => Some("watermark"),
            () if is_passed(self.clock.watermark) => Some("clock"),
            () => None,
        }
    }

    fn end(&mut self, due: &mut Due) {
        let open: Vec<usize> = self
            .alerts
            .iter()
            .filter(|(_, alert)| !alert.is_answered)
            .map(|(id, _)| *id)
            .collect();
        for id in open {
            self.close(id, "end_of_input", due);
        }
        self.tell_of_late_ones(due);
    }

    fn tell_of_late_ones(&mut self, due: &mut Due) {
        let is_late = |alert: &Alert| alert.answer.as_ref().is_some_and(|answer| answer.late);
        let late: Vec<usize> = self
            .alerts
            .iter()
            .filter(|(_, alert)| is_late(alert))
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            self.hits.hit("revision: for late activities");
            self.revise(id, due);
        }
    }

    fn close(&mut self, id: usize, closed_by: &'static str, due: &mut Due) {
        let alert = self.alerts.get_mut(&id).unwrap();
        alert.is_answered = true;
        if !alert.is_here {
            return;
        }
        self.hits.hit(match closed_by {
            "watermark" => "close: by the watermark",
            "clock" => "close: by the clock",
            "max_wait" => "close: by max_wait",
            _ => "close: at the end of input",
        });
        if alert.window.0 >= alert.window.1 {
            self.hits.hit("close: of an empty window");
        }
        self.answer(id, Some(closed_by));
        match self.settle(id, "window_closed", due) {
            true => self.hits.hit("close: with a match"),
            false => self.hits.hit("close: without a match"),
        }
        self.revise(id, due);
    }

    fn answer(&mut self, id: usize, closed_by: Option<&'static str>) {
        self.counts.closed += 1;
        let alert = self.alerts.get_mut(&id).unwrap();
        alert.answer = Some(Answer {
            closed_by,
            closed_at: self.clock.wall,
            revision: 0,
            ever_matched: false,
            late: false,
            late_count: 0,
            watermark: self.clock.watermark,
            whole_from: i64::MIN,
            out: BTreeSet::new(),
        });
        self.read_part(id, self.alerts[&id].window);
    }

    /// This part of the window is read now: what the horizon has taken of it cannot be known.
    fn read_part(&mut self, id: usize, (from, to): (i64, i64)) {
        let answer = self.alerts.get_mut(&id).unwrap().answer.as_mut().unwrap();
        if from < to && from < self.horizon {
            answer.whole_from = answer.whole_from.max(to.min(self.horizon));
        }
    }

    /// Brings the rows that are out to what they have to be; whether any came or went. What lies behind the horizon stays as it is.
    fn settle(&mut self, id: usize, reason: &'static str, due: &mut Due) -> bool {
        let horizon = self.horizon;
        let alert = self.alerts.get_mut(&id).unwrap();
        let out = alert.answer.as_ref().unwrap().out.clone();
        let (from, to) = alert.window;
        let is_inside = |activity: &Activity| activity.key == alert.version.key && from <= activity.time && activity.time < to;
        let mut moved = false;
        for (number, activity) in &self.activities {
            if activity.time < horizon || is_inside(activity) == out.contains(number) {
                continue;
            }
            moved = true;
            let mut row = alert.row(*number, reason);
            let now_out = &mut alert.answer.as_mut().unwrap().out;
            if now_out.remove(number) {
                self.hits.hit("update: after the close, rows go");
            } else {
                now_out.insert(*number);
                if reason == "alert_updated" {
                    self.hits.hit("update: after the close, rows come");
                }
                row.is_upsert = true;
                row.records = Some((alert.record, activity.record));
            }
            due.rows.insert(row);
        }
        moved
    }

    fn revise(&mut self, id: usize, due: &mut Due) {
        let answer = self.alerts.get_mut(&id).unwrap().answer.as_mut().unwrap();
        answer.revision += 1;
        answer.late = false;
        answer.ever_matched |= !answer.out.is_empty();
        if answer.revision == 1 && answer.ever_matched {
            self.counts.matched += 1;
        }
        due.summaries.push(self.summary(&self.alerts[&id], true));
    }

    fn summary(&self, alert: &Alert, is_upsert: bool) -> Summary {
        let answer = alert.answer.as_ref().unwrap();
        let times: BTreeSet<i64> = answer.out.iter().map(|activity| self.activities[activity].time).collect();
        let is_known = times.iter().all(|time| *time >= self.horizon);
        Summary {
            is_upsert,
            alert: alert.version.alert,
            key: alert.version.key,
            revision: answer.revision,
            count: answer.out.len(),
            extent: is_known.then(|| (times.first().copied(), times.last().copied())),
            closed_by: answer.closed_by,
            closed_at: answer.closed_at,
            complete: match answer.closed_by {
                Some("clock" | "max_wait") => false,
                _ if alert.window.0 < alert.window.1 && alert.window.0 < answer.whole_from => false,
                Some("end_of_input") => true,
                _ => self.clock.by_activities.is_some_and(|time| time >= alert.window.1),
            },
            late_count: answer.late_count,
            watermark_at_close: answer.watermark,
            horizon: self.horizon,
            watermark: self.clock.watermark,
            version: alert.version.clone(),
            record: alert.record,
            ever_matched: answer.ever_matched,
        }
    }

    /// The horizon moves behind the watermark of activities, when all that this watermark closes has been answered. An alert all of which
    /// lies behind it is forgotten; what was not told yet is told before.
    fn forget(&mut self, due: &mut Due) {
        if let (Some(watermark), Some(retention)) = (self.clock.by_activities, self.settings.retention) {
            self.horizon = watermark - ticks(retention);
        }
        let horizon = self.horizon;
        let behind: Vec<usize> = self
            .alerts
            .iter()
            .filter(|(_, alert)| alert.forget_at < horizon)
            .map(|(id, _)| *id)
            .collect();
        for id in behind {
            if self.alerts[&id].answer.as_ref().is_some_and(|answer| answer.late) {
                self.revise(id, due);
            }
            self.hits.hit("alert: forgotten");
            self.alerts.remove(&id);
            self.forgotten.insert(id);
        }
    }

    fn left(&mut self) -> Left {
        const DAY: i64 = 86_400_000 * TICKS_PER_MILLI;
        let first_day = self.horizon.div_euclid(DAY);
        let kept: Vec<i64> = self
            .activities
            .values()
            .map(|activity| activity.time.div_euclid(DAY))
            .filter(|day| *day >= first_day)
            .collect();
        if kept.len() < self.activities.len() {
            self.hits.hit("activity: dropped from state");
        }
        let here = self.alerts.values().filter(|alert| alert.is_here);
        let answered = here.clone().filter(|alert| alert.answer.is_some()).count();
        let untold = here
            .clone()
            .filter(|alert| alert.answer.as_ref().is_some_and(|answer| answer.late))
            .count();
        let here = here.count();
        let day = |activity: usize| self.activities[&activity].time.div_euclid(DAY);
        let came_late = self
            .came_late
            .iter()
            .filter(|(_, activity)| day(*activity) >= first_day)
            .count();
        Left {
            activities: kept.len() + came_late,
            alerts: self.alerts.len(),
            alert_rows: here,
            answered,
            // To forget each, to close an open one by either clock, to tell of what came late.
            timers: self.alerts.len() + 2 * (here - answered) + untold,
            // How far the log was applied, and each day.
            meta: 1 + kept.iter().collect::<BTreeSet<_>>().len(),
        }
    }
}
