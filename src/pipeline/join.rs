//! JOIN over Kafka: repartition topic in, joined rows, summaries and dead letters out. What is done with them, in which order, is a slice's (`join_slice`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::attendance::Attendance;
use super::join_assignment::Context;
use super::join_output::Out;
use super::join_slice::{Carried, Inbox, slice};
use super::next_close::NextClose;
use super::owners::Owners;
use super::pace::Pace;
use super::{Error, Instance};
use crate::clock;
use crate::config::Config;
use crate::join::{Limit, Outbox};
use crate::kafka::clients::{self, Logged};
use crate::kafka::{self, topics};
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// Log records that wait to be applied, at the most.
const INBOX: usize = 2_000;
/// Bytes of log records that wait to be applied, at the most.
const INBOX_BYTES: usize = 16 << 20;
/// Of these a partition may take one in so many before its reading is halted: a long emission must not hold up the others.
const SHARES: usize = 4;
/// How long the consumer is waited for when nothing comes.
const POLL: Duration = Duration::from_millis(50);
/// How long the rest of a delivery is waited for when partitions came or went meanwhile: what is acknowledged need not be sent again.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often positions are recorded at the most.
const RECORD_INTERVAL: Duration = Duration::from_secs(3);
/// After this long without a record it is looked whether there is none: marks come every second.
const SILENCE: Duration = Duration::from_secs(60);
/// How often a long replay says how far it is.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// The stage, ready to run.
pub(super) struct Join<'c> {
    config: &'c Config,
    consumer: BaseConsumer<Context>,
    work: Work<'c>,
}

/// Everything but the consumer, which the messages in hand are borrowed from.
struct Work<'d> {
    owners: Owners<'d>,
    out: Out,
    outbox: Outbox,
    topic: String,
    settings: [u8; 32],
    pace: &'d Pace,
    next_close: &'d NextClose,
    recorded: Instant,
    reported: Instant,
    shutdown: Shutdown,
    metrics: Arc<Metrics>,
}

impl<'c> Join<'c> {
    pub(super) fn new(
        config: &'c Config,
        instance: &'c Instance<'c>,
        shutdown: Shutdown,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        let id = Some(instance.dir.instance_id());
        let consumer: BaseConsumer<Context> = clients::consumer(config, "join", id, Context::new(config))?;
        let topic = config.repartition.topic.clone();
        consumer
            .subscribe(&[&topic])
            .map_err(|cause| consumer.context().read_error(cause))?;
        Ok(Self {
            config,
            consumer,
            work: Work {
                owners: Owners::new(config, &instance.dir).exposing(&instance.exposed),
                out: Out::new(config, Arc::clone(&metrics))?,
                outbox: Outbox::new(Limit::default()),
                topic,
                settings: instance.settings,
                pace: &instance.pace,
                next_close: &instance.next_close,
                recorded: clock::start(),
                reported: clock::start(),
                shutdown,
                metrics,
            },
        })
    }

    /// Joins until asked to stop. What is in flight then is finished: a slice is never left half done.
    pub(super) fn run(self) -> Result<(), Error> {
        let Self {
            config,
            consumer,
            mut work,
        } = self;
        let mut inboxes: BTreeMap<i32, Inbox<'_>> = BTreeMap::new();
        while !work.shutdown.is_requested() {
            if consumer.context().is_changed() {
                inboxes.clear();
                work.take_over(config, &consumer)?;
            }
            work.read(&consumer, &mut inboxes)?;
            if !consumer.context().is_changed() {
                work.apply(&consumer, &mut inboxes)?;
            }
            work.out.check()?;
            if work.recorded.elapsed() >= RECORD_INTERVAL && !consumer.context().is_changed() {
                work.record(&consumer, CommitMode::Async)?;
                consumer.context().membership.check()?;
                work.look_for_stalls(&consumer)?;
                work.look_for_folders(&consumer);
                work.owners.flush()?;
            }
            work.report();
        }
        if !consumer.context().is_changed() && !work.shutdown.is_overdue() {
            work.record(&consumer, CommitMode::Sync)?;
        }
        Ok(())
    }
}

