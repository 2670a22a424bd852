//! Requests the log-end offsets of the partitions that are read, at an interval: an empty fetch does not prove that a
//! partition has been read to its end.

use std::sync::{Arc, Weak, mpsc};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::Error;
use super::exposed::Exposed;
use super::idle_sources::IdleSources;
use super::route_assignment::Context;
use crate::clock;
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

/// Requests the log-end offsets of the partitions that are read, at an interval, and at once after an
/// assignment. It has its own thread, because a response may take long. Ends when the consumer is dropped.
pub(super) fn watch(
    consumer: Weak<BaseConsumer<Context>>,
    topics: Vec<String>,
    every: Duration,
    shutdown: Shutdown,
    log: String,
    exposed: Arc<Exposed>,
    idle_sources: Arc<IdleSources>,
) -> Result<mpsc::Receiver<LogEnd>, Error> {
    let (send, receive) = mpsc::sync_channel(10_000);
    let watch = move || {
        while !shutdown.is_requested()
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
            if shutdown.is_requested() {
                return;
            }
            for topic in &topics {
                if let Ok(Some(count)) = topics::partitions(&consumer, topic) {
                    drop(send.try_send(LogEnd::Topic(topic.clone(), count)));
                    if topic == &log {
                        expose_log_ends(&consumer, topic, count, &exposed);
                    }
                }
            }
            drop(consumer);
            let began = clock::start();
            while began.elapsed() < every && !idle_sources.take_assigned() && !shutdown.is_requested() {
                shutdown.sleep(ASSIGNMENT_INTERVAL.min(every));
            }
        }
    };
    std::thread::Builder::new()
        .name("log-ends".into())
        .spawn(watch)
        .map_err(Error::Thread)?;
    Ok(receive)
}

/// Exposes the log-end offsets of the repartition topic, which show how far JOIN lags behind.
fn expose_log_ends(consumer: &BaseConsumer<Context>, topic: &str, count: u32, exposed: &Exposed) {
    let partitions: Vec<_> = (0..i32::try_from(count).unwrap_or(0))
        .map(|partition| (topic.to_owned(), partition))
        .collect();
    for (topic, partition, end) in topics::log_end_offsets(consumer, &partitions) {
        exposed.set_log_end(&topic, partition, end);
    }
}
