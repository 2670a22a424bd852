//! Decodes files and joins their records, with a log that exists only as offsets. There is no broker, and no ROUTE,
//! because there is one partition and no watermark.
//!
//! Threads share the work, and the output is the same byte for byte for any number of threads: [`Scanner`]s find the
//! records in chunks of the input, [`Local`] applies them in the order of the input ([`ordered`](ordered())), and other
//! threads encode the output's records.
//!
//! No row stays in memory. At first, an activity consists only of its keys, its time, and the position of its row
//! (`rows`), which is in the input itself if that can be read again, and otherwise in a temporary copy. Its dedup key
//! is expensive, so it is computed only when it is known to matter (`pending`): at the end of the input, for activities
//! that are in a window or may have been delivered twice; earlier only if there are too many activities to keep in
//! memory. The join keeps its state in the backend that it is given. A run relies on its inputs to stay unchanged until
//! the end, and detects if they do not.

mod emission;
mod ordered;
mod pending;
mod rows;
mod scan;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use ordered::{Next, Ordered, ordered};
pub use scan::{ScannedChunk, Scanner};

use crate::check::hints::{self, Forms, Tally};
use crate::decode::{Decoder, Settings};
use crate::emit::Emitter;
use crate::join::{Joiner, Limit, Outbox};
use crate::record::{Activity, ActivityId, Alert, Key};
use crate::repartition::{AlertVersion, LinkVersion, RepartitionRecord};
use crate::shutdown::Shutdown;
use crate::store::{self, Backend};
use crate::time::WallTime;
use emission::Emission;
use pending::{ChosenActivity, Pending, Uniqueness};
use rows::{RowFiles, RowLocator};
use scan::{ActivityRow, ScanCounts};

/// The destination of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// Rows: pairs of an alert and an activity.
    Rows,
    /// Summaries of alerts.
    Summaries,
    /// Dead-letter records.
    DeadLetters,
}

/// Receives the records of a run.
pub trait Output {
    /// Writes any number of whole lines, each with its line end.
    fn write(&mut self, stream: Stream, lines: &[u8]) -> std::io::Result<()>;
}

/// The reason why a local run stops.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state cannot be read or written.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] std::io::Error),
    /// A file of the input cannot be read for the second time.
    #[error("cannot read {file} again: {cause}; files must stay as they are until the end")]
    Again {
        /// The file's name.
        file: String,
        /// The error of the operating system.
        cause: std::io::Error,
    },
    /// A file of the input was changed before it was read for the second time.
    #[error("{0} was changed while it was read; run again over files that stay as they are")]
    Changed(String),
    /// Rows cannot be copied to a temporary file. Rows that cannot be read twice are copied.
    #[error("cannot keep rows in a temporary file: {0}; name another place with --temp-dir")]
    Copies(std::io::Error),
    /// A thread ended unexpectedly, which is a fault of this program.
    #[error("a thread ended unexpectedly; this is a fault of the program, its last words stand above")]
    Thread,
}

/// The counts of a local run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Activities with a time.
    pub activities: u64,
    /// Of these activities, the ones that can join.
    pub keyed: u64,
    /// Activities without a key and without a time.
    pub timeless: u64,
    /// Activities whose `RawEventData` could not be opened.
    pub unreadable: u64,
    /// Records that `[[input.ignore]]` names.
    pub ignored: u64,
    /// Alert versions.
    pub alerts: u64,
    /// Alert versions whose window is empty.
    pub empty_windows: u64,
    /// Records of other tables.
    pub other_tables: std::collections::BTreeMap<String, u64>,
    /// Dead-letter records by reason.
    pub dead_letters: std::collections::BTreeMap<&'static str, u64>,
    /// Files that end in the middle of a record, which is still being written.
    pub unfinished: Vec<String>,
    /// Redelivered activities.
    pub duplicates: u64,
    /// Records of a second tenant, if tenants are not distinguished.
    pub second_tenant: u64,
    /// The number of times that a record had too many keys by a link, so that only the first of them were used.
    pub cut_keys: u64,
    /// Pairs by all links.
    pub pairs: u64,
    /// Pairs by each link, if there are links other than the query.
    pub by_link: Vec<(String, u64)>,
    /// Alerts that closed by the query, once for each key.
    pub closed: u64,
    /// Of these, the ones with activities.
    pub matched: u64,
    /// How alerts and activities match; `None` if there were too many activities to keep in memory.
    pub tally: Option<Tally>,
}

/// The resources of a local run.
#[derive(Clone, Debug)]
pub struct Resources {
    /// The number of threads that share the work.
    pub threads: usize,
    /// The number of bytes that activities may take in memory before the join stores them in the backend.
    pub memory: usize,
    /// The folder for a temporary file.
    pub folder: PathBuf,
}

/// A local run, with one partition for all records.
pub struct Local<B, O> {
    settings: Settings,
    resources: Resources,
    joiner: Joiner,
    backend: B,
    emission: Emission,
    output: O,
    /// The offset of the next repartition record.
    offset: i64,
    locator: RowLocator,
    pending: Pending,
    /// Whether some activities are already in the backend, so that any further one may be a duplicate of them.
    has_stored_activities: bool,
    first_tenant: Option<String>,
    forms: Forms,
    totals: Totals,
}

