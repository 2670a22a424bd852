//! Fingerprints of records of the repartition topic, to detect that the topic was deleted and created again: a new
//! topic of the same name has the same offsets but other records.
//!
//! A store remembers the [`digest`] of the last record that was applied to it. Before work resumes, [`record_digest`]
//! shows whether that record is still at its offset.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use sha2::{Digest as _, Sha256};

use super::clients::Logged;
use super::reading;

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
/// Fails if the broker does not send the record within `timeout`. Like [`reading::read_ranges`], it replaces the
/// assignment of `consumer`.
pub fn record_digest(
    consumer: &BaseConsumer<Logged>,
    topic: &str,
    partition: i32,
    offset: i64,
    timeout: Duration,
) -> KafkaResult<Option<[u8; 8]>> {
    let (low, high) = consumer.fetch_watermarks(topic, partition, timeout)?;
    if !(low..high).contains(&offset) {
        return Ok(None);
    }
    let mut found = None;
    let record = (topic, partition, offset, offset + 1);
    let is_read = reading::read_ranges(consumer, &[record], timeout, &mut |message| {
        found = Some(digest(message));
        true
    })?;
    match is_read {
        true => Ok(found),
        // A slow broker does not show that this is another topic.
        false => Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut)),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{OwnedMessage, Timestamp};
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::config::Config;
    use crate::kafka::clients;

    #[test]
    fn a_broker_that_does_not_send_a_record_is_not_another_topic() {
        const TIMEOUT: Duration = Duration::from_secs(5);
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let text = format!("kafka.bootstrap_servers = \"{}\"", cluster.bootstrap_servers());
        let config = Config::from_text("test", &text, std::iter::empty()).unwrap_or_else(|errors| panic!("{errors}"));
        let producer: BaseProducer = clients::producer(&config, "test", "0", None, DefaultProducerContext).unwrap();
        let record = BaseRecord::<[u8], [u8]>::to("t").partition(0).payload(b"v");
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(TIMEOUT).unwrap();
        let consumer: BaseConsumer<Logged> = clients::consumer(&config, "test", None, Logged).unwrap();
        let at = |offset, timeout| record_digest(&consumer, "t", 0, offset, timeout);
        assert!(at(0, TIMEOUT).unwrap().is_some());
        assert_eq!(at(1, TIMEOUT), Ok(None));
        let refusal = RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT;
        cluster.request_errors(RDKafkaApiKey::Fetch, &[refusal; 1_000]);
        let error = at(0, Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::OperationTimedOut));
    }

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
