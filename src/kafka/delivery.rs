//! Sending, and knowing when everything sent has been acknowledged.
//!
//! librdkafka sends again by itself what a broker could not take for a moment. What it hands back as failed is kept and sent again here,
//! for as long as it takes: a throttled Event Hubs, for one, refuses with `POLICY_VIOLATION`, which librdkafka takes for the last word.
//! Only what ends the producer itself ends the sender; whoever owns it makes a new one and does its work again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};

use super::{Error, clients};
use crate::clock;
use crate::config::Config;

/// Messages sent together: done when every one has been acknowledged.
#[derive(Debug, Default)]
pub struct Flight {
    pending: AtomicU64,
}

impl Flight {
    /// Something belongs to this flight that is not handed over yet: it is not delivered before [`Flight::handed_over`].
    pub fn hold(&self) {
        self.pending.fetch_add(1, Ordering::AcqRel);
    }

    /// What was held back has been sent.
    pub fn handed_over(&self) {
        self.pending.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether nothing sent in this flight is still on its way.
    pub fn is_empty(&self) -> bool {
        self.pending() == 0
    }

    /// How many messages of this flight are still on their way.
    pub fn pending(&self) -> u64 {
        self.pending.load(Ordering::Acquire)
    }
}

/// What delivery reports are gathered in.
#[derive(Default)]
struct Reports {
    /// The first failure; after it nothing counts as delivered any more.
    failure: Mutex<Option<(String, KafkaError)>>,
    refused: Mutex<Refused>,
    lock: Mutex<()>,
    arrived: Condvar,
}

/// Messages that the broker would not take, to be sent again.
#[derive(Default)]
struct Refused {
    messages: Vec<(OwnedMessage, Arc<Flight>)>,
    /// Why the last of them was refused.
    cause: Option<KafkaError>,
    /// When they are sent again.
    due: Option<Instant>,
    /// How long the round before was waited for, and when it ended.
    waited: Option<(Duration, Instant)>,
}

/// How long a refused message waits at first; twice as long at every further time in a row.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// How long a refused message waits at the most.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

impl Refused {
    fn push(&mut self, message: OwnedMessage, flight: Arc<Flight>, cause: KafkaError) {
        let now = clock::start();
        self.messages.push((message, flight));
        self.cause = Some(cause);
        if self.due.is_none() {
            let wait = match self.waited {
                Some((waited, ended)) if now.duration_since(ended) < waited + LONGEST_WAIT => (waited * 2).min(LONGEST_WAIT),
                _ => FIRST_WAIT,
            };
            self.due = Some(now + wait);
            self.waited = Some((wait, now + wait));
        }
    }

