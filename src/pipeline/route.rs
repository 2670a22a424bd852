//! ROUTE over Kafka: reads the input topics, writes the repartition topic and dead letters.
//!
//! It decodes every message, sends the resulting records, and commits the message's offset only when all of them are
//! acknowledged. After a crash, messages whose offsets were not committed are routed again; JOIN recognises each
//! activity by its dedup key, so that does no harm. The watermark update of a source partition goes through the same
//! producer after the activities that it covers, so the order holds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{BorrowedMessage, Message as _};
use tracing::field::Empty;

use super::log_ends::{self, LogEnd};
use super::outputs;
use super::route_assignment::{Context, Event};
use super::route_output::Out;
use super::route_positions;
use super::{Error, Instance};
use crate::clock;
use crate::config::Config;
use crate::decode::Decoder;
use crate::kafka::delivery::PendingAcks;
use crate::kafka::{self, clients, topics};
use crate::log::{SourceWatermark, WatermarkUpdate};
use crate::metrics::{Metrics, RouteLatency};
use crate::route::{Arrival, Idleness, OffsetTracker, Progress, Router, Seen, Settings};
use crate::shutdown::{DRAIN, Shutdown};
use crate::sink::dead_letter::{Address, DeadLetter};
use crate::time::{EventTime, WallTime};

/// Maximum number of messages to poll before acknowledgements are checked.
const MAX_POLLS: usize = 1_000;
/// Maximum number of messages to route before the clock is read again.
const CLOCK_CHECK_MESSAGES: usize = 32;
/// Minimum interval between commits of input offsets: Event Hubs throttles commits.
const COMMIT_INTERVAL: Duration = Duration::from_secs(3);
/// Maximum interval between watermark updates: JOIN takes its time from them.
const MAX_UPDATE_INTERVAL: Duration = Duration::from_secs(1);
/// How long one poll of the consumer takes at most.
const POLL_TIMEOUT: Duration = Duration::from_millis(50);

/// The stage, ready to run.
pub(super) struct Route<'c> {
    consumer: Arc<BaseConsumer<Context>>,
    out: Out,
    router: Router,
    progress: Progress,
    tracker: Arc<Mutex<OffsetTracker<PendingAcks>>>,
    routed: RoutedCounts,
    topics: Vec<(String, u32)>,
    idleness: Idleness,
    interval: Duration,
    settings: [u8; 32],
    log_ends: mpsc::Receiver<LogEnd>,
    last_update: Option<(Instant, WatermarkUpdate)>,
    /// The watermark of the last watermark update.
    announced: Option<EventTime>,
    instance: &'c Instance<'c>,
    /// When watermark updates were last considered, whether they were sent or not.
    considered: Option<Instant>,
    committed: Instant,
    shutdown: Shutdown,
    metrics: Arc<Metrics>,
}

/// What was routed since the last update of the metrics.
struct RoutedCounts {
    messages: u64,
    bytes: u64,
    seen: Seen,
    /// The number of activities by topic, and of those ahead of their record's timestamp.
    topics: Vec<(String, u64, u64)>,
    latency: RouteLatency,
}

impl RoutedCounts {
    fn new(metrics: &Metrics) -> Self {
        Self {
            messages: 0,
            bytes: 0,
            seen: Seen::default(),
            topics: Vec::new(),
            latency: metrics.route_latency(),
        }
    }

    fn add(&mut self, topic: &str, bytes: usize, arrival: Arrival, seen: Seen) {
        self.latency.taken(arrival.timestamp, arrival.now);
        self.messages += 1;
        self.bytes += bytes as u64;
        self.seen += seen;
        let place = self.topics.iter().position(|(known, ..)| known == topic).unwrap_or_else(|| {
            self.topics.push((topic.to_owned(), 0, 0));
            self.topics.len() - 1
        });
        if let Some((_, activities, ahead)) = self.topics.get_mut(place) {
            *activities += seen.activities;
            *ahead += seen.ahead_of_timestamp;
        }
    }

    /// Adds the counts to the metrics, and resets them.
    fn report_to(&mut self, metrics: &Metrics) -> u64 {
        metrics.routed(self.messages, self.bytes, &self.seen);
        for (topic, activities, ahead) in &mut self.topics {
            metrics.routed_of(topic, std::mem::take(activities), std::mem::take(ahead));
        }
        self.latency.publish();
        self.seen = Seen::default();
        self.bytes = 0;
        std::mem::take(&mut self.messages)
    }
}

