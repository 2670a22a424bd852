//! The activities and alerts that one partition of the repartition topic stores for one link, in plain form.

use std::collections::{BTreeMap, BTreeSet};

use crate::due::Row;
use crate::hits::Hits;
use crate::links::{LinkKey, QUERY};
use crate::world::Version;

pub(crate) struct Activity {
    /// The keys that belong to this partition.
    pub(crate) keys: Vec<LinkKey>,
    pub(crate) time: i64,
    pub(crate) record: usize,
}

#[derive(Clone)]
pub(crate) struct Alert {
    pub(crate) version: Version,
    pub(crate) record: usize,
    /// The first tick inside the window and the first after it.
    pub(crate) window: (i64, i64),
    pub(crate) deadline: i64,
    pub(crate) forget_at: i64,
    /// The keys that belong to this partition.
    pub(crate) keys: Vec<LinkKey>,
    pub(crate) was_here: bool,
    /// Whether it is closed, in this partition or, as far as this partition can know, in another.
    pub(crate) is_closed: bool,
    /// Its closed windows in this partition.
    pub(crate) closed_windows: BTreeMap<LinkKey, ClosedWindow>,
}

#[derive(Clone)]
pub(crate) struct ClosedWindow {
    pub(crate) closed_by: Option<&'static str>,
    pub(crate) closed_at: Option<i64>,
    pub(crate) revision: u64,
    pub(crate) ever_matched: bool,
    /// Whether there are late activities that no revision has counted.
    pub(crate) late: bool,
    /// The number of late activities.
    pub(crate) late_count: u64,
    /// The watermark at the close.
    pub(crate) watermark: Option<i64>,
    /// The part of the window before this time had already expired when it was read.
    pub(crate) whole_from: i64,
    /// The activities whose rows are emitted.
    pub(crate) emitted: BTreeSet<usize>,
}

impl Alert {
    pub(crate) fn is_here(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Returns whether there are late activities that no revision has counted.
    pub(crate) fn is_late(&self) -> bool {
        self.closed_windows.values().any(|closed| closed.late)
    }

    pub(crate) fn row(&self, key: LinkKey, activity: usize, reason: &'static str) -> Row {
        Row {
            is_upsert: false,
            pair: (self.version.alert, key, activity),
            reason,
            records: None,
        }
    }

    /// Records which kind of update follows `before`.
    pub(crate) fn note_update(&self, link: usize, before: Option<&Self>, hits: &mut Hits) {
        let Some(before) = before else { return };
        if !self.is_closed {
            hits.hit("update: before the close");
        }
        if link == QUERY {
            self.note_key(before, hits);
        } else if before.is_closed {
            self.note_keys(before, hits);
        }
    }

    /// Records what happens to the key by the query: there is one, in this partition or in another.
    fn note_key(&self, before: &Self, hits: &mut Hits) {
        match (before.is_here(), self.is_here()) {
            (true, true) if before.keys != self.keys && before.is_closed => {
                hits.hit("update: key moves within the partition");
            }
            (true, false) if before.is_closed => hits.hit("update: key moves away"),
            (false, true) if before.is_closed => hits.hit("update: key of a closed alert comes from another partition"),
            _ => {}
        }
        if !before.is_here() && before.was_here && self.is_here() {
            hits.hit("update: key comes back");
        }
    }

    /// Records what happens to the keys by a link: there may be any number.
    fn note_keys(&self, before: &Self, hits: &mut Hits) {
        let gained = self.keys.iter().any(|key| !before.keys.contains(key));
        let lost = before.keys.iter().any(|key| !self.keys.contains(key));
        let kept = self.keys.iter().any(|key| before.keys.contains(key));
        match (gained, lost, kept) {
            (true, false, true) => hits.hit("link: after the close, one of several keys is gained"),
            (false, true, true) => hits.hit("link: after the close, one of several keys is lost"),
            (true, true, _) => hits.hit("link: after the close, keys are gained and lost at once"),
            (true, false, false) => hits.hit("link: after the close, the first key is gained"),
            (false, true, false) => hits.hit("link: after the close, the last key is lost"),
            (false, false, _) => {}
        }
    }
}
