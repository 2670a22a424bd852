//! Which partitions of the repartition log JOIN owns, with the state of each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::Error;
use crate::config::{Config, StateSettings};
use crate::join::Joiner;
use crate::kafka::{self, clients, topics};
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
}

/// The partitions that are owned now. The rebalance callback opens and closes stores, on the thread of the stage, while it polls.
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

    /// Opens the state of a partition; the offset that its log is to be read from, if it has any state.
    fn open(&mut self, partition: i32) -> Result<Option<i64>, Error> {
        let mut base = self.open_state(partition)?;
        self.check_settings(&mut base, partition)?;
        let joiner = Joiner::open(&base, Some(self.retention))?;
        let position = joiner.next_offset();
        self.open.insert(partition, Owner { partition, joiner, base });
        Ok(Some(position).filter(|position| *position > 0))
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

/// Opens and closes stores as partitions come and go.
pub(super) struct Context {
    topic: String,
    owners: Arc<Mutex<Owners>>,
    assignment: Mutex<Assignment>,
}

/// What changed since it was last asked.
#[derive(Default)]
pub(super) struct Assignment {
    pub(super) changed: bool,
    pub(super) partitions: usize,
    failed: Option<Error>,
}

impl Context {
    pub(super) fn new(config: &Config, owners: Arc<Mutex<Owners>>) -> Self {
        Self {
            topic: config.repartition.topic.clone(),
            owners,
            assignment: Mutex::default(),
        }
    }

    /// Whether partitions came or went since the last [`Context::take_assignment`].
    pub(super) fn is_changed(&self) -> bool {
        self.assignment.lock().unwrap_or_else(PoisonError::into_inner).changed
    }

    /// What changed. Fails when a store could not be opened.
    pub(super) fn take_assignment(&self) -> Result<Assignment, Error> {
        let taken = std::mem::take(&mut *self.assignment.lock().unwrap_or_else(PoisonError::into_inner));
        match taken.failed {
            Some(error) => Err(error),
            None => Ok(taken),
        }
    }

    fn note(&self, partitions: usize, failed: Option<Error>) {
        let mut assignment = self.assignment.lock().unwrap_or_else(PoisonError::into_inner);
        assignment.changed = true;
        assignment.partitions = partitions;
        if assignment.failed.is_none() {
            assignment.failed = failed;
        }
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> Result<usize, Error> {
        let read = |cause| {
            Error::Kafka(kafka::Error::Read {
                topics: self.topic.clone(),
                cause,
            })
        };
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let mut starts = TopicPartitionList::new();
        for element in list.elements() {
            let partition = element.partition();
            let (low, high) = consumer
                .fetch_watermarks(&self.topic, partition, topics::TIMEOUT)
                .map_err(read)?;
            let position = match owners.open(partition)? {
                None => low,
                Some(position) if (low..=high).contains(&position) => position,
                Some(position) => return Err(self.lost(partition, position, low, high).into()),
            };
            tracing::info!(topic = self.topic, partition, position, high, "joining");
            starts
                .add_partition_offset(&self.topic, partition, Offset::Offset(position))
                .map_err(read)?;
        }
        consumer.assign(&starts).map_err(read)?;
        Ok(owners.open.len())
    }

    fn lost(&self, partition: i32, position: i64, low: i64, high: i64) -> kafka::Error {
        let (lost, way_out) = match position < low {
            true => (
                format!(
                    "{} records of the log were removed by retention before they were joined",
                    low - position
                ),
                "remove the partition's folder under state.dir to rebuild from what is left, and raise the topic's retention.ms",
            ),
            false => (
                "the log was deleted and made anew, or lost its end".to_owned(),
                "remove the folder under state.dir to begin with the new log, or use another application.id",
            ),
        };
        kafka::Error::LostOffsets {
            topic: self.topic.clone(),
            partition,
            position,
            low,
            high,
            lost,
            way_out,
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        clients::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "the consumer of the repartition topic has a problem");
    }
}

impl ConsumerContext for Context {
    /// Nothing is in flight while the consumer is polled, so a partition that goes can be closed at once.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => match self.assign(consumer, list) {
                Ok(partitions) => self.note(partitions, None),
                Err(error) => self.note(0, Some(error)),
            },
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                self.owners.lock().unwrap_or_else(PoisonError::into_inner).open.clear();
                self.note(0, None);
                drop(consumer.unassign());
            }
            other => {
                let code: RDKafkaErrorCode = other.into();
                let cause = KafkaError::Rebalance(code);
                let topics = self.topic.clone();
                self.note(0, Some(kafka::Error::Read { topics, cause }.into()));
            }
        }
    }
}
