//! Sends messages and waits for their acknowledgements.
//!
//! librdkafka retries what a broker could not accept for a moment. Messages that it reports as failed are kept and sent
//! again here, for as long as necessary: a throttled Event Hubs, for example, refuses with `POLICY_VIOLATION`, which
//! librdkafka treats as permanent. Only a fatal error of the producer ends the sender. Its user then creates a new one
//! and repeats its work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseRecord, ProducerContext};

use super::polled_producer::PolledProducer;
use super::{Error, clients};
use crate::clock;
use crate::config::Config;

/// Counts messages that were sent together and are not acknowledged yet.
#[derive(Debug, Default)]
pub struct PendingAcks {
    pending: AtomicU64,
}

impl PendingAcks {
    /// Adds a message that will be sent later. The messages do not count as delivered until [`PendingAcks::release`] is
    /// called.
    pub fn hold(&self) {
        self.pending.fetch_add(1, Ordering::AcqRel);
    }

    /// Removes what [`PendingAcks::hold`] added, once the message has been sent.
    pub fn release(&self) {
        self.pending.fetch_sub(1, Ordering::AcqRel);
    }

    /// Returns whether every message has been acknowledged.
    pub fn is_empty(&self) -> bool {
        self.pending() == 0
    }

    /// Returns the number of messages that are not acknowledged yet.
    pub fn pending(&self) -> u64 {
        self.pending.load(Ordering::Acquire)
    }
}

/// Collects delivery reports.
#[derive(Default)]
struct Reports {
    /// The first failure. After it, no message counts as delivered.
    failure: Mutex<Option<(String, KafkaError)>>,
    refused: Mutex<Refused>,
    lock: Mutex<()>,
    arrived: Condvar,
}

/// Messages that the broker refused and that are sent again.
#[derive(Default)]
struct Refused {
    messages: Vec<(OwnedMessage, Arc<PendingAcks>)>,
    /// The reason why the last of them was refused.
    cause: Option<KafkaError>,
    /// The time when they are sent again.
    due: Option<Instant>,
    /// The wait before the previous attempt, and the time when it ended.
    waited: Option<(Duration, Instant)>,
}

/// The first wait of a refused message. The wait doubles with each further refusal in a row.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// The longest wait of a refused message.
const MAX_BACKOFF: Duration = Duration::from_secs(10);

impl Refused {
    fn push(&mut self, message: OwnedMessage, acks: Arc<PendingAcks>, cause: KafkaError) {
        let now = clock::start();
        self.messages.push((message, acks));
        self.cause = Some(cause);
        if self.due.is_none() {
            let wait = match self.waited {
                Some((waited, ended)) if now.duration_since(ended) < waited + MAX_BACKOFF => (waited * 2).min(MAX_BACKOFF),
                _ => FIRST_BACKOFF,
            };
            self.due = Some(now + wait);
            self.waited = Some((wait, now + wait));
        }
    }

    /// Returns the messages that are due to be sent again.
    fn take_due(&mut self) -> Vec<(OwnedMessage, Arc<PendingAcks>)> {
        match self.due {
            Some(due) if due <= clock::start() => {
                self.due = None;
                std::mem::take(&mut self.messages)
            }
            _ => Vec::new(),
        }
    }
}

pub(super) struct DeliveryContext {
    reports: Arc<Reports>,
    /// Whether messages belong to transactions. If so, no message is sent again: the transaction is aborted and
    /// repeated.
    transactional: bool,
}

/// Returns whether sending the same message again may help. It does not help after the producer's sequence broke or the
/// producer was fenced, because such a producer no longer sends anything. It does not help either for a message that is
/// too large or invalid.
fn is_transient(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    !matches!(
        error.rdkafka_error_code(),
        Some(
            Code::Fatal
                | Code::Fenced
                | Code::InvalidProducerEpoch
                | Code::InvalidRecord
                | Code::MessageSizeTooLarge
                | Code::OutOfOrderSequenceNumber
                | Code::ProducerFenced
                | Code::PurgeInflight
                | Code::PurgeQueue
        )
    )
}

/// Returns the advice to check first when a message could not be delivered.
pub(super) fn advice(cause: &KafkaError) -> &'static str {
    match cause.rdkafka_error_code() {
        Some(RDKafkaErrorCode::InvalidTimestamp) => {
            "; the timestamp comes from this machine's clock, and the broker considers it too far from its own clock: set the clocks right, or raise the topic's message.timestamp.after.max.ms or message.timestamp.before.max.ms"
        }
        _ => {
            "; if this continues, check the topic, the permission to write to it, and that its max.message.bytes is not below the producer's message.max.bytes"
        }
    }
}