impl<'c> Route<'c> {
    pub(super) fn new(
        config: &Config,
        instance: &'c Instance<'c>,
        shutdown: Shutdown,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        metrics.none_read();
        let tracker = Arc::new(Mutex::new(OffsetTracker::default()));
        let context = Context::new(config, Arc::clone(&tracker), Arc::clone(&metrics));
        let member = kafka::membership::member_name(instance.dir.instance_id(), &config.input.topics);
        let consumer: Arc<BaseConsumer<Context>> = Arc::new(clients::input_consumer(config, "route", &member, context)?);
        let names: Vec<&str> = config.input.topics.iter().map(String::as_str).collect();
        let mut counted = Vec::new();
        for topic in &names {
            let count = topics::partitions(&consumer, topic).map_err(|cause| read_error(config, cause))?;
            counted.push(((*topic).to_owned(), count.unwrap_or(0)));
        }
        consumer.subscribe(&names).map_err(|cause| read_error(config, cause))?;
        let every = (config.watermark.idle_timeout / 4).clamp(Duration::from_millis(100), Duration::from_secs(15));
        let mut watched = config.input.topics.clone();
        watched.push(config.repartition.topic.clone());
        watched.extend(outputs::topics(config).map(str::to_owned));
        let log_ends = log_ends::watch(
            Arc::downgrade(&consumer),
            watched,
            every,
            shutdown.clone(),
            config.repartition.topic.clone(),
            Arc::clone(&instance.exposed),
            Arc::clone(&instance.idle_sources),
        )?;
        Ok(Self {
            consumer,
            out: Out::new(config, shutdown.clone(), Arc::clone(&metrics))?,
            router: Router::new(
                Decoder::new(config.decode.clone()).with_limit(clients::message_max_bytes(config)),
                Settings {
                    partitions: config.repartition.partitions,
                    max_wait: config.watermark.max_wait,
                    max_future_skew: config.watermark.max_future_skew,
                    max_window_ahead: config.watermark.max_window_ahead,
                    tenants: config.decode.tenants.is_some(),
                },
            )
            .with_compressed_rows(),
            progress: Progress::default(),
            tracker,
            routed: RoutedCounts::new(&metrics),
            topics: counted,
            idleness: Idleness {
                timeout: config.watermark.idle_timeout,
                out_of_orderness: config.watermark.out_of_orderness,
            },
            interval: config.watermark.interval.min(MAX_UPDATE_INTERVAL),
            settings: instance.settings,
            log_ends,
            last_update: None,
            announced: None,
            instance,
            considered: None,
            committed: clock::start(),
            shutdown,
            metrics,
        })
    }

    /// Runs until a shutdown is requested, then waits for pending acknowledgements.
    pub(super) fn run(mut self) -> Result<(), Error> {
        while !self.shutdown.is_requested() {
            self.turn()?;
        }
        self.drain()
    }

    fn turn(&mut self) -> Result<(), Error> {
        let consumer = Arc::clone(&self.consumer);
        let mut wait = self.until_next_update().min(POLL_TIMEOUT);
        let mut now = clock::now();
        let mut span = None;
        for taken in 1..=MAX_POLLS {
            let polled = consumer.poll(wait);
            if !wait.is_zero() {
                now = clock::now();
            }
            self.take_events()?;
            match polled {
                None => break,
                Some(Ok(message)) => {
                    span.get_or_insert_with(|| tracing::debug_span!("route.turn", messages = Empty).entered());
                    self.message(&message, now)?;
                }
                Some(Err(error)) if route_positions::is_lost(&error) => self.lost()?,
                Some(Err(error)) => super::read_problem(error, &self.topic_names())?,
            }
            if taken.is_multiple_of(CLOCK_CHECK_MESSAGES) {
                if self.until_next_update().is_zero() || self.closes_a_window() || self.shutdown.is_requested() {
                    break;
                }
                now = clock::now();
            }
            wait = Duration::ZERO;
        }
        let messages = self.routed.report_to(&self.metrics);
        if let Some(span) = span {
            span.record("messages", messages);
        }
        self.out.send_bundles()?;
        self.take_log_ends()?;
        self.out.check()?;
        {
            let mut tracker = self.tracker.lock().unwrap_or_else(PoisonError::into_inner);
            tracker.close_group();
            tracker.remove_acknowledged();
        }
        if self.until_next_update().is_zero() || self.closes_a_window() {
            self.send_watermark_update()?;
        }
        if self.committed.elapsed() >= COMMIT_INTERVAL {
            self.consumer.context().membership.check()?;
            self.commit(CommitMode::Async);
        }
        Ok(())
    }

