//! Which input partitions ROUTE reads, and where it begins in each.
//!
//! The rebalance callback runs inside a poll and only records the change. The stage handles it after that poll; until
//! then the client returns no message, and other members of the group wait. While the consumer is closed, nobody would
//! handle it: then the callback gives the partitions up itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::log_tail::{self, SourcePartition};
use super::route_positions::{self, Begin, Known, Lost};
use crate::clock;
use crate::config::{Config, Start};
use crate::kafka::membership::Membership;
use crate::kafka::topic_ids::TopicIds;
use crate::kafka::{Error, clients, reading, topics};
use crate::metrics::Metrics;
use crate::route::Outcome;

/// Something that happened inside a poll. The stage handles it right after that poll.
pub(super) enum PollEvent {
    /// The group has assigned these partitions, or revoked these, which are all. It waits until the stage has assigned
    /// them to the consumer, or has given them up.
    Rebalanced(Outcome, Vec<SourcePartition>),
    /// The topic was replaced by another of the same name.
    Recreated(String),
    /// The group reports an error.
    Failed(Error),
}

/// The consumer as the stage owns it.
pub(super) struct InputConsumer(Arc<BaseConsumer<RouteContext>>);

impl InputConsumer {
    pub(super) fn new(consumer: BaseConsumer<RouteContext>) -> Self {
        Self(Arc::new(consumer))
    }
}

impl Deref for InputConsumer {
    type Target = Arc<BaseConsumer<RouteContext>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for InputConsumer {
    /// Lets the consumer close, which polls it until all partitions are given up. Whoever drops its last reference
    /// closes it.
    fn drop(&mut self) {
        let context = self.0.context();
        context.is_closing.store(true, Ordering::Release);
        // After a panic, the client may still wait for the answer to a rebalance, and would do so forever.
        if context.is_rebalancing.load(Ordering::Acquire) {
            context.unassign(&self.0);
        }
    }
}

/// Decides where reading begins.
pub(super) struct RouteContext {
    config: Config,
    pub(super) membership: Membership,
    pub(super) ids: TopicIds,
    metrics: Arc<Metrics>,
    events: Mutex<Vec<PollEvent>>,
    /// Whether there are events. The thread that polls, and thereby adds events, checks this after every message.
    has_events: AtomicBool,
    /// Whether the client waits for the answer to a rebalance.
    is_rebalancing: AtomicBool,
    /// Whether the stage has ended.
    is_closing: AtomicBool,
}

impl RouteContext {
    pub(super) fn new(config: &Config, metrics: Arc<Metrics>) -> Self {
        Self {
            config: config.clone(),
            membership: Membership::new(format!("{}-route", config.application.id)),
            ids: TopicIds::default(),
            metrics,
            events: Mutex::default(),
            has_events: AtomicBool::new(false),
            is_rebalancing: AtomicBool::new(false),
            is_closing: AtomicBool::new(false),
        }
    }

    pub(super) fn take_events(&self) -> Vec<PollEvent> {
        if !self.has_events.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.has_events.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, event: PollEvent) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        self.has_events.store(true, Ordering::Relaxed);
    }

    /// Decides where to continue in partitions whose next records are gone. `begun` is the number of partitions that
    /// were read before.
    fn all_lost(&self, lost: &[Lost], begun: usize) -> Result<Vec<(SourcePartition, i64)>, Error> {
        route_positions::all_lost(lost, begun, self.config.input.on_lost_offsets, &self.metrics)
    }

    /// Returns whether a position that was committed with this topic id belongs to another topic.
    fn is_another(&self, topic: &str, committed: &str) -> bool {
        // Positions have no id if an earlier version committed them or the broker reports none.
        !committed.is_empty() && self.ids.get(topic).is_some_and(|id| id != committed)
    }

    /// Returns the names of the input topics in one string.
    pub(super) fn topics(&self) -> String {
        self.config.input.topics.join(", ")
    }

    pub(super) fn read_error(&self, cause: KafkaError) -> Error {
        Error::read(self.topics(), cause)
    }

