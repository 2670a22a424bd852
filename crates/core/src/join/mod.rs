//! JOIN: one partition of the repartition topic goes in, joined rows come out. Pure.
//!
//! [`Joiner::apply`] applies repartition records and returns the changes to write; the outputs go to an [`Outbox`].
//! What follows from a record is divided into bounded steps. When the outbox is full, the rest is part of the state, so
//! that a window with ten million matches is emitted across restarts. [`task`] defines in which order outputs are sent
//! and changes written. No IO, no clock, no randomness, and nothing whose order is not that of keys: state and output
//! after a record are functions of the log up to it.
//!
//! A link is a way for an activity to belong to an alert. Each has keys and windows of its own, and everything below
//! holds for each link as if it were alone: [`LinkedAlert`](crate::record::LinkedAlert) is an alert as one link looks
//! at it. An alert may have several keys by a link, each with its own summary.
//!
//! The predicate: an activity joins an alert by a link when they have a key in common and its time lies inside the
//! alert's [`Window`]. For a closed alert the emitted pairs are, at any time, exactly its stored activities that are
//! not before the retention cut-off (and those that have expired since). Every rule below keeps that true, so no
//! emitted pair is ever remembered:
//!
//! * **sound**: only pairs that satisfy the predicate go out;
//! * **complete**: every pair of accepted records goes out;
//! * **prompt**: a window closes in the record whose watermark allows it;
//! * **stable**: the same log gives the same outputs;
//! * **bounded**: records older than the retention cut-off are forgotten, and emissions are made in steps;
//! * **deterministic**: see above.
//!
//! The tests are next to the code, in `tests/scenarios` (one readable file for each rule) and in `tests/sim` (all
//! rules, under disorder and crashes).

mod activity;
mod alert;
mod close;
mod evict;
mod output;
mod retention;
mod sources;
mod state;
pub mod task;
#[cfg(test)]
mod tests;
mod view;
mod watermark;
mod work;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use output::{
    AlertUpdates, CloseResult, ClosedBy, Completeness, Limit, Op, Outbox, Output, PairRows, Reason, Related, Row, Summary,
};
pub use retention::Retention;
pub use sources::{Holder, SourceState};
pub use task::{Delivery, Effect, JoinTask, Outcome};
pub use view::{AlertStatus, Counted, Place, SimilarKey, Stored, View};

use crate::record::{Key, LinkId};
use crate::repartition::RepartitionRecord;
use crate::store::{Backend, Batch, Direction, Error, Reads, Table, Txn, keys};
use crate::time::{EventTime, WallTime, Window};
use activity::ClosedWindows;
use close::Timers;
use state::AlertState;
use work::Step;

/// The state machine of one partition of the repartition topic.
#[derive(Debug)]
pub struct Joiner {
    /// How long activities are kept behind the watermark.
    retention: Retention,
    /// For each link with a shorter retention than the others, the day before which its activities have been deleted
    /// since the process started.
    dropped: BTreeMap<LinkId, i64>,
    progress: AppliedProgress,
    /// What is left to do for the record applied last.
    work: VecDeque<Step>,
    /// The days on which there are activities: a window may be as long as the calendar, and is looked up day by day.
    days: BTreeSet<i64>,
    /// How many activities a summary lists.
    related: usize,
    alert_updates: AlertUpdates,
    timers: Timers,
    closed_windows: ClosedWindows,
    counts: CountsByLink,
    /// The source partitions as the last watermark updates have them, once somebody has asked.
    sources: Option<Arc<[SourceState]>>,
}

/// How far the log has been applied.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct AppliedProgress {
    /// The offset of the first repartition record that has not been applied.
    next_offset: i64,
    /// How many outputs of the record applied last have been made.
    outputs: u64,
    watermarks: watermark::Watermarks,
    /// The watermark by activities at the last eviction. It is raised only after the closes of the record that moved
    /// the watermark, so that those windows still read all accepted activities.
    evicted: Option<EventTime>,
}

