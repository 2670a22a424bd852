//! Reading a topic once, from where it begins to where it ended when it was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use super::Error;
use super::clients::{self, Logged};
use super::topics::TIMEOUT;
use crate::clock;
use crate::config::Config;
use crate::shutdown::Shutdown;

/// How long the consumer is waited for when nothing comes.
const POLL: Duration = Duration::from_millis(100);
/// After how long without a message of a partition that has more it is given up.
const SILENCE: Duration = Duration::from_secs(60);

/// The offsets that a topic had when it was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Extent {
    /// The topic.
    pub topic: String,
    /// Of each partition its first offset, and the one behind its last.
    pub partitions: BTreeMap<i32, (i64, i64)>,
}

impl Extent {
    /// How many offsets there are: of records, and of the marks of transactions.
    pub fn len(&self) -> u64 {
        let lengths = self
            .partitions
            .values()
            .map(|(low, high)| u64::try_from(high - low).unwrap_or(0));
        lengths.sum()
    }

    /// Returns the partitions that do not begin at offset 0, with where they begin.
    pub fn cut(&self) -> BTreeMap<i32, i64> {
        let begins = self.partitions.iter().map(|(partition, (low, _))| (*partition, *low));
        begins.filter(|(_, low)| *low > 0).collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Hands every committed message of `extent` to `each`, those of a partition in order. Whether it came to the end: it
/// stops early when asked to by `shutdown`. Open transactions end a partition.
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
    let mut heard: Instant = clock::start();
    // Partitions that are at an end, which is not yet the one that was asked for.
    let mut waiting = BTreeSet::new();
    while !left.is_empty() {
        if shutdown.is_requested() {
            return Ok(false);
        }
        let partition = match consumer.poll(POLL) {
            None if heard.elapsed() > SILENCE && left.keys().all(|partition| waiting.contains(partition)) => {
                tracing::warn!(topic = extent.topic, partitions = ?waiting, "the last offsets hold nothing that can be read");
                return Ok(true);
            }
            None if heard.elapsed() > SILENCE => {
                let cause = format!("no message came for {} s", SILENCE.as_secs());
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
            Some(Err(error)) if may_pass(&error) => {
                tracing::warn!(%error, topic = extent.topic, "reading stumbled; it goes on when the broker allows");
                continue;
            }
            Some(Err(error)) => return Err(failed(error).into()),
            Some(Ok(message)) => {
                heard = clock::start();
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

/// Returns a consumer at the first offsets of these ranges.
fn reader(
    config: &Config,
    stage: &str,
    extent: &Extent,
    ranges: &BTreeMap<i32, (i64, i64)>,
) -> Result<BaseConsumer<Logged>, Error> {
    let failed = |cause: KafkaError| Error::reading(&extent.topic, cause);
    let consumer: BaseConsumer<Logged> = clients::reader(config, stage, Logged)?;
    let mut list = TopicPartitionList::new();
    for (partition, (low, _)) in ranges {
        list.add_partition_offset(&extent.topic, *partition, Offset::Offset(*low))
            .map_err(failed)?;
    }
    consumer.assign(&list).map_err(failed)?;
    Ok(consumer)
}

/// Returns whether a partition that is at an end for now has been read from the first offset of its range to the
/// other. The markers of transactions hold nothing to read and count as read; an open transaction ends a partition;
/// and a replica that lags behind its leader does not.
fn is_read(consumer: &BaseConsumer<Logged>, extent: &Extent, partition: i32, (low, high): (i64, i64)) -> Result<bool, Error> {
    let failed = |cause: KafkaError| Error::reading(&extent.topic, cause);
    let positions = consumer.position().map_err(failed)?;
    let position = match positions.find_partition(&extent.topic, partition).map(|found| found.offset()) {
        Some(Offset::Offset(position)) => position,
        // Nothing came of it yet.
        _ => low,
    };
    if position >= high {
        return Ok(true);
    }
    // This consumer reads what is committed: to it a partition ends before the first open transaction.
    let (_, end) = consumer.fetch_watermarks(&extent.topic, partition, TIMEOUT).map_err(failed)?;
    Ok(position >= end)
}

/// Whether no consumer can go on reading behind this error, whatever the broker does next.
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

/// Whether reading may go on by itself. The topic was there a moment ago.
fn may_pass(error: &KafkaError) -> bool {
    !ends_reading(error) && error.rdkafka_error_code() != Some(RDKafkaErrorCode::UnknownTopicOrPartition)
}
