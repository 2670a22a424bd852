//! What the log has to bring, in words that outputs can be held against.

use std::collections::BTreeSet;

use alerttrail::join::Counts;

use crate::world::Version;

/// What a record of the log has to bring.
#[derive(Default)]
pub(crate) struct Due {
    pub(crate) rows: BTreeSet<Row>,
    /// Of those that come, the pairs that are out already, as alert and activity: they come behind all others.
    pub(crate) again: BTreeSet<(usize, usize)>,
    pub(crate) summaries: Vec<Summary>,
}

/// A row that comes or goes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Row {
    pub(crate) is_upsert: bool,
    pub(crate) alert: usize,
    /// The activity's number.
    pub(crate) activity: usize,
    pub(crate) reason: &'static str,
    /// For one that comes, the records whose rows are in it: the alert's and the activity's.
    pub(crate) records: Option<(usize, usize)>,
}

/// A revision of an answer, or its withdrawal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Summary {
    pub(crate) is_upsert: bool,
    pub(crate) alert: usize,
    pub(crate) key: &'static str,
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
    pub(crate) horizon: i64,
    pub(crate) watermark: Option<i64>,
    pub(crate) version: Version,
    pub(crate) record: usize,
    /// Whether there ever was an activity; an answer that never had one is told of on request only.
    pub(crate) ever_matched: bool,
}

/// What is left in the tables of a partition in the end, as numbers of keys.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Left {
    pub(crate) activities: usize,
    pub(crate) alerts: usize,
    pub(crate) alert_rows: usize,
    pub(crate) answered: usize,
    pub(crate) timers: usize,
    pub(crate) meta: usize,
}

/// What a whole partition has to bring.
pub(crate) struct Expected {
    /// By offset.
    pub(crate) due: Vec<Due>,
    pub(crate) left: Left,
    pub(crate) counts: Counts,
}