/// A position in the output of a log: that of one output, or how far the output has been produced. Before it are all
/// outputs of the repartition records before `offset`, and the first `outputs` outputs of the record at `offset`. The
/// same log has the same output at the same position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Position {
    /// The offset of a repartition record.
    pub offset: i64,
    /// Outputs of that record.
    pub outputs: u64,
}

/// What happened by each link since the counts were last taken.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CountsByLink(Vec<Counts>);

impl CountsByLink {
    /// The counts of a link.
    fn for_link(&mut self, link: LinkId) -> &mut Counts {
        let place = usize::from(link.0);
        if self.0.len() <= place {
            self.0.resize(place + 1, Counts::default());
        }
        &mut self.0[place]
    }

    /// Returns the counts of the query.
    pub fn query(&self) -> Counts {
        self.0.first().copied().unwrap_or_default()
    }

    /// Returns the counts of all links together.
    pub fn all(&self) -> Counts {
        let mut all = Counts::default();
        self.0.iter().for_each(|counts| all += *counts);
        all
    }

    /// Returns the counts of each link by which anything happened.
    pub fn iter(&self) -> impl Iterator<Item = (LinkId, Counts)> {
        let links = (0..).map(LinkId).zip(self.0.iter().copied());
        links.filter(|(_, counts)| *counts != Counts::default())
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.activities += other.activities;
        self.duplicate_activities += other.duplicate_activities;
        self.redelivered_activities += other.redelivered_activities;
        self.late_activities += other.late_activities;
        self.expired_activities += other.expired_activities;
        self.alerts += other.alerts;
        self.stale_alerts += other.stale_alerts;
        self.expired_alerts += other.expired_alerts;
        self.empty_windows += other.empty_windows;
        self.closed += other.closed;
        self.matched += other.matched;
        self.upserts += other.upserts;
        self.deletes += other.deletes;
    }
}

/// What happened by a link since the counts were last taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Activities stored, once for each key.
    pub activities: u64,
    /// Activities that were already stored, once for each key.
    pub duplicate_activities: u64,
    /// Activities that were already stored under all their keys, each counted once.
    pub redelivered_activities: u64,
    /// Pairs that were emitted because an activity arrived after the close.
    pub late_activities: u64,
    /// Activities before the retention cut-off.
    pub expired_activities: u64,
    /// Alert versions that were the greatest so far when they arrived.
    pub alerts: u64,
    /// Alert versions that were the same as the stored one, or older.
    pub stale_alerts: u64,
    /// Alert versions whose window ends before the retention cut-off.
    pub expired_alerts: u64,
    /// Alert versions whose window is empty.
    pub empty_windows: u64,
    /// Windows closed.
    pub closed: u64,
    /// Windows closed with an activity in them.
    pub matched: u64,
    /// Pairs that were added.
    pub upserts: u64,
    /// Pairs that were removed.
    pub deletes: u64,
}

/// Applies the repartition records of one batch. The changes stay in memory until [`Applier::finish`] returns them; the
/// outputs go to the outbox.
pub struct Applier<'a, B> {
    joiner: &'a mut Joiner,
    txn: Txn<'a, B>,
    outbox: &'a mut Outbox,
    is_done: bool,
}

