//! Which input partitions ROUTE reads, and where it begins in each.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::ledger::Ledger;
use crate::config::{Config, LostOffsets, Start};
use crate::kafka::{Error, clients, topics};
use crate::metrics::Metrics;

/// What happened to the assignment. It happens inside a poll; the stage takes it in right behind it.
pub(super) enum Event {
    /// A partition is read from this position on.
    Assigned(String, i32, i64),
    /// A partition is read by another router.
    Revoked(String, i32),
    /// It is not known where to begin.
    Failed(Error),
}

/// Decides where reading begins.
pub(super) struct Context {
    topics: Vec<String>,
    start: Start,
    on_lost_offsets: LostOffsets,
    ledger: Arc<Mutex<Ledger>>,
    metrics: Arc<Metrics>,
    events: Mutex<Vec<Event>>,
}

impl Context {
    pub(super) fn new(config: &Config, ledger: Arc<Mutex<Ledger>>, metrics: Arc<Metrics>) -> Self {
        Self {
            topics: config.input.topics.clone(),
            start: config.input.start,
            on_lost_offsets: config.input.on_lost_offsets,
            ledger,
            metrics,
            events: Mutex::default(),
        }
    }

    pub(super) fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, event: Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> Result<(), Error> {
        let read = |cause| Error::Read {
            topics: self.topics.join(", "),
            cause,
        };
        let committed = consumer.committed_offsets(list.clone(), topics::TIMEOUT).map_err(read)?;
        let mut starts = TopicPartitionList::new();
        for element in committed.elements() {
            let (topic, partition) = (element.topic(), element.partition());
            element.error().map_err(read)?;
            let (low, high) = consumer.fetch_watermarks(topic, partition, topics::TIMEOUT).map_err(read)?;
            let position = match element.offset() {
                Offset::Offset(position) => self.check(topic, partition, position, low, high)?,
                _ => {
                    let position = self.first_position(consumer, topic, partition, low, high).map_err(read)?;
                    let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
                    // Committed soon, or a restart before the first message would begin elsewhere.
                    ledger.begin(topic, partition, position);
                    position
                }
            };
            let offset = Offset::Offset(position);
            starts.add_partition_offset(topic, partition, offset).map_err(read)?;
            self.push(Event::Assigned(topic.to_owned(), partition, position));
        }
        consumer.assign(&starts).map_err(read)
    }

    /// The committed position, if the records from there on still exist.
    fn check(&self, topic: &str, partition: i32, position: i64, low: i64, high: i64) -> Result<i64, Error> {
        if (low..=high).contains(&position) {
            return Ok(position);
        }
        let lost = match position < low {
            true => format!("{} records were removed by retention before they were read", low - position),
            false => "the topic was deleted and made anew, or lost its end".to_owned(),
        };
        if self.on_lost_offsets == LostOffsets::Continue {
            self.metrics.lost(u64::try_from(low - position).unwrap_or(0));
            tracing::error!(
                topic,
                partition,
                position,
                low,
                high,
                "{lost}; going on at {low}, as input.on_lost_offsets says"
            );
            return Ok(low);
        }
        Err(Error::LostOffsets {
            topic: topic.to_owned(),
            partition,
            position,
            low,
            high,
            lost,
            way_out: "set input.on_lost_offsets = \"continue\" to go on without them, or use another application.id",
        })
    }

    /// Where a partition without a committed position begins: as configured, but from its first record when the topic has been read
    /// before, for then the partition was added since.
    fn first_position(
        &self,
        consumer: &BaseConsumer<Self>,
        topic: &str,
        partition: i32,
        low: i64,
        high: i64,
    ) -> Result<i64, KafkaError> {
        if self.start == Start::Earliest || self.was_read_before(consumer, topic)? {
            return Ok(low);
        }
        let Start::At(time) = self.start else { return Ok(high) };
        let mut at = TopicPartitionList::new();
        at.add_partition_offset(topic, partition, Offset::Offset(time.0))?;
        let found = consumer.offsets_for_times(at, topics::TIMEOUT)?;
        Ok(
            match found
                .elements()
                .first()
                .map(rdkafka::topic_partition_list::TopicPartitionListElem::offset)
            {
                Some(Offset::Offset(position)) => position,
                _ => high,
            },
        )
    }

    fn was_read_before(&self, consumer: &BaseConsumer<Self>, topic: &str) -> Result<bool, KafkaError> {
        let count = topics::partitions(consumer, topic)?.unwrap_or(0);
        let mut list = TopicPartitionList::new();
        for partition in 0..count {
            list.add_partition(topic, i32::try_from(partition).unwrap_or(i32::MAX));
        }
        let committed = consumer.committed_offsets(list, topics::TIMEOUT)?;
        Ok(committed
            .elements()
            .iter()
            .any(|element| matches!(element.offset(), Offset::Offset(_))))
    }

    /// What has been acknowledged is committed while the partitions are still ours; the rest is routed again by whoever is next.
    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let positions = {
            let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            ledger.seal();
            ledger.settle();
            ledger.take_changed()
        };
        super::route::commit(consumer, positions, CommitMode::Sync);
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        for element in list.elements() {
            ledger.forget(element.topic(), element.partition());
            self.push(Event::Revoked(element.topic().to_owned(), element.partition()));
        }
        drop(ledger);
        drop(consumer.unassign());
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        clients::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "the consumer of the input topics has a problem");
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                if let Err(error) = self.assign(consumer, list) {
                    self.push(Event::Failed(error));
                }
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => self.revoke(consumer, list),
            other => {
                let code: RDKafkaErrorCode = other.into();
                self.push(Event::Failed(Error::Read {
                    topics: self.topics.join(", "),
                    cause: KafkaError::Rebalance(code),
                }));
            }
        }
    }
}
