//! One batch of one partition of the repartition topic.
//!
//! The order of effects: apply the records in memory, send the outputs, wait until all are acknowledged (or, exactly
//! once, commit them together with the position), write state and position in one step, and only then, at least once,
//! commit the position to the group. The state is never ahead of the output. It may be behind, on disk by up to a
//! minute. Then the same outputs are computed again: those before the committed or noted position are suppressed, and
//! those after it are sent, with the same bytes and ids.

use std::collections::VecDeque;

use rdkafka::consumer::BaseConsumer;
use rdkafka::message::{BorrowedMessage, Message as _};
use tracing::field::Empty;

use super::Error;
use super::join_assignment::Context;
use super::join_output::Out;
use super::partition_tasks::PartitionTask;
use super::poll_keep_alive::PollKeepAlive;
use crate::clock;
use crate::join::Outbox;
use crate::kafka::digest::digest;
use crate::log::LogRecord;
use crate::store::{Base as _, Table, Txn, keys};
use crate::time::WallTime;

/// The log records of one partition that have been read and not applied.
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

/// Applies log records of one partition in order until the outbox is full or no record is left, sends the outputs, and
/// writes the state.
pub(super) fn run_batch(
    task: &mut PartitionTask,
    inbox: &mut Inbox<'_>,
    outbox: &mut Outbox,
    out: &mut Out,
    settings: [u8; 32],
    keep_alive: &mut PollKeepAlive<'_, '_>,
    consumer: &BaseConsumer<Context>,
) -> Result<BatchOutcome, Error> {
    let span = tracing::debug_span!("join.batch", partition = task.partition, records = Empty, outputs = Empty).entered();
    let mut txn = Txn::new(&task.base);
    let mut last = None;
    let mut records = 0_u64;
    out.latency.begin(task.cause());
    while task.joiner.step(&mut txn, outbox)?
        && !outbox.is_full()
        && let Some(message) = inbox.pop()
    {
        let bytes = message.payload().unwrap_or_default();
        let record = LogRecord::decode(bytes).map_err(|cause| Error::Log {
            partition: message.partition(),
            offset: message.offset(),
            cause,
        })?;
        if let LogRecord::WatermarkUpdate(update) = &record
            && update.settings != settings
        {
            return Err(Error::OtherSettings {
                topic: message.topic().to_owned(),
                partition: message.partition(),
                offset: message.offset(),
            });
        }
        task.joiner.begin(message.offset(), record, &mut txn)?;
        task.begun = message.timestamp().to_millis().map(WallTime);
        if let Some(begun) = task.begun.filter(|_| message.offset() >= task.emitted.offset) {
            out.latency.applied(message.offset(), begun, clock::now());
        }
        last = Some(message);
        records += 1;
    }
    if let Some(last) = last {
        let digest = digest(&last);
        txn.put(Table::Meta, keys::LAST.to_vec(), digest.to_vec());
        task.last = Some((last.offset(), digest));
    }
    task.joiner.save(&mut txn)?;
    let changes = txn.into_batch();
    let sets_timers = changes.touches(Table::Timers);
    let has_outputs = !outbox.is_empty();
    span.record("records", records);
    span.record("outputs", outbox.len());
    if !tracing::debug_span!("join.deliver").in_scope(|| out.deliver(outbox, task, keep_alive))? {
        // At least once, the partition's next owner sends the same outputs with the same ids. Exactly once, they are
        // never committed.
        return Ok(BatchOutcome::Abandoned);
    }
    if task.transactions.as_ref().is_some_and(|transactions| transactions.is_open()) {
        tracing::debug_span!("join.commit").in_scope(|| out.commit(task, consumer))?;
    }
    out.latency.acknowledged(clock::now());
    if has_outputs && task.joiner.position() > task.emitted {
        task.note_emitted()?;
    }
    tracing::debug_span!("join.write").in_scope(|| task.base.write(changes))?;
    if sets_timers {
        task.next_close = task.joiner.next_close(&task.base)?;
    }
    Ok(BatchOutcome::Finished)
}
