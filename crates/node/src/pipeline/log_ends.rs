//! Requests the log-end offsets of the partitions that are read, at an interval: an empty fetch does not prove that a
//! partition has been read to its end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::Error;
use super::exposed::Exposed;
use super::idle_sources::IdleSources;
use super::outputs;
use super::route_assignment::RouteContext;
use crate::clock;
use crate::config::Config;
use crate::kafka::topics;
use crate::shutdown::Shutdown;
use crate::time::WallTime;

/// How often the thread looks whether partitions were assigned.
const ASSIGNMENT_INTERVAL: Duration = Duration::from_millis(100);

/// A response of the broker.
pub(super) enum LogEnd {
    /// The log-end offset of a partition at this time.
    Partition(String, i32, i64, WallTime),
    /// The number of partitions of a topic.
    Topic(String, u32),
}

/// What the thread requests.
struct LogEndRequest {
    /// The topics whose partitions are counted.
    topics: Vec<String>,
    /// The repartition topic, which is one of them. Its log-end offsets are only exposed.
    log: String,
    /// The interval between requests.
    every: Duration,
}

impl LogEndRequest {
    fn new(config: &Config) -> Self {
        let mut topics = config.input.topics.clone();
        topics.push(config.repartition.topic.clone());
        topics.extend(outputs::topics(config).map(str::to_owned));
        Self {
            topics,
            log: config.repartition.topic.clone(),
            every: (config.watermark.idle_timeout / 4).clamp(Duration::from_millis(100), Duration::from_secs(15)),
        }
    }
}

/// A thread that requests the log-end offsets of the partitions that are read, at an interval, and at once after an
/// assignment. A response may take long.
pub(super) struct LogEnds {
    responses: mpsc::Receiver<LogEnd>,
    is_stopped: Arc<AtomicBool>,
}

impl LogEnds {
    /// Starts the thread. It ends after a shutdown request, and when the consumer is dropped.
    pub(super) fn watch(
        consumer: Weak<BaseConsumer<RouteContext>>,
        config: &Config,
        shutdown: Shutdown,
        exposed: Arc<Exposed>,
        idle_sources: Arc<IdleSources>,
    ) -> Result<Self, Error> {
        let wanted = LogEndRequest::new(config);
        let (send, responses) = mpsc::sync_channel(10_000);
        let is_stopped = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&is_stopped);
        let watch = move || {
            let ends = || stopped.load(Ordering::Relaxed) || shutdown.is_requested();
            while !ends()
                && let Some(consumer) = consumer.upgrade()
            {
                let assigned = consumer.assignment().unwrap_or_else(|_| TopicPartitionList::new());
                let assigned: Vec<_> = assigned
                    .elements()
                    .iter()
                    .map(|read| (read.topic().to_owned(), read.partition()))
                    .collect();
                // Taken before the request: the log-end offsets in the response cannot be older.
                let at = clock::now();
                for (topic, partition, end) in topics::log_end_offsets(&consumer, &assigned) {
                    exposed.set_log_end(&topic, partition, end);
                    drop(send.try_send(LogEnd::Partition(topic, partition, end, at)));
                }
                if ends() {
                    return;
                }
                for topic in &wanted.topics {
                    if let Ok(Some(count)) = topics::partitions(&consumer, topic) {
                        drop(send.try_send(LogEnd::Topic(topic.clone(), count)));
                        if *topic == wanted.log {
                            expose_log_ends(&consumer, topic, count, &exposed);
                        }
                    }
                }
                drop(consumer);
                let began = clock::start();
                while began.elapsed() < wanted.every && !idle_sources.take_assigned() && !ends() {
                    shutdown.sleep(ASSIGNMENT_INTERVAL.min(wanted.every));
                }
            }
        };
        let thread = std::thread::Builder::new().name("log-ends".into());
        thread.spawn(watch).map_err(Error::Thread)?;
        Ok(Self { responses, is_stopped })
    }

    /// Returns the responses that have arrived.
    pub(super) fn take(&self) -> impl Iterator<Item = LogEnd> {
        self.responses.try_iter()
    }

    /// Ends the thread, and waits for the end unless a response takes longer than `timeout`. Until then the thread may
    /// use the consumer.
    pub(super) fn stop(&self, timeout: Duration) {
        self.is_stopped.store(true, Ordering::Relaxed);
        let deadline = clock::start() + timeout;
        // The channel breaks when the thread ends.
        while self
            .responses
            .recv_timeout(deadline.saturating_duration_since(clock::start()))
            .is_ok()
        {}
    }
}

/// Exposes the log-end offsets of the repartition topic, which show how far JOIN lags behind.
fn expose_log_ends(consumer: &BaseConsumer<RouteContext>, topic: &str, count: u32, exposed: &Exposed) {
    let partitions: Vec<_> = (0..i32::try_from(count).unwrap_or(0))
        .map(|partition| (topic.to_owned(), partition))
        .collect();
    for (topic, partition, end) in topics::log_end_offsets(consumer, &partitions) {
        exposed.set_log_end(&topic, partition, end);
    }
}
