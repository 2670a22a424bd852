//! Performs the effects of JOIN on one partition of the repartition topic: applies repartition records, sends the
//! outputs, and writes the state. [`JoinTask`](crate::join::JoinTask) defines their order.

use std::collections::VecDeque;
use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Message as _};
use tracing::field::Empty;

use super::Error;
use super::join_assignment::{self, JoinContext};
use super::partition_tasks::PartitionTask;
use super::poll_keep_alive::PollKeepAlive;
use crate::clock;
use crate::config::{Config, Unmatched};
use crate::emit::{self, Emitted, Emitter, Headers, Kind, Links};
use crate::join::{Effect, Limit, Outbox, Outcome, Output, Position};
use crate::kafka::clients;
use crate::kafka::delivery::{Outgoing, PendingAcks, SendOutcome, Sender};
use crate::kafka::digest::digest;
use crate::kafka::transactions::Transactions;
use crate::metrics::{JoinLatency, Metrics};
use crate::repartition::RepartitionRecord;
use crate::sink::dead_letter::{Address, DeadLetter};
use crate::store::{Backend as _, Batch, Noted, Table, keys};
use crate::time::WallTime;

/// The repartition records of one partition that have been read but not yet applied.
#[derive(Default)]
pub(super) struct Inbox<'m> {
    pub(super) messages: VecDeque<BorrowedMessage<'m>>,
    pub(super) bytes: usize,
    pub(super) paused: bool,
}

/// Outcome of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BatchOutcome {
    /// All available records were applied, or as many as one batch applies.
    Finished,
    /// Finished, with as many outputs as the limit allows.
    ReachedLimit,
    /// Abandoned because of a shutdown or a rebalance.
    Abandoned,
}

impl<'m> Inbox<'m> {
    pub(super) fn push(&mut self, message: BorrowedMessage<'m>) {
        self.bytes += message.payload_len();
        self.messages.push_back(message);
    }

    fn pop(&mut self) -> Option<BorrowedMessage<'m>> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.payload_len();
        Some(message)
    }
}

/// Everything that is needed to perform the effects of a partition.
pub(super) struct Performer<'p, 'c, 's> {
    pub(super) out: &'p mut Out,
    /// How many outputs a batch may have.
    pub(super) limit: Limit,
    /// The digest of the settings that every watermark update must have.
    pub(super) settings: [u8; 32],
    pub(super) keep_alive: &'p mut PollKeepAlive<'c, 's>,
    pub(super) consumer: &'p BaseConsumer<JoinContext>,
}

impl Performer<'_, '_, '_> {
    /// Performs the effects of one batch, the first of which applies repartition records of `inbox`. Returns
    /// `Abandoned` if the partition must be closed or taken over again.
    pub(super) fn run_batch(&mut self, task: &mut PartitionTask, inbox: &mut Inbox<'_>) -> Result<BatchOutcome, Error> {
        let span = tracing::debug_span!("join.batch", partition = task.partition, records = Empty, outputs = Empty).entered();
        // A batch that fails takes its outputs with it.
        let mut outbox = Outbox::new(self.limit);
        let mut changes = Batch::default();
        let mut finished = BatchOutcome::Finished;
        loop {
            let outcome = match task.order.next() {
                Effect::Apply => {
                    let records = self.apply(task, inbox, &mut outbox, &mut changes)?;
                    span.record("records", records);
                    span.record("outputs", outbox.len());
                    if outbox.is_full() {
                        finished = BatchOutcome::ReachedLimit;
                    }
                    Outcome::Applied {
                        position: task.joiner.position(),
                        has_outputs: !outbox.is_empty(),
                    }
                }
                Effect::Send => {
                    tracing::debug_span!("join.deliver").in_scope(|| self.out.deliver(&mut outbox, task, self.keep_alive))?
                }
                Effect::AddOffsets => self.out.add_offsets(task, self.consumer)?,
                Effect::CommitTransaction => tracing::debug_span!("join.commit").in_scope(|| Out::commit(task))?,
                Effect::NotePosition => note_position(task)?,
                Effect::Write => self.write(task, std::mem::take(&mut changes))?,
                Effect::CommitPosition => self.offer_position(task),
                Effect::Fence | Effect::Open | Effect::FetchPosition | Effect::Close => return Ok(BatchOutcome::Abandoned),
            };
            task.order.done(outcome);
            if task.order.next() == Effect::Apply {
                return Ok(finished);
            }
        }
    }

    /// Applies repartition records in order until the outbox is full or no record is left, and returns their number.
    fn apply(
        &mut self,
        task: &mut PartitionTask,
        inbox: &mut Inbox<'_>,
        outbox: &mut Outbox,
        changes: &mut Batch,
    ) -> Result<u64, Error> {
        let mut last = None;
        let mut records = 0;
        self.out.latency.begin(task.cause());
        let mut batch = task.joiner.begin_batch(&task.base, outbox)?;
        while batch.wants_more()
            && let Some(message) = inbox.pop()
        {
            let record = decode(&message, self.settings)?;
            batch.apply(message.offset(), record)?;
            task.begun = message.timestamp().to_millis().map(WallTime);
            if let Some(begun) = task.begun.filter(|_| message.offset() >= task.order.emitted().offset) {
                self.out.latency.applied(message.offset(), begun, clock::now());
            }
            last = Some(message);
            records += 1;
        }
        if let Some(last) = last {
            let digest = digest(&last);
            batch.put_meta(keys::LAST, digest.to_vec());
            task.last = Some((last.offset(), digest));
        }
        *changes = batch.finish()?;
        Ok(records)
    }

    /// Writes the state. All outputs of the batch are acknowledged.
    fn write(&mut self, task: &mut PartitionTask, changes: Batch) -> Result<Outcome, Error> {
        self.out.latency.acknowledged(clock::now());
        let sets_timers = changes.touches(Table::Timers);
        tracing::debug_span!("join.write").in_scope(|| task.base.write(changes))?;
        if sets_timers {
            task.next_close = task.joiner.next_close(&task.base)?;
        }
        Ok(Outcome::Done)
    }

    /// Hands the position to the group, which commits it every few seconds and when the partition is revoked.
    fn offer_position(&self, task: &PartitionTask) -> Outcome {
        let context = self.consumer.context();
        // After a rebalance the partition may have another owner, whose commits are ahead.
        if !context.is_changed() {
            context.emitted(task.partition, task.joiner.position());
        }
        Outcome::Done
    }
}