impl Work<'_> {
    /// Opens what is ours now, closes what is not, and begins to read where the states stand.
    fn take_over(&mut self, config: &Config, consumer: &BaseConsumer<Context>) -> Result<(), Error> {
        let context = consumer.context();
        let partitions = context.take()?;
        let _span = tracing::debug_span!("join.take_over", partitions = partitions.len()).entered();
        self.owners.keep(&partitions);
        self.metrics.assigned(&partitions);
        let topic = self.topic.clone();
        let shutdown = self.shutdown.clone();
        let mut attendance = Attendance::new(consumer, &shutdown, &topic, Duration::ZERO);
        for partition in &partitions {
            self.owners.open(*partition, config)?;
            if !attendance.goes_on() {
                return attendance.problem.map_or(Ok(()), Err);
            }
        }
        if partitions.is_empty() {
            return Ok(());
        }
        let read = |cause| context.read_error(cause);
        let recorded = context.recorded(consumer, &partitions)?;
        let questions: BaseConsumer<Logged> = clients::consumer(config, "settings", None, Logged)?;
        let mut starts = TopicPartitionList::new();
        for owner in self.owners.iter_mut() {
            let partition = owner.partition;
            let (low, high) = consumer
                .fetch_watermarks(&self.topic, partition, topics::TIMEOUT)
                .map_err(read)?;
            let record = recorded.get(&partition).copied().unwrap_or_default();
            let begin = match owner.joiner.next_offset() {
                0 => low,
                position => position,
            };
            let emitted = record.max(owner.noted());
            if begin < low
                || begin.max(emitted.offset) > high
                || !owner.knows_its_log(&self.topic, low, &questions).map_err(read)?
            {
                return Err(lost(&self.topic, partition, begin.max(emitted.offset), low, high).into());
            }
            owner.emitted = emitted;
            owner.recorded = record;
            owner.silent = 0;
            owner.end = high;
            self.metrics.replaying(partition, high - begin);
            owner.heard = clock::start();
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
        // What was halted before the change is not halted any more.
        Ok(consumer.resume(&starts).map_err(read)?)
    }

    /// Takes in log records, as many as there is room for.
    fn read<'m>(&self, consumer: &'m BaseConsumer<Context>, inboxes: &mut BTreeMap<i32, Inbox<'m>>) -> Result<(), Error> {
        let (mut count, mut bytes) = inboxes.values().fold((0, 0), |(count, bytes), inbox| {
            (count + inbox.messages.len(), bytes + inbox.bytes)
        });
        let mut wait = match count {
            0 => POLL,
            _ => Duration::ZERO,
        };
        // At least once, even without room: the group wants to hear from its members.
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
            if count >= INBOX || bytes >= INBOX_BYTES || consumer.context().is_changed() {
                return Ok(());
            }
            wait = Duration::ZERO;
        }
    }

    /// One slice of every partition that has anything to do.
    fn apply<'m>(&mut self, consumer: &'m BaseConsumer<Context>, inboxes: &mut BTreeMap<i32, Inbox<'m>>) -> Result<(), Error> {
        for owner in self.owners.iter_mut().filter(|owner| owner.joiner.has_work()) {
            inboxes.entry(owner.partition).or_default();
        }
        let partitions: Vec<i32> = inboxes.keys().copied().collect();
        let (topic, shutdown) = (self.topic.clone(), self.shutdown.clone());
        for partition in partitions {
            let Some(mut inbox) = inboxes.remove(&partition) else {
                continue;
            };
            let Some(owner) = self.owners.get(partition) else { continue };
            if !inbox.messages.is_empty() || owner.joiner.has_work() {
                owner.heard = clock::start();
            }
            let patience = match owner.transactions {
                // Behind a change nothing may be committed that was begun before.
                Some(_) => Duration::ZERO,
                None => PATIENCE,
            };
            let mut attendance = Attendance::new(consumer, &shutdown, &topic, patience);
            if owner.transactions.is_some() {
                self.outbox.limit_to(self.pace.begin());
            }
            let began = clock::start();
            let sliced = slice(
                owner,
                &mut inbox,
                &mut self.outbox,
                &mut self.out,
                self.settings,
                &mut attendance,
                consumer,
            );
            let carried = match sliced {
                Err(Error::Store(error)) if error.is_corruption() => {
                    tracing::error!(partition, "{error}; the state is rebuilt from the log");
                    self.owners.set_aside(partition)?;
                    consumer.context().begin_anew();
                    return Ok(());
                }
                sliced => sliced?,
            };
            if carried == Carried::Off {
                // In memory the state machine is ahead of its state.
                self.owners.close(partition);
                return attendance.problem.map_or(Ok(()), Err);
            }
            if owner.transactions.is_some() {
                self.pace.done(began.elapsed());
            }
            self.metrics.joined(partition, &mut owner.joiner);
            // A replay goes over what is on record already: the record never goes back.
            if owner.joiner.position() > owner.recorded && !consumer.context().is_changed() {
                consumer.context().emitted(partition, owner.joiner.position());
            }
            let has_more = !inbox.messages.is_empty() || owner.joiner.has_work();
            let is_much = inbox.messages.len() >= INBOX / SHARES || inbox.bytes >= INBOX_BYTES / SHARES;
            if inbox.halted != (has_more && (inbox.halted || is_much)) {
                inbox.halted = !inbox.halted;
                self.halt(consumer, partition, inbox.halted)?;
            }
            if has_more {
                inboxes.insert(partition, inbox);
            }
            for message in attendance.brought {
                inboxes.entry(message.partition()).or_default().push(message);
            }
        }
        let waiting = self.owners.iter_mut().filter_map(|owner| owner.next_close);
        self.next_close.set(waiting.min());
        Ok(())
    }

    fn halt(&self, consumer: &BaseConsumer<Context>, partition: i32, halt: bool) -> Result<(), Error> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        let halted = match halt {
            true => consumer.pause(&list),
            false => consumer.resume(&list),
        };
        Ok(halted.map_err(|cause| consumer.context().read_error(cause))?)
    }

    /// Puts on the group's record how far the output has gone out, where it has moved, and on the metrics how large the states are.
    fn record(&mut self, consumer: &BaseConsumer<Context>, mode: CommitMode) -> Result<(), Error> {
        self.recorded = clock::start();
        consumer.context().record(consumer, mode);
        for owner in self.owners.iter_mut() {
            self.metrics.holds(owner.partition, &owner.base);
            if owner.joiner.position() > owner.recorded {
                self.out.commit(owner, consumer)?;
            }
        }
        Ok(())
    }

    /// A consumer that brings nothing although there is something has been seen to sit there for ever.
    fn look_for_stalls(&mut self, consumer: &BaseConsumer<Context>) -> Result<(), Error> {
        for owner in self.owners.iter_mut().filter(|owner| owner.heard.elapsed() >= SILENCE) {
            let seconds = owner.heard.elapsed().as_secs();
            owner.heard = clock::start();
            let found = consumer.fetch_watermarks(&self.topic, owner.partition, topics::TIMEOUT);
            if let Ok((_, end)) = found
                && end > owner.joiner.next_offset()
            {
                return Err(Error::Kafka(kafka::Error::Stalled {
                    topic: self.topic.clone(),
                    partition: owner.partition,
                    position: owner.joiner.next_offset(),
                    end,
                    seconds,
                }));
            }
        }
        Ok(())
    }

    /// RocksDB goes on with a folder that was deleted under it until it needs another file, and then fails.
    fn look_for_folders(&mut self, consumer: &BaseConsumer<Context>) {
        for partition in self.owners.without_folder() {
            tracing::error!(
                partition,
                "the folder of the state was removed; the state is rebuilt from the log"
            );
            self.owners.close(partition);
            consumer.context().begin_anew();
        }
    }

    /// Says how far long replays are.
    fn report(&mut self) {
        let is_time = self.reported.elapsed() >= REPORT_INTERVAL;
        for owner in self.owners.iter_mut() {
            let left = owner.end - owner.joiner.next_offset();
            self.metrics.replaying(owner.partition, left);
            if left > 0 && is_time {
                tracing::info!(partition = owner.partition, left, silent = owner.silent, "replaying the log");
                self.reported = clock::start();
            }
            if left <= 0 && owner.end > 0 {
                tracing::info!(partition = owner.partition, silent = owner.silent, "caught up with the log");
                owner.end = 0;
            }
        }
    }
}

/// The log does not hold any more, or not yet again, what is to be read next.
fn lost(topic: &str, partition: i32, position: i64, low: i64, high: i64) -> kafka::Error {
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
            "begin with the new log by `alerttrail reset`, or use another application.id",
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