impl ClientContext for DeliveryContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        clients::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "the Kafka producer reports a problem");
        if let KafkaError::Global(RDKafkaErrorCode::Fatal) = error {
            self.reports.fail("the broker", error);
        }
    }
}

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = Arc<PendingAcks>;

    fn delivery(&self, result: &DeliveryResult<'_>, acks: Arc<PendingAcks>) {
        match result {
            // A message that failed stays pending, so that the group in which it was sent does not count as delivered.
            Err((error, message)) if !self.transactional && is_transient(error) => {
                let mut refused = self.reports.refused.lock().unwrap_or_else(PoisonError::into_inner);
                refused.push(message.detach(), acks, error.clone());
            }
            Err((error, message)) => self.reports.fail(message.topic(), error.clone()),
            Ok(_) => {
                if acks.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
                    self.reports.notify();
                }
            }
        }
    }
}

impl Reports {
    fn fail(&self, topic: &str, error: KafkaError) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert((topic.to_owned(), error));
        drop(failure);
        self.notify();
    }

    fn notify(&self) {
        let _guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.arrived.notify_all();
    }
}

/// A message to send.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition. With `None`, the key decides.
    pub partition: Option<i32>,
    /// The key, if there is one.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: &'a [u8],
    /// Names and values of the headers.
    pub headers: &'a [(&'static str, String)],
}

/// Result of an attempt to send a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendOutcome {
    /// The message is in the producer's queue.
    Sent,
    /// The producer's queue is full, so that a slow broker slows down the sender. The message was not sent.
    Full,
    /// The message is larger than the limit.
    TooLarge,
}

impl SendOutcome {
    /// Returns whether the message was sent. Fails if it is too large, because callers have already limited its size.
    pub fn is_done(self, topic: &str) -> Result<bool, Error> {
        match self {
            Self::Sent => Ok(true),
            Self::Full => Ok(false),
            Self::TooLarge => Err(Error::Delivery {
                topic: topic.to_owned(),
                cause: KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge),
            }),
        }
    }
}

/// Sends messages. Each is appended once, and the order within each partition is kept unless the broker refused a
/// message.
pub struct Sender {
    pub(super) producer: PolledProducer<DeliveryContext>,
    reports: Arc<Reports>,
}

impl Sender {
    /// Creates a sender for `stage` that waits up to `linger_ms` milliseconds for more messages to send together.
    pub fn new(config: &Config, stage: &str, linger_ms: &str) -> Result<Self, Error> {
        Self::to_partitions(config, stage, linger_ms, None)
    }

    /// Creates a sender for messages that go to this number of partitions, if it is known.
    pub fn to_partitions(config: &Config, stage: &str, linger_ms: &str, partitions: Option<u32>) -> Result<Self, Error> {
        let reports = Arc::new(Reports::default());
        let context = DeliveryContext {
            reports: Arc::clone(&reports),
            transactional: false,
        };
        Ok(Self {
            producer: PolledProducer::new(clients::producer(config, stage, linger_ms, partitions, context)?)?,
            reports,
        })
    }

    /// Creates a sender whose messages become visible only when their transaction is committed (`kafka::transactions`).
    pub(super) fn transactional(
        config: &Config,
        stage: &str,
        transactional_id: &str,
        partitions: Option<u32>,
    ) -> Result<Self, Error> {
        let reports = Arc::new(Reports::default());
        let context = DeliveryContext {
            reports: Arc::clone(&reports),
            transactional: true,
        };
        let producer = clients::transactional_producer(config, stage, transactional_id, partitions, context)?;
        Ok(Self {
            producer: PolledProducer::new(producer)?,
            reports,
        })
    }

