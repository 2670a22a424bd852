//! The outputs that every record of the repartition topic must lead to, computed from the inputs and the journal,
//! slowly and independently of how the program does it.
//!
//! For each partition of the repartition topic, each link and after each record, the emitted rows are, for every key of
//! every closed alert, the activities with that key so far. So a record must lead to the difference between the rows
//! that were emitted before and the rows that have to be emitted now. The model keeps plain lists: every activity ever
//! accepted, and for every alert the version that counts and the emitted rows. Links are independent of each other, so
//! each has its own model.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alerttrail::join::Counts;
use alerttrail::record::LinkId;

use crate::clock::Clock;
use crate::due::{Due, Expected, Left};
use crate::hits::Hits;
use crate::links::{LinkKey, QUERY};
use crate::router::{Entry, Log, Update, partition_of_key};
use crate::state::{Activity, Alert};
use crate::world::{RecordKind, Settings, Version, World, millis, wall_of};

/// Computes the outputs that partition `number` of the repartition topic must lead to.
pub(crate) fn expect(world: &World, number: usize, log: &Log, hits: &mut Hits) -> Expected {
    let mut due: Vec<Due> = log.journal.iter().map(|_| Due::default()).collect();
    // The position in the repartition topic.
    let mut left = Left {
        meta: 1,
        ..Left::default()
    };
    let (mut days, mut counts) = (BTreeSet::new(), Vec::new());
    for link in 0..world.settings.links.len() {
        let mut model = Model {
            world,
            settings: &world.settings,
            number,
            link,
            clock: Clock::default(),
            evicted: None,
            cutoff: i64::MIN,
            last_cutoff: i64::MIN,
            activities: BTreeMap::new(),
            alerts: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            late_arrivals: BTreeSet::new(),
            counts: Counts::default(),
            hits,
        };
        for (entry, due) in log.journal.iter().zip(&mut due) {
            due.add(model.record(entry));
        }
        left += model.left(&mut days);
        if model.counts != Counts::default() {
            counts.push((LinkId(u8::try_from(link).unwrap()), model.counts));
        }
    }
    left.meta += days.len();
    Expected { due, left, counts }
}

/// One partition of the repartition topic, for one link.
pub(crate) struct Model<'a> {
    pub(crate) world: &'a World,
    pub(crate) settings: &'a Settings,
    number: usize,
    pub(crate) link: usize,
    pub(crate) clock: Clock,
    /// The watermark of activities from which the cut-offs are computed.
    pub(crate) evicted: Option<i64>,
    /// The link no longer reads anything before this time.
    pub(crate) cutoff: i64,
    /// No link reads anything before this time.
    pub(crate) last_cutoff: i64,
    /// By number.
    pub(crate) activities: BTreeMap<usize, Activity>,
    pub(crate) alerts: BTreeMap<usize, Alert>,
    pub(crate) forgotten: BTreeSet<usize>,
    /// Alerts and activities that arrived after the alerts had closed.
    pub(crate) late_arrivals: BTreeSet<(usize, usize)>,
    pub(crate) counts: Counts,
    pub(crate) hits: &'a mut Hits,
}