/// Notes that the output has been sent up to the position of the joiner.
fn note_position(task: &mut PartitionTask) -> Result<Outcome, Error> {
    let position = task.joiner.position();
    if let (Some((emitted, noted)), Some((last, digest))) = (&mut task.note, task.last) {
        let now = Noted {
            offset: position.offset,
            outputs: position.outputs,
            last,
            digest,
        };
        emitted.note(&now)?;
        *noted = Some(now);
    }
    Ok(Outcome::Done)
}

/// Commits the position in a transaction of its own, if that has not been done. With at-least-once delivery it does
/// nothing, because each batch offers the position to the group.
pub(super) fn commit_position(task: &mut PartitionTask, out: &Out, consumer: &BaseConsumer<JoinContext>) -> Result<(), Error> {
    task.order.request_commit();
    loop {
        let outcome = match task.order.next() {
            Effect::AddOffsets => out.add_offsets(task, consumer)?,
            Effect::CommitTransaction => Out::commit(task)?,
            _ => return Ok(()),
        };
        task.order.done(outcome);
    }
}

/// Returns the repartition record in a message. Fails for a watermark update that was sent with other settings.
fn decode<'a>(message: &'a BorrowedMessage<'_>, settings: [u8; 32]) -> Result<RepartitionRecord<'a>, Error> {
    let record = RepartitionRecord::decode(message.payload().unwrap_or_default()).map_err(|cause| Error::Log {
        partition: message.partition(),
        offset: message.offset(),
        cause,
    })?;
    match &record {
        RepartitionRecord::WatermarkUpdate(update) if update.settings != settings => Err(Error::OtherSettings {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
        }),
        _ => Ok(record),
    }
}

/// The destinations of outputs.
pub(super) struct Out {
    /// Sends dead letters and, at least once, rows and summaries. Exactly once, every partition has its own
    /// transactions.
    sender: Sender,
    emitter: Emitter,
    topics: Topics,
    message_max_bytes: usize,
    value: Vec<u8>,
    latency: JoinLatency,
    metrics: Arc<Metrics>,
}

struct Topics {
    rows: String,
    summaries: Option<String>,
    dead_letters: String,
    log: String,
}

impl Out {
    /// Creates the senders. `partitions` is the number of partitions of the output topic, if it is known.
    pub(super) fn new(config: &Config, partitions: Option<u32>, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let message_max_bytes = clients::message_max_bytes(config);
        Ok(Self {
            sender: Sender::to_partitions(config, "join", "1", partitions)?,
            emitter: Emitter {
                format: config.output.format,
                links: Links::new(&config.decode),
                summaries: config.output.summary_topic.is_some(),
                unmatched: config.output.unmatched == Unmatched::Emit,
                limit: Some(message_max_bytes),
            },
            topics: Topics {
                rows: config.output.topic.clone(),
                summaries: config.output.summary_topic.clone(),
                dead_letters: config.output.dead_letter_topic.clone(),
                log: config.repartition.topic.clone(),
            },
            message_max_bytes,
            value: Vec::new(),
            latency: metrics.join_latency(),
            metrics,
        })
    }

    /// Sends refused messages again when they are due. Fails when the sender can no longer deliver.
    pub(super) fn check(&self) -> Result<(), Error> {
        Ok(self.sender.check()?)
    }

