//! Which input partitions ROUTE reads, and where it begins in each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::log_tail::{self, Source};
use super::route_positions::{self, Begin, Known, Lost};
use crate::config::{Config, Start};
use crate::kafka::delivery::PendingAcks;
use crate::kafka::membership::Membership;
use crate::kafka::topic_ids::TopicIds;
use crate::kafka::{Error, clients, topics};
use crate::metrics::Metrics;
use crate::route::OffsetTracker;

/// A change of the assignment. It happens inside a poll, and the stage handles it right after that poll.
pub(super) enum Event {
    /// A partition is read from this position on.
    Assigned(String, i32, i64),
    /// Another router reads the partition.
    Revoked(String, i32),
    /// The topic was replaced by another of the same name.
    Recreated(String),
    /// The starting position could not be determined.
    Failed(Error),
}

/// Decides where reading begins.
pub(super) struct Context {
    config: Config,
    pub(super) membership: Membership,
    pub(super) ids: TopicIds,
    tracker: Arc<Mutex<OffsetTracker<PendingAcks>>>,
    metrics: Arc<Metrics>,
    events: Mutex<Vec<Event>>,
    /// Whether there are events. The thread that polls, and thereby adds events, checks this after every message.
    has_events: AtomicBool,
}

impl Context {
    pub(super) fn new(config: &Config, tracker: Arc<Mutex<OffsetTracker<PendingAcks>>>, metrics: Arc<Metrics>) -> Self {
        Self {
            config: config.clone(),
            membership: Membership::new(format!("{}-route", config.application.id)),
            ids: TopicIds::default(),
            tracker,
            metrics,
            events: Mutex::default(),
            has_events: AtomicBool::new(false),
        }
    }

    pub(super) fn take_events(&self) -> Vec<Event> {
        if !self.has_events.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.has_events.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, event: Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        self.has_events.store(true, Ordering::Relaxed);
    }

    /// Decides where to continue in partitions whose next records are gone. `begun` is the number of partitions that
    /// were read before.
    pub(super) fn all_lost(&self, lost: &[Lost], begun: usize) -> Result<Vec<(Source, i64)>, Error> {
        route_positions::all_lost(lost, begun, self.config.input.on_lost_offsets, &self.metrics)
    }

    /// Returns whether a position that was committed with this topic id belongs to another topic.
    fn is_another(&self, topic: &str, committed: &str) -> bool {
        // Positions have no id if an earlier version committed them or the broker reports none.
        !committed.is_empty() && self.ids.of(topic).is_some_and(|id| id != committed)
    }

