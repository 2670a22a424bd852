//! JOIN: one partition of the repartition log goes in, joined rows come out. Pure.
//!
//! [`Joiner::begin`] takes in one log record; [`Joiner::step`] carries out what follows from it in bounded steps, each of which
//! changes nothing but the [`Txn`] and the [`Outbox`]. Between any two steps the transaction may be written: what is left to do is part of
//! the state, so that a window with ten million matches is answered across restarts. No IO, no clock, no randomness, and nothing whose
//! order is not that of keys: state and output after a record are functions of the log up to it.
//!
//! The predicate: an activity joins an alert when their keys are equal and its time lies inside the alert's [`Window`].
//! For an answered alert the pairs that have gone out are, at any time, exactly its stored activities that are not behind the horizon
//! (and those that have fallen behind it since). Every rule below keeps that true, so no emitted pair is ever remembered:
//!
//! * **sound**: only pairs that satisfy the predicate go out;
//! * **complete**: every pair of accepted records goes out;
//! * **prompt**: a window closes in the record whose watermark allows it;
//! * **stable**: the same log gives the same outputs;
//! * **bounded**: what lies behind the horizon is forgotten, and an emission is worked off in steps;
//! * **deterministic**: see above.
//!
//! The tests: beside the code, `tests/scenarios` (each rule, readable) and `tests/sim` (all of them under disorder and crashes).

mod activity;
mod alert;
mod answered;
mod close;
mod evict;
mod output;
mod sources;
mod state;
#[cfg(test)]
mod tests;
mod timers;
mod view;
mod watermark;
mod work;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use output::{
    AlertUpdates, Answer, ClosedBy, Completeness, Limit, Op, Outbox, Output, PairRows, Reason, Related, Row, Summary,
};
pub use sources::{Holder, SourceState};
pub use view::{Counted, Near, Place, Standing, Stored, View};

use crate::log::LogRecord;
use crate::record::Key;
use crate::store::{Base, Direction, Error, Reads, Table, Txn, keys};
use crate::time::{EventTime, WallTime, Window};
use answered::Answered;
use state::{AlertState, Held};
use timers::Timers;
use work::Step;

/// The state machine of one partition of the repartition log.
#[derive(Debug)]
pub struct Joiner {
    /// How long activities are kept behind the watermark; `None` for ever.
    retention: Option<Duration>,
    progress: Progress,
    /// What is left to do for the record applied last.
    work: VecDeque<Step>,
    /// The days on which there are activities: a window may be as long as the calendar, and is looked up day by day.
    days: BTreeSet<i64>,
    /// How many activities a summary lists.
    related: usize,
    alert_updates: AlertUpdates,
    timers: Timers,
    answered: Answered,
    counts: Counts,
    /// The source partitions as the last marks have them, once somebody has asked.
    sources: Option<Arc<[SourceState]>>,
}

/// How far the log has been applied.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Progress {
    /// The offset of the first log record that has not been applied.
    next_offset: i64,
    /// How many outputs of the record applied last have been made.
    outputs: u64,
    watermarks: watermark::Watermarks,
    /// Raised behind the closes of the record that moved the watermark: what was accepted is still read by the windows that it closes.
    horizon: Option<EventTime>,
}

/// A place in the output of a log: where an output stands, or how far the output has been made. What stands before a place is all outputs
/// of the log records before `offset`, and the first `outputs` of the one there. The same log has the same output at the same place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Position {
    /// The offset of a log record.
    pub offset: i64,
    /// Outputs of that record.
    pub outputs: u64,
}

/// What happened since the counts were last taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Activities stored.
    pub activities: u64,
    /// Activities that were there already.
    pub duplicate_activities: u64,
    /// Pairs that went out because an activity came after the close.
    pub late_activities: u64,
    /// Activities behind the horizon.
    pub expired_activities: u64,
    /// Alert versions that counted when they came.
    pub alerts: u64,
    /// Alert versions that did not: the same again, or an older one.
    pub stale_alerts: u64,
    /// Alert versions whose window ends behind the horizon.
    pub expired_alerts: u64,
    /// Alert versions whose window is empty.
    pub empty_windows: u64,
    /// Windows closed.
    pub closed: u64,
    /// Windows closed with an activity in them.
    pub matched: u64,
    /// Pairs that came.
    pub upserts: u64,
    /// Pairs that went.
    pub deletes: u64,
}

impl Joiner {
    /// The joiner whose state `base` holds; a new one over an empty base.
    pub fn open<R: Reads>(base: &R, retention: Option<Duration>) -> Result<Self, Error> {
        let progress = match base.get(Table::Meta, keys::PROGRESS)? {
            Some(bytes) => state::decode(&bytes, "position")?,
            None => Progress::default(),
        };
        let work = match base.get(Table::Meta, keys::WORK)? {
            Some(bytes) => state::decode(&bytes, "list of work")?,
            None => VecDeque::new(),
        };
        let mut days = BTreeSet::new();
        for pair in base.scan(Table::Meta, keys::days(), Direction::Forward) {
            days.insert(keys::day_of(&pair?.0)?);
        }
        Ok(Self {
            retention,
            progress,
            work,
            days,
            related: 0,
            alert_updates: AlertUpdates::default(),
            timers: Timers::default(),
            answered: Answered::default(),
            counts: Counts::default(),
            sources: None,
        })
    }

    /// Lets summaries list their first activities, `most` of them. It is no part of the state: another number may be asked for at any time.
    #[must_use]
    pub fn with_related(self, most: usize) -> Self {
        Self { related: most, ..self }
    }

