//! Sends JOIN's outputs to the output topics.

use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::Error;
use super::join_assignment::{self, Context};
use super::partition_tasks::PartitionTask;
use super::poll_keep_alive::PollKeepAlive;
use crate::config::{Config, Unmatched};
use crate::emit::{self, Emitted, Emitter, Headers, Kind, Links};
use crate::join::{Outbox, Outcome, Output, Position};
use crate::kafka::clients;
use crate::kafka::delivery::{Outgoing, PendingAcks, SendOutcome, Sender};
use crate::kafka::transactions::Transactions;
use crate::metrics::{JoinLatency, Metrics};
use crate::sink::dead_letter::{Address, DeadLetter};

/// The destinations of outputs.
pub(super) struct Out {
    /// Sends dead letters and, at least once, rows and summaries. Exactly once, every partition has its own
    /// transactions.
    sender: Sender,
    emitter: Emitter,
    topics: Topics,
    message_max_bytes: usize,
    value: Vec<u8>,
    pub(super) latency: JoinLatency,
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
                links: Links::of(&config.decode),
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
    pub(super) fn deliver(
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
    pub(super) fn add_offsets(&self, task: &PartitionTask, consumer: &BaseConsumer<Context>) -> Result<Outcome, Error> {
        if let Some(transactions) = &task.transactions {
            let list = join_assignment::record_of(&self.topics.log, [(task.partition, task.joiner.position())]);
            transactions.add_offsets(&list, consumer.group_metadata().as_ref())?;
        }
        Ok(Outcome::Done)
    }

    /// Commits the transaction: outputs and position become visible.
    pub(super) fn commit(task: &PartitionTask) -> Result<Outcome, Error> {
        if let Some(transactions) = &task.transactions {
            transactions.commit()?;
        }
        Ok(Outcome::Done)
    }

    /// Sends the record in the buffer to the dead-letter topic. One log record may cause many outputs; the index tells
    /// them apart.
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
