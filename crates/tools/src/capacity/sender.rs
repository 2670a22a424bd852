//! The thread that sends each message when it is due, regardless of the state of earlier ones.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::environment::Environment;
use crate::capacity::traffic::{Expected, Message, Traffic};
use crate::kafka::clients;
use crate::term::Failure;

/// The longest sleep between checks of the clock.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// How often each partition gets a message when no other message is due.
const IDLE_INTERVAL: Duration = Duration::from_millis(100);
/// The longest wait for room in the queue for a last message after the end of the trial.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// State shared by the sender and the trial.
#[derive(Default)]
pub(super) struct SenderState {
    /// Activities handed to the client.
    pub(super) sent: AtomicU64,
    /// Messages that the client has and the broker has not acknowledged.
    pub(super) in_flight: AtomicI64,
    /// Messages that the broker refused.
    pub(super) refused: AtomicU64,
    /// Bytes of all messages.
    pub(super) bytes: AtomicU64,
    /// Whether all windows have been passed and their expected output was sent to the reader.
    pub(super) settled: AtomicBool,
    /// Whether the schedule is over. The trial sets it.
    pub(super) cut: AtomicBool,
    /// Whether the whole trial is over. The trial sets it.
    pub(super) over: AtomicBool,
    why: Mutex<Option<String>>,
}

impl SenderState {
    /// Returns the reason why the broker refused a message.
    pub(super) fn refusal(&self) -> Option<String> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Counts failed messages.
struct Reports(Arc<SenderState>);

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        clients::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "the driver's producer reports a problem");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        // When the trial is over, messages in flight are abandoned.
        if let Err((error, _)) = result
            && !self.0.over.load(Ordering::Relaxed)
        {
            self.0.refused.fetch_add(1, Ordering::Relaxed);
            *self.0.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        }
    }
}

struct Sender {
    producer: BaseProducer<Reports>,
    activities: String,
    alerts: String,
    link: Arc<SenderState>,
}

/// Starts the thread. The times of `traffic` count from `begin`.
pub(super) fn start(
    environment: &Environment,
    traffic: Traffic,
    begin: Instant,
    expected: SyncSender<Expected>,
    link: &Arc<SenderState>,
) -> Result<JoinHandle<Traffic>, Failure> {
    let producer = clients::load_producer(&environment.config, Reports(Arc::clone(link))).map_err(Failure::failed)?;
    let sender = Sender {
        producer,
        activities: environment.activities().to_owned(),
        alerts: environment.alerts().to_owned(),
        link: Arc::clone(link),
    };
    let run = move || sender.run(traffic, begin, &expected);
    std::thread::Builder::new()
        .name("sender".into())
        .spawn(run)
        .map_err(Failure::failed)
}

impl Sender {
    /// Sends the schedule, then keeps the watermark moving until everything is over.
    fn run(self, mut traffic: Traffic, begin: Instant, expected: &SyncSender<Expected>) -> Traffic {
        while !self.link.cut.load(Ordering::Relaxed) {
            let Some(due) = traffic.due() else { break };
            let now = begin.elapsed();
            if due <= now {
                // All messages that are due are sent, but in limited batches, so that progress is reported in between.
                for _ in 0..1_000 {
                    if traffic.due().is_none_or(|due| due > now) {
                        break;
                    }
                    let message = traffic.next_message();
                    self.send(message);
                }
                self.send_expected(&mut traffic, expected);
            } else {
                self.send_expected(&mut traffic, expected);
                std::thread::sleep((due - now).min(POLL_INTERVAL));
            }
        }
        while !self.link.over.load(Ordering::Relaxed) {
            // There is one message for each partition, because partitions take turns.
            for _ in 0..traffic.partitions() {
                let message = traffic.filler(begin.elapsed());
                self.send(message);
            }
            self.send_expected(&mut traffic, expected);
            self.link.settled.store(traffic.is_settled(), Ordering::Release);
            std::thread::sleep(IDLE_INTERVAL);
        }
        traffic
    }

    fn send(&self, message: Option<Message<'_>>) {
        let (topic, partition, value) = match message {
            Some(Message::Activity(partition, value)) => (&self.activities, partition, value),
            Some(Message::Alert(value)) => (&self.alerts, 0, value),
            None => return,
        };
        let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(value);
        let began = crate::clock::start();
        loop {
            match self.producer.send(record) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.producer.poll(POLL_INTERVAL);
                    if self.link.over.load(Ordering::Relaxed) && began.elapsed() > SEND_TIMEOUT {
                        return;
                    }
                }
                Err((error, _)) => {
                    self.link.refused.fetch_add(1, Ordering::Relaxed);
                    *self.link.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
                    return;
                }
            }
        }
    }

    fn send_expected(&self, traffic: &mut Traffic, expected: &SyncSender<Expected>) {
        self.producer.poll(Duration::ZERO);
        let (sent, bytes) = traffic.sent();
        self.link.sent.store(sent, Ordering::Relaxed);
        self.link.bytes.store(bytes, Ordering::Relaxed);
        self.link
            .in_flight
            .store(i64::from(self.producer.in_flight_count()), Ordering::Relaxed);
        for window in traffic.take_expected() {
            // The receiver is gone: the trial was interrupted.
            drop(expected.send(window));
        }
    }
}
