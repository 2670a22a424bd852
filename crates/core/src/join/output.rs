use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Position;
use super::sources::SourceState;
use crate::record::{ActivityId, AlertId, Key};
use crate::time::{EventTime, WallTime, Window};

/// The effect of an output record on the reader's table.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Op {
    /// Sets the record of this id.
    Upsert,
    /// Removes the record of this id.
    Delete,
}

/// The reason why a row is added or removed.
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

/// What JOIN emits for a newer version of a closed alert, in addition to the rows that it adds and removes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AlertUpdates {
    /// A summary revision. Rows that remain are not emitted again.
    #[default]
    Summary,
    /// A summary revision, and the rows that remain, with the newest version in them.
    Rows,
}

/// An output of JOIN.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// A pair of an alert and an activity.
    Row(Row),
    /// The state of an alert under a key.
    Summary(Summary),
}

/// A pair of an alert and an activity that is added or removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Whether the pair is added or removed.
    pub op: Op,
    /// Why it is added or removed.
    pub reason: Reason,
    /// The alert.
    pub alert: AlertId,
    /// The key that both have.
    pub key: Key,
    /// The activity.
    pub activity: ActivityId,
    /// The activity's time.
    pub time: EventTime,
    /// The rows of the alert and the activity; `None` for a pair that is removed.
    pub rows: Option<PairRows>,
}

/// The SecurityAlert and the CloudAppEvents row of a pair.
pub type PairRows = (Arc<[u8]>, Box<[u8]>);

/// The result of an alert under a key, one for each revision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Whether the result counts, or is retracted because the alert no longer has the key.
    pub op: Op,
    /// The alert.
    pub alert: AlertId,
    /// Its key.
    pub key: Key,
    /// The window in event time.
    pub window: Window,
    /// The result.
    pub result: CloseResult,
    /// Whether the result is known to be complete, and why; `None` if it is retracted.
    pub completeness: Option<Completeness>,
    /// The watermark when the summary was produced.
    pub watermark: Option<EventTime>,
    /// The event time before which activities have expired; `None` if none have.
    pub retained_from: Option<EventTime>,
    /// How far the source partitions had been read.
    pub sources: Arc<[SourceState]>,
    /// The first activities of the result in order of time, as many as
    /// [`Joiner::with_related`](super::Joiner::with_related) sets.
    pub related: Vec<Related>,
    /// The SecurityAlert row; `None` if the result is retracted.
    pub row: Option<Arc<[u8]>>,
}

/// An activity that a summary lists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Related {
    /// Its time.
    pub time: EventTime,
    /// Its dedup key.
    pub activity: ActivityId,
    /// The CloudAppEvents row.
    pub row: Box<[u8]>,
}

/// Whether every activity of a window is known to have arrived before the window closed, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completeness {
    /// Complete: activities on every source partition have passed the window's end.
    PassedByActivities,
    /// Complete: there was no more input.
    EndOfInput,
    /// Incomplete: all source partitions were idle, and the clock closed the window.
    ClosedByClock,
    /// Incomplete: the alert had waited for the longest time allowed.
    ClosedByMaxWait,
    /// Incomplete: the window has been extended beyond what activities have passed.
    NotPassedByActivities,
    /// Incomplete: part of the window was already before the retention cut-off.
    Retention,
}

impl Completeness {
    /// Returns whether the window is known to be complete.
    pub fn is_complete(self) -> bool {
        matches!(self, Self::PassedByActivities | Self::EndOfInput)
    }

    /// Returns its name in records.
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

/// The result of a closed alert under a key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CloseResult {
    /// What closed the window.
    pub closed_by: ClosedBy,
    /// The router's clock at the close; `None` in a log without clocks.
    pub closed_at: Option<WallTime>,
    /// The number of the last revision; 0 before the first.
    pub revision: u32,
    /// The number of activities.
    pub activities: u64,
    /// The time of the earliest activity, if known.
    pub first: Option<EventTime>,
    /// The time of the latest activity, if known.
    pub last: Option<EventTime>,
    /// Whether any revision had an activity.
    pub ever_matched: bool,
    /// The watermark at the close.
    pub watermark: Option<EventTime>,
    /// The number of activities that arrived after the close.
    pub late: u64,
    /// When the window was read, no activity at or after this event time had expired; earlier ones may have.
    pub(super) whole_from: EventTime,
}

impl CloseResult {
    /// Returns this result combined with the result of the same alert under another key: the sums of the
    /// counts, the earliest and the latest time, and the greater revision.
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

/// The outputs that have been produced and not sent yet.
#[derive(Default, Debug)]
pub struct Outbox {
    outputs: Vec<(Position, Output)>,
    bytes: usize,
    limit: Limit,
    /// The position of the next output.
    pub(super) next: Position,
}

/// The limits of an outbox. It is full when it reaches either of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// The number of outputs.
    pub outputs: usize,
    /// The bytes of the rows in them.
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
    /// Returns an empty outbox.
    pub fn new(limit: Limit) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Returns whether the outbox must be emptied before more outputs are added.
    pub fn is_full(&self) -> bool {
        self.outputs.len() >= self.limit.outputs || self.bytes >= self.limit.bytes
    }

    /// Returns the number of outputs in it.
    pub fn len(&self) -> usize {
        self.outputs.len()
    }

    /// Returns whether there are no outputs in it.
    pub fn is_empty(&self) -> bool {
        self.outputs.is_empty()
    }

    /// Removes all outputs and returns them in order, each with its position. The offset in the position is that of the
    /// repartition record that caused the output.
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
