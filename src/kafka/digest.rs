//! Fingerprints of records of the repartition topic, to detect that the topic was deleted and created again: a new
//! topic of the same name has the same offsets but other records.
//!
//! A store remembers the [`digest`] of the last record that was applied to it. Before work resumes, [`record_digest`]
//! shows whether that record is still at its offset.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use sha2::{Digest as _, Sha256};

use super::clients::Logged;
use super::topics::TIMEOUT;
use crate::clock;

/// Returns eight bytes that distinguish a record from any other that may later have its offset. They depend on the
/// offset, the timestamp, the key and the value.
pub fn digest(message: &impl Message) -> [u8; 8] {
    let mut hash = Sha256::new();
    hash.update(message.offset().to_be_bytes());
    hash.update(message.timestamp().to_millis().unwrap_or(-1).to_be_bytes());
    for part in [message.key(), message.payload()] {
        // An empty value and a missing value are different.
        let length = part.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        hash.update(length.to_be_bytes());
        hash.update(part.unwrap_or_default());
    }
    let whole: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = whole;
    [a, b, c, d, e, f, g, h]
}

/// Returns the digest of the record that is at `offset` now, or `None` if there is no record. If `offset` is below the
/// partition's first offset, retention has removed the record and nothing can be concluded. Otherwise, this is another
/// topic.
///
/// The function assigns this partition to `consumer` and then removes the assignment. The consumer must be used only
/// for such requests, with a group as [`clients::consumer`](super::clients::consumer) sets it, because the client
/// refuses assignments without a group.
pub fn record_digest(consumer: &BaseConsumer<Logged>, topic: &str, partition: i32, offset: i64) -> KafkaResult<Option<[u8; 8]>> {
    let (low, high) = consumer.fetch_watermarks(topic, partition, TIMEOUT)?;
    if !(low..high).contains(&offset) {
        return Ok(None);
    }
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    consumer.assign(&list)?;
    let began = clock::start();
    let mut found = None;
    while began.elapsed() < TIMEOUT {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message?;
            found = (message.offset() == offset).then(|| digest(&message));
            break;
        }
    }
    consumer.unassign()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{OwnedMessage, Timestamp};

    use super::*;

    fn record(key: Option<&[u8]>, value: &[u8], timestamp: i64, offset: i64) -> [u8; 8] {
        let timestamp = Timestamp::CreateTime(timestamp);
        let (key, value) = (key.map(<[u8]>::to_vec), Some(value.to_vec()));
        digest(&OwnedMessage::new(value, key, "t".to_owned(), timestamp, 0, offset, None))
    }

    #[test]
    fn every_part_of_a_record_counts() {
        let one = record(Some(b"k"), b"v", 1, 7);
        assert_eq!(one, record(Some(b"k"), b"v", 1, 7));
        for other in [
            record(Some(b"k"), b"v", 1, 8),
            record(Some(b"k"), b"v", 2, 7),
            record(Some(b"k"), b"w", 1, 7),
            record(Some(b"kv"), b"", 1, 7),
            record(None, b"v", 1, 7),
        ] {
            assert_ne!(one, other);
        }
        assert_ne!(record(None, b"v", 1, 7), record(Some(b""), b"v", 1, 7));
    }

    /// The digest is stored on disk.
    #[test]
    fn the_digest_never_changes() {
        assert_eq!(hex::encode(record(Some(b"k"), b"v", 1, 7)), "15e39753b62adfe0");
    }
}
