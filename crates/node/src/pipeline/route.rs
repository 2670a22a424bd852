//! ROUTE over Kafka: reads the input topics, writes the repartition topic and dead letters. Performs the effects whose
//! order [`RouteTask`] defines.
//!
//! It decodes every message, sends the resulting records, and commits the message's offset only when all of them are
//! acknowledged. After a crash, messages whose offsets were not committed are routed again; JOIN recognises each
//! activity by its dedup key, so that does no harm.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tracing::field::Empty;

use super::log_ends::{LogEnd, LogEnds};
use super::log_tail::SourcePartition;
use super::route_assignment::{self, InputConsumer, PollEvent, RouteContext};
use super::route_counts::RoutedCounts;
use super::route_output::Out;
use super::route_positions::{self, Known};
use super::{Error, Instance};
use crate::clock;
use crate::config::Config;
use crate::decode::Decoder;
use crate::heartbeat::Heartbeat;
use crate::kafka::delivery::PendingAcks;
use crate::kafka::{self, clients, topics};
use crate::metrics::Metrics;
use crate::repartition::WatermarkUpdate;
use crate::route::{
    Arrival, Effect, Idleness, OffsetTracker, Outcome, Progress, RouteTask, Router, Settings, are_equal_but_positions,
};
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
/// How long to wait until no other thread uses the consumer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The stage, ready to run.
pub(super) struct Route<'c> {
    consumer: InputConsumer,
    task: RouteTask,
    out: Out,
    router: Router,
    progress: Progress,
    tracker: OffsetTracker<PendingAcks>,
    /// The partitions that the group has just assigned or revoked.
    rebalanced: Vec<SourcePartition>,
    /// Where reading of the assigned partitions begins, with what is known of each.
    begins: Vec<(SourcePartition, i64, Known)>,
    /// An input topic that was deleted and created again while it was read. The stage ends because of it.
    recreated: Option<String>,
    routed: RoutedCounts,
    topics: Vec<(String, u32)>,
    idleness: Idleness,
    interval: Duration,
    settings: [u8; 32],
    log_ends: LogEnds,
    last_update: Option<(Instant, WatermarkUpdate)>,
    /// The watermark of the last watermark update.
    announced: Option<EventTime>,
    instance: &'c Instance<'c>,
    /// When watermark updates were last considered, whether they were sent or not.
    considered: Option<Instant>,
    committed: Instant,
    shutdown: Shutdown,
    heartbeat: Heartbeat,
    metrics: Arc<Metrics>,
}

impl<'c> Route<'c> {
    pub(super) fn new(
        config: &Config,
        instance: &'c Instance<'c>,
        shutdown: Shutdown,
        heartbeat: Heartbeat,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        metrics.none_read();
        let context = RouteContext::new(config, Arc::clone(&metrics));
        let member = kafka::membership::member_name(instance.dir.instance_id(), &config.input.topics);
        let consumer = InputConsumer::new(clients::input_consumer(config, "route", &member, context)?);
        let read_error = |cause| consumer.context().read_error(cause);
        let names: Vec<&str> = config.input.topics.iter().map(String::as_str).collect();
        let mut counted = Vec::new();
        for topic in &names {
            let count = topics::partitions(&consumer, topic).map_err(read_error)?;
            counted.push(((*topic).to_owned(), count.unwrap_or(0)));
        }
        consumer.subscribe(&names).map_err(read_error)?;
        let log_ends = LogEnds::watch(
            Arc::downgrade(&consumer),
            config,
            shutdown.clone(),
            Arc::clone(&instance.exposed),
            Arc::clone(&instance.idle_sources),
        )?;
        Ok(Self {
            consumer,
            task: RouteTask::default(),
            out: Out::new(config, shutdown.clone(), heartbeat.clone(), Arc::clone(&metrics))?,
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
            tracker: OffsetTracker::default(),
            rebalanced: Vec::new(),
            begins: Vec::new(),
            recreated: None,
            routed: RoutedCounts::new(&metrics, config.watermark.max_window_ahead),
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
            heartbeat,
            metrics,
        })
    }

