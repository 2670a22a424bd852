//! What one partition of the log knows of activities and alerts, in plain words.

use std::collections::BTreeSet;

use crate::due::Row;
use crate::hits::Hits;
use crate::world::Version;

pub(crate) struct Activity {
    pub(crate) key: &'static str,
    pub(crate) time: i64,
    pub(crate) record: usize,
}

#[derive(Clone)]
pub(crate) struct Alert {
    pub(crate) version: Version,
    pub(crate) record: usize,
    /// The first tick inside the window and the first behind it.
    pub(crate) window: (i64, i64),
    pub(crate) deadline: i64,
    pub(crate) forget_at: i64,
    pub(crate) is_here: bool,
    pub(crate) was_here: bool,
    /// Whether it has been answered, here or, as far as this partition can know, elsewhere.
    pub(crate) is_answered: bool,
    /// The answer given here.
    pub(crate) answer: Option<Answer>,
}

#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) closed_by: Option<&'static str>,
    pub(crate) closed_at: Option<i64>,
    pub(crate) revision: u64,
    pub(crate) ever_matched: bool,
    /// Whether late activities have come that no revision has told of.
    pub(crate) late: bool,
    /// How many activities came late.
    pub(crate) late_count: u64,
    /// The watermark at the close.
    pub(crate) watermark: Option<i64>,
    /// What of the window lies before this was behind the horizon when it was read.
    pub(crate) whole_from: i64,
    pub(crate) out: BTreeSet<usize>,
}

impl Alert {
    pub(crate) fn row(&self, activity: usize, reason: &'static str) -> Row {
        Row {
            is_upsert: false,
            alert: self.version.alert,
            activity,
            reason,
            records: None,
        }
    }

    /// Notes what comes after `before`.
    pub(crate) fn note_update(&self, before: Option<&Self>, hits: &mut Hits) {
        let Some(before) = before else { return };
        if !self.is_answered {
            hits.hit("update: before the close");
        }
        match (before.is_here, self.is_here) {
            (true, true) if before.version.key != self.version.key && before.is_answered => {
                hits.hit("update: key moves within the partition");
            }
            (true, false) if before.is_answered => hits.hit("update: key moves away"),
            (false, true) if before.is_answered => hits.hit("update: answered key comes from elsewhere"),
            _ => {}
        }
        if !before.is_here && before.was_here && self.is_here {
            hits.hit("update: key comes back");
        }
    }
}