    fn message(&mut self, message: &BorrowedMessage<'_>, now: WallTime) -> Result<(), Error> {
        let acks = {
            let mut tracker = self.tracker.lock().unwrap_or_else(PoisonError::into_inner);
            tracker.read(message.topic(), message.partition(), message.offset() + 1)
        };
        let arrival = Arrival {
            now,
            timestamp: message.timestamp().to_millis().map(WallTime),
        };
        let letter = |index, reject| {
            let address = Address {
                topic: message.topic(),
                partition: message.partition(),
                offset: message.offset(),
                index,
            };
            DeadLetter::of(reject, address).redriven(super::redriven(message))
        };
        let mut sent = Ok(());
        let out = &mut self.out;
        let seen = self.router.route(message.payload(), arrival, &mut |routed| {
            if sent.is_ok() {
                sent = out.routed(routed, &letter, &acks);
            }
        });
        sent?;
        self.routed.add(message.topic(), message.payload_len(), arrival, seen);
        let partition = u32::try_from(message.partition()).unwrap_or(0);
        if let Some(mut read) = self.progress.read(message.topic(), partition, message.offset() + 1) {
            read.rejected(seen.rejected);
            if seen.activities > 0 {
                read.activities(seen.latest, now);
            }
        }
        Ok(())
    }

    /// Handles positions that disappeared while they were read, by retention or by a deletion.
    fn lost(&mut self) -> Result<(), Error> {
        let position = |(topic, partition, position): (&str, u32, i64)| {
            ((topic.to_owned(), i32::try_from(partition).unwrap_or(i32::MAX)), position)
        };
        let positions = self.progress.positions().map(position).collect();
        let moved = route_positions::continue_after_loss(&self.consumer, &positions)?;
        let mut tracker = self.tracker.lock().unwrap_or_else(PoisonError::into_inner);
        for ((topic, partition), position) in moved {
            tracker.forget(&topic, partition);
            tracker.begin(&topic, partition, position);
            let partition = u32::try_from(partition).unwrap_or(0);
            self.progress.assign(&topic, partition, position, clock::now());
        }
        Ok(())
    }

