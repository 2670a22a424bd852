//! Reads ranges of topics once: a whole topic to the end that it has when reading starts, or a part in a limited time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::Error;
use super::clients::{self, Logged, REQUEST_TIMEOUT};
use crate::clock;
use crate::config::Config;
use crate::shutdown::Shutdown;

/// How long one poll of the consumer takes at most.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// How long a partition with unread records may deliver nothing before reading fails.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The range of offsets that a topic had at one time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extent {
    /// The topic.
    pub topic: String,
    /// The first offset and the log-end offset of each partition.
    pub partitions: BTreeMap<i32, (i64, i64)>,
}

impl Extent {
    /// Returns the number of offsets, which includes those of transaction markers.
    pub fn len(&self) -> u64 {
        let lengths = self
            .partitions
            .values()
            .map(|(low, high)| u64::try_from(high - low).unwrap_or(0));
        lengths.sum()
    }

    /// Returns the partitions that do not begin at offset 0, with their first offsets.
    pub fn cut(&self) -> BTreeMap<i32, i64> {
        let begins = self.partitions.iter().map(|(partition, (low, _))| (*partition, *low));
        begins.filter(|(_, low)| *low > 0).collect()
    }

    /// Returns whether the topic has no records.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Calls `each` with every committed message of `extent`, in order within each partition. Returns whether it read to
/// the end. It stops early if `shutdown` is requested. An open transaction ends the reading of a partition.
pub fn read<E: From<Error>>(
    config: &Config,
    stage: &str,
    extent: &Extent,
    shutdown: &Shutdown,
    each: &mut dyn FnMut(&BorrowedMessage<'_>) -> Result<(), E>,
) -> Result<bool, E> {
    let mut left: BTreeMap<i32, (i64, i64)> = extent.partitions.clone();
    left.retain(|_, (low, high)| low < high);
    if left.is_empty() {
        return Ok(true);
    }
    let failed = |cause: KafkaError| Error::reading(&extent.topic, cause);
    let consumer = reader(config, stage, extent, &left)?;
    let mut last_received: Instant = clock::start();
    // Partitions that the consumer has read to a current end that is before the requested one.
    let mut waiting = BTreeSet::new();
    while !left.is_empty() {
        if shutdown.is_requested() {
            return Ok(false);
        }
        let partition = match consumer.poll(POLL_TIMEOUT) {
            None if last_received.elapsed() > STALL_TIMEOUT && left.keys().all(|partition| waiting.contains(partition)) => {
                tracing::warn!(topic = extent.topic, partitions = ?waiting, "the last offsets of these partitions contain no readable records");
                return Ok(true);
            }
            None if last_received.elapsed() > STALL_TIMEOUT => {
                let cause = format!("no message was received for {} s", STALL_TIMEOUT.as_secs());
                return Err(Error::reading(&extent.topic, cause).into());
            }
            None => continue,
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                let Some(range) = left.get(&partition).copied() else {
                    continue;
                };
                if !is_read(&consumer, extent, partition, range)? {
                    waiting.insert(partition);
                    continue;
                }
                partition
            }
            Some(Err(error)) if is_transient(&error) => {
                tracing::warn!(%error, topic = extent.topic, "transient consumer error; retrying");
                continue;
            }
            Some(Err(error)) => return Err(failed(error).into()),
            Some(Ok(message)) => {
                last_received = clock::start();
                let partition = message.partition();
                waiting.remove(&partition);
                let Some((_, high)) = left.get(&partition).copied() else {
                    continue;
                };
                if message.offset() < high {
                    each(&message)?;
                }
                if message.offset() + 1 < high {
                    continue;
                }
                partition
            }
        };
        if left.remove(&partition).is_some() {
            let mut done = TopicPartitionList::new();
            done.add_partition(&extent.topic, partition);
            consumer.pause(&done).map_err(failed)?;
        }
    }
    Ok(true)
}

/// Returns a consumer that is assigned these ranges, at their first offsets.
fn reader(
    config: &Config,
    stage: &str,
    extent: &Extent,
    ranges: &BTreeMap<i32, (i64, i64)>,
) -> Result<BaseConsumer<Logged>, Error> {
    let failed = |cause: KafkaError| Error::reading(&extent.topic, cause);
    let consumer: BaseConsumer<Logged> = clients::reader(config, stage, Logged)?;
    let begins = ranges
        .iter()
        .map(|(partition, (low, _))| (extent.topic.as_str(), *partition, Offset::Offset(*low)));
    consumer.assign(&offsets(begins).map_err(failed)?).map_err(failed)?;
    Ok(consumer)
}

/// A topic, a partition, the first offset to read, and the one after the last.
pub type Range<'t> = (&'t str, i32, i64, i64);