    /// Commits positions, each with the id of its topic.
    pub(super) fn commit(
        &self,
        consumer: &BaseConsumer<Self>,
        positions: impl IntoIterator<Item = ((String, i32), i64)>,
        mode: CommitMode,
    ) {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), position) in positions {
            let mut element = list.add_partition(&topic, partition);
            // Only an invalid offset fails.
            drop(element.set_offset(Offset::Offset(position)));
            if let Some(id) = self.ids.of(&topic) {
                element.set_metadata(id);
            }
        }
        if list.count() > 0
            && let Err(error) = consumer.commit(&list, mode)
        {
            tracing::warn!(%error, "offset commit failed; messages since the last commit may be routed again");
        }
    }

    /// Returns the names of the input topics in one string.
    pub(super) fn topics(&self) -> String {
        self.config.input.topics.join(", ")
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> Result<(), Error> {
        let read = |cause| Error::Read {
            topics: self.topics(),
            cause,
        };
        let committed = consumer.committed_offsets(list.clone(), topics::TIMEOUT).map_err(read)?;
        let mut missing = BTreeSet::new();
        for element in committed.elements() {
            element.error().map_err(read)?;
            if !matches!(element.offset(), Offset::Offset(_)) {
                missing.insert((element.topic().to_owned(), element.partition()));
            }
        }
        let logged = match missing.is_empty() {
            true => BTreeMap::new(),
            false => log_tail::read_before(&self.config, missing)?,
        };
        let mut begins = Vec::new();
        let (mut lost, mut again, mut begun) = (Vec::new(), Vec::new(), 0);
        for element in committed.elements() {
            let source = (element.topic().to_owned(), element.partition());
            let known = match (element.offset(), logged.get(&source)) {
                (Offset::Offset(position), _) if self.is_another(&source.0, element.metadata()) => Known::OfAnother(position),
                (Offset::Offset(position), _) => Known::Committed(position),
                // The positions in the log belong to the previous topic.
                (_, Some(position)) if self.ids.is_renewed(&source.0) => Known::OfAnother(*position),
                (_, Some(position)) => Known::Logged(*position),
                _ if self.was_read_before(consumer, element.topic()).map_err(read)? => Known::Added,
                _ => Known::Nothing,
            };
            begun += usize::from(matches!(
                known,
                Known::Committed(1..) | Known::OfAnother(1..) | Known::Logged(1..)
            ));
            let (low, high) = consumer
                .fetch_watermarks(&source.0, source.1, topics::TIMEOUT)
                .map_err(read)?;
            let position = match route_positions::begin(known, self.config.input.start, low, high) {
                Begin::At(position) => position,
                Begin::ByTime => self.position_at(consumer, &source.0, source.1, high).map_err(read)?,
                Begin::Again(position) => {
                    again.push(format!("{}/{}", source.0, source.1));
                    position
                }
                Begin::Lost(position) => {
                    lost.push(Lost {
                        source,
                        position,
                        low,
                        high,
                    });
                    continue;
                }
            };
            begins.push((source, position, known));
        }
        warn_of_missing_positions(&again);
        let moved = self.all_lost(&lost, begun)?;
        begins.extend(moved.into_iter().map(|(source, position)| (source, position, Known::Nothing)));
        self.begin_at(consumer, begins)
    }

    /// Assigns these partitions to the consumer, from these positions on.
    fn begin_at(&self, consumer: &BaseConsumer<Self>, begins: Vec<(Source, i64, Known)>) -> Result<(), Error> {
        let read = |cause| Error::Read {
            topics: self.topics(),
            cause,
        };
        let mut starts = TopicPartitionList::new();
        for ((topic, partition), position, known) in begins {
            if known != Known::Committed(position) {
                let mut tracker = self.tracker.lock().unwrap_or_else(PoisonError::into_inner);
                // The position is committed soon. Otherwise a restart before the first message would begin elsewhere.
                tracker.begin(&topic, partition, position);
            }
            let offset = Offset::Offset(position);
            starts.add_partition_offset(&topic, partition, offset).map_err(read)?;
            self.push(Event::Assigned(topic, partition, position));
        }
        consumer.assign(&starts).map_err(read)
    }

    /// Returns the position of the first record whose timestamp is `input.start` or later, or `high` if there is none.
    fn position_at(&self, consumer: &BaseConsumer<Self>, topic: &str, partition: i32, high: i64) -> Result<i64, KafkaError> {
        let Start::At(time) = self.config.input.start else {
            return Ok(high);
        };
        let mut at = TopicPartitionList::new();
        at.add_partition_offset(topic, partition, Offset::Offset(time.0))?;
        let found = consumer.offsets_for_times(at, topics::TIMEOUT)?;
        match found.elements().first().map(TopicPartitionListElem::offset) {
            Some(Offset::Offset(position)) => Ok(position),
            _ => Ok(high),
        }
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

    /// Commits what has been acknowledged while the partitions are still assigned here. The next owner routes the rest
    /// again.
    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let positions = {
            let mut tracker = self.tracker.lock().unwrap_or_else(PoisonError::into_inner);
            tracker.close_group();
            tracker.remove_acknowledged();
            tracker.take_changed()
        };
        self.commit(consumer, positions, CommitMode::Sync);
        let mut tracker = self.tracker.lock().unwrap_or_else(PoisonError::into_inner);
        for element in list.elements() {
            tracker.forget(element.topic(), element.partition());
            self.push(Event::Revoked(element.topic().to_owned(), element.partition()));
        }
        drop(tracker);
        drop(consumer.unassign());
    }
}

/// Logs one warning for all partitions whose positions the group does not know.
fn warn_of_missing_positions(again: &[String]) {
    if !again.is_empty() {
        tracing::warn!(
            partitions = again.join(", "),
            "the consumer group has no position for partitions that were read before, according to the repartition topic: the program ended before its first commit, within seconds of its first start, or the group was deleted or its positions expired; reading records again does not change the result"
        );
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel as Level;
        if let Some(topic) = self.ids.update(facility, message)
            && self.config.input.topics.iter().any(|read| read == topic)
        {
            self.push(Event::Recreated(topic.to_owned()));
        }
        // Messages of other levels are enabled only for the topic ids.
        if matches!(
            level,
            Level::Emerg | Level::Alert | Level::Critical | Level::Error | Level::Warning
        ) {
            clients::log(level, facility, message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "the consumer of the input topics reports a problem");
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.membership.assigned();
                if let Err(error) = self.assign(consumer, list) {
                    self.push(Event::Failed(error));
                }
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                self.membership.revoked();
                self.revoke(consumer, list);
            }
            other => {
                let code: RDKafkaErrorCode = other.into();
                self.push(Event::Failed(Error::Read {
                    topics: self.topics(),
                    cause: KafkaError::Rebalance(code),
                }));
            }
        }
    }
}
