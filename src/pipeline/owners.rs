//! The partitions of the repartition log that JOIN owns here: for each its state machine, its state, and how far its output has gone out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaResult;

use super::Error;
use super::exposed::Exposed;
use crate::clock;
use crate::config::{Config, Delivery, StateSettings};
use crate::join::{AlertUpdates, Joiner, Position, Retention};
use crate::kafka::clients::Logged;
use crate::kafka::digest::record_digest;
use crate::kafka::transactions::Transactions;
use crate::store::{self, Base as _, Emitted, Noted, Origin, Reads as _, State, StateDir, Table, Txn, keys};
use crate::time::EventTime;

/// How often a state is brought to the disk, where the memory for writes does not run out before: what is behind it is applied again after a
/// kill.
const FLUSH_INTERVAL: Duration = Duration::from_secs(60);

/// A state, its state machine, and the log record applied last.
type Opened = (State, Joiner, Option<(i64, [u8; 8])>);

/// One partition's state machine and its state.
pub(super) struct Owner {
    pub(super) partition: i32,
    pub(super) joiner: Joiner,
    pub(super) base: State,
    /// What stands before this place in the output has gone out, whoever sent it: when the state is older, it is made again in silence.
    pub(super) emitted: Position,
    /// The position that the group has on record.
    pub(super) recorded: Position,
    /// The end of the window that the watermark closes next.
    pub(super) next_close: Option<EventTime>,
    /// Outputs that were made again in silence since the partition was taken over.
    pub(super) silent: u64,
    /// Where the log ended when the partition was taken over.
    pub(super) end: i64,
    /// When a record of it was last read.
    pub(super) heard: Instant,
    /// When its state was last told to reach the disk.
    pub(super) flushed: Instant,
    /// In exactly-once mode, the right to send.
    pub(super) transactions: Option<Transactions>,
    /// The log record applied last: its offset and its digest.
    pub(super) last: Option<(i64, [u8; 8])>,
    /// Where it is noted how far the output has gone out, and what was noted before. Exactly once, the group's record is all there is.
    note: Option<(Emitted, Option<Noted>)>,
    /// Whether the log has been found to be the one that the state was made from.
    is_known: bool,
}

impl Owner {
    /// Whether the record applied last still stands where it stood: a topic that was deleted and made anew under its name has the same
    /// offsets, and other records. What retention has removed cannot be compared.
    pub(super) fn knows_its_log(&mut self, topic: &str, low: i64, consumer: &BaseConsumer<Logged>) -> KafkaResult<bool> {
        let furthest = self.last.max(self.noted_last());
        let Some((last, kept)) = furthest.filter(|(last, _)| !self.is_known && *last >= low) else {
            return Ok(true);
        };
        self.is_known = record_digest(consumer, topic, self.partition, last)? == Some(kept);
        Ok(self.is_known)
    }

    fn noted_last(&self) -> Option<(i64, [u8; 8])> {
        let noted = self.note.as_ref().and_then(|(_, noted)| *noted)?;
        Some((noted.last, noted.digest))
    }

    /// How far the output has gone out by this instance's own note, where the group's record of it is behind.
    pub(super) fn noted(&self) -> Position {
        let noted = self.note.as_ref().and_then(|(_, noted)| *noted);
        noted.map_or_else(Position::default, |noted| Position {
            offset: noted.offset,
            outputs: noted.outputs,
        })
    }

    /// Notes that the output has gone out up to where the joiner stands.
    pub(super) fn note_emitted(&mut self) -> Result<(), store::Error> {
        let position = self.joiner.position();
        if let (Some((emitted, noted)), Some((last, digest))) = (&mut self.note, self.last) {
            let now = Noted {
                offset: position.offset,
                outputs: position.outputs,
                last,
                digest,
            };
            emitted.note(&now)?;
            *noted = Some(now);
        }
        Ok(())
    }
}

/// The partitions that are owned now.
pub(super) struct Owners<'d> {
    open: BTreeMap<i32, Owner>,
    dir: &'d StateDir,
    application: String,
    topic: String,
    retention: Retention,
    /// How many activities a summary lists.
    related: usize,
    alert_updates: AlertUpdates,
    settings: StateSettings,
    shared: store::Shared,
    /// Who wants to read meanwhile finds the open states here.
    exposed: Option<Arc<Exposed>>,
}