    /// Sends a message and counts it in `acks`, if the queue has room.
    pub fn send(&self, message: &Outgoing<'_>, acks: &Arc<PendingAcks>) -> Result<SendOutcome, Error> {
        self.check()?;
        let mut record = BaseRecord::<'_, [u8], [u8], _>::with_opaque_to(message.topic, Arc::clone(acks));
        record = record.payload(message.value);
        if let Some(key) = message.key {
            record = record.key(key);
        }
        if let Some(partition) = message.partition {
            record = record.partition(partition);
        }
        if !message.headers.is_empty() {
            let insert = |headers: OwnedHeaders, (key, value): &(&'static str, String)| {
                headers.insert(Header {
                    key,
                    value: Some(value.as_bytes()),
                })
            };
            let headers = OwnedHeaders::new_with_capacity(message.headers.len());
            record = record.headers(message.headers.iter().fold(headers, insert));
        }
        // The count is increased before the send, because the delivery report may arrive before the call returns.
        acks.pending.fetch_add(1, Ordering::AcqRel);
        let Err((error, _)) = self.producer.send(record) else {
            return Ok(SendOutcome::Sent);
        };
        acks.pending.fetch_sub(1, Ordering::AcqRel);
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => Ok(SendOutcome::Full),
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Ok(SendOutcome::TooLarge),
            _ => Err(Error::Delivery {
                topic: message.topic.to_owned(),
                cause: error,
            }),
        }
    }

    /// Returns whether every message of `acks` is acknowledged. Sends refused messages again when they are due. Fails
    /// when the sender can no longer deliver.
    pub fn is_delivered(&self, acks: &PendingAcks) -> Result<bool, Error> {
        self.check()?;
        Ok(acks.is_empty())
    }

    /// Sends refused messages again when they are due. Fails when the sender can no longer deliver.
    pub fn check(&self) -> Result<(), Error> {
        self.send_again();
        let failure = self.reports.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match &*failure {
            None => Ok(()),
            Some((topic, cause)) => Err(Error::Delivery {
                topic: topic.clone(),
                cause: cause.clone(),
            }),
        }
    }

    /// Returns the reason why the broker refuses the messages that wait to be sent again, if waiting will not help: the
    /// topic no longer exists, or the program may not write to it. A caller that must not lose the messages
    /// keeps trying, because the cause may be corrected. Other callers may stop.
    pub fn permanent_refusal(&self) -> Option<KafkaError> {
        use RDKafkaErrorCode as Code;
        let refused = self.reports.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let cause = refused.cause.as_ref().filter(|_| !refused.messages.is_empty())?;
        let lasts = matches!(
            cause.rdkafka_error_code(),
            Some(
                Code::ClusterAuthorizationFailed
                    | Code::TopicAuthorizationFailed
                    | Code::UnknownPartition
                    | Code::UnknownTopic
                    | Code::UnknownTopicOrPartition
            )
        );
        lasts.then(|| cause.clone())
    }

    fn send_again(&self) {
        let (messages, cause) = {
            let mut refused = self.reports.refused.lock().unwrap_or_else(PoisonError::into_inner);
            (refused.take_due(), refused.cause.clone())
        };
        if let Some((first, _)) = messages.first() {
            let (count, topic) = (messages.len(), first.topic());
            let advice = cause.as_ref().map_or("", advice);
            let cause = cause.map_or_else(String::new, |cause| cause.to_string());
            tracing::warn!(count, topic, cause, "the broker refused messages; sending them again{advice}");
        }
        for (message, acks) in messages {
            let mut record = BaseRecord::<'_, [u8], [u8], _>::with_opaque_to(message.topic(), Arc::clone(&acks));
            record.payload = message.payload();
            record.key = message.key();
            record.partition = Some(message.partition());
            record.headers = message.headers().cloned();
            if let Err((error, _)) = self.producer.send(record) {
                let mut refused = self.reports.refused.lock().unwrap_or_else(PoisonError::into_inner);
                refused.push(message, acks, error);
            }
        }
    }

    /// Waits for a delivery report, a few milliseconds at most: until the queue may have room, or messages may be
    /// delivered.
    pub fn pause(&self) {
        let guard = self.reports.lock.lock().unwrap_or_else(PoisonError::into_inner);
        // A report that arrived just before this wait is noticed only in the next round, so the timeout is short.
        drop(self.reports.arrived.wait_timeout(guard, Duration::from_millis(2)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_timestamp_is_explained_by_clocks() {
        let clocks = advice(&KafkaError::MessageProduction(RDKafkaErrorCode::InvalidTimestamp));
        assert!(
            clocks.contains("set the clocks right") && clocks.contains("message.timestamp.after.max.ms"),
            "{clocks}"
        );
        let others = advice(&KafkaError::MessageProduction(RDKafkaErrorCode::TopicAuthorizationFailed));
        assert!(
            others.contains("the permission to write to it") && !others.contains("clock"),
            "{others}"
        );
    }
}
