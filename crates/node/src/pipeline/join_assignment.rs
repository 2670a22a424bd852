//! The partitions of the repartition topic that the group assigns to JOIN, and their committed positions.
//!
//! The rebalance callbacks only record the change. Stores are opened and reading starts after the poll that reported
//! it, so no callback waits for a broker, and a rebalance during a slow delivery is only a flag to check.

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
use crate::kafka::{self, clients};

/// Records which partitions are assigned and revoked.
pub(super) struct JoinContext {
    topic: String,
    group: String,
    delivery: Delivery,
    pub(super) membership: Membership,
    state: Mutex<AssignmentState>,
}

#[derive(Default)]
struct AssignmentState {
    changed: bool,
    partitions: Vec<i32>,
    /// How far the output of the partitions has been sent, where that is not committed yet.
    unrecorded: BTreeMap<i32, Position>,
    failed: Option<KafkaError>,
}

impl JoinContext {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            topic: config.repartition.topic.clone(),
            group: format!("{}-join", config.application.id),
            delivery: config.output.delivery,
            membership: Membership::new(format!("{}-join", config.application.id)),
            state: Mutex::default(),
        }
    }

    /// Returns whether partitions were assigned or revoked since the last [`JoinContext::take`].
    pub(super) fn is_changed(&self) -> bool {
        self.state().changed
    }

    /// Returns the partitions that are assigned now.
    pub(super) fn take(&self) -> Result<Vec<i32>, Error> {
        let mut state = self.state();
        state.changed = false;
        state.unrecorded.clear();
        match state.failed.take() {
            Some(cause) => Err(self.read_error(cause).into()),
            None => Ok(state.partitions.clone()),
        }
    }

    /// Makes the stage take over its partitions again, as if they had just been assigned.
    pub(super) fn take_over_again(&self) {
        self.state().changed = true;
    }

    /// Notes that the output of a partition has been sent up to `position` and its state is written.
    pub(super) fn emitted(&self, partition: i32, position: Position) {
        self.state().unrecorded.insert(partition, position);
    }

    /// Commits the positions to the group. At least once, they only decide how much output is suppressed after a
    /// partition moves. Exactly once, they are committed in the transactions.
    pub(super) fn record(&self, consumer: &BaseConsumer<Self>, mode: CommitMode) {
        let positions = std::mem::take(&mut self.state().unrecorded);
        if self.delivery == Delivery::ExactlyOnce || positions.is_empty() {
            return;
        }
        let list = record_of(&self.topic, positions);
        if let Err(error) = consumer.commit(&list, mode) {
            tracing::debug!(%error, "offset commit failed; output since the last commit may be sent again if a partition moves");
        }
    }

    /// Returns the committed positions: how far the output of these partitions has been sent.
    pub(super) fn recorded(&self, consumer: &BaseConsumer<Self>, partitions: &[i32]) -> Result<BTreeMap<i32, Position>, Error> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, *partition);
        }
        let read = |cause| Error::Kafka(self.read_error(cause));
        let committed = consumer
            .committed_offsets(list, clients::REQUEST_TIMEOUT)
            .map_err(|cause| Error::Kafka(self.positions_error(cause)))?;
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

    /// Returns the error that the committed positions cannot be read. While a transaction that commits positions is
    /// open, the broker refuses to return any, and the client tries again until the timeout.
    fn positions_error(&self, cause: KafkaError) -> kafka::Error {
        match (self.delivery, cause.rdkafka_error_code()) {
            (Delivery::ExactlyOnce, Some(RDKafkaErrorCode::OperationTimedOut)) => kafka::Error::BlockedPositions {
                group: self.group.clone(),
                cause,
            },
            _ => self.read_error(cause),
        }
    }

    pub(super) fn read_error(&self, cause: KafkaError) -> kafka::Error {
        kafka::Error::read(&self.topic, cause)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, AssignmentState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, partitions: Vec<i32>, result: KafkaResult<()>) {
        let mut state = self.state();
        state.changed = true;
        state.partitions = partitions;
        state.failed = state.failed.take().or(result.err());
    }
}

/// Returns positions as they are committed: the offset of the repartition record, and in the metadata the number of its
/// outputs that have been sent.
pub(super) fn record_of(topic: &str, positions: impl IntoIterator<Item = (i32, Position)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, position) in positions {
        let mut element = list.add_partition(topic, partition);
        element.set_metadata(position.outputs.to_string());
        // Only an invalid offset fails.
        drop(element.set_offset(Offset::Offset(position.offset)));
    }
    list
}

impl ClientContext for JoinContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        clients::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "the consumer of the repartition topic reports a problem");
    }
}

impl ConsumerContext for JoinContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.membership.assigned();
                let elements = list.elements();
                let partitions = elements.iter().map(|element| element.partition()).collect();
                // Reading starts once the positions are known.
                self.note(partitions, consumer.assign(&TopicPartitionList::new()));
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                self.membership.revoked();
                // After the membership is lost, other members commit the positions, and the broker would refuse this
                // commit.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_behind_an_open_transaction_are_named_as_such() {
        let error = |delivery: &str, code| {
            let config = Config::from_text("test", &format!("output.delivery = \"{delivery}\""), std::iter::empty()).unwrap();
            JoinContext::new(&config)
                .positions_error(KafkaError::MetadataFetch(code))
                .to_string()
        };
        let blocked = error("exactly_once", RDKafkaErrorCode::OperationTimedOut);
        assert!(
            blocked.contains("the group alerttrail-join") && blocked.contains("a transaction that it has left open"),
            "{blocked}"
        );
        let refused = error("exactly_once", RDKafkaErrorCode::GroupAuthorizationFailed);
        assert!(refused.contains("permissions"), "{refused}");
        let slow = error("at_least_once", RDKafkaErrorCode::OperationTimedOut);
        assert!(!slow.contains("transaction"), "{slow}");
    }
}