impl<'d> Owners<'d> {
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
            shared: store::Shared::new(usize::try_from(config.state.memory).unwrap_or(usize::MAX)),
            exposed: None,
        }
    }

    /// The same, with states that others may read.
    pub(super) fn exposing(mut self, exposed: &Arc<Exposed>) -> Self {
        self.exposed = Some(Arc::clone(exposed));
        self
    }

    pub(super) fn get(&mut self, partition: i32) -> Option<&mut Owner> {
        self.open.get_mut(&partition)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Owner> {
        self.open.values_mut()
    }

    /// Closes what is not among `partitions`.
    pub(super) fn keep(&mut self, partitions: &[i32]) {
        self.open.retain(|partition, _| partitions.contains(partition));
    }

    /// Closes a partition whose state machine has run ahead of its state.
    pub(super) fn close(&mut self, partition: i32) {
        self.open.remove(&partition);
    }

    /// Closes a partition and moves its state aside, so that the next opening begins with none.
    pub(super) fn set_aside(&mut self, partition: i32) -> Result<(), Error> {
        self.open.remove(&partition);
        store::set_aside(&self.dir.partition(partition))?;
        Ok(())
    }

    /// The partitions whose folder is gone.
    pub(super) fn without_folder(&self) -> Vec<i32> {
        let partitions = self.open.keys().copied();
        partitions
            .filter(|partition| !self.dir.partition(*partition).exists())
            .collect()
    }

    /// Fails when any state that is here was made under other settings.
    pub(super) fn check_all(&self) -> Result<(), Error> {
        let folders = std::fs::read_dir(self.dir.path()).into_iter().flatten().flatten();
        for partition in folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok()) {
            let checked = self
                .open_state(partition)
                .and_then(|mut base| self.check_settings(&mut base, partition));
            match checked {
                // The partition may be another's by now; whoever opens it to work on it rebuilds it.
                Err(Error::Store(error)) if error.is_corruption() => {}
                checked => checked?,
            }
        }
        Ok(())
    }

    /// Opens a partition that is not open. In exactly-once mode that shuts out who owned it before: the group's record of it must be read
    /// after this.
    pub(super) fn open(&mut self, partition: i32, config: &Config) -> Result<(), Error> {
        if self.open.contains_key(&partition) {
            return Ok(());
        }
        let transactions = match config.output.delivery {
            Delivery::AtLeastOnce => None,
            Delivery::ExactlyOnce => Some(Transactions::open(config, partition)?),
        };
        let (base, joiner, last) = match self.open_joiner(partition) {
            Err(Error::Store(error)) if error.is_corruption() => {
                tracing::error!(partition, "{error}; the state is rebuilt from the log");
                self.set_aside(partition)?;
                self.open_joiner(partition)?
            }
            opened => opened?,
        };
        if let Some(exposed) = &self.exposed {
            exposed.readers.add(partition, &base);
        }
        let owner = Owner {
            partition,
            next_close: joiner.next_close(&base)?,
            joiner,
            base,
            emitted: Position::default(),
            recorded: Position::default(),
            silent: 0,
            end: 0,
            heard: clock::start(),
            flushed: clock::start(),
            note: match transactions {
                None => Some(Emitted::open(&self.dir.partition(partition))?),
                Some(_) => None,
            },
            transactions,
            last,
            is_known: false,
        };
        self.open.insert(partition, owner);
        Ok(())
    }

    /// Brings states to the disk, where it is time, and looks whether that went well.
    pub(super) fn flush(&mut self) -> Result<(), store::Error> {
        for owner in self.open.values_mut() {
            owner.base.check()?;
            if owner.flushed.elapsed() >= FLUSH_INTERVAL {
                owner.flushed = clock::start();
                owner.base.begin_flush()?;
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
        let origin = Origin {
            application: self.application.clone(),
            topic: self.topic.clone(),
            partition,
        };
        origin.claim(&path)?;
        Ok(State::open(&path, &self.shared)?)
    }

    /// State that was made under other settings gives other answers: it is refused.
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
