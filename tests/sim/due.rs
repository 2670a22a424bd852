//! What the log has to bring, in words that outputs can be held against.

use std::collections::BTreeSet;

use alerttrail::join::Counts;
use alerttrail::record::LinkId;

use crate::links::LinkKey;
use crate::world::Version;

/// What a row stands for: the alert, the link and the key, and the activity's number.
pub(crate) type Pair = (usize, LinkKey, usize);

/// What a record of the log has to bring.
#[derive(Default)]
pub(crate) struct Due {
    pub(crate) rows: BTreeSet<Row>,
    /// Of those that come, the pairs that are out already: they come behind all others.
    pub(crate) again: BTreeSet<Pair>,
    pub(crate) summaries: Vec<Summary>,
}

impl Due {
    /// Adds what the record has to bring by another link.
    pub(crate) fn add(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.again.extend(other.again);
        self.summaries.extend(other.summaries);
    }
}

/// A row that comes or goes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Row {
    pub(crate) is_upsert: bool,
    pub(crate) pair: Pair,
    pub(crate) reason: &'static str,
    /// For one that comes, the records whose rows are in it: the alert's and the activity's.
    pub(crate) records: Option<(usize, usize)>,
}

/// A revision of an answer, or its withdrawal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Summary {
    pub(crate) is_upsert: bool,
    pub(crate) alert: usize,
    pub(crate) key: LinkKey,
    pub(crate) revision: u64,
    pub(crate) count: usize,
    /// The times of the earliest and the latest activity; `None` where retention may have taken what is needed to know.
    pub(crate) extent: Option<(Option<i64>, Option<i64>)>,
    /// `None` where nothing is promised.
    pub(crate) closed_by: Option<&'static str>,
    pub(crate) closed_at: Option<i64>,
    /// Where nothing is promised of `closed_by`, whether it may be.
    pub(crate) complete: bool,
    pub(crate) late_count: u64,
    pub(crate) watermark_at_close: Option<i64>,
    pub(crate) cutoff: i64,
    pub(crate) watermark: Option<i64>,
    pub(crate) version: Version,
    pub(crate) record: usize,
    /// Whether there ever was an activity; an answer that never had one is told of on request only.
    pub(crate) ever_matched: bool,
}

/// What is left in the tables of a partition in the end, as numbers of keys.
#[derive(PartialEq, Eq, Debug, Default)]
pub(crate) struct Left {
    pub(crate) activities: usize,
    pub(crate) alerts: usize,
    pub(crate) alert_rows: usize,
    pub(crate) answered: usize,
    pub(crate) timers: usize,
    pub(crate) meta: usize,
}

impl std::ops::AddAssign for Left {
    fn add_assign(&mut self, other: Self) {
        self.activities += other.activities;
        self.alerts += other.alerts;
        self.alert_rows += other.alert_rows;
        self.answered += other.answered;
        self.timers += other.timers;
        self.meta += other.meta;
    }
}

/// What a whole partition has to bring.
pub(crate) struct Expected {
    /// By offset.
    pub(crate) due: Vec<Due>,
    pub(crate) left: Left,
    /// By each link by which anything happened.
    pub(crate) counts: Vec<(LinkId, Counts)>,
}
