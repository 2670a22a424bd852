//! JOIN over Kafka: repartition topic in, joined rows, summaries and dead letters out.
//!
//! The order of effects, for each batch of one partition: apply in memory, send, wait until all of it is acknowledged, write state and
//! position in one step, and only then commit the position to the group (which is for lag tools: on assignment the store's own position
//! counts). The store is never ahead of what was sent; after a crash between the two the same rows go out again under the same ids.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::Error;
use super::join_assignment::{Context, Owner, Owners};
use crate::clock;
use crate::config::{Config, Unmatched};
use crate::emit::{self, Emitted, Emitter, Headers, Kind};
use crate::join::{Limit, Outbox, Position};
use crate::kafka::clients;
use crate::kafka::delivery::{Flight, Outgoing, Sender, Sending};
use crate::log::LogRecord;
use crate::metrics::Metrics;
use crate::shutdown::Shutdown;
use crate::sink::dead_letter::{Address, DeadLetter};
use crate::store::{Base, Txn};

/// Log records taken in before they are worked on together.
const BATCH: usize = 2_000;
/// Bytes of log records taken in before they are worked on together.
const BATCH_BYTES: usize = 16 << 20;
/// How long the consumer is waited for when nothing comes.
const POLL: Duration = Duration::from_millis(50);
/// How often positions are committed at the most. Nothing depends on them but lag tools.
const COMMIT_INTERVAL: Duration = Duration::from_secs(3);

/// The stage, ready to run.
pub(super) struct Join {
    consumer: BaseConsumer<Context>,
    owners: Arc<Mutex<Owners>>,
    out: Out,
    outbox: Outbox,
    topic: String,
    settings: [u8; 32],
    committed: Instant,
    positions: BTreeMap<i32, i64>,
    shutdown: Shutdown,
    metrics: Arc<Metrics>,
}

/// Where outputs go.
struct Out {
    sender: Sender,
    emitter: Emitter,
    rows: String,
    summaries: Option<String>,
    dead_letters: String,
    log: String,
    message_max_bytes: usize,
    value: Vec<u8>,
    shutdown: Shutdown,
    metrics: Arc<Metrics>,
}

/// Whether everything was acknowledged, or the time to stop had come before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Delivered {
    All,
    Interrupted,
}

impl Join {
    pub(super) fn new(config: &Config, settings: [u8; 32], shutdown: Shutdown, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let owners = Arc::new(Mutex::new(Owners::new(config)));
        let context = Context::new(config, Arc::clone(&owners));
        let consumer: BaseConsumer<Context> = clients::consumer(config, "join", context)?;
        let topic = config.repartition.topic.clone();
        consumer.subscribe(&[&topic]).map_err(|cause| crate::kafka::Error::Read {
            topics: topic.clone(),
            cause,
        })?;
        let message_max_bytes = clients::message_max_bytes(config);
        Ok(Self {
            consumer,
            owners,
            out: Out {
                sender: Sender::new(config, "join", "1")?,
                emitter: Emitter {
                    widening: config.decode.widening,
                    summaries: config.output.summary_topic.is_some(),
                    unmatched: config.output.unmatched == Unmatched::Emit,
                    limit: Some(message_max_bytes),
                },
                rows: config.output.topic.clone(),
                summaries: config.output.summary_topic.clone(),
                dead_letters: config.output.dead_letter_topic.clone(),
                log: topic.clone(),
                message_max_bytes,
                value: Vec::new(),
                shutdown: shutdown.clone(),
                metrics: Arc::clone(&metrics),
            },
            outbox: Outbox::new(Limit::default()),
            topic,
            settings,
            committed: clock::start(),
            positions: BTreeMap::new(),
            shutdown,
            metrics,
        })
    }

    /// Joins until asked to stop. What is in flight then is finished: a batch is never left half done.
    pub(super) fn run(mut self) -> Result<(), Error> {
        while !self.shutdown.is_requested() {
            if self.turn()? == Delivered::Interrupted {
                break;
            }
        }
        self.commit(CommitMode::Sync);
        Ok(())
    }

    fn turn(&mut self) -> Result<Delivered, Error> {
        let mut batches: BTreeMap<i32, Vec<BorrowedMessage<'_>>> = BTreeMap::new();
        let mut wait = POLL;
        let mut bytes = 0;
        for _ in 0..BATCH {
            if bytes >= BATCH_BYTES {
                break;
            }
            let polled = self.consumer.poll(wait);
            let changed = self.consumer.context().is_changed();
            if changed {
                // What was taken in before the change is read again, from where the stores stand; what this poll returned came after it.
                batches.clear();
            }
            match polled {
                None => break,
                Some(Ok(message)) => {
                    bytes += message.payload_len();
                    batches.entry(message.partition()).or_default().push(message);
                }
                Some(Err(error)) => super::read_problem(error, &self.topic)?,
            }
            if changed {
                break;
            }
            wait = Duration::ZERO;
        }
        let assignment = self.consumer.context().take_assignment()?;
        if assignment.changed {
            self.positions.clear();
            self.metrics.assigned(assignment.partitions);
            if finish_work(&self.owners, &mut self.outbox, &mut self.out, self.settings)? == Delivered::Interrupted {
                return Ok(Delivered::Interrupted);
            }
        }
        let owners = Arc::clone(&self.owners);
        let mut owners = owners.lock().unwrap_or_else(PoisonError::into_inner);
        for (partition, messages) in &batches {
            let Some(owner) = owners.get(*partition) else { continue };
            let delivered = batch(owner, messages, &mut self.outbox, &mut self.out, self.settings)?;
            self.metrics.joined(*partition, &mut owner.joiner, &owner.base);
            if delivered == Delivered::Interrupted {
                return Ok(delivered);
            }
            self.positions.insert(*partition, owner.joiner.position().offset);
        }
        drop(owners);
        drop(batches);
        if self.committed.elapsed() >= COMMIT_INTERVAL {
            self.commit(CommitMode::Async);
        }
        Ok(Delivered::All)
    }