    fn take_events(&mut self) -> Result<(), Error> {
        for event in self.consumer.context().take_events() {
            match event {
                Event::Assigned(topic, partition, position) => {
                    let partition = u32::try_from(partition).unwrap_or(0);
                    tracing::info!(topic, partition, position, "reading");
                    let (source, idle_sources) = ((topic.as_str(), partition, position), &self.instance.idle_sources);
                    idle_sources.assign(&mut self.progress, source, clock::now(), self.idleness.timeout);
                    self.count(&topic, partition + 1);
                }
                Event::Revoked(topic, partition) => {
                    tracing::info!(topic, partition, "no longer reading");
                    self.metrics.revoked(&topic, partition);
                    self.progress.revoke(&topic, u32::try_from(partition).unwrap_or(0));
                }
                Event::Recreated(topic) if self.progress.positions().any(|(name, ..)| name == topic) => {
                    return Err(self.recreated(topic));
                }
                // The topic was gone for so long that its partitions were revoked. The client rejoins the group when it
                // finds the new partitions. Restarting the stage would get its current assignment, which has none of
                // them.
                Event::Recreated(topic) => self.consumer.context().ids.renew(&topic),
                Event::Failed(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Stops reading a topic that was deleted and created again. Its positions are committed once more with the id of
    /// the old topic, so that the next start does not apply them to the new topic, even if the broker kept them.
    fn recreated(&mut self, topic: String) -> Error {
        // Records of the old topic cannot be read again, so what was read must be delivered now.
        if let Err(error) = self.out.send_bundles().and_then(|()| self.wait_for_acks(DRAIN)) {
            return error;
        }
        {
            let mut tracker = self.tracker.lock().unwrap_or_else(PoisonError::into_inner);
            for (_, partition, position) in self.progress.positions().filter(|(name, ..)| *name == topic) {
                tracker.begin(&topic, i32::try_from(partition).unwrap_or(i32::MAX), position);
            }
        }
        self.commit(CommitMode::Sync);
        kafka::Error::Recreated { topic }.into()
    }

    /// Stores the partition count of an input topic, which can only grow.
    fn count(&mut self, topic: &str, count: u32) {
        if let Some(known) = self.topics.iter_mut().find(|(name, _)| *name == topic) {
            known.1 = known.1.max(count);
        }
    }

    fn take_log_ends(&mut self) -> Result<(), Error> {
        let mut found = false;
        while let Ok(end) = self.log_ends.try_recv() {
            match end {
                LogEnd::Partition(topic, partition, end, at) => {
                    let partition = u32::try_from(partition).unwrap_or(0);
                    self.progress.ended_at(&topic, partition, end, at);
                    found = true;
                }
                // A changed partition count moves keys to other partitions.
                LogEnd::Topic(topic, count) if topic == self.out.log() && count != self.out.partitions() => {
                    return Err(Error::Kafka(kafka::Error::Partitions {
                        topic,
                        found: count as usize,
                        configured: self.out.partitions(),
                    }));
                }
                LogEnd::Topic(topic, count) => {
                    self.instance.outputs.update(&topic, count, &self.instance.dir);
                    self.count(&topic, count);
                }
            }
        }
        if found {
            self.pass_markers();
        }
        Ok(())
    }

    /// Counts transaction markers after the last message of a partition as read, because no message reports them.
    fn pass_markers(&mut self) {
        let positions: BTreeMap<_, _> = self
            .progress
            .positions()
            .map(|(topic, partition, position)| ((topic.to_owned(), partition), position))
            .collect();
        let mut tracker = self.tracker.lock().unwrap_or_else(PoisonError::into_inner);
        for (topic, number, passed) in route_positions::passed(&self.consumer) {
            let partition = u32::try_from(number).unwrap_or(0);
            if positions
                .get(&(topic.clone(), partition))
                .is_some_and(|position| *position < passed)
            {
                tracker.read(&topic, number, passed);
                self.progress.read(&topic, partition, passed);
            }
        }
    }

    fn until_next_update(&self) -> Duration {
        let passed = self.considered.map(|at| at.elapsed());
        passed.map_or(Duration::ZERO, |passed| self.interval.saturating_sub(passed))
    }

    /// Returns whether the activities read since the last watermark update let JOIN close a window.
    fn closes_a_window(&self) -> bool {
        self.instance
            .next_close
            .is_between(self.announced, self.progress.watermark(self.idleness))
    }

    fn send_watermark_update(&mut self) -> Result<(), Error> {
        self.considered = Some(clock::start());
        let now = clock::now();
        let sources = self.progress.source_watermarks(now, self.idleness);
        self.announced = self.progress.watermark(self.idleness);
        if sources.is_empty() {
            return Ok(());
        }
        if let Some((at, last)) = &self.last_update
            && are_equal_but_positions(&last.sources, &sources)
            && at.elapsed() < MAX_UPDATE_INTERVAL
        {
            return Ok(());
        }
        let clock = now
            .minus(self.idleness.timeout)
            .to_event()
            .minus(self.idleness.out_of_orderness);
        let update = WatermarkUpdate {
            wall: now,
            clock,
            topics: self.topics.clone(),
            sources,
            settings: self.settings,
        };
        self.metrics.marked(&update.sources);
        let acks = self.tracker.lock().unwrap_or_else(PoisonError::into_inner).acks();
        self.out.watermark_update(&update, &acks)?;
        self.progress.told();
        self.last_update = Some((clock::start(), update));
        Ok(())
    }

    fn commit(&mut self, mode: CommitMode) {
        self.committed = clock::start();
        let positions = self.tracker.lock().unwrap_or_else(PoisonError::into_inner).take_changed();
        self.consumer.context().commit(&self.consumer, positions, mode);
    }

    /// Waits until everything sent has been acknowledged, up to `most`.
    fn wait_for_acks(&self, most: Duration) -> Result<(), Error> {
        let began = clock::start();
        loop {
            let acknowledged = {
                let mut tracker = self.tracker.lock().unwrap_or_else(PoisonError::into_inner);
                tracker.close_group();
                tracker.remove_acknowledged()
            };
            if acknowledged || began.elapsed() >= most || self.shutdown.is_overdue() {
                return Ok(());
            }
            self.out.check()?;
            self.out.pause();
        }
    }

    fn drain(mut self) -> Result<(), Error> {
        self.wait_for_acks(DRAIN)?;
        self.commit(CommitMode::Sync);
        self.release_consumer();
        Ok(())
    }

    /// Waits until the thread that requests log-end offsets releases the consumer. The consumer is closed only when its
    /// last owner drops it, and a member that does not leave its group keeps its partitions for the session timeout.
    fn release_consumer(&self) {
        const TIMEOUT: Duration = Duration::from_secs(2);
        let began = clock::start();
        while Arc::strong_count(&self.consumer) > 1 && began.elapsed() < TIMEOUT {
            self.out.pause();
        }
    }

    fn topic_names(&self) -> String {
        let names: Vec<&str> = self.topics.iter().map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    }
}

/// Compares what moves a watermark. Positions change with every message and alone do not justify a watermark update.
fn are_equal_but_positions(one: &[SourceWatermark], other: &[SourceWatermark]) -> bool {
    let compared = |source: &SourceWatermark| (source.partition, source.time, source.idle);
    one.iter().map(compared).eq(other.iter().map(compared))
}

fn read_error(config: &Config, cause: rdkafka::error::KafkaError) -> kafka::Error {
    kafka::Error::Read {
        topics: config.input.topics.join(", "),
        cause,
    }
}
