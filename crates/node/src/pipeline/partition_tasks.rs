//! The partitions of the repartition topic that are assigned to JOIN here: for each its state machine, its state, and
//! how far its output has been sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaResult;

use super::Error;
use super::exposed::Exposed;
use crate::clock;
use crate::config::{Config, StateSettings};
use crate::join::{AlertUpdates, Effect, JoinTask, Joiner, Outcome, Position, Retention};
use crate::kafka::clients::Logged;
use crate::kafka::clients::REQUEST_TIMEOUT;
use crate::kafka::digest::record_digest;
use crate::kafka::transactions::Transactions;
use crate::store::{self, Backend as _, Emitted, LogOrigin, Noted, Reads as _, State, StateDir, Table, Txn, keys};
use crate::time::{EventTime, WallTime};

/// How often a state is flushed to disk if its write buffers do not fill up before. After a kill, the log is applied
/// again from the last flush.
const FLUSH_INTERVAL: Duration = Duration::from_secs(60);

/// A state, its state machine, and the repartition record that was applied last.
type Opened = (State, Joiner, Option<(i64, [u8; 8])>);

/// The state machine and the state of one partition.
pub(super) struct PartitionTask {
    pub(super) partition: i32,
    pub(super) joiner: Joiner,
    pub(super) base: State,
    /// The order in which its effects are performed.
    pub(super) order: JoinTask,
    /// The end of the window that the watermark closes next.
    pub(super) next_close: Option<EventTime>,
    /// The number of suppressed outputs since the partition was taken over.
    pub(super) suppressed: u64,
    /// The log-end offset when the partition was taken over.
    pub(super) end: i64,
    /// When a record of it was last read.
    pub(super) last_received: Instant,
    /// When its last flush began.
    pub(super) flushed: Instant,
    /// In exactly-once mode, the transactional sender.
    pub(super) transactions: Option<Transactions>,
    /// The timestamp of the repartition record that was applied last, if one was applied since the partition was
    /// opened.
    pub(super) begun: Option<WallTime>,
    /// The offset and the digest of the repartition record that was applied last.
    pub(super) last: Option<(i64, [u8; 8])>,
    /// The file that notes how far the output has been sent, and its content. Exactly once, only the committed position
    /// counts.
    pub(super) note: Option<(Emitted, Option<Noted>)>,
    /// Whether the log has been found to be the one that the state was built from.
    is_known: bool,
}

impl PartitionTask {
    /// Returns the offset and the timestamp of the repartition record whose outputs are not finished, if there is one.
    /// If another process applied it, the clock of the latest watermark update before it stands for the timestamp.
    pub(super) fn cause(&self) -> Option<(i64, WallTime)> {
        let timestamp = self.begun.or(self.joiner.wall())?;
        self.joiner.has_work().then(|| (self.joiner.next_offset() - 1, timestamp))
    }

    /// Returns whether the record that was applied last is still at its offset: a topic that was deleted and created
    /// again has the same offsets, but other records. Records that retention has removed cannot be compared.
    pub(super) fn knows_its_log(&mut self, topic: &str, low: i64, consumer: &BaseConsumer<Logged>) -> KafkaResult<bool> {
        let furthest = self.last.max(self.noted_last());
        let Some((last, kept)) = furthest.filter(|(last, _)| !self.is_known && *last >= low) else {
            return Ok(true);
        };
        self.is_known = record_digest(consumer, topic, self.partition, last, REQUEST_TIMEOUT)? == Some(kept);
        Ok(self.is_known)
    }

    fn noted_last(&self) -> Option<(i64, [u8; 8])> {
        let noted = self.note.as_ref().and_then(|(_, noted)| *noted)?;
        Some((noted.last, noted.digest))
    }

    /// Returns how far the output has been sent according to this instance's own note, which may be ahead of the
    /// committed position.
    pub(super) fn noted(&self) -> Position {
        let noted = self.note.as_ref().and_then(|(_, noted)| *noted);
        noted.map_or_else(Position::default, |noted| Position {
            offset: noted.offset,
            outputs: noted.outputs,
        })
    }
}

/// The partitions that are assigned now.
pub(super) struct PartitionTasks<'d> {
    open: BTreeMap<i32, PartitionTask>,
    dir: &'d StateDir,
    application: String,
    topic: String,
    retention: Retention,
    /// How many activities a summary lists.
    related: usize,
    alert_updates: AlertUpdates,
    settings: StateSettings,
    /// The number of partitions of the output topic, if it is known.
    outputs: Option<u32>,
    shared: store::Shared,
    /// Makes the open states available to readers.
    exposed: Option<Arc<Exposed>>,
}

impl<'d> PartitionTasks<'d> {
    pub(super) fn new(config: &Config, dir: &'d StateDir) -> Self {
        Self {
            open: BTreeMap::new(),
            dir,
            application: config.application.id.clone(),
            topic: config.repartition.topic.clone(),
            retention: Retention::new(config.state.retention, config.decode.links.iter().map(|link| link.retention)),
            related: config.output.format.related(),
            alert_updates: config.output.alert_updates,
            settings: config.state_fingerprint(),
            outputs: None,
            shared: store::Shared::new(usize::try_from(config.state.memory).unwrap_or(usize::MAX)),
            exposed: None,
        }
    }

    /// Sets the number of partitions of the output topic, if it is known.
    pub(super) fn sending_to(self, outputs: Option<u32>) -> Self {
        Self { outputs, ..self }
    }

    /// Makes the states available to other readers.
    pub(super) fn exposing(mut self, exposed: &Arc<Exposed>) -> Self {
        self.exposed = Some(Arc::clone(exposed));
        self
    }