    /// The messages whose time has come.
    fn take_due(&mut self) -> Vec<(OwnedMessage, Arc<Flight>)> {
        match self.due {
            Some(due) if due <= clock::start() => {
                self.due = None;
                std::mem::take(&mut self.messages)
            }
            _ => Vec::new(),
        }
    }
}

pub(super) struct Context {
    reports: Arc<Reports>,
    /// In a transaction nothing is sent again: it is aborted, and done anew.
    transactional: bool,
}

/// Whether sending the same message again may help. A producer whose sequence is broken, or that was fenced, sends nothing any more; a
/// message that the broker finds too large, or wrong, it will find so again.
fn may_pass(error: &KafkaError) -> bool {
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

/// Returns what to look at first when a message could not be delivered.
pub(super) fn advice(cause: &KafkaError) -> &'static str {
    match cause.rdkafka_error_code() {
        Some(RDKafkaErrorCode::InvalidTimestamp) => {
            "; the broker finds the timestamp, which is that of this machine's clock, too far from its own clock: set the clocks right, or raise the topic's message.timestamp.after.max.ms or message.timestamp.before.max.ms"
        }
        _ => {
            "; should that go on, check the topic, the right to write to it, and that its max.message.bytes is not below the producer's message.max.bytes"
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        clients::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "the producer has a problem");
        if let KafkaError::Global(RDKafkaErrorCode::Fatal) = error {
            self.reports.fail("the broker", error);
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Arc<Flight>;

    fn delivery(&self, result: &DeliveryResult<'_>, flight: Arc<Flight>) {
        match result {
            // A message that failed stays pending: its flight must not count as delivered.
            Err((error, message)) if !self.transactional && may_pass(error) => {
                let mut refused = self.reports.refused.lock().unwrap_or_else(PoisonError::into_inner);
                refused.push(message.detach(), flight, error.clone());
            }
            Err((error, message)) => self.reports.fail(message.topic(), error.clone()),
            Ok(_) => {
                if flight.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
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

/// A message on its way out.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    /// Where to.
    pub topic: &'a str,
    /// To which partition; `None` for the one its key belongs to.
    pub partition: Option<i32>,
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: &'a [u8],
    /// Names and values.
    pub headers: &'a [(&'static str, String)],
}

/// What became of a message that was to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sending {
    /// It is on its way.
    Sent,
    /// There is no room for it now: a slow broker slows the sender.
    Full,
    /// It is larger than the broker takes.
    TooLarge,
}

impl Sending {
    /// Whether it was sent; that something too large came this far is an error.
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

/// Sends messages. Each is appended once, and in the order of each partition unless the broker refused one in between.
pub struct Sender {
    pub(super) producer: ThreadedProducer<Context>,
    reports: Arc<Reports>,
}

impl Sender {
    /// A sender for `stage` that waits up to `linger_ms` milliseconds for more messages to send together.
    pub fn new(config: &Config, stage: &str, linger_ms: &str) -> Result<Self, Error> {
        let reports = Arc::new(Reports::default());
        let context = Context {
            reports: Arc::clone(&reports),
            transactional: false,
        };
        Ok(Self {
            producer: clients::producer(config, stage, linger_ms, context)?,
            reports,
        })
    }

    /// A sender whose messages count only when their transaction is committed (`kafka::transactions`).
    pub(super) fn transactional(config: &Config, stage: &str, transactional_id: &str) -> Result<Self, Error> {
        let reports = Arc::new(Reports::default());
        let context = Context {
            reports: Arc::clone(&reports),
            transactional: true,
        };
        Ok(Self {
            producer: clients::transactional_producer(config, stage, transactional_id, context)?,
            reports,
        })
    }

    /// Sends a message as part of `flight`, if there is room for it.
    pub fn send(&self, message: &Outgoing<'_>, flight: &Arc<Flight>) -> Result<Sending, Error> {
        self.check()?;
        let mut record = BaseRecord::<'_, [u8], [u8], _>::with_opaque_to(message.topic, Arc::clone(flight));
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
        // Before the send: the report may be here before it returns.
        flight.pending.fetch_add(1, Ordering::AcqRel);
        let Err((error, _)) = self.producer.send(record) else {
            return Ok(Sending::Sent);
        };
        flight.pending.fetch_sub(1, Ordering::AcqRel);
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => Ok(Sending::Full),
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Ok(Sending::TooLarge),
            _ => Err(Error::Delivery {
                topic: message.topic.to_owned(),
                cause: error,
            }),
        }
    }

    /// Sends a message, waiting for room as long as `goes_on` says so, which is asked again and again; `Full` when it does not. The flight
    /// then never counts as delivered.
    pub fn send_when_room(
        &self,
        message: &Outgoing<'_>,
        flight: &Arc<Flight>,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<Sending, Error> {
        loop {
            match self.send(message, flight)? {
                Sending::Full if !goes_on() => {
                    // It was not sent, so its flight must never count as delivered.
                    flight.pending.fetch_add(1, Ordering::AcqRel);
                    return Ok(Sending::Full);
                }
                Sending::Full => self.pause(),
                sending => return Ok(sending),
            }
        }
    }

    /// Waits until all of `flight` has been acknowledged, as long as `goes_on` says so, which is asked again and again; whether it was.
    pub fn wait(&self, flight: &Flight, goes_on: &mut dyn FnMut() -> bool) -> Result<bool, Error> {
        while !flight.is_empty() {
            self.check()?;
            if !goes_on() {
                return Ok(false);
            }
            self.pause();
        }
        self.check()?;
        Ok(true)
    }

    /// Sends again what was refused, when its time has come. Fails when anything cannot be delivered any more.
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

    /// Why the broker refuses what is waiting to be sent again, if that will not change by waiting: the topic is gone, or may not be
    /// written to. Whoever has something to keep goes on trying, for somebody may set it right; whoever has not may end here.
    pub fn lasting_refusal(&self) -> Option<KafkaError> {
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
            tracing::warn!(
                count,
                topic,
                cause,
                "the broker refused messages; they are sent again{advice}"
            );
        }
        for (message, flight) in messages {
            let mut record = BaseRecord::<'_, [u8], [u8], _>::with_opaque_to(message.topic(), Arc::clone(&flight));
            record.payload = message.payload();
            record.key = message.key();
            record.partition = Some(message.partition());
            record.headers = message.headers().cloned();
            if let Err((error, _)) = self.producer.send(record) {
                let mut refused = self.reports.refused.lock().unwrap_or_else(PoisonError::into_inner);
                refused.push(message, flight, error);
            }
        }
    }

    /// Waits for a report, a few milliseconds at most.
    pub fn pause(&self) {
        let guard = self.reports.lock.lock().unwrap_or_else(PoisonError::into_inner);
        // A report that came just before is seen at the next round: hence the short limit.
        drop(self.reports.arrived.wait_timeout(guard, Duration::from_millis(2)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_that_is_refused_is_a_matter_of_clocks() {
        let clocks = advice(&KafkaError::MessageProduction(RDKafkaErrorCode::InvalidTimestamp));
        assert!(
            clocks.contains("set the clocks right") && clocks.contains("message.timestamp.after.max.ms"),
            "{clocks}"
        );
        let others = advice(&KafkaError::MessageProduction(RDKafkaErrorCode::TopicAuthorizationFailed));
        assert!(
            others.contains("the right to write to it") && !others.contains("clock"),
            "{others}"
        );
    }
}
