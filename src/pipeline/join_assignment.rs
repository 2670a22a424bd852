//! Which partitions of the repartition log the group gives to JOIN, and what the group has on record of them.
//!
//! The callbacks only take note, and read nothing: stores are opened, and reading begins, behind the poll that brought the change. So no
//! broker's answer is waited for inside a callback, and a change of owners in the middle of a slow delivery is just a flag to look at.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::Error;
use crate::config::{Config, Delivery};
use crate::join::Position;
use crate::kafka::membership::Membership;
use crate::kafka::{self, clients, topics};

/// Takes note of partitions that come and go.
pub(super) struct Context {
    topic: String,
    delivery: Delivery,
    pub(super) membership: Membership,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    changed: bool,
    partitions: Vec<i32>,
    /// How far the output of the partitions has gone out, where that is not on record yet.
    unrecorded: BTreeMap<i32, Position>,
    failed: Option<KafkaError>,
}

impl Context {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            topic: config.repartition.topic.clone(),
            delivery: config.output.delivery,
            membership: Membership::new(format!("{}-join", config.application.id)),
            state: Mutex::default(),
        }
    }

    /// Whether partitions came or went since the last [`Context::take`].
    pub(super) fn is_changed(&self) -> bool {
        self.state().changed
    }

    /// The partitions that are ours from now on.
    pub(super) fn take(&self) -> Result<Vec<i32>, Error> {
        let mut state = self.state();
        state.changed = false;
        state.unrecorded.clear();
        match state.failed.take() {
            Some(cause) => Err(self.read_error(cause).into()),
            None => Ok(state.partitions.clone()),
        }
    }

    /// The partitions are to be taken over once more, as if they had just come.
    pub(super) fn begin_anew(&self) {
        self.state().changed = true;
    }

    /// The output of a partition has gone out up to here, and its state is written.
    pub(super) fn emitted(&self, partition: i32, position: Position) {
        self.state().unrecorded.insert(partition, position);
    }

    /// Puts the positions on the group's record. At least once, nothing but silence after a move depends on it; exactly once, they
    /// travel in the transactions.
    pub(super) fn record(&self, consumer: &BaseConsumer<Self>, mode: CommitMode) {
        let positions = std::mem::take(&mut self.state().unrecorded);
        if self.delivery == Delivery::ExactlyOnce || positions.is_empty() {
            return;
        }
        let list = record_of(&self.topic, positions);
        if let Err(error) = consumer.commit(&list, mode) {
            tracing::debug!(%error, "cannot record positions now; an owner without state would send again what went out since");
        }
    }

    /// What the group has on record: how far the output of these partitions has gone out.
    pub(super) fn recorded(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) -> Result<BTreeMap<i32, Position>, Error> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, *partition);
        }
        let read = |cause| Error::Kafka(self.read_error(cause));
        let committed = consumer.committed_offsets(list, topics::TIMEOUT).map_err(read)?;
        let mut positions = BTreeMap::new();
        for element in committed.elements() {
            element.error().map_err(read)?;
            if let Offset::Offset(offset) = element.offset() {
                let outputs = element.metadata().parse().unwrap_or(0);
                positions.insert(element.partition(), Position { offset, outputs });
            }
        }
        Ok(positions)
    }

    pub(super) fn read_error(&self, cause: KafkaError) -> kafka::Error {
        kafka::Error::Read {
            topics: self.topic.clone(),
            cause,
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, partitions: Vec<i32>, result: KafkaResult<()>) {
        let mut state = self.state();
        state.changed = true;
        state.partitions = partitions;
        state.failed = state.failed.take().or(result.err());
    }
}

/// Positions as the group records them: the offset of the log record, and as metadata how many of its outputs have gone out.
pub(super) fn record_of(topic: &str, positions: impl IntoIterator<Item = (i32, Position)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, position) in positions {
        let mut element = list.add_partition(topic, partition);
        element.set_metadata(position.outputs.to_string());
        // Only an offset that is none fails.
        drop(element.set_offset(Offset::Offset(position.offset)));
    }
    list
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
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.membership.assigned();
                let elements = list.elements();
                let partitions = elements.iter().map(|element| element.partition()).collect();
                // Reading begins once it is known where.
                self.note(partitions, consumer.assign(&TopicPartitionList::new()));
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                self.membership.revoked();
                // Behind the loss of a membership the record belongs to others; the broker would refuse.
                if !consumer.assignment_lost() {
                    self.record(consumer, CommitMode::Sync);
                }
                self.note(Vec::new(), consumer.unassign());
            }
            other => {
                let code: RDKafkaErrorCode = other.into();
                self.note(Vec::new(), Err(KafkaError::Rebalance(code)));
            }
        }
    }
}