    /// Sends every output that has not been sent before, and waits for the acknowledgements. In exactly-once mode the
    /// outputs become visible only with [`Out::commit`]. Abandons them after a rebalance or the shutdown deadline.
    fn deliver(
        &mut self,
        outbox: &mut Outbox,
        task: &mut PartitionTask,
        keep_alive: &mut PollKeepAlive<'_, '_>,
    ) -> Result<Outcome, Error> {
        let PartitionTask {
            partition,
            order,
            suppressed,
            transactions,
            ..
        } = task;
        let acks = Arc::new(PendingAcks::default());
        let letters = Arc::new(PendingAcks::default());
        let mut any = false;
        for (at, output) in outbox.drain() {
            if order.suppresses(at) {
                *suppressed += 1;
                continue;
            }
            let headers = match self.emitter.emit(&output, at.offset, &mut self.value) {
                Emitted::Omitted => continue,
                Emitted::TooLarge(headers) => {
                    any = true;
                    if !self.too_large(&headers, *partition, at, &letters, keep_alive)? {
                        return Ok(Outcome::Abandoned);
                    }
                    continue;
                }
                Emitted::Record(headers) => headers,
            };
            any = true;
            let sender = match &*transactions {
                Some(transactions) => transactions.begin()?,
                None => &self.sender,
            };
            let message = Outgoing {
                topic: match (headers.kind, &self.topics.summaries) {
                    (Kind::Alert, Some(summaries)) => summaries,
                    _ => &self.topics.rows,
                },
                partition: None,
                key: Some(emit::key(&output)),
                value: &self.value,
                headers: &headers.pairs(),
            };
            match send(sender, &message, &acks, keep_alive)? {
                SendOutcome::Sent => {
                    self.metrics.emitted(&headers);
                    if let Output::Row(row) = &output {
                        self.latency.sent(row.reason, at.offset);
                    }
                }
                SendOutcome::TooLarge => {
                    if !self.too_large(&headers, *partition, at, &letters, keep_alive)? {
                        return Ok(Outcome::Abandoned);
                    }
                }
                SendOutcome::Full => return Ok(Outcome::Abandoned),
            }
        }
        let rows = transactions.as_ref().map_or(&self.sender, Transactions::sender);
        while !(rows.is_delivered(&acks)? && self.sender.is_delivered(&letters)?) {
            if !keep_alive.keep_waiting() {
                return Ok(Outcome::Abandoned);
            }
            rows.pause();
        }
        Ok(Outcome::Sent { any })
    }

    /// Adds the position to the transaction, as a member of the group that `consumer` belongs to.
    fn add_offsets(&self, task: &PartitionTask, consumer: &BaseConsumer<JoinContext>) -> Result<Outcome, Error> {
        if let Some(transactions) = &task.transactions {
            let list = join_assignment::record_of(&self.topics.log, [(task.partition, task.joiner.position())]);
            transactions.add_offsets(&list, consumer.group_metadata().as_ref())?;
        }
        Ok(Outcome::Done)
    }

    /// Commits the transaction: outputs and position become visible.
    fn commit(task: &PartitionTask) -> Result<Outcome, Error> {
        if let Some(transactions) = &task.transactions {
            transactions.commit()?;
        }
        Ok(Outcome::Done)
    }

    /// Sends the record in the buffer to the dead-letter topic. One repartition record may cause many outputs; the
    /// index tells them apart.
    fn too_large(
        &self,
        headers: &Headers,
        partition: i32,
        at: Position,
        acks: &Arc<PendingAcks>,
        keep_alive: &mut PollKeepAlive<'_, '_>,
    ) -> Result<bool, Error> {
        let letter = DeadLetter {
            reason: "too_large",
            error: format!(
                "the output record {} has {} bytes even with a truncated alert, more than message.max.bytes allows",
                headers.id,
                self.value.len()
            ),
            address: Address {
                topic: &self.topics.log,
                partition,
                offset: at.offset,
                index: usize::try_from(at.outputs).unwrap_or(usize::MAX),
            },
            value: self.value.as_slice().into(),
            truncated: None,
            redriven: None,
        };
        let letter = letter.cut_to(self.message_max_bytes);
        self.metrics.dead_letter(letter.reason);
        let message = Outgoing {
            topic: &self.topics.dead_letters,
            partition: None,
            key: None,
            value: &letter.value,
            headers: &letter.headers(),
        };
        Ok(send(&self.sender, &message, acks, keep_alive)?.is_done(message.topic)?)
    }
}

/// Sends a message. If the queue is full, waits for room. Returns `Full` if the batch must be abandoned before there is
/// room.
fn send(
    sender: &Sender,
    message: &Outgoing<'_>,
    acks: &Arc<PendingAcks>,
    keep_alive: &mut PollKeepAlive<'_, '_>,
) -> Result<SendOutcome, Error> {
    loop {
        match sender.send(message, acks)? {
            SendOutcome::Full if keep_alive.keep_waiting() => sender.pause(),
            outcome => return Ok(outcome),
        }
    }
}
