//! The partitions of the repartition log that JOIN owns here: for each its state machine, its state, and how far its output has gone out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaResult;

use super::Error;
use crate::clock;
use crate::config::{Config, Delivery, StateSettings};
use crate::join::{Joiner, Position};
use crate::kafka::clients::Logged;
use crate::kafka::digest::record_digest;
use crate::kafka::transactions::Transactions;
#[cfg(feature = "rocksdb")]
use crate::store::Origin;
use crate::store::{self, Base as _, StateDir, Table, Txn, keys};
use crate::time::EventTime;

/// Where state is held.
#[cfg(feature = "rocksdb")]
pub(super) type State = crate::store::Rocks;
/// Where state is held.
#[cfg(not(feature = "rocksdb"))]
pub(super) type State = crate::store::Memory;

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
    /// In exactly-once mode, the right to send.
    pub(super) transactions: Option<Transactions>,
    /// Whether the log has been found to be the one that the state was made from.
    is_known: bool,
}

impl Owner {
    /// Whether the record applied last still stands where it stood: a topic that was deleted and made anew under its name has the same
    /// offsets, and other records. What retention has removed cannot be compared.
    pub(super) fn knows_its_log(&mut self, topic: &str, low: i64, consumer: &BaseConsumer<Logged>) -> KafkaResult<bool> {
        let last = self.joiner.next_offset() - 1;
        if self.is_known || last < low {
            return Ok(true);
        }
        let Ok(Some(kept)) = self.base.get(Table::Meta, keys::LAST) else {
            return Ok(true);
        };
        let found = record_digest(consumer, topic, self.partition, last)?;
        self.is_known = found.is_some_and(|found| found.as_slice() == kept);
        Ok(self.is_known)
    }
}

/// The partitions that are owned now.
pub(super) struct Owners<'d> {
    open: BTreeMap<i32, Owner>,
    dir: &'d StateDir,
    #[cfg(feature = "rocksdb")]
    application: String,
    #[cfg(feature = "rocksdb")]
    topic: String,
    retention: Duration,
    /// How many activities a summary lists.
    related: usize,
    settings: StateSettings,
    #[cfg(feature = "rocksdb")]
    shared: crate::store::Shared,
}

impl<'d> Owners<'d> {
    pub(super) fn new(config: &Config, dir: &'d StateDir) -> Self {
        Self {
            open: BTreeMap::new(),
            dir,
            #[cfg(feature = "rocksdb")]
            application: config.application.id.clone(),
            #[cfg(feature = "rocksdb")]
            topic: config.repartition.topic.clone(),
            retention: config.state.retention,
            related: config.output.format.related(),
            settings: config.state_fingerprint(),
            #[cfg(feature = "rocksdb")]
            shared: crate::store::Shared::new(usize::try_from(config.state.memory).unwrap_or(usize::MAX)),
        }
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
            .filter(|partition| cfg!(feature = "rocksdb") && !self.dir.partition(*partition).exists())
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
        let (base, joiner) = match self.open_joiner(partition) {
            Err(Error::Store(error)) if error.is_corruption() => {
                tracing::error!(partition, "{error}; the state is rebuilt from the log");
                self.set_aside(partition)?;
                self.open_joiner(partition)?
            }
            opened => opened?,
        };
        let owner = Owner {
            partition,
            joiner,
            base,
            emitted: Position::default(),
            recorded: Position::default(),
            next_close: None,
            silent: 0,
            end: 0,
            heard: clock::start(),
            transactions,
            is_known: false,
        };
        self.open.insert(partition, owner);
        Ok(())
    }

    fn open_joiner(&self, partition: i32) -> Result<(State, Joiner), Error> {
        let mut base = self.open_state(partition)?;
        self.check_settings(&mut base, partition)?;
        let joiner = Joiner::open(&base, Some(self.retention))?.with_related(self.related);
        Ok((base, joiner))
    }

    #[cfg(feature = "rocksdb")]
    fn open_state(&self, partition: i32) -> Result<State, Error> {
        let path = self.dir.partition(partition);
        let origin = Origin {
            application: self.application.clone(),
            topic: self.topic.clone(),
            partition,
        };
        origin.claim(&path)?;
        Ok(State::open(&path, &self.shared, crate::store::Durability::Process)?)
    }

    #[cfg(not(feature = "rocksdb"))]
    fn open_state(&self, _partition: i32) -> Result<State, Error> {
        Ok(State::default())
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