/// The number of activities whose dedup keys one piece of work computes.
const PIECE_ACTIVITIES: usize = 256;

impl<B: Backend, O: Output> Local<B, O> {
    /// Returns a run over the records that [`Scanner`]s with the same settings find. Its state is in `backend`, which
    /// must be empty.
    pub fn new(settings: Settings, resources: Resources, backend: B, emitter: Emitter, output: O) -> Result<Self, Error> {
        let locator = RowLocator::new(resources.folder.clone());
        Ok(Self {
            settings,
            joiner: Joiner::open(&backend, None)?.with_related(emitter.format.related()),
            backend,
            emission: Emission::new(emitter, &locator.rows, resources.threads),
            resources,
            output,
            offset: 0,
            locator,
            pending: Pending::default(),
            has_stored_activities: false,
            first_tenant: None,
            forms: Forms::default(),
            totals: Totals::default(),
        })
    }

    /// Applies the records of the next chunk. Chunks must come in the order of the input. Returns `None` if a shutdown
    /// was requested.
    pub fn take(&mut self, part: ScannedChunk, shutdown: &Shutdown) -> Result<Option<()>, Error> {
        let ScannedChunk {
            chunk,
            activities,
            alerts,
            dead_letters,
            counts,
        } = part;
        self.totals.keyed += activities.len() as u64;
        self.totals.alerts += alerts.len() as u64;
        self.count(counts);
        if !dead_letters.is_empty() {
            self.output.write(Stream::DeadLetters, &dead_letters)?;
        }
        for activity in activities {
            let position = match &activity.row {
                ActivityRow::Rewritten(row) => self.locator.copy(row)?,
                ActivityRow::InChunk(range) => {
                    let row = chunk.bytes().get(range.clone()).unwrap_or_default();
                    let file_position = chunk.position();
                    let position =
                        file_position.and_then(|file_position| self.locator.locate(&chunk.file, file_position, range.start, row));
                    match position {
                        Some(position) => position,
                        None => self.locator.copy(row)?,
                    }
                }
            };
            self.pending.push(activity.keys, activity.time, position);
        }
        if !alerts.is_empty() {
            self.apply(alerts.into_iter().map(version))?;
        }
        if self.pending.bytes() > self.resources.memory {
            self.has_stored_activities = true;
            let all = std::mem::take(&mut self.pending).all();
            return self.join(all, shutdown);
        }
        Ok(Some(()))
    }

    /// Closes every window. Returns the counts of the run, or `None` if a shutdown was requested before the end.
    pub fn end(mut self, shutdown: &Shutdown) -> Result<Option<(Totals, O)>, Error> {
        let pending = std::mem::take(&mut self.pending);
        let chosen = match self.has_stored_activities {
            true => pending.all(),
            false => {
                let tally = self.totals.tally.insert(Tally::new(self.settings.widening));
                pending.choose(tally, |each| Joiner::open_windows(&self.backend, each))?
            }
        };
        if self.join(chosen, shutdown)?.is_none() {
            return Ok(None);
        }
        if let Some(tally) = &mut self.totals.tally {
            tally.activities(self.totals.activities + self.totals.timeless, self.totals.keyed);
            tally.two_forms(self.forms.two());
        }
        let mut outbox = Outbox::new(Limit::default());
        let mut records = std::iter::once((self.offset, RepartitionRecord::EndOfInput));
        while records.len() > 0 || self.joiner.has_work() {
            if shutdown.is_requested() {
                return Ok(None);
            }
            // The batch is written after every full outbox, so that the alerts' new states do not fill the memory.
            let changes = self.joiner.apply(&self.backend, &mut records, &mut outbox)?;
            self.emission.take(&mut outbox, &mut self.output)?;
            self.backend.write(changes)?;
        }
        self.emission.finish(&mut self.output)?;
        let counts = self.joiner.take_counts();
        let query = counts.query();
        self.totals.duplicates = counts.all().redelivered_activities;
        self.totals.empty_windows = query.empty_windows;
        (self.totals.closed, self.totals.matched) = (query.closed, query.matched);
        self.totals.pairs = counts.all().upserts - counts.all().deletes;
        if !self.settings.links.is_empty() {
            let pairs = |number| {
                let of_link = counts.iter().find(|(link, _)| *link == number);
                of_link.map_or(0, |(_, counts)| counts.upserts - counts.deletes)
            };
            let by_link = self.settings.all_links().map(|(number, link)| (link.name, pairs(number)));
            self.totals.by_link = by_link.collect();
        }
        Ok(Some((self.totals, self.output)))
    }