impl Joiner {
    /// Returns the joiner whose state `base` holds; a new one over an empty base.
    pub fn open<R: Reads>(base: &R, retention: impl Into<Retention>) -> Result<Self, Error> {
        let progress = match base.get(Table::Meta, keys::PROGRESS)? {
            Some(bytes) => state::decode(&bytes, "position")?,
            None => AppliedProgress::default(),
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
            retention: retention.into(),
            dropped: BTreeMap::new(),
            progress,
            work,
            days,
            related: 0,
            alert_updates: AlertUpdates::default(),
            timers: Timers::default(),
            closed_windows: ClosedWindows::default(),
            counts: CountsByLink::default(),
            sources: None,
        })
    }

    /// Sets how many activities a summary lists at most. This is not part of the state, so it may change at any time.
    #[must_use]
    pub fn with_related(self, most: usize) -> Self {
        Self { related: most, ..self }
    }

    /// Sets what is emitted for a newer version of a closed alert. This is not part of the state, so it may change at
    /// any time: rows that are emitted again come after all other outputs of their repartition record.
    #[must_use]
    pub fn with_alert_updates(self, alert_updates: AlertUpdates) -> Self {
        Self { alert_updates, ..self }
    }

    /// Begins a batch over the state in `base`, and first continues what the previous batch left unfinished because
    /// its outbox was full. `base` must be the state that the joiner was opened with, with all changes written so far.
    pub fn begin_batch<'a, B: Backend>(&'a mut self, base: &'a B, outbox: &'a mut Outbox) -> Result<Applier<'a, B>, Error> {
        let mut txn = Txn::new(base);
        let is_done = self.step(&mut txn, outbox)?;
        Ok(Applier {
            joiner: self,
            txn,
            outbox,
            is_done,
        })
    }

    /// Applies repartition records, each with its offset, until none is left or the outbox is full, and returns the
    /// changes to write. [`Joiner::has_work`] then tells whether the last record has more outputs.
    pub fn apply<'r, B: Backend>(
        &mut self,
        base: &B,
        records: impl IntoIterator<Item = (i64, RepartitionRecord<'r>)>,
        outbox: &mut Outbox,
    ) -> Result<Batch, Error> {
        let mut applier = self.begin_batch(base, outbox)?;
        let mut records = records.into_iter();
        while applier.wants_more()
            && let Some((offset, record)) = records.next()
        {
            applier.apply(offset, record)?;
        }
        applier.finish()
    }

    /// Applies the repartition record at `offset` to the state, and plans steps, which [`Joiner::step`] performs. The
    /// next record must wait until they are done. A record before [`Joiner::next_offset`] has been applied already and
    /// changes nothing.
    fn begin<B: Backend>(&mut self, offset: i64, record: RepartitionRecord<'_>, txn: &mut Txn<'_, B>) -> Result<(), Error> {
        debug_assert!(self.work.is_empty(), "the record before is not done");
        if offset < self.progress.next_offset {
            return Ok(());
        }
        self.progress.next_offset = offset + 1;
        self.progress.outputs = 0;
        match record {
            RepartitionRecord::Activity(activity) => self.activity(&activity, txn),
            RepartitionRecord::Activities(activities) => activities.iter().try_for_each(|activity| self.activity(activity, txn)),
            RepartitionRecord::Alert(version) => self.alert(&version, txn),
            RepartitionRecord::WatermarkUpdate(update) => {
                self.watermark_update(&update);
                Ok(())
            }
            RepartitionRecord::EndOfInput => {
                self.end_of_input();
                Ok(())
            }
        }
    }

    /// Performs the planned steps until none is left or `out` is full. Returns whether none is left.
    fn step<B: Backend>(&mut self, txn: &mut Txn<'_, B>, out: &mut Outbox) -> Result<bool, Error> {
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

    /// Puts the joiner's own part of the state into `txn`. Must be called before the transaction is written.
    fn save<B: Backend>(&self, txn: &mut Txn<'_, B>) -> Result<(), Error> {
        txn.put(Table::Meta, keys::PROGRESS.to_vec(), state::encode(&self.progress)?);
        if self.work.is_empty() {
            txn.remove(Table::Meta, keys::WORK.to_vec());
        } else {
            txn.put(Table::Meta, keys::WORK.to_vec(), state::encode(&self.work)?);
        }
        Ok(())
    }

    /// Returns the offset of the first repartition record that has not been applied: where to continue reading.
    pub fn next_offset(&self) -> i64 {
        self.progress.next_offset
    }

    /// Returns whether anything is left to do for the record that was applied last.
    pub fn has_work(&self) -> bool {
        !self.work.is_empty()
    }

    /// Returns how far the output has been produced.
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

    /// Returns the watermark; `None` until there is one.
    pub fn watermark(&self) -> Option<EventTime> {
        self.progress.watermarks.watermark()
    }

    /// Returns the latest clock that a router sent.
    pub fn wall(&self) -> Option<WallTime> {
        self.progress.watermarks.wall()
    }

    /// Returns the time before which a link never reads: the greatest watermark that activities have moved, less the
    /// link's retention.
    pub fn cutoff(&self, link: LinkId) -> EventTime {
        match (self.progress.evicted, self.retention.for_link(link)) {
            (Some(watermark), Some(retention)) => watermark.minus(retention),
            _ => EventTime::MIN,
        }
    }

    /// Returns the time before which activities are forgotten by a link; `None` while none are.
    pub fn retained_from(&self, link: LinkId) -> Option<EventTime> {
        Some(self.cutoff(link)).filter(|cutoff| *cutoff > EventTime::FIRST)
    }

    /// Returns how far the source partitions have been read.
    pub fn sources(&mut self) -> Arc<[SourceState]> {
        let sources = self.sources.get_or_insert_with(|| self.progress.watermarks.sources());
        Arc::clone(sources)
    }

    /// Returns whether the retention cut-off must be raised.
    fn cutoff_moves(&self) -> bool {
        self.retention.forgets() && self.progress.watermarks.by_activities() > self.progress.evicted
    }

    /// Returns the earliest end of the windows that the watermark will close; `None` if there are none.
    pub fn next_close<R: Reads>(&self, base: &R) -> Result<Option<EventTime>, Error> {
        let span = self.timers.span(keys::Timer::Close, i64::MAX);
        match base.scan(Table::Timers, span, Direction::Forward).next() {
            Some(timer) => Ok(Some(EventTime::from_ticks(keys::timer_time(&timer?.0)?))),
            None => Ok(None),
        }
    }

    /// Calls `each` with every key of every open alert, and the alert's window.
    pub fn open_windows<B: Backend>(base: &B, each: &mut dyn FnMut(&Key, Window)) -> Result<(), Error> {
        for pair in base.scan(Table::Alerts, keys::alerts(), Direction::Forward) {
            let (alert, state) = pair?;
            let alert = keys::alert_parts(&alert)?;
            let state: AlertState = state::decode(&state, "alert")?;
            if state.is_open() {
                state
                    .keys
                    .iter()
                    .for_each(|key| each(&alert.key(&key.correlation_id), state.window));
            }
        }
        Ok(())
    }

    /// Returns what happened since this was last asked.
    pub fn take_counts(&mut self) -> CountsByLink {
        std::mem::take(&mut self.counts)
    }
}

