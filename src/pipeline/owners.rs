//! The partitions of the repartition log that JOIN owns here: for each its state machine, its state, and how far its output has gone out.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Error;
use crate::clock;
use crate::config::{Config, Delivery, StateSettings};
use crate::join::{Joiner, Position};
use crate::kafka::transactions::Transactions;
use crate::store::{Base, Table, Txn, keys};

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
    /// Outputs that were made again in silence since the partition was taken over.
    pub(super) silent: u64,
    /// Where the log ended when the partition was taken over.
    pub(super) end: i64,
    /// When a record of it was last read.
    pub(super) heard: Instant,
    /// In exactly-once mode, the right to send.
    pub(super) transactions: Option<Transactions>,
}

/// The partitions that are owned now.
pub(super) struct Owners {
    open: BTreeMap<i32, Owner>,
    dir: PathBuf,
    retention: Duration,
    settings: StateSettings,
    #[cfg(feature = "rocksdb")]
    shared: crate::store::Shared,
}

impl Owners {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            open: BTreeMap::new(),
            dir: config.state.dir.join(&config.application.id),
            retention: config.state.retention,
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

    /// Fails when any state that is here was made under other settings. State in use by another instance is that one's to look at.
    pub(super) fn check_all(&self) -> Result<(), Error> {
        let folders = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        for partition in folders.filter_map(|folder| folder.file_name().to_str()?.parse().ok()) {
            match self.open_state(partition) {
                Ok(mut base) => self.check_settings(&mut base, partition)?,
                Err(Error::Store(crate::store::Error::InUse { .. })) => {}
                Err(error) => return Err(error),
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
        let mut base = self.open_state(partition)?;
        self.check_settings(&mut base, partition)?;
        let joiner = Joiner::open(&base, Some(self.retention))?;
        let owner = Owner {
            partition,
            joiner,
            base,
            emitted: Position::default(),
            recorded: Position::default(),
            silent: 0,
            end: 0,
            heard: clock::start(),
            transactions,
        };
        self.open.insert(partition, owner);
        Ok(())
    }

    #[cfg(feature = "rocksdb")]
    fn open_state(&self, partition: i32) -> Result<State, Error> {
        let path = self.dir.join(partition.to_string());
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
                        path: self.dir.join(partition.to_string()),
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
