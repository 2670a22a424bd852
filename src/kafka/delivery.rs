//! Sending, and knowing when everything sent has been acknowledged.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};

use super::{Error, clients};
use crate::config::Config;
use crate::shutdown::Shutdown;

/// Messages sent together: done when every one has been acknowledged.
#[derive(Debug, Default)]
pub struct Flight {
    pending: AtomicU64,
}

impl Flight {
    /// Whether nothing sent in this flight is still on its way.
    pub fn is_empty(&self) -> bool {
        self.pending.load(Ordering::Acquire) == 0
    }
}

/// What delivery reports are gathered in.
#[derive(Default)]
struct Reports {
    /// The first failure; after it nothing counts as delivered any more.
    failure: Mutex<Option<(String, KafkaError)>>,
    lock: Mutex<()>,
    arrived: Condvar,
}

struct Context {
    reports: Arc<Reports>,
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
            // A message that failed stays pending: its flight must never count as delivered.
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
    /// What was sent, or is never to count as sent, is done; that something too large came this far is an error.
    pub fn done(self, topic: &str) -> Result<(), Error> {
        match self {
            Self::Sent | Self::Full => Ok(()),
            Self::TooLarge => Err(Error::Delivery {
                topic: topic.to_owned(),
                cause: KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge),
            }),
        }
    }
}

/// Sends messages, each once and in the order of each partition.
pub struct Sender {
    producer: ThreadedProducer<Context>,
    reports: Arc<Reports>,
}

impl Sender {
    /// A sender for `stage` that waits up to `linger_ms` milliseconds for more messages to send together.
    pub fn new(config: &Config, stage: &str, linger_ms: &str) -> Result<Self, Error> {
        let reports = Arc::new(Reports::default());
        let context = Context {
            reports: Arc::clone(&reports),
        };
        Ok(Self {
            producer: clients::producer(config, stage, linger_ms, context)?,
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

    /// Sends a message, waiting for room as long as it takes; `Full` when asked to stop meanwhile and the time for that is up. The flight
    /// then never counts as delivered.
    pub fn send_when_room(&self, message: &Outgoing<'_>, flight: &Arc<Flight>, shutdown: &Shutdown) -> Result<Sending, Error> {
        loop {
            match self.send(message, flight)? {
                Sending::Full if shutdown.is_overdue() => {
                    // It was not sent, so its flight must never count as delivered.
                    flight.pending.fetch_add(1, Ordering::AcqRel);
                    return Ok(Sending::Full);
                }
                Sending::Full => self.pause(),
                sending => return Ok(sending),
            }
        }
    }

    /// Waits until all of `flight` has been acknowledged; `false` when asked to stop meanwhile and the time for that is up.
    pub fn wait(&self, flight: &Flight, shutdown: &Shutdown) -> Result<bool, Error> {
        while !flight.is_empty() {
            self.check()?;
            if shutdown.is_overdue() {
                return Ok(false);
            }
            self.pause();
        }
        self.check()?;
        Ok(true)
    }

    /// Fails when anything could not be delivered.
    pub fn check(&self) -> Result<(), Error> {
        let failure = self.reports.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match &*failure {
            None => Ok(()),
            Some((topic, cause)) => Err(Error::Delivery {
                topic: topic.clone(),
                cause: cause.clone(),
            }),
        }
    }

    /// Waits for a report, a few milliseconds at most.
    pub fn pause(&self) {
        let guard = self.reports.lock.lock().unwrap_or_else(PoisonError::into_inner);
        // A report that came just before is seen at the next round: hence the short limit.
        drop(self.reports.arrived.wait_timeout(guard, Duration::from_millis(2)));
    }
}