    fn commit(&mut self, mode: CommitMode) {
        self.committed = clock::start();
        let mut list = TopicPartitionList::new();
        for (partition, position) in std::mem::take(&mut self.positions) {
            // Only a list with an offset that is none fails.
            drop(list.add_partition_offset(&self.topic, partition, Offset::Offset(position)));
        }
        if list.count() > 0
            && let Err(error) = self.consumer.commit(&list, mode)
        {
            tracing::debug!(%error, "cannot commit repartition offsets now; only lag tools read them");
        }
    }
}

/// Works off what the stores had left to do when they were closed.
fn finish_work(owners: &Mutex<Owners>, outbox: &mut Outbox, out: &mut Out, settings: [u8; 32]) -> Result<Delivered, Error> {
    let mut owners = owners.lock().unwrap_or_else(PoisonError::into_inner);
    for owner in owners.iter_mut() {
        if batch(owner, &[], outbox, out, settings)? == Delivered::Interrupted {
            return Ok(Delivered::Interrupted);
        }
    }
    Ok(Delivered::All)
}

/// Applies messages of one partition, one after another, and writes state behind every full outbox and at the end.
fn batch(
    owner: &mut Owner,
    messages: &[BorrowedMessage<'_>],
    outbox: &mut Outbox,
    out: &mut Out,
    settings: [u8; 32],
) -> Result<Delivered, Error> {
    let mut messages = messages.iter();
    let mut more = true;
    while more {
        let Owner { joiner, base, .. } = owner;
        let mut txn = Txn::new(base);
        loop {
            if !joiner.step(&mut txn, outbox)? || outbox.is_full() {
                break;
            }
            let Some(message) = messages.next() else {
                more = false;
                break;
            };
            let bytes = message.payload().unwrap_or_default();
            let record = LogRecord::decode(bytes).map_err(|cause| Error::Log {
                partition: message.partition(),
                offset: message.offset(),
                cause,
            })?;
            if let LogRecord::Marks(marks) = &record
                && marks.settings != settings
            {
                return Err(Error::OtherSettings {
                    topic: out.log.clone(),
                    partition: message.partition(),
                    offset: message.offset(),
                });
            }
            joiner.begin(message.offset(), record, &mut txn)?;
        }
        if out.deliver(outbox, owner.partition)? == Delivered::Interrupted {
            // What was sent is sent again after the restart, under the same ids.
            return Ok(Delivered::Interrupted);
        }
        joiner.save(&mut txn)?;
        let changes = txn.into_batch();
        base.write(changes)?;
    }
    Ok(Delivered::All)
}

impl Out {
    /// Sends everything in the outbox and waits until it is acknowledged.
    fn deliver(&mut self, outbox: &mut Outbox, partition: i32) -> Result<Delivered, Error> {
        let flight = Arc::new(Flight::default());
        for (at, output) in outbox.drain() {
            let headers = match self.emitter.emit(&output, at.offset, &mut self.value) {
                Emitted::Omitted => continue,
                Emitted::TooLarge(headers) => {
                    self.too_large(&headers, partition, at, &flight)?;
                    continue;
                }
                Emitted::Record(headers) => headers,
            };
            let message = Outgoing {
                topic: match (headers.kind, &self.summaries) {
                    (Kind::Alert, Some(summaries)) => summaries,
                    _ => &self.rows,
                },
                partition: None,
                key: Some(emit::key(&output)),
                value: &self.value,
                headers: &headers.pairs(),
            };
            match self.sender.send_when_room(&message, &flight, &self.shutdown)? {
                Sending::Sent => self.metrics.emitted(&headers),
                Sending::TooLarge => self.too_large(&headers, partition, at, &flight)?,
                Sending::Full => return Ok(Delivered::Interrupted),
            }
        }
        match self.sender.wait(&flight, &self.shutdown)? {
            true => Ok(Delivered::All),
            false => Ok(Delivered::Interrupted),
        }
    }

    /// The record in the buffer goes to the dead letters. One log record may cause many outputs: its id tells them apart.
    fn too_large(&self, headers: &Headers, partition: i32, at: Position, flight: &Arc<Flight>) -> Result<(), Error> {
        let letter = DeadLetter {
            reason: "too_large",
            error: format!(
                "the output record {} has {} bytes even with its alert cut, more than message.max.bytes allows",
                headers.id,
                self.value.len()
            ),
            address: Address {
                topic: &self.log,
                partition,
                offset: at.offset,
                index: usize::try_from(at.outputs).unwrap_or(usize::MAX),
            },
            value: &self.value,
        };
        self.metrics.dead_letter(letter.reason);
        let limit = self.message_max_bytes;
        super::send_dead_letter(&self.sender, &self.dead_letters, &letter, limit, flight, &self.shutdown)
    }
}