    /// Computes the dedup keys of activities, and passes the activities to the join. Returns `None` if a shutdown was
    /// requested.
    fn join(&mut self, activities: Vec<ChosenActivity>, shutdown: &Shutdown) -> Result<Option<()>, Error> {
        const RESULT_TIMEOUT: Duration = Duration::from_millis(100);
        self.locator.flush()?;
        let mut activities = activities.into_iter();
        let pieces = move || {
            let piece: Vec<ChosenActivity> = activities.by_ref().take(PIECE_ACTIVITIES).collect();
            (!piece.is_empty()).then_some(piece)
        };
        let mut keyed = ordered("identify", self.resources.threads, pieces, || {
            let mut computer = DedupKeyComputer::new(&self.settings, &self.locator.rows);
            move |piece: Vec<ChosenActivity>| -> Result<Vec<KeyedActivity>, Error> {
                piece.into_iter().map(|chosen| computer.add_dedup_key(&chosen)).collect()
            }
        });
        loop {
            if shutdown.is_requested() {
                return Ok(None);
            }
            match keyed.next_within(RESULT_TIMEOUT) {
                Next::Result(keyed) => {
                    let forms = &mut self.forms;
                    let activities = keyed?.into_iter().map(|KeyedActivity { activity, by_report }| {
                        if let Some(by_report) = by_report {
                            forms.note(by_report, activity.id);
                        }
                        RepartitionRecord::Activity(activity)
                    });
                    let activities: Vec<RepartitionRecord<'static>> = activities.collect();
                    self.apply(activities.into_iter())?;
                }
                Next::Pending => {}
                Next::End => return Ok(Some(())),
                Next::Broken => return Err(Error::Thread),
            }
        }
    }

    /// Applies records. They cause no outputs before the end, because there is no watermark.
    fn apply(&mut self, records: impl Iterator<Item = RepartitionRecord<'static>>) -> Result<(), Error> {
        let mut outbox = Outbox::new(Limit::default());
        let records = (self.offset..).zip(records);
        let changes = self.joiner.apply(&self.backend, records, &mut outbox)?;
        debug_assert!(outbox.is_empty(), "an output before the end of the input");
        self.offset = self.joiner.next_offset();
        Ok(self.backend.write(changes)?)
    }

    fn count(&mut self, counts: ScanCounts) {
        self.totals.activities += counts.activities;
        self.totals.timeless += counts.timeless;
        self.totals.unreadable += counts.unreadable;
        self.totals.ignored += counts.ignored;
        self.totals.cut_keys += counts.cut_keys;
        for (table, count) in counts.other_tables {
            *self.totals.other_tables.entry(table).or_default() += count;
        }
        for (reason, count) in counts.dead_letters {
            *self.totals.dead_letters.entry(reason).or_default() += count;
        }
        self.totals.unfinished.extend(counts.unfinished);
        if self.first_tenant.is_none() {
            self.first_tenant = counts.first_tenant;
        }
        let others = counts
            .by_tenant
            .iter()
            .filter(|(tenant, _)| Some(*tenant) != self.first_tenant.as_ref());
        self.totals.second_tenant += others.map(|(_, count)| count).sum::<u64>();
    }
}

/// Returns the repartition record of an alert for a log of one partition, which has all keys.
fn version(alert: Alert<'static>) -> RepartitionRecord<'static> {
    let links = alert.links.into_iter().map(|link| LinkVersion {
        link: link.link,
        window: link.window,
        // Without watermark updates, no clock can reach the deadline.
        deadline: WallTime(i64::MAX),
        keys: link.keys,
    });
    RepartitionRecord::Alert(AlertVersion {
        id: alert.id,
        version: alert.version,
        links: links.collect(),
        row: alert.row,
    })
}

/// An activity with its dedup key.
struct KeyedActivity {
    activity: Activity<'static>,
    /// The dedup key that its report id gives, if other activities have the same key and time.
    by_report: Option<ActivityId>,
}

/// Computes the dedup keys of activities.
struct DedupKeyComputer {
    decoder: Decoder,
    by_report: Option<Decoder>,
    rows: Arc<RowFiles>,
    row: Vec<u8>,
}

impl DedupKeyComputer {
    fn new(settings: &Settings, rows: &Arc<RowFiles>) -> Self {
        Self {
            decoder: Decoder::new(settings.clone()),
            by_report: hints::by_report(settings),
            rows: rows.clone(),
            row: Vec::new(),
        }
    }

    /// Returns the activity with its dedup key. In place of the row it has the row's position.
    fn add_dedup_key(&mut self, chosen: &ChosenActivity) -> Result<KeyedActivity, Error> {
        self.rows.read(chosen.position, &mut self.row)?;
        let keys: Vec<Key> = chosen.keys.iter().map(|key| (**key).clone()).collect();
        let tenant = keys.first().map(|key| key.tenant.clone()).unwrap_or_default();
        let id = self.decoder.identity(&tenant, &self.row);
        let by_report = match (&mut self.by_report, chosen.uniqueness) {
            (Some(decoder), Uniqueness::Shared) => decoder.identity(&tenant, &self.row),
            _ => None,
        };
        Ok(KeyedActivity {
            activity: Activity {
                keys,
                time: chosen.time,
                id: id.ok_or(store::Error::Damaged { what: "row" })?,
                row: chosen.position.to_bytes().into(),
            },
            by_report,
        })
    }
}
