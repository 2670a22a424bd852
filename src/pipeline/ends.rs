//! Where the partitions that are read end, asked of the broker again and again: an empty fetch proves nothing.

use std::sync::{Arc, Weak, mpsc};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::Error;
use super::exposed::Exposed;
use super::route_assignment::Context;
use crate::clock;
use crate::kafka::topics;
use crate::shutdown::Shutdown;
use crate::time::WallTime;

/// What was found at the end of a partition.
pub(super) enum End {
    /// It ended here at this time.
    Partition(String, i32, i64, WallTime),
    /// A topic has this many partitions.
    Topic(String, u32),
}

/// Asks again and again where the partitions that are read end, on a thread of its own, for as long as there is the consumer: the answer
/// may take a while.
pub(super) fn watch(
    consumer: Weak<BaseConsumer<Context>>,
    topics: Vec<String>,
    every: Duration,
    shutdown: Shutdown,
    log: String,
    exposed: Arc<Exposed>,
) -> Result<mpsc::Receiver<End>, Error> {
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
            // Before the question: the ends found cannot be older.
            let at = clock::now();
            for (topic, partition, end) in topics::ends(&consumer, &assigned) {
                exposed.ended_at(&topic, partition, end);
                drop(send.try_send(End::Partition(topic, partition, end, at)));
            }
            if shutdown.is_requested() {
                return;
            }
            for topic in &topics {
                if let Ok(Some(count)) = topics::partitions(&consumer, topic) {
                    drop(send.try_send(End::Topic(topic.clone(), count)));
                    if topic == &log {
                        ends_of_log(&consumer, topic, count, &exposed);
                    }
                }
            }
            drop(consumer);
            shutdown.sleep(every);
        }
    };
    std::thread::Builder::new()
        .name("ends".into())
        .spawn(watch)
        .map_err(Error::Thread)?;
    Ok(receive)
}

/// For whoever looks how far JOIN is behind.
fn ends_of_log(consumer: &BaseConsumer<Context>, topic: &str, count: u32, exposed: &Exposed) {
    let partitions: Vec<_> = (0..i32::try_from(count).unwrap_or(0))
        .map(|partition| (topic.to_owned(), partition))
        .collect();
    for (topic, partition, end) in topics::ends(consumer, &partitions) {
        exposed.ended_at(&topic, partition, end);
    }
}