    pub(super) fn get(&mut self, partition: i32) -> Option<&mut PartitionTask> {
        self.open.get_mut(&partition)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut PartitionTask> {
        self.open.values_mut()
    }

    /// Closes the partitions that are not in `partitions`.
    pub(super) fn keep(&mut self, partitions: &[i32]) {
        let revoked: Vec<i32> = self.open.keys().copied().filter(|open| !partitions.contains(open)).collect();
        revoked.into_iter().for_each(|partition| self.close(partition));
    }

    /// Closes a partition, and waits for those who read its state.
    pub(super) fn close(&mut self, partition: i32) {
        if let Some(task) = self.open.remove(&partition) {
            task.base.close();
        }
    }

    /// Closes a partition and moves its state aside, so that it is opened without state the next time.
    pub(super) fn set_aside(&mut self, partition: i32) -> Result<(), Error> {
        self.close(partition);
        store::set_aside(&self.dir.partition(partition))?;
        Ok(())
    }

    /// Returns the partitions whose folder is gone.
    pub(super) fn without_folder(&self) -> Vec<i32> {
        let partitions = self.open.keys().copied();
        partitions
            .filter(|partition| !self.dir.partition(*partition).exists())
            .collect()
    }

    /// Fails if any state in the state directory was built with other settings.
    pub(super) fn check_all(&self) -> Result<(), Error> {
        let folders = std::fs::read_dir(self.dir.path()).into_iter().flatten().flatten();
        for partition in folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok()) {
            let checked = self
                .open_state(partition)
                .and_then(|mut base| self.check_settings(&mut base, partition));
            match checked {
                // The partition may be assigned to another instance by now. The next instance that opens it rebuilds
                // it.
                Err(Error::Store(error)) if error.is_corruption() => {}
                checked => checked?,
            }
        }
        Ok(())
    }

    /// Opens a partition unless it is open: performs its effects up to the fetch of its position.
    pub(super) fn open(&mut self, partition: i32, config: &Config) -> Result<(), Error> {
        if let Some(task) = self.open.get_mut(&partition) {
            task.order.reassigned();
            return Ok(());
        }
        let mut order = JoinTask::new(config.output.delivery);
        let mut transactions = None;
        if order.next() == Effect::Fence {
            transactions = Some(Transactions::open(config, partition, self.outputs)?);
            order.done(Outcome::Done);
        }
        let (base, joiner, last) = match self.open_joiner(partition) {
            Err(Error::Store(error)) if error.is_corruption() => {
                tracing::error!(partition, "{error}; the state is rebuilt from the repartition topic");
                self.set_aside(partition)?;
                self.open_joiner(partition)?
            }
            opened => opened?,
        };
        if let Some(exposed) = &self.exposed {
            exposed.readers.add(partition, &base);
        }
        order.done(Outcome::Opened(joiner.position()));
        let task = PartitionTask {
            partition,
            order,
            next_close: joiner.next_close(&base)?,
            joiner,
            base,
            suppressed: 0,
            end: 0,
            last_received: clock::start(),
            flushed: clock::start(),
            note: match transactions {
                None => Some(Emitted::open(&self.dir.partition(partition))?),
                Some(_) => None,
            },
            transactions,
            begun: None,
            last,
            is_known: false,
        };
        self.open.insert(partition, task);
        Ok(())
    }

    /// Begins to flush states that are due, and checks for errors of earlier flushes.
    pub(super) fn flush(&mut self) -> Result<(), store::Error> {
        for task in self.open.values_mut() {
            task.base.check()?;
            if task.flushed.elapsed() >= FLUSH_INTERVAL {
                task.flushed = clock::start();
                task.base.begin_flush()?;
            }
        }
        Ok(())
    }

    fn open_joiner(&self, partition: i32) -> Result<Opened, Error> {
        let mut base = self.open_state(partition)?;
        self.check_settings(&mut base, partition)?;
        let joiner = Joiner::open(&base, self.retention.clone())?
            .with_related(self.related)
            .with_alert_updates(self.alert_updates);
        let digest = base.get(Table::Meta, keys::LAST)?;
        let last = digest.and_then(|digest| Some((joiner.next_offset() - 1, digest.try_into().ok()?)));
        Ok((base, joiner, last))
    }

    fn open_state(&self, partition: i32) -> Result<State, Error> {
        let path = self.dir.partition(partition);
        let origin = LogOrigin {
            application: self.application.clone(),
            topic: self.topic.clone(),
            partition,
        };
        origin.claim(&path)?;
        Ok(State::open(&path, &self.shared)?)
    }

    /// Refuses a state that was built with other settings, because it would give other results.
    fn check_settings(&self, base: &mut State, partition: i32) -> Result<(), Error> {
        let damaged = |_| crate::store::Error::Damaged { what: "settings" };
        match base.get(Table::Meta, keys::SETTINGS)? {
            Some(bytes) => {
                let recorded: StateSettings = serde_json::from_slice(&bytes).map_err(damaged)?;
                match self.settings.difference(&recorded) {
                    differences if differences.is_empty() => Ok(()),
                    differences => Err(Error::StoredSettings {
                        path: self.dir.partition(partition),
                        differences: differences.join("; "),
                    }),
                }
            }
            None => {
                let bytes = serde_json::to_vec(&self.settings).map_err(damaged)?;
                let mut txn = Txn::new(base);
                txn.put(Table::Meta, keys::SETTINGS.to_vec(), bytes);
                let batch = txn.into_batch();
                Ok(base.write(batch)?)
            }
        }
    }
}