impl Model<'_> {
    fn record(&mut self, entry: &Entry) -> Due {
        let mut due = Due::default();
        match entry {
            Entry::Gap => {}
            Entry::Activity(record) => self.activity(*record, &mut due),
            Entry::Alert { record, now } => self.alert(*record, *now, &mut due),
            Entry::WatermarkUpdate(update) => self.watermark_update(update, &mut due),
            Entry::End => self.end(&mut due),
        }
        let upserts = due.rows.iter().filter(|row| row.is_upsert).count();
        self.counts.upserts += (upserts - due.again.len()) as u64;
        self.counts.deletes += (due.rows.len() - upserts) as u64;
        due.summaries
            .retain(|summary| self.settings.unmatched || summary.ever_matched);
        due
    }

    /// Returns the keys that belong to the link and the partition, in order.
    fn keys_here(&self, keys: &BTreeSet<LinkKey>) -> Vec<LinkKey> {
        let is_here = |key: &&LinkKey| key.0 == self.link && partition_of_key(key.1, self.settings.partitions) == self.number;
        keys.iter().filter(is_here).copied().collect()
    }

    fn activity(&mut self, record: usize, due: &mut Due) {
        let RecordKind::Activity { number, keys, time } = &self.world.records[record].kind else {
            unreachable!("the journal is wrong")
        };
        self.note_activity(keys);
        let (number, keys, time) = (*number, self.keys_here(keys), *time);
        if keys.is_empty() {
            return;
        }
        let count = keys.len() as u64;
        if time < self.cutoff {
            self.counts.expired_activities += count;
            if time >= self.last_cutoff {
                self.hits.hit("link: activity expired, and kept for another link");
            }
            return self.hits.hit("activity: expired");
        }
        if self.activities.contains_key(&number) {
            self.counts.duplicate_activities += count;
            self.counts.redelivered_activities += u64::from(self.counts_redelivery(record, time));
            return self.hits.hit("activity: again");
        }
        self.counts.activities += count;
        let record = self.world.records[record].twin;
        self.activities.insert(number, Activity { keys, time, record });
        let affected = self
            .alerts
            .iter()
            .flat_map(|(id, alert)| alert.closed_windows.keys().map(|key| (*id, *key)));
        let mut late = 0;
        for (id, key) in affected.collect::<Vec<_>>() {
            if self.settle(id, key, "late_activity", due) {
                late += 1;
                self.counts.late_activities += 1;
                let closed = self.closed_window(id, key);
                closed.late = true;
                closed.late_count += 1;
                self.late_arrivals.insert((id, number));
            }
        }
        match late {
            0 => {}
            1 => self.hits.hit("activity: late"),
            _ => self.hits.hit("activity: late for several alerts"),
        }
    }

    /// Returns whether this link counts an activity that is delivered again. Of all links that still keep it in this
    /// partition, the link with the shortest retention counts it; if several have that, the last of them.
    fn counts_redelivery(&self, record: usize, time: i64) -> bool {
        let RecordKind::Activity { keys, .. } = &self.world.records[record].kind else {
            return false;
        };
        let here = keys
            .iter()
            .filter(|key| partition_of_key(key.1, self.settings.partitions) == self.number);
        let links = here.map(|key| key.0).filter(|link| time >= self.cutoff_of(*link));
        links.max_by_key(|link| Reverse(self.settings.retention(*link).unwrap_or(Duration::MAX))) == Some(self.link)
    }

    /// Records which kinds of keys an activity has by all links, once for each partition.
    fn note_activity(&mut self, keys: &BTreeSet<LinkKey>) {
        if self.link != QUERY {
            return;
        }
        let partitions_of_keys: Vec<usize> = keys
            .iter()
            .map(|key| partition_of_key(key.1, self.settings.partitions))
            .collect();
        if keys.iter().all(|key| key.0 != QUERY) {
            self.hits.hit("link: activity that the query does not find");
        }
        if partitions_of_keys.iter().any(|partition| *partition != self.number) {
            self.hits.hit("link: activity with keys in several partitions");
        }
        if partitions_of_keys
            .iter()
            .filter(|partition| **partition == self.number)
            .count()
            > 1
        {
            self.hits.hit("link: activity with several keys in a partition");
        }
    }

    fn alert(&mut self, record: usize, now: i64, due: &mut Due) {
        let RecordKind::Alert(version) = self.world.records[record].kind.clone() else {
            unreachable!("the journal is wrong")
        };
        let id = version.alert;
        let before = self.alerts.get(&id).cloned();
        let keys = self.keys_here(&version.keys);
        if !self.is_counted(&version, !keys.is_empty(), before.as_ref()) {
            return;
        }
        let alert = self.next(version, keys, record, now, before.as_ref());
        alert.note_update(self.link, before.as_ref(), self.hits);
        if let Some(before) = &before {
            for key in before
                .closed_windows
                .keys()
                .filter(|key| !alert.closed_windows.contains_key(key))
            {
                self.withdraw(before, *key, due);
            }
        }
        let was_closed = before.as_ref().is_some_and(|before| before.is_closed);
        let (keys, is_due) = (alert.keys.clone(), alert.is_closed);
        self.alerts.insert(id, alert);
        if !is_due || keys.is_empty() {
            return;
        }
        if !was_closed {
            self.hits.hit("alert: late");
        }
        for key in keys {
            self.update_closed_window(id, key, before.as_ref(), due);
        }
    }

    /// Settles a key of an alert whose newest version arrived after its window had closed.
    fn update_closed_window(&mut self, id: usize, key: LinkKey, before: Option<&Alert>, due: &mut Due) {
        let was_closed = before.is_some_and(|before| before.is_closed);
        let (new_from, new_to) = self.alerts[&id].window;
        let kept = before.filter(|before| before.closed_windows.contains_key(&key));
        match kept.map(|before| before.window) {
            None => {
                // This partition does not know for sure what closed it in another partition.
                let closed_by = match before.and_then(|before| before.closed_windows.values().next()) {
                    Some(closed) => closed.closed_by,
                    None if was_closed => None,
                    None => self.passed(new_to),
                };
                self.close_window(id, key, closed_by);
            }
            // The parts of the new window outside the old one.
            Some((from, to)) if from < to => {
                self.read_part(id, key, (new_from, new_to.min(from)));
                self.read_part(id, key, (new_from.max(to), new_to));
            }
            Some(_) => self.read_part(id, key, (new_from, new_to)),
        }
        let moved = self.settle(id, key, if was_closed { "alert_updated" } else { "late_alert" }, due);
        if kept.is_some() && !moved {
            self.hits.hit("update: after the close, no row changes");
        }
        if let Some(before) = kept.filter(|_| self.settings.rows_again) {
            self.emit_again(id, key, before, due);
        }
        self.revise(id, key, due);
    }

    /// Returns whether a version is the greatest so far and has not expired.
    fn is_counted(&mut self, version: &Version, is_here: bool, before: Option<&Alert>) -> bool {
        let (from, to) = self.settings.window(self.link, version);
        // Only partitions with a key of the alert count the version, because all partitions receive every version.
        let counted = u64::from(is_here);
        if to < self.cutoff {
            self.counts.expired_alerts += counted;
            self.hits.hit("alert: expired");
            if to >= self.last_cutoff {
                self.hits.hit("link: alert expired, and read by another link");
            }
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

    /// Returns the state of an alert with this version.
    fn next(&mut self, version: Version, keys: Vec<LinkKey>, record: usize, now: i64, before: Option<&Alert>) -> Alert {
        let (from, to) = self.settings.window(self.link, &version);
        let is_here = !keys.is_empty();
        match version.keys.iter().filter(|key| key.0 == self.link).count() {
            0 => self.hits.hit("link: alert without a key"),
            _ if keys.len() > 1 => self.hits.hit("link: alert with several keys in a partition"),
            _ if self.link == QUERY && version.query_key().is_empty() => self.hits.hit("alert: without a key"),
            _ => {}
        }
        if before.is_none() && self.forgotten.contains(&version.alert) {
            self.hits.hit("alert: back after it was forgotten");
        }
        let latest = to.max(version.generated);
        let mut deadline = now.max(wall_of(to)) + millis(self.settings.max_wait);
        if let Some(before) = before.filter(|before| to <= before.window.1) {
            // The alert has waited since its first version arrived.
            deadline = deadline.min(before.deadline);
        }
        // An alert with a key in this partition is closed by watermark updates; without one, there is nothing to wait
        // for.
        let waited = !is_here && self.clock.wall.is_some_and(|wall| wall >= deadline);
        let kept = before.into_iter().flat_map(|before| &before.closed_windows);
        let kept = kept.filter(|(key, _)| keys.contains(key));
        Alert {
            record: self.world.records[record].twin,
            window: (from, to),
            deadline,
            forget_at: before.map_or(latest, |before| before.forget_at.max(latest)),
            was_here: is_here || before.is_some_and(|before| before.was_here),
            is_closed: before.is_some_and(|before| before.is_closed) || self.passed(to).is_some() || waited,
            closed_windows: kept.map(|(key, closed)| (*key, closed.clone())).collect(),
            keys,
            version,
        }
    }

    fn watermark_update(&mut self, update: &Update, due: &mut Due) {
        let moved = self.clock.observe(update, self.hits);
        for id in self.open() {
            let alert = &self.alerts[&id];
            let late_by = match alert.is_here() {
                true => update.wall,
                false => self.clock.wall.unwrap(),
            };
            let waited = (late_by >= alert.deadline).then_some("max_wait");
            let Some(closed_by) = self.passed(alert.window.1).or(waited) else {
                continue;
            };
            self.close(id, closed_by, due);
        }
        if moved {
            self.emit_late_summaries(due);
        }
        self.forget(due);
    }

    /// Returns what has closed a window that ends at `to`, if anything has.
    pub(crate) fn passed(&self, to: i64) -> Option<&'static str> {
        let is_passed = |time: Option<i64>| time.is_some_and(|time| time >= to);
        match () {
            () if is_passed(self.clock.by_activities) => Some("watermark"),
            () if is_passed(self.clock.watermark) => Some("clock"),
            () => None,
        }
    }

    fn open(&self) -> Vec<usize> {
        let open = self.alerts.iter().filter(|(_, alert)| !alert.is_closed);
        open.map(|(id, _)| *id).collect()
    }

    fn end(&mut self, due: &mut Due) {
        for id in self.open() {
            self.close(id, "end_of_input", due);
        }
        self.emit_late_summaries(due);
    }

    fn close(&mut self, id: usize, closed_by: &'static str, due: &mut Due) {
        let alert = self.alerts.get_mut(&id).unwrap();
        alert.is_closed = true;
        if !alert.is_here() {
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
        for key in alert.keys.clone() {
            self.close_window(id, key, Some(closed_by));
            match self.settle(id, key, "window_closed", due) {
                true => self.hits.hit("close: with a match"),
                false => self.hits.hit("close: without a match"),
            }
            self.revise(id, key, due);
        }
    }
}