impl<B: Backend> Applier<'_, B> {
    /// Returns whether the batch takes another record: everything that follows from the last one is done, and the
    /// outbox has room.
    pub fn wants_more(&self) -> bool {
        self.is_done && !self.outbox.is_full()
    }

    /// Applies the record at `offset`, with everything that follows from it until the outbox is full. To be called
    /// while the batch [wants more](Applier::wants_more). A record before [`Joiner::next_offset`] has been applied
    /// already and changes nothing.
    pub fn apply(&mut self, offset: i64, record: RepartitionRecord<'_>) -> Result<(), Error> {
        self.joiner.begin(offset, record, &mut self.txn)?;
        self.is_done = self.joiner.step(&mut self.txn, self.outbox)?;
        Ok(())
    }

    /// Adds the caller's own value, under a key that the joiner does not use, to the changes of the batch.
    pub fn put_meta(&mut self, key: &[u8], value: Vec<u8>) {
        debug_assert!(
            key != keys::PROGRESS && key != keys::WORK,
            "the joiner's own part of the state"
        );
        self.txn.put(Table::Meta, key.to_vec(), value);
    }

    /// Returns the changes of the batch, the joiner's position among them. They must be written as a whole.
    pub fn finish(mut self) -> Result<Batch, Error> {
        self.joiner.save(&mut self.txn)?;
        Ok(self.txn.into_batch())
    }
}
