//! The outputs that the repartition topic must lead to, in a form that outputs can be compared with.

use std::collections::BTreeSet;

use alerttrail::join::Counts;
use alerttrail::record::LinkId;

use crate::links::LinkKey;
use crate::world::Version;

/// The pair that a row belongs to: the alert, the link and the key, and the activity's number.
pub(crate) type Pair = (usize, LinkKey, usize);

/// The outputs that a record of the repartition topic must lead to.
#[derive(Default)]
pub(crate) struct Due {
    pub(crate) rows: BTreeSet<Row>,
    /// The pairs whose rows are already emitted and are emitted again, after all others.
    pub(crate) again: BTreeSet<Pair>,
    pub(crate) summaries: Vec<Summary>,
}

impl Due {
    /// Adds the outputs that the record leads to by another link.
    pub(crate) fn add(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.again.extend(other.again);
        self.summaries.extend(other.summaries);
    }
}

/// A row that is added or removed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Row {
    pub(crate) is_upsert: bool,
    pub(crate) pair: Pair,
    pub(crate) reason: &'static str,
    /// The records of the alert and of the activity in a row that is added.
    pub(crate) records: Option<(usize, usize)>,
}

/// A revision of a summary, or its retraction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Summary {
    pub(crate) is_upsert: bool,
    pub(crate) alert: usize,
    pub(crate) key: LinkKey,
    pub(crate) revision: u64,
    pub(crate) count: usize,
    /// The times of the earliest and the latest activity; `None` if retention may have removed what is needed to know
    /// them.
    pub(crate) extent: Option<(Option<i64>, Option<i64>)>,
    /// `None` if nothing is guaranteed.
    pub(crate) closed_by: Option<&'static str>,
    pub(crate) closed_at: Option<i64>,
    /// Whether the window is complete; if `closed_by` is `None`, whether it may be.
    pub(crate) complete: bool,
    pub(crate) late_count: u64,
    pub(crate) watermark_at_close: Option<i64>,
    pub(crate) cutoff: i64,
    pub(crate) watermark: Option<i64>,
    pub(crate) version: Version,
    pub(crate) record: usize,
    /// Whether there ever was an activity; summaries without one are emitted only if the settings require them.
    pub(crate) ever_matched: bool,
}

/// The number of keys that are left in each table of a partition at the end.
#[derive(PartialEq, Eq, Debug, Default)]
pub(crate) struct Left {
    pub(crate) activities: usize,
    pub(crate) alerts: usize,
    pub(crate) alert_rows: usize,
    pub(crate) closed_windows: usize,
    pub(crate) timers: usize,
    pub(crate) meta: usize,
}

impl std::ops::AddAssign for Left {
    fn add_assign(&mut self, other: Self) {
        self.activities += other.activities;
        self.alerts += other.alerts;
        self.alert_rows += other.alert_rows;
        self.closed_windows += other.closed_windows;
        self.timers += other.timers;
        self.meta += other.meta;
    }
}

/// The outputs that a whole partition must lead to.
pub(crate) struct Expected {
    /// By offset.
    pub(crate) due: Vec<Due>,
    pub(crate) left: Left,
    /// By each link with at least one count.
    pub(crate) counts: Vec<(LinkId, Counts)>,
}