/// Calls `each` with the messages of these ranges, in order within each partition, as long as it returns true. Returns
/// whether all ranges were read to their ends within `timeout`. Any error of the consumer ends the reading.
///
/// The function assigns these partitions to `consumer` and then removes the assignment. The consumer must be used only
/// for such requests, with a group as [`clients::consumer`] sets it, because the client refuses assignments without a
/// group.
pub fn read_ranges(
    consumer: &BaseConsumer<Logged>,
    ranges: &[Range<'_>],
    timeout: Duration,
    each: &mut dyn FnMut(&BorrowedMessage<'_>) -> bool,
) -> KafkaResult<bool> {
    let begins = ranges.iter();
    let begins = begins.map(|(topic, partition, begin, _)| (*topic, *partition, Offset::Offset(*begin)));
    consumer.assign(&offsets(begins)?)?;
    let began = clock::start();
    let mut left = ranges.to_vec();
    let mut continues = true;
    while continues && !left.is_empty() && began.elapsed() < timeout {
        let Some(message) = consumer.poll(POLL_TIMEOUT) else {
            continue;
        };
        let message = message?;
        let is_its = |(topic, partition, ..): &Range<'_>| (*topic, *partition) == (message.topic(), message.partition());
        let Some(at) = left.iter().position(is_its) else { continue };
        let (.., end) = left[at];
        if message.offset() + 1 >= end {
            left.swap_remove(at);
        }
        continues = message.offset() >= end || each(&message);
    }
    consumer.unassign()?;
    Ok(left.is_empty())
}

/// Returns a list of partitions with an offset each.
pub fn offsets<'t>(offsets: impl IntoIterator<Item = (&'t str, i32, Offset)>) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in offsets {
        list.add_partition_offset(topic, partition, offset)?;
    }
    Ok(list)
}

/// Returns whether the range of a partition has been read completely, when the consumer reports the partition's end.
/// Transaction markers contain nothing to read and count as read. An open transaction ends a partition, but a replica
/// that lags behind its leader does not.
fn is_read(consumer: &BaseConsumer<Logged>, extent: &Extent, partition: i32, (low, high): (i64, i64)) -> Result<bool, Error> {
    let failed = |cause: KafkaError| Error::reading(&extent.topic, cause);
    let positions = consumer.position().map_err(failed)?;
    let position = match positions.find_partition(&extent.topic, partition).map(|found| found.offset()) {
        Some(Offset::Offset(position)) => position,
        // No record of the partition has been received yet.
        _ => low,
    };
    if position >= high {
        return Ok(true);
    }
    // This consumer reads only committed records, so for it a partition ends before the first open transaction.
    let (_, end) = consumer
        .fetch_watermarks(&extent.topic, partition, REQUEST_TIMEOUT)
        .map_err(failed)?;
    Ok(position >= end)
}

/// Returns whether no consumer can continue after this error, regardless of what the broker does next.
pub fn ends_reading(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::AutoOffsetReset
                | Code::OffsetOutOfRange
                | Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::UnknownTopic
                | Code::Fatal
        )
    )
}

/// Returns whether reading may recover by itself. The topic existed a moment ago.
fn is_transient(error: &KafkaError) -> bool {
    !ends_reading(error) && error.rdkafka_error_code() != Some(RDKafkaErrorCode::UnknownTopicOrPartition)
}