    /// Says what a newer version of an answered alert brings. It is no part of the state: another one may be asked for
    /// at any time, since rows that go out again stand behind all other outputs of their log record.
    #[must_use]
    pub fn with_alert_updates(self, alert_updates: AlertUpdates) -> Self {
        Self { alert_updates, ..self }
    }

    /// Takes in the log record at `offset`. What follows from it is done by [`Joiner::step`]; until that is done the next record
    /// must wait. A record before [`Joiner::next_offset`] has been applied already and changes nothing.
    pub fn begin<B: Base>(&mut self, offset: i64, record: LogRecord<'_>, txn: &mut Txn<'_, B>) -> Result<(), Error> {
        debug_assert!(self.work.is_empty(), "the record before is not done");
        if offset < self.progress.next_offset {
            return Ok(());
        }
        self.progress.next_offset = offset + 1;
        self.progress.outputs = 0;
        match record {
            LogRecord::Activity(activity) => self.activity(&activity, txn),
            LogRecord::Activities(activities) => activities.iter().try_for_each(|activity| self.activity(activity, txn)),
            LogRecord::Alert { alert, deadline } => self.alert(&alert, deadline, txn),
            LogRecord::AlertElsewhere {
                id,
                version,
                closes,
                deadline,
            } => self.alert_elsewhere(&id, version, closes, deadline, txn),
            LogRecord::Marks(marks) => {
                self.marks(&marks);
                Ok(())
            }
            LogRecord::EndOfInput => {
                self.end_of_input();
                Ok(())
            }
        }
    }

    /// Works on what follows from the record until that is done or `out` is full; whether it is done.
    pub fn step<B: Base>(&mut self, txn: &mut Txn<'_, B>, out: &mut Outbox) -> Result<bool, Error> {
        out.next = Position {
            offset: self.progress.next_offset - 1,
            outputs: self.progress.outputs,
        };
        while !out.is_full()
            && let Some(step) = self.work.pop_front()
        {
            self.run(step, txn, out)?;
        }
        self.progress.outputs = out.next.outputs;
        Ok(self.work.is_empty())
    }

    /// Lays the joiner's own part of the state into `txn`. To be called before the transaction is written.
    pub fn save<B: Base>(&self, txn: &mut Txn<'_, B>) -> Result<(), Error> {
        txn.put(Table::Meta, keys::PROGRESS.to_vec(), state::encode(&self.progress)?);
        if self.work.is_empty() {
            txn.remove(Table::Meta, keys::WORK.to_vec());
        } else {
            txn.put(Table::Meta, keys::WORK.to_vec(), state::encode(&self.work)?);
        }
        Ok(())
    }

    /// The offset of the first log record that has not been applied: where reading goes on.
    pub fn next_offset(&self) -> i64 {
        self.progress.next_offset
    }

    /// Whether anything is left to do for the record applied last.
    pub fn has_work(&self) -> bool {
        !self.work.is_empty()
    }

    /// How far the output has been made.
    pub fn position(&self) -> Position {
        match self.work.is_empty() {
            true => Position {
                offset: self.progress.next_offset,
                outputs: 0,
            },
            false => Position {
                offset: self.progress.next_offset - 1,
                outputs: self.progress.outputs,
            },
        }
    }

    /// The watermark, once there is one.
    pub fn watermark(&self) -> Option<EventTime> {
        self.progress.watermarks.watermark()
    }

    /// The latest clock that a router sent.
    pub fn wall(&self) -> Option<WallTime> {
        self.progress.watermarks.wall()
    }

    /// What lies before this is never read: the greatest watermark that activities have moved, less the retention.
    pub fn horizon(&self) -> EventTime {
        self.progress.horizon.unwrap_or(EventTime::MIN)
    }

    /// Activities before this are forgotten; `None` while none are.
    pub fn retained_from(&self) -> Option<EventTime> {
        Some(self.horizon()).filter(|horizon| *horizon > EventTime::FIRST)
    }

    /// How far the source partitions have been read.
    pub fn sources(&mut self) -> Arc<[SourceState]> {
        let sources = self.sources.get_or_insert_with(|| self.progress.watermarks.sources());
        Arc::clone(sources)
    }

    /// Where the horizon is to be.
    fn next_horizon(&self) -> EventTime {
        match (self.progress.watermarks.by_activities(), self.retention) {
            (Some(watermark), Some(retention)) => watermark.minus(retention),
            _ => EventTime::MIN,
        }
    }

    /// The earliest end of a window that is closed when the watermark reaches it.
    pub fn next_close<R: Reads>(&self, base: &R) -> Result<Option<EventTime>, Error> {
        let span = self.timers.span(keys::Timer::Close, i64::MAX);
        match base.scan(Table::Timers, span, Direction::Forward).next() {
            Some(timer) => Ok(Some(EventTime::from_ticks(keys::timer_time(&timer?.0)?))),
            None => Ok(None),
        }
    }

    /// Hands the key and the window of every alert that has not been answered yet to `each`.
    pub fn open_windows<B: Base>(base: &B, each: &mut dyn FnMut(&Key, Window)) -> Result<(), Error> {
        for pair in base.scan(Table::Alerts, keys::alerts(), Direction::Forward) {
            if let AlertState::Here(Held {
                key,
                window,
                answer: None,
                ..
            }) = state::decode(&pair?.1, "alert")?
            {
                each(&key, window);
            }
        }
        Ok(())
    }

    /// What happened since this was last asked.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }
}
