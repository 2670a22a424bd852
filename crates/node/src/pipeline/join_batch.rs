//! Performs the effects of JOIN on one partition of the repartition topic. [`JoinTask`](crate::join::JoinTask) defines
//! their order.

use std::collections::VecDeque;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Message as _};
use tracing::field::Empty;

use super::Error;
use super::join_assignment::Context;
use super::join_output::Out;
use super::partition_tasks::PartitionTask;
use super::poll_keep_alive::PollKeepAlive;
use crate::clock;
use crate::join::{Effect, Limit, Outbox, Outcome};
use crate::kafka::digest::digest;
use crate::log::LogRecord;
use crate::store::{Base as _, Batch, Table, keys};
use crate::time::WallTime;

/// The log records of one partition that have been read but not yet applied.
#[derive(Default)]
pub(super) struct Inbox<'m> {
    pub(super) messages: VecDeque<BorrowedMessage<'m>>,
    pub(super) bytes: usize,
    pub(super) paused: bool,
}

/// Outcome of a batch: finished, or abandoned because of a shutdown or a rebalance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BatchOutcome {
    Finished,
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
    pub(super) consumer: &'p BaseConsumer<Context>,
}

impl Performer<'_, '_, '_> {
    /// Performs the effects of one batch, the first of which applies log records of `inbox`. Returns `Abandoned` if the
    /// partition must be closed or taken over again.
    pub(super) fn run_batch(&mut self, task: &mut PartitionTask, inbox: &mut Inbox<'_>) -> Result<BatchOutcome, Error> {
        let span = tracing::debug_span!("join.batch", partition = task.partition, records = Empty, outputs = Empty).entered();
        // A batch that fails takes its outputs with it.
        let mut outbox = Outbox::new(self.limit);
        let mut changes = Batch::default();
        loop {
            let outcome = match task.order.next() {
                Effect::Apply => {
                    let records = self.apply(task, inbox, &mut outbox, &mut changes)?;
                    span.record("records", records);
                    span.record("outputs", outbox.len());
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
                Effect::NotePosition => task.note_emitted()?,
                Effect::Write => self.write(task, std::mem::take(&mut changes))?,
                Effect::CommitPosition => self.offer_position(task),
                Effect::Fence | Effect::Open | Effect::FetchPosition | Effect::Close => return Ok(BatchOutcome::Abandoned),
            };
            task.order.done(outcome);
            if task.order.next() == Effect::Apply {
                return Ok(BatchOutcome::Finished);
            }
        }
    }

    /// Applies log records in order until the outbox is full or no record is left, and returns their number.
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

/// Commits the position in a transaction of its own, if that has not been done. With at-least-once delivery it does
/// nothing, because each batch offers the position to the group.
pub(super) fn commit_position(task: &mut PartitionTask, out: &Out, consumer: &BaseConsumer<Context>) -> Result<(), Error> {
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

/// Returns the log record in a message. Fails for a watermark update that was sent with other settings.
fn decode<'a>(message: &'a BorrowedMessage<'_>, settings: [u8; 32]) -> Result<LogRecord<'a>, Error> {
    let record = LogRecord::decode(message.payload().unwrap_or_default()).map_err(|cause| Error::Log {
        partition: message.partition(),
        offset: message.offset(),
        cause,
    })?;
    match &record {
        LogRecord::WatermarkUpdate(update) if update.settings != settings => Err(Error::OtherSettings {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
        }),
        _ => Ok(record),
    }
}
