//! Traffic that does not stop while faults happen.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alerttrail::generate::{Generator, Messages as _, Options};
use alerttrail::time::EventTime;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use crate::support::{TIMEOUT, World};

/// The number of partitions of the topic of activities.
const PARTITIONS: usize = 4;

/// Prints the messages of the producer, which show why a feed has stopped.
struct ProducerLog;

impl ClientContext for ProducerLog {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        println!("feed: {facility} {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        println!("feed: {error}: {reason}");
    }
}

impl ProducerContext for ProducerLog {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        // A test that fails drops the producer, which purges its queue. A second panic would end the other tests.
        if let Err((error, _)) = result
            && !std::thread::panicking()
        {
            panic!("a message was not delivered, so the expected result is unknown: {error}");
        }
    }
}

/// Sends one generated day after another until it is stopped.
pub(crate) struct Feed {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Feed {
    pub(crate) fn start(world: &World, seed: u64, per_second: usize) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut sender = Sender {
            // A broker that goes away must not make the feed lose or repeat anything, because the feed's acknowledged
            // messages determine the expected result.
            producer: world
                .client()
                .set("linger.ms", "5")
                .set("enable.idempotence", "true")
                .set("message.timeout.ms", "0")
                .create_with_context(ProducerLog)
                .unwrap(),
            file: std::io::BufWriter::new(
                std::fs::OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(world.sent())
                    .unwrap(),
            ),
            activities: world.topic("activities"),
            alerts: world.topic("alerts"),
            number: 0,
            began: Instant::now(),
            per_second,
            stop: Arc::clone(&stop),
            sent: Arc::clone(&sent),
        };
        let thread = std::thread::spawn(move || {
            let mut day = 0;
            while !sender.stop.load(Ordering::Relaxed) {
                sender.send_day(seed, day);
                day += 1;
            }
            sender.file.flush().unwrap();
            sender.producer.flush(TIMEOUT).unwrap();
        });
        Self {
            stop,
            sent,
            thread: Some(thread),
        }
    }

    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Stops sending, and waits until everything that was sent is acknowledged. Returns the number of messages.
    pub(crate) fn finish(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.sent()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Sender {
    producer: BaseProducer<ProducerLog>,
    file: std::io::BufWriter<std::fs::File>,
    activities: String,
    alerts: String,
    number: usize,
    began: Instant,
    per_second: usize,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
}

impl Sender {
    fn send_day(&mut self, seed: u64, day: u32) {
        let generator = Generator::new(&Options {
            activities: 2_000,
            alerts: 80,
            seed: seed.wrapping_add(u64::from(day)),
            record_size: 1_000,
            keyed_share: 0.4,
            in_window_share: 0.5,
            batch_max: 3,
            alert_updates: 0.4,
            start: EventTime::from_date(2010 + i32::try_from(day / 336).unwrap(), day / 28 % 12 + 1, day % 28 + 1, 0).unwrap(),
            ..Options::default()
        })
        .unwrap();
        let (mut activities, mut alerts) = (generator.activities(), generator.alerts());
        let mut buffer = Vec::new();
        let mut more = true;
        while more && !self.stop.load(Ordering::Relaxed) {
            more = false;
            for _ in 0..12 {
                if activities.next_message(&mut buffer).is_some() {
                    more = true;
                    let topic = self.activities.clone();
                    self.send(&topic, self.number % PARTITIONS, &buffer);
                    buffer.clear();
                }
            }
            if alerts.next_message(&mut buffer).is_some() {
                more = true;
                let topic = self.alerts.clone();
                self.send(&topic, 0, &buffer);
                buffer.clear();
            }
        }
    }

    fn send(&mut self, topic: &str, partition: usize, message: &[u8]) {
        let due = Duration::from_secs_f64(self.number as f64 / self.per_second as f64);
        while self.began.elapsed() < due {
            self.producer.poll(Duration::from_millis(5));
        }
        let partition = i32::try_from(partition).unwrap();
        while let Err((error, _)) = self
            .producer
            .send(BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(message))
        {
            assert_eq!(
                error.rdkafka_error_code(),
                Some(rdkafka::types::RDKafkaErrorCode::QueueFull),
                "{error}"
            );
            self.producer.poll(Duration::from_millis(10));
        }
        self.number += 1;
        self.file.write_all(message).unwrap();
        self.file.write_all(b"\n").unwrap();
        self.sent.store(self.number, Ordering::Relaxed);
    }
}
