//! JOIN over Kafka: reads the repartition topic, writes joined rows, summaries and dead letters. `join::task` defines
//! the order of effects, `join_batch` performs them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::batch_size::AdaptiveBatchSize;
use super::idle_sources::IdleSources;
use super::join_assignment::JoinContext;
use super::join_batch::{BatchOutcome, Inbox, Out, Performer, commit_position};
use super::next_close::NextClose;
use super::partition_tasks::PartitionTasks;
use super::poll_keep_alive::PollKeepAlive;
use super::{Error, Instance};
use crate::clock;
use crate::config::Config;
use crate::heartbeat::Heartbeat;
use crate::join::{Limit, Outcome};
use crate::kafka::clients::{self, Logged};
use crate::kafka::{self, topics};
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// Maximum number of repartition records that wait to be applied.
const MAX_INBOX: usize = 2_000;
/// Maximum bytes of repartition records that wait to be applied.
const MAX_INBOX_BYTES: usize = 16 << 20;
/// A partition that uses more than one over this number of these limits is paused, so that a long emission does not
/// block the other partitions.
const PARTITION_SHARE: usize = 4;
/// How long one poll of the consumer takes at most.
const POLL_TIMEOUT: Duration = Duration::from_millis(50);
/// How long to wait for the remaining acknowledgements when partitions were assigned or revoked meanwhile. What is
/// acknowledged does not have to be sent again.
const REBALANCE_TIMEOUT: Duration = Duration::from_secs(60);
/// Minimum interval between commits of positions.
const COMMIT_INTERVAL: Duration = Duration::from_secs(3);
/// After this time without a record, check whether there is one to read. Watermark updates come every second.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// The same for a partition while others deliver records.
const PARTITION_STALL_TIMEOUT: Duration = Duration::from_secs(300);
/// How often the progress of a long replay is logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// The stage, ready to run.
pub(super) struct Join<'c> {
    config: &'c Config,
    work: Work<'c>,
    /// Dropped last, so that the partitions are given up after everything else has ended.
    consumer: BaseConsumer<JoinContext>,
}

/// Everything but the consumer, which the messages in the inboxes borrow from.
struct Work<'d> {
    tasks: PartitionTasks<'d>,
    out: Out,
    topic: String,
    settings: [u8; 32],
    batch_size: &'d AdaptiveBatchSize,
    next_close: &'d NextClose,
    idle_sources: &'d IdleSources,
    recorded: Instant,
    reported: Instant,
    shutdown: Shutdown,
    heartbeat: Heartbeat,
    metrics: Arc<Metrics>,
}

impl<'c> Join<'c> {
    pub(super) fn new(
        config: &'c Config,
        instance: &'c Instance<'c>,
        shutdown: Shutdown,
        heartbeat: Heartbeat,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        let id = Some(instance.dir.instance_id());
        let consumer: BaseConsumer<JoinContext> = clients::consumer(config, "join", id, JoinContext::new(config))?;
        let topic = config.repartition.topic.clone();
        let outputs = topics::partitions(&consumer, &config.output.topic).ok().flatten();
        consumer
            .subscribe(&[&topic])
            .map_err(|cause| consumer.context().read_error(cause))?;
        Ok(Self {
            config,
            work: Work {
                tasks: PartitionTasks::new(config, &instance.dir)
                    .sending_to(outputs)
                    .exposing(&instance.exposed),
                out: Out::new(config, outputs, Arc::clone(&metrics))?,
                topic,
                settings: instance.settings,
                batch_size: &instance.batch_size,
                next_close: &instance.next_close,
                idle_sources: &instance.idle_sources,
                recorded: clock::start(),
                reported: clock::start(),
                shutdown,
                heartbeat,
                metrics,
            },
            consumer,
        })
    }

    /// Runs until a shutdown is requested or the stage fails, and closes its stores.
    pub(super) fn run(mut self) -> Result<(), Error> {
        let outcome = self.work.run(self.config, &self.consumer);
        self.work.tasks.keep(&[]);
        outcome
    }
}

