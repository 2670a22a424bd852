use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Position;
use super::sources::SourceState;
use crate::record::{ActivityId, AlertId, Key};
use crate::time::{EventTime, WallTime, Window};

/// What an output record does to the reader's table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Op {
    /// Sets the record of this id.
    Upsert,
    /// Removes the record of this id.
    Delete,
}

/// Why a row comes or goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reason {
    /// The alert's window closed.
    WindowClosed,
    /// The activity arrived after its window had closed.
    LateActivity,
    /// The alert arrived after its window had closed.
    LateAlert,
    /// A newer version of a closed alert has another window or another key.
    AlertUpdated,
}

/// What closed an alert's window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ClosedBy {
    /// The watermark, moved by activities.
    Watermark,
    /// The watermark, moved by the clock because every source partition was idle.
    Clock,
    /// The alert had waited for the longest time allowed.
    MaxWait,
    /// There was no more input.
    EndOfInput,
}

/// What a newer version of a closed alert brings besides the rows that come and go with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AlertUpdates {
    /// A summary revision: the rows that stay are not sent again.
    #[default]
    Summary,
    /// The rows that stay too, with the newest version in them.
    Rows,
}

/// One thing that JOIN has to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// A pair of an alert and an activity.
    Row(Row),
    /// Where an alert's answer stands.
    Summary(Summary),
}

/// A pair of an alert and an activity that comes or goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Whether it comes or goes.
    pub op: Op,
    /// Why.
    pub reason: Reason,
    /// The alert.
    pub alert: AlertId,
    /// What the two met on.
    pub key: Key,
    /// The activity.
    pub activity: ActivityId,
    /// The activity's time.
    pub time: EventTime,
    /// The rows of the two; `None` for a pair that goes.
    pub rows: Option<PairRows>,
}

/// The SecurityAlert and the CloudAppEvents row of a pair.
pub type PairRows = (Arc<[u8]>, Box<[u8]>);

/// The answer to an alert as a whole: one for every revision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Whether the answer counts, or is withdrawn because the alert's key has moved.
    pub op: Op,
    /// The alert.
    pub alert: AlertId,
    /// Its key.
    pub key: Key,
    /// The event time it covers.
    pub window: Window,
    /// The answer.
    pub answer: Answer,
    /// Whether the answer is known to be complete, and why; `None` when it is withdrawn.
    pub completeness: Option<Completeness>,
    /// The watermark when the record was made.
    pub watermark: Option<EventTime>,
    /// Activities before this are forgotten; `None` while none are.
    pub retained_from: Option<EventTime>,
    /// How far the source partitions had been read.
    pub sources: Arc<[SourceState]>,
    /// The first activities of the answer in order of time, as many as [`Joiner::with_related`](super::Joiner::with_related) asks for.
    pub related: Vec<Related>,
    /// The SecurityAlert row; `None` when the answer is withdrawn.
    pub row: Option<Arc<[u8]>>,
}

/// An activity that a summary lists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Related {
    /// Its time.
    pub time: EventTime,
    /// Which one it is.
    pub activity: ActivityId,
    /// The CloudAppEvents row.
    pub row: Box<[u8]>,
}

/// Whether every activity of a window is known to have been there when it was answered, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completeness {
    /// It is: activities on every source partition have passed the window's end.
    PassedByActivities,
    /// It is: there was no more input.
    EndOfInput,
    /// It is not: all source partitions were idle, and the clock closed the window.
    ClosedByClock,
    /// It is not: the alert had waited for the longest time allowed.
    ClosedByMaxWait,
    /// It is not: the window has grown beyond what activities have passed.
    NotPassedByActivities,
    /// It is not: part of the window was before the retention cut-off already.
    Retention,
}

impl Completeness {
    /// Whether it is.
    pub fn is_complete(self) -> bool {
        matches!(self, Self::PassedByActivities | Self::EndOfInput)
    }

    /// The word for it in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PassedByActivities => "passed_by_activities",
            Self::EndOfInput => "end_of_input",
            Self::ClosedByClock => "closed_by_clock",
            Self::ClosedByMaxWait => "closed_by_max_wait",
            Self::NotPassedByActivities => "not_passed_by_activities",
            Self::Retention => "retention",
        }
    }
}

/// Where the answer to an alert stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// What closed the window.
    pub closed_by: ClosedBy,
    /// The router's clock at the close; `None` in a log without clocks.
    pub closed_at: Option<WallTime>,
    /// The number of the last revision; 0 before the first.
    pub revision: u32,
    /// Number of activities.
    pub activities: u64,
    /// Time of the earliest one, if known.
    pub first: Option<EventTime>,
    /// Time of the latest one, if known.
    pub last: Option<EventTime>,
    /// Whether any revision had an activity.
    pub ever_matched: bool,
    /// The watermark at the close.
    pub watermark: Option<EventTime>,
    /// Activities that came after the close.
    pub late: u64,
    /// From here on the window was read as a whole; what of it lies before was forgotten already.
    pub(super) whole_from: EventTime,
}

impl Answer {
    /// Returns this answer and another one, to the same alert under another key, as one: the numbers of both, by the last revision.
    #[must_use]
    pub fn with(self, other: &Self) -> Self {
        Self {
            activities: self.activities + other.activities,
            late: self.late + other.late,
            first: self.first.into_iter().chain(other.first).min(),
            last: self.last.max(other.last),
            revision: self.revision.max(other.revision),
            ever_matched: self.ever_matched || other.ever_matched,
            whole_from: self.whole_from.max(other.whole_from),
            ..self
        }
    }
}

/// Outputs on their way out, until there are enough to hand over.
#[derive(Default, Debug)]
pub struct Outbox {
    outputs: Vec<(Position, Output)>,
    bytes: usize,
    limit: Limit,
    /// The place of the next output.
    pub(super) next: Position,
}

/// When an outbox is full: at either of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// Number of outputs.
    pub outputs: usize,
    /// Bytes of the rows in them.
    pub bytes: usize,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            outputs: 2_000,
            bytes: 8 << 20,
        }
    }
}

impl Outbox {
    /// An empty one.
    pub fn new(limit: Limit) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// When it counts as full from now on.
    pub fn limit_to(&mut self, limit: Limit) {
        self.limit = limit;
    }

    /// Whether it is to be emptied before more goes in.
    pub fn is_full(&self) -> bool {
        self.outputs.len() >= self.limit.outputs || self.bytes >= self.limit.bytes
    }

    /// Number of outputs inside.
    pub fn len(&self) -> usize {
        self.outputs.len()
    }

    /// Whether nothing is inside.
    pub fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    /// Takes out everything, in order, each with its place; the offset there is that of the log record that caused it.
    pub fn drain(&mut self) -> std::vec::Drain<'_, (Position, Output)> {
        self.bytes = 0;
        self.outputs.drain(..)
    }

    pub(super) fn push(&mut self, output: Output) {
        self.bytes += match &output {
            Output::Row(row) => row.rows.as_ref().map_or(0, |(alert, activity)| alert.len() + activity.len()),
            Output::Summary(summary) => {
                let related: usize = summary.related.iter().map(|related| related.row.len()).sum();
                related + summary.row.as_ref().map_or(0, |alert| alert.len())
            }
        };
        self.outputs.push((self.next, output));
        self.next.outputs += 1;
    }
}