    /// Returns where reading of these partitions begins, with what is known of each.
    pub(super) fn find_positions(
        &self,
        consumer: &BaseConsumer<Self>,
        sources: &[SourcePartition],
    ) -> Result<Vec<(SourcePartition, i64, Known)>, Error> {
        let read = |cause| self.read_error(cause);
        let mut list = TopicPartitionList::new();
        for (topic, partition) in sources {
            list.add_partition(topic, *partition);
        }
        let committed = consumer.committed_offsets(list, clients::REQUEST_TIMEOUT).map_err(read)?;
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
                .fetch_watermarks(&source.0, source.1, clients::REQUEST_TIMEOUT)
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
        Ok(begins)
    }

    /// Assigns these partitions to the consumer, which continues at these positions. They replace all others.
    pub(super) fn assign<'p>(
        &self,
        consumer: &BaseConsumer<Self>,
        positions: impl IntoIterator<Item = (&'p SourcePartition, i64)>,
    ) -> Result<(), Error> {
        let positions = positions.into_iter();
        let list = reading::offsets(
            positions.map(|((topic, partition), position)| (topic.as_str(), *partition, Offset::Offset(position))),
        );
        list.and_then(|list| consumer.assign(&list))
            .map_err(|cause| self.read_error(cause))?;
        self.is_rebalancing.store(false, Ordering::Release);
        Ok(())
    }

    /// Gives up all partitions.
    pub(super) fn unassign(&self, consumer: &BaseConsumer<Self>) {
        drop(consumer.unassign());
        self.is_rebalancing.store(false, Ordering::Release);
    }

    /// Returns the position of the first record whose timestamp is `input.start` or later, or `high` if there is none.
    fn position_at(&self, consumer: &BaseConsumer<Self>, topic: &str, partition: i32, high: i64) -> Result<i64, KafkaError> {
        let Start::At(time) = self.config.input.start else {
            return Ok(high);
        };
        let mut at = TopicPartitionList::new();
        at.add_partition_offset(topic, partition, Offset::Offset(time.0))?;
        let found = consumer.offsets_for_times(at, clients::REQUEST_TIMEOUT)?;
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
        let committed = consumer.committed_offsets(list, clients::REQUEST_TIMEOUT)?;
        Ok(committed
            .elements()
            .iter()
            .any(|element| matches!(element.offset(), Offset::Offset(_))))
    }
}

/// Finds out which of the positions of all assigned partitions are gone, and continues with the first available record,
/// if the settings allow it. Returns the new positions of those partitions.
pub(super) fn continue_after_loss(
    consumer: &BaseConsumer<RouteContext>,
    positions: &BTreeMap<SourcePartition, i64>,
) -> Result<BTreeMap<SourcePartition, i64>, Error> {
    let context = consumer.context();
    let read = |cause| context.read_error(cause);
    let mut kept = positions.clone();
    let mut lost = Vec::new();
    for ((topic, partition), position) in positions {
        let (low, high) = consumer
            .fetch_watermarks(topic, *partition, clients::REQUEST_TIMEOUT)
            .map_err(read)?;
        if !(low..=high).contains(position) {
            lost.push(Lost {
                source: (topic.clone(), *partition),
                position: *position,
                low,
                high,
            });
        }
    }
    let moved: BTreeMap<SourcePartition, i64> = context
        .all_lost(&lost, positions.values().filter(|position| **position > 0).count())?
        .into_iter()
        .collect();
    kept.extend(moved.clone());
    // All partitions are assigned again, whether they moved or not: the client no longer fetches a partition whose
    // position is gone and refuses to seek in it. If two were lost together, the error for the second arrives when both
    // have moved.
    context.assign(consumer, kept.iter().map(|(source, position)| (source, *position)))?;
    wait_for_assignment(consumer);
    Ok(moved)
}

/// Returns the position after the last record or transaction marker that the consumer has passed in each partition
/// since it was assigned.
pub(super) fn passed(consumer: &BaseConsumer<RouteContext>) -> Vec<(String, i32, i64)> {
    let Ok(positions) = consumer.position() else {
        return Vec::new();
    };
    let passed = positions.elements().into_iter().filter_map(|element| match element.offset() {
        Offset::Offset(position) => Some((element.topic().to_owned(), element.partition(), position)),
        _ => None,
    });
    passed.collect()
}