impl Work<'_> {
    /// Runs until a shutdown is requested. A batch in progress is finished first, so no batch is left half done.
    fn run(&mut self, config: &Config, consumer: &BaseConsumer<JoinContext>) -> Result<(), Error> {
        let mut inboxes: BTreeMap<i32, Inbox<'_>> = BTreeMap::new();
        while !self.shutdown.is_requested() {
            self.heartbeat.record();
            if consumer.context().is_changed() {
                inboxes.clear();
                self.take_over(config, consumer)?;
            }
            self.read(consumer, &mut inboxes)?;
            if !consumer.context().is_changed() {
                self.apply(consumer, &mut inboxes)?;
            }
            self.out.check()?;
            if self.recorded.elapsed() >= COMMIT_INTERVAL && !consumer.context().is_changed() {
                self.record(consumer, CommitMode::Async)?;
                consumer.context().membership.check()?;
                self.check_for_stalls(consumer)?;
                self.check_folders(consumer);
                self.tasks.flush()?;
            }
            self.report();
        }
        if !consumer.context().is_changed() && !self.shutdown.is_overdue() {
            self.record(consumer, CommitMode::Sync)?;
        }
        Ok(())
    }

    /// Opens newly assigned partitions, closes revoked ones, and starts to read at the positions of the states.
    fn take_over(&mut self, config: &Config, consumer: &BaseConsumer<JoinContext>) -> Result<(), Error> {
        let context = consumer.context();
        let partitions = context.take()?;
        let _span = tracing::debug_span!("join.take_over", partitions = partitions.len()).entered();
        self.tasks.keep(&partitions);
        self.metrics.assigned(&partitions);
        let topic = self.topic.clone();
        let (shutdown, heartbeat) = (self.shutdown.clone(), self.heartbeat.clone());
        let mut keep_alive = PollKeepAlive::new(consumer, &shutdown, &heartbeat, &topic, Duration::ZERO);
        for partition in &partitions {
            self.tasks.open(*partition, config)?;
            if !keep_alive.keep_waiting() {
                return keep_alive.problem.map_or(Ok(()), Err);
            }
        }
        if partitions.is_empty() {
            return Ok(());
        }
        let read = |cause| context.read_error(cause);
        let recorded = context.recorded(consumer, &partitions)?;
        let questions: BaseConsumer<Logged> = clients::consumer(config, "settings", None, Logged)?;
        let mut starts = TopicPartitionList::new();
        for task in self.tasks.iter_mut() {
            let partition = task.partition;
            let (low, high) = consumer
                .fetch_watermarks(&self.topic, partition, clients::REQUEST_TIMEOUT)
                .map_err(read)?;
            let record = recorded.get(&partition).copied().unwrap_or_default();
            let begin = match task.joiner.next_offset() {
                0 => low,
                position => position,
            };
            task.order.done(Outcome::Positions {
                committed: record,
                noted: task.noted(),
            });
            let emitted = task.order.emitted();
            if begin < low
                || begin.max(emitted.offset) > high
                || !task.knows_its_log(&self.topic, low, &questions).map_err(read)?
            {
                return Err(lost(&self.topic, partition, begin.max(emitted.offset), low, high).into());
            }
            task.suppressed = 0;
            task.end = high;
            self.metrics.replaying(partition, high - begin);
            task.last_received = clock::start();
            tracing::info!(
                topic = self.topic,
                partition,
                position = begin,
                emitted = emitted.offset,
                end = high,
                "joining"
            );
            starts
                .add_partition_offset(&self.topic, partition, Offset::Offset(begin))
                .map_err(read)?;
        }
        consumer.assign(&starts).map_err(read)?;
        // Partitions that were paused before the rebalance must not stay paused.
        Ok(consumer.resume(&starts).map_err(read)?)
    }

    /// Reads repartition records, as many as the limits allow.
    fn read<'m>(&self, consumer: &'m BaseConsumer<JoinContext>, inboxes: &mut BTreeMap<i32, Inbox<'m>>) -> Result<(), Error> {
        let (mut count, mut bytes) = inboxes.values().fold((0, 0), |(count, bytes), inbox| {
            (count + inbox.messages.len(), bytes + inbox.bytes)
        });
        let mut wait = match count {
            0 => POLL_TIMEOUT,
            _ => Duration::ZERO,
        };
        // Poll at least once, even if the inboxes are full, to stay a member of the group.
        loop {
            match consumer.poll(wait) {
                None => return Ok(()),
                Some(Err(error)) => super::read_problem(error, &self.topic)?,
                Some(Ok(message)) => {
                    count += 1;
                    bytes += message.payload_len();
                    inboxes.entry(message.partition()).or_default().push(message);
                }
            }
            if count >= MAX_INBOX || bytes >= MAX_INBOX_BYTES || consumer.context().is_changed() {
                return Ok(());
            }
            wait = Duration::ZERO;
        }
    }

    /// Runs one batch of every partition that has work.
    fn apply<'m>(
        &mut self,
        consumer: &'m BaseConsumer<JoinContext>,
        inboxes: &mut BTreeMap<i32, Inbox<'m>>,
    ) -> Result<(), Error> {
        for task in self.tasks.iter_mut().filter(|task| task.joiner.has_work()) {
            inboxes.entry(task.partition).or_default();
        }
        let partitions: Vec<i32> = inboxes.keys().copied().collect();
        let applying = clock::start();
        let (topic, shutdown, heartbeat) = (self.topic.clone(), self.shutdown.clone(), self.heartbeat.clone());
        for partition in partitions {
            let Some(mut inbox) = inboxes.remove(&partition) else {
                continue;
            };
            let Some(task) = self.tasks.get(partition) else { continue };
            if !inbox.messages.is_empty() || task.joiner.has_work() {
                task.last_received = clock::start();
            }
            let timeout = match task.transactions {
                // After a rebalance, nothing that was begun before it may be committed.
                Some(_) => Duration::ZERO,
                None => REBALANCE_TIMEOUT,
            };
            let mut keep_alive = PollKeepAlive::new(consumer, &shutdown, &heartbeat, &topic, timeout);
            let limit = match task.transactions {
                Some(_) => self.batch_size.begin(),
                None => Limit::default(),
            };
            let began = clock::start();
            let mut performer = Performer {
                out: &mut self.out,
                limit,
                settings: self.settings,
                keep_alive: &mut keep_alive,
                consumer,
            };
            let outcome = match performer.run_batch(task, &mut inbox) {
                Err(Error::Store(error)) if error.is_corruption() => {
                    tracing::error!(partition, "{error}; the state is rebuilt from the repartition topic");
                    self.tasks.set_aside(partition)?;
                    consumer.context().take_over_again();
                    return Ok(());
                }
                outcome => outcome?,
            };
            if outcome == BatchOutcome::Abandoned {
                // The state machine in memory is ahead of the stored state, so it is discarded.
                self.tasks.close(partition);
                return keep_alive.problem.map_or(Ok(()), Err);
            }
            if task.transactions.is_some() {
                self.batch_size.done(outcome, began.elapsed());
            }
            self.metrics.joined(partition, &mut task.joiner);
            let has_more = !inbox.messages.is_empty() || task.joiner.has_work();
            let is_large =
                inbox.messages.len() >= MAX_INBOX / PARTITION_SHARE || inbox.bytes >= MAX_INBOX_BYTES / PARTITION_SHARE;
            if inbox.paused != (has_more && (inbox.paused || is_large)) {
                inbox.paused = !inbox.paused;
                self.pause(consumer, partition, inbox.paused)?;
            }
            if has_more {
                inboxes.insert(partition, inbox);
            }
            for message in keep_alive.messages {
                inboxes.entry(message.partition()).or_default().push(message);
            }
        }
        // Nothing is read while a batch waits for its outputs, which is not a stall of the consumer.
        let waited = applying.elapsed();
        self.tasks.iter_mut().for_each(|task| task.last_received += waited);
        let waiting = self.tasks.iter_mut().filter_map(|task| task.next_close);
        self.next_close.set(waiting.min());
        Ok(())
    }

    fn pause(&self, consumer: &BaseConsumer<JoinContext>, partition: i32, pause: bool) -> Result<(), Error> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        let paused = match pause {
            true => consumer.pause(&list),
            false => consumer.resume(&list),
        };
        Ok(paused.map_err(|cause| consumer.context().read_error(cause))?)
    }

    /// Commits how far the output has been sent, where this has changed, and updates the metrics about the size of the
    /// states.
    fn record(&mut self, consumer: &BaseConsumer<JoinContext>, mode: CommitMode) -> Result<(), Error> {
        self.recorded = clock::start();
        consumer.context().record(consumer, mode);
        // Every router sends its watermark updates to every partition, so any partition knows all source partitions.
        if let Some(task) = self.tasks.iter_mut().next() {
            self.idle_sources.update(&task.joiner.sources());
        }
        for task in self.tasks.iter_mut() {
            self.metrics.holds(task.partition, &task.base);
            commit_position(task, &self.out, consumer)?;
        }
        Ok(())
    }

    /// Checks partitions that deliver nothing: consumers have been seen to hang for ever although records were
    /// available. Over a slow connection, a partition must wait for the others.
    fn check_for_stalls(&mut self, consumer: &BaseConsumer<JoinContext>) -> Result<(), Error> {
        let last = self.tasks.iter_mut().map(|task| task.last_received).max();
        let timeout = match last.is_some_and(|last| last.elapsed() < STALL_TIMEOUT) {
            true => PARTITION_STALL_TIMEOUT,
            false => STALL_TIMEOUT,
        };
        for task in self.tasks.iter_mut().filter(|task| task.last_received.elapsed() >= timeout) {
            let seconds = task.last_received.elapsed().as_secs();
            task.last_received = clock::start();
            let found = consumer.fetch_watermarks(&self.topic, task.partition, clients::REQUEST_TIMEOUT);
            if let Ok((_, end)) = found
                && end > task.joiner.next_offset()
            {
                return Err(Error::Kafka(kafka::Error::Stalled {
                    topic: self.topic.clone(),
                    partition: task.partition,
                    position: task.joiner.next_offset(),
                    end,
                    seconds,
                }));
            }
        }
        Ok(())
    }

    /// Closes partitions whose folder was deleted. RocksDB continues to work without the folder until it needs another
    /// file, and then fails.
    fn check_folders(&mut self, consumer: &BaseConsumer<JoinContext>) {
        for partition in self.tasks.without_folder() {
            tracing::error!(
                partition,
                "the state folder was removed; the state is rebuilt from the repartition topic"
            );
            self.tasks.close(partition);
            consumer.context().take_over_again();
        }
    }

    /// Reports the progress of replays.
    fn report(&mut self) {
        let is_time = self.reported.elapsed() >= REPORT_INTERVAL;
        for task in self.tasks.iter_mut() {
            let left = task.end - task.joiner.next_offset();
            self.metrics.replaying(task.partition, left);
            if left > 0 && is_time {
                tracing::info!(
                    partition = task.partition,
                    left,
                    suppressed = task.suppressed,
                    "replaying the log"
                );
                self.reported = clock::start();
            }
            if left <= 0 && task.end > 0 {
                tracing::info!(
                    partition = task.partition,
                    suppressed = task.suppressed,
                    "caught up with the log"
                );
                task.end = 0;
            }
        }
    }
}

/// Returns the error for a position that the repartition topic does not have, because retention removed it or the topic
/// was recreated.
fn lost(topic: &str, partition: i32, position: i64, low: i64, high: i64) -> kafka::Error {
    let (lost, way_out) = match position < low {
        true => (
            format!(
                "retention removed {} records of the repartition topic before they were joined",
                low - position
            ),
            "remove the partition's folder under state.dir to rebuild the state from the remaining records, and raise the topic's retention.ms",
        ),
        false => (
            "the repartition topic was deleted and created again, or lost its newest records".to_owned(),
            "start over with `alerttrail reset`, or use another application.id",
        ),
    };
    kafka::Error::LostOffsets {
        topic: topic.to_owned(),
        partition,
        position,
        low,
        high,
        lost,
        way_out,
    }
}
