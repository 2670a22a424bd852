//! Whether the state and the log of this application were made under the settings it is started with: other settings would give other
//! answers. Looked at before anything is written.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use super::Error;
use super::owners::Owners;
use crate::clock;
use crate::config::Config;
use crate::kafka::clients::{self, Logged};
use crate::kafka::{self, topics};
use crate::log::LogRecord;
use crate::store::StateDir;

/// How many log records are read from the end in search of marks, at first; twice as many at each further try. Marks come at least
/// once a second from every router.
const FIRST_STEP: i64 = 500;

/// Fails when a store that is here was made under other settings.
pub(super) fn check_state(config: &Config, dir: &StateDir) -> Result<(), Error> {
    Owners::new(config, dir).check_all()
}

/// Fails when the log was written under other settings.
pub(super) fn check_log(config: &Config, settings: [u8; 32]) -> Result<(), Error> {
    let topic = &config.repartition.topic;
    let read = |cause| {
        Error::Kafka(kafka::Error::Read {
            topics: topic.clone(),
            cause,
        })
    };
    let consumer: BaseConsumer<Logged> = clients::consumer(config, "settings", None, Logged)?;
    let count = topics::partitions(&consumer, topic).map_err(read)?.unwrap_or(0);
    for partition in 0..i32::try_from(count).unwrap_or(0) {
        let (low, high) = consumer.fetch_watermarks(topic, partition, topics::TIMEOUT).map_err(read)?;
        let mut step = FIRST_STEP;
        let mut end = high;
        while end > low {
            let begin = low.max(end - step);
            if let Some((offset, found)) = last_marks(&consumer, topic, partition, begin, end).map_err(read)? {
                if found != settings {
                    return Err(Error::OtherSettings {
                        topic: topic.clone(),
                        partition,
                        offset,
                    });
                }
                // Every router writes its marks to every partition: one that agrees speaks for all.
                return Ok(());
            }
            end = begin;
            step = step.saturating_mul(2);
        }
    }
    Ok(())
}

/// The settings of the last marks between two offsets.
fn last_marks(
    consumer: &BaseConsumer<Logged>,
    topic: &str,
    partition: i32,
    begin: i64,
    end: i64,
) -> rdkafka::error::KafkaResult<Option<(i64, [u8; 32])>> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(begin))?;
    consumer.assign(&list)?;
    let began = clock::start();
    let mut last = None;
    while began.elapsed() < topics::TIMEOUT {
        let Some(message) = consumer.poll(std::time::Duration::from_millis(100)) else {
            continue;
        };
        let message = message?;
        if message.offset() >= end {
            break;
        }
        if let Ok(LogRecord::Marks(marks)) = LogRecord::decode(message.payload().unwrap_or_default()) {
            last = Some((message.offset(), marks.settings));
        }
        if message.offset() + 1 >= end {
            break;
        }
    }
    Ok(last)
}