/// Waits until the client has forgotten the positions from before the assignment. From then on, [`passed`] returns only
/// what was passed since.
fn wait_for_assignment(consumer: &BaseConsumer<RouteContext>) {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let began = clock::start();
    while !passed(consumer).is_empty() && began.elapsed() < TIMEOUT {
        std::thread::sleep(Duration::from_millis(1));
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

impl ClientContext for RouteContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel as Level;
        if let Some(topic) = self.ids.update(facility, message)
            && self.config.input.topics.iter().any(|read| read == topic)
        {
            self.push(PollEvent::Recreated(topic.to_owned()));
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

impl ConsumerContext for RouteContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.is_closing.load(Ordering::Acquire) {
            return self.unassign(consumer);
        }
        let source = |element: &TopicPartitionListElem<'_>| (element.topic().to_owned(), element.partition());
        let sources = list.elements().iter().map(source).collect();
        let event = match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                self.membership.assigned();
                PollEvent::Rebalanced(Outcome::Assigned, sources)
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                self.membership.revoked();
                PollEvent::Rebalanced(Outcome::Revoked, sources)
            }
            other => {
                let code: RDKafkaErrorCode = other.into();
                PollEvent::Failed(self.read_error(KafkaError::Rebalance(code)))
            }
        };
        self.is_rebalancing.store(true, Ordering::Release);
        self.push(event);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use rdkafka::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

    use super::*;
    use crate::clock;
    use crate::emit::Links;

    const TIMEOUT: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(100);

    /// Returns a member of the group `<group>-route` that subscribes to the topic t.
    fn member(servers: &str, group: &str, name: &str) -> InputConsumer {
        let text = format!(
            "application.id = \"{group}\"\nkafka.bootstrap_servers = \"{servers}\"\n[kafka.properties]\n\"session.timeout.ms\" = 3000"
        );
        let config = Config::from_text("test", &text, std::iter::empty()).unwrap_or_else(|errors| panic!("{errors}"));
        let metrics = Arc::new(Metrics::new(Links::query(Default::default())).unwrap());
        let consumer = clients::input_consumer(&config, "route", name, RouteContext::new(&config, metrics)).unwrap();
        let consumer = InputConsumer::new(consumer);
        consumer.subscribe(&["t"]).unwrap();
        consumer
    }

    /// Polls until the group reports a rebalance.
    fn rebalance(consumer: &InputConsumer) -> (Outcome, Vec<SourcePartition>) {
        let began = clock::start();
        loop {
            let polled = consumer.poll(SHORT);
            if let Some(PollEvent::Rebalanced(change, sources)) = consumer.context().take_events().pop() {
                assert!(polled.is_none(), "the same poll returned a message");
                return (change, sources);
            }
            assert!(began.elapsed() < TIMEOUT, "there is no rebalance");
        }
    }

    fn assert_closes(consumer: InputConsumer) {
        let (closed, is_closed) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            drop(consumer);
            closed.send(())
        });
        assert!(is_closed.recv_timeout(TIMEOUT).is_ok(), "it does not close");
    }

    #[test]
    fn no_message_is_read_until_a_rebalance_is_answered() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let servers = cluster.bootstrap_servers();
        let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &servers).create().unwrap();
        for _ in 0..1_000 {
            producer.send(BaseRecord::<[u8], [u8]>::to("t").payload(b"message")).unwrap();
        }
        producer.flush(TIMEOUT).unwrap();
        let source = ("t".to_owned(), 0);
        let one = member(&servers, "g", "one");
        let is_silent = || (0..5).all(|_| one.poll(SHORT).is_none());

        assert_eq!(rebalance(&one), (Outcome::Assigned, vec![source.clone()]));
        assert!(is_silent(), "the partition is not assigned to the consumer");
        one.context().assign(&one, [(&source, 0)]).unwrap();
        assert!((0..50).any(|_| matches!(one.poll(SHORT), Some(Ok(_)))), "nothing is read");

        let _other = member(&servers, "g", "two");
        assert_eq!(rebalance(&one), (Outcome::Revoked, vec![source]));
        assert!(is_silent(), "the partition was revoked");
        assert_closes(one);
    }

    #[test]
    fn a_consumer_closes_whether_an_assignment_was_answered_or_not() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        for (group, is_answered) in [("answered", true), ("unanswered", false)] {
            let consumer = member(&cluster.bootstrap_servers(), group, "one");
            let (_, sources) = rebalance(&consumer);
            if is_answered {
                let positions = sources.iter().map(|source| (source, 0));
                consumer.context().assign(&consumer, positions).unwrap();
            }
            assert_closes(consumer);
        }
    }
}