    /// Runs until a shutdown is requested, an effect fails, or an input topic is created again.
    pub(super) fn run(mut self) -> Result<(), Error> {
        let mut failure: Option<Error> = None;
        loop {
            self.heartbeat.record();
            if self.shutdown.is_requested() || self.recreated.is_some() {
                self.task.stop();
            }
            let effect = self.task.next();
            let performed = self.perform(effect);
            if effect == Effect::Close {
                break;
            }
            self.task.done(performed.unwrap_or_else(|error| {
                // The first failure is the cause of later ones. What was not delivered because of it is not kept.
                failure.get_or_insert(error);
                self.recreated = None;
                Outcome::Failed
            }));
        }
        let recreated = self.recreated.map(|topic| kafka::Error::Recreated { topic }.into());
        failure.or(recreated).map_or(Ok(()), Err)
    }

    /// Performs an effect.
    fn perform(&mut self, effect: Effect) -> Result<Outcome, Error> {
        match effect {
            Effect::Poll => return self.poll(),
            Effect::SendBundles => {
                self.out.send_bundles()?;
                self.out.check()?;
            }
            Effect::CheckAcks => {
                self.check_acks();
            }
            Effect::SendWatermarkUpdate if self.is_update_due() => self.send_watermark_update()?,
            Effect::Commit if self.committed.elapsed() >= COMMIT_INTERVAL => {
                self.consumer.context().membership.check()?;
                self.commit(CommitMode::Async);
            }
            Effect::SendWatermarkUpdate | Effect::Commit => {}
            Effect::FindPositions => {
                self.begins = self.consumer.context().find_positions(&self.consumer, &self.rebalanced)?;
            }
            Effect::Assign => self.assign()?,
            Effect::CommitSync => {
                self.keep_recreated();
                self.commit(CommitMode::Sync);
            }
            Effect::Forget => self.forget(),
            Effect::Unassign => self.consumer.context().unassign(&self.consumer),
            Effect::AwaitAcks => self.await_acks()?,
            // Its last owner closes the consumer. A member that does not leave its group keeps its partitions for the
            // session timeout.
            Effect::Close => self.log_ends.stop(CLOSE_TIMEOUT),
        }
        Ok(Outcome::Done)
    }

    /// Polls and routes messages until there is something else to do.
    fn poll(&mut self) -> Result<Outcome, Error> {
        let consumer = Arc::clone(&self.consumer);
        let mut wait = self.until_next_update().min(POLL_TIMEOUT);
        let mut now = clock::now();
        let mut span = None;
        let mut event = None;
        for taken in 1..=MAX_POLLS {
            let polled = consumer.poll(wait);
            if !wait.is_zero() {
                now = clock::now();
            }
            event = self.take_events()?;
            if event.is_some() {
                // A poll that reports a rebalance returns no message. A message of a topic that was created again must
                // not be routed, and any other one is polled again when the stage has restarted.
                break;
            }
            match polled {
                None => break,
                Some(Ok(message)) => {
                    span.get_or_insert_with(|| tracing::debug_span!("route.turn", messages = Empty).entered());
                    self.message(&message, now)?;
                }
                Some(Err(error)) if route_positions::is_lost(&error) => self.lost()?,
                Some(Err(error)) => super::read_problem(error, &consumer.context().topics())?,
            }
            if taken.is_multiple_of(CLOCK_CHECK_MESSAGES) {
                self.heartbeat.record();
                if self.is_update_due() || self.shutdown.is_requested() {
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
        if event.is_none() {
            self.take_log_ends()?;
        }
        Ok(event.unwrap_or(Outcome::Done))
    }

    fn message(&mut self, message: &BorrowedMessage<'_>, now: WallTime) -> Result<(), Error> {
        let (topic, next) = (message.topic(), message.offset() + 1);
        let partition = u32::try_from(message.partition()).unwrap_or(0);
        // The client returns no message of a partition that is not read here. If it did, nobody could commit it.
        let Some(mut read) = self.progress.read(topic, partition, next) else {
            return Ok(());
        };
        let acks = self.tracker.read(topic, message.partition(), next);
        let arrival = Arrival {
            now,
            timestamp: message.timestamp().to_millis().map(WallTime),
        };
        let letter = |index, reject| {
            let address = Address {
                topic,
                partition: message.partition(),
                offset: message.offset(),
                index,
            };
            DeadLetter::from_reject(reject, address).redriven(super::redriven(message))
        };
        let mut sent = Ok(());
        let out = &mut self.out;
        let seen = self.router.route(message.payload(), arrival, &mut |routed| {
            if sent.is_ok() {
                sent = out.routed(routed, &letter, &acks);
            }
        });
        sent?;
        self.routed.add(topic, message.payload_len(), arrival, seen);
        read.rejected(seen.rejected);
        if seen.activities > 0 {
            read.activities(seen.latest, now);
        }
        Ok(())
    }

    /// Handles positions that disappeared while they were read, by retention or by a deletion.
    fn lost(&mut self) -> Result<(), Error> {
        let position = |(topic, partition, position): (&str, u32, i64)| {
            ((topic.to_owned(), i32::try_from(partition).unwrap_or(i32::MAX)), position)
        };
        let positions = self.progress.positions().map(position).collect();
        let moved = route_assignment::continue_after_loss(&self.consumer, &positions)?;
        for ((topic, partition), position) in moved {
            self.tracker.forget(&topic, partition);
            self.tracker.begin(&topic, partition, position);
            let partition = u32::try_from(partition).unwrap_or(0);
            self.progress.assign(&topic, partition, position, clock::now());
        }
        Ok(())
    }

    /// Takes what happened inside the last poll. Returns the outcome of polling if it ends the turn's polls.
    fn take_events(&mut self) -> Result<Option<Outcome>, Error> {
        let mut outcome = None;
        for event in self.consumer.context().take_events() {
            match event {
                PollEvent::Rebalanced(change, sources) => {
                    self.rebalanced = sources;
                    outcome = Some(change);
                }
                PollEvent::Recreated(topic) if self.progress.positions().any(|(name, ..)| name == topic) => {
                    self.recreated = Some(topic);
                    outcome = outcome.or(Some(Outcome::Done));
                }
                // The topic was gone for so long that its partitions were revoked. The client rejoins the group when it
                // finds the new partitions. Restarting the stage would get its current assignment, which has none of
                // them.
                PollEvent::Recreated(topic) => self.consumer.context().ids.renew(&topic),
                PollEvent::Failed(error) => return Err(error.into()),
            }
        }
        Ok(outcome)
    }

    fn assign(&mut self) -> Result<(), Error> {
        let begins = std::mem::take(&mut self.begins);
        let positions = begins.iter().map(|(source, position, _)| (source, *position));
        self.consumer.context().assign(&self.consumer, positions)?;
        for ((topic, partition), position, known) in begins {
            if known != Known::Committed(position) {
                // The position is committed soon. Otherwise a restart before the first message would begin elsewhere.
                self.tracker.begin(&topic, partition, position);
            }
            let partition = u32::try_from(partition).unwrap_or(0);
            tracing::info!(topic, partition, position, "reading");
            let (source, idle_sources) = ((topic.as_str(), partition, position), &self.instance.idle_sources);
            idle_sources.assign(&mut self.progress, source, clock::now(), self.idleness.timeout);
            self.count(&topic, partition + 1);
        }
        Ok(())
    }

    fn forget(&mut self) {
        for (topic, partition) in std::mem::take(&mut self.rebalanced) {
            tracing::info!(topic, partition, "no longer reading");
            self.tracker.forget(&topic, partition);
            self.metrics.revoked(&topic, partition);
            self.progress.revoke(&topic, u32::try_from(partition).unwrap_or(0));
        }
    }

    /// Lets the positions of a topic that was deleted and created again be committed once more, with the id of the old
    /// topic, so that the next start does not apply them to the new topic, even if the broker kept them. Records of the
    /// old topic cannot be read again, so acknowledgements do not matter any more.
    fn keep_recreated(&mut self) {
        let Some(recreated) = &self.recreated else { return };
        for (topic, partition, position) in self.progress.positions().filter(|(name, ..)| name == recreated) {
            let partition = i32::try_from(partition).unwrap_or(i32::MAX);
            self.tracker.begin(topic, partition, position);
        }
    }

    /// Stores the partition count of an input topic, which can only grow.
    fn count(&mut self, topic: &str, count: u32) {
        if let Some(known) = self.topics.iter_mut().find(|(name, _)| *name == topic) {
            known.1 = known.1.max(count);
        }
    }

    fn take_log_ends(&mut self) -> Result<(), Error> {
        let mut found = false;
        let responses: Vec<LogEnd> = self.log_ends.take().collect();
        for end in responses {
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
        for (topic, number, passed) in route_assignment::passed(&self.consumer) {
            let partition = u32::try_from(number).unwrap_or(0);
            let position = self.progress.position(&topic, partition);
            if position.is_some_and(|position| position < passed) {
                self.tracker.read(&topic, number, passed);
                self.progress.read(&topic, partition, passed);
            }
        }
    }

    fn until_next_update(&self) -> Duration {
        let passed = self.considered.map(|at| at.elapsed());
        passed.map_or(Duration::ZERO, |passed| self.interval.saturating_sub(passed))
    }

    /// Returns whether it is time for a watermark update, or the activities read since the last one let JOIN close a
    /// window.
    fn is_update_due(&self) -> bool {
        let next_close = &self.instance.next_close;
        self.until_next_update().is_zero() || next_close.is_between(self.announced, self.progress.watermark(self.idleness))
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
        let update = WatermarkUpdate {
            wall: now,
            clock: self.idleness.watermark_by_clock(now),
            topics: self.topics.clone(),
            sources,
            settings: self.settings,
        };
        self.metrics.marked(&update.sources);
        self.out.watermark_update(&update, &self.tracker.acks())?;
        self.progress.mark_sent();
        self.last_update = Some((clock::start(), update));
        Ok(())
    }

    /// Commits the positions that may be committed, each with the id of its topic.
    fn commit(&mut self, mode: CommitMode) {
        self.committed = clock::start();
        let ids = &self.consumer.context().ids;
        let mut list = TopicPartitionList::new();
        for ((topic, partition), position) in self.tracker.take_changed() {
            let mut element = list.add_partition(&topic, partition);
            // Only an invalid offset fails.
            drop(element.set_offset(Offset::Offset(position)));
            if let Some(id) = ids.get(&topic) {
                element.set_metadata(id);
            }
        }
        if list.count() > 0
            && let Err(error) = self.consumer.commit(&list, mode)
        {
            tracing::warn!(%error, "offset commit failed; messages since the last commit may be routed again");
        }
    }

    /// Returns whether everything sent is acknowledged.
    fn check_acks(&mut self) -> bool {
        self.tracker.close_group();
        self.tracker.remove_acknowledged()
    }

    /// Waits until everything sent is acknowledged, up to [`DRAIN`].
    fn await_acks(&mut self) -> Result<(), Error> {
        let began = clock::start();
        while !self.check_acks() && began.elapsed() < DRAIN && !self.shutdown.is_overdue() {
            self.heartbeat.record();
            self.out.check()?;
            self.out.pause();
        }
        Ok(())
    }
}
