//! The records of the repartition topic, which ROUTE sends to JOIN, and their bytes.
//!
//! A partition of the topic is the input of a deterministic state machine: it contains everything that JOIN's output
//! depends on, clocks included. The bytes are a stored format, because the topic keeps them for weeks: a version byte,
//! then postcard. Variants and fields are only ever added at the end, under a new version byte. This module does no IO
//! and makes no decisions.

mod bundle;
mod rows;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use bundle::Bundle;
pub use rows::{RowCompressor, decompress};

use crate::record::{Activity, AlertId, LinkId, Text, Version};
use crate::time::{EventTime, WallTime, Window};

/// The format version that this program writes, and the only one that it reads.
const VERSION: u8 = 5;

/// One record of a partition of the repartition topic.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LogRecord<'a> {
    /// An activity, with those of its keys that belong to this partition.
    #[serde(borrow)]
    Activity(Activity<'a>),
    /// A version of an alert.
    Alert(#[serde(borrow)] AlertVersion<'a>),
    /// How far one router has read its source partitions. It covers all records of that router that precede it.
    WatermarkUpdate(WatermarkUpdate),
    /// There is no more input, so every window closes. Only a log in memory has this record.
    EndOfInput,
    /// Activities in order, each with those of its keys that belong to this partition. [`Bundle`] encodes them.
    Activities(#[serde(borrow)] Vec<Activity<'a>>),
}

/// A version of an alert, with what concerns one partition. Every partition gets every version, so that a partition
/// drops the keys that the alert no longer has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AlertVersion<'a> {
    /// The alert.
    pub id: AlertId,
    /// Its version.
    pub version: Version,
    /// The keys and windows by each link, in the order of the links' numbers.
    pub links: Vec<LinkVersion>,
    /// The SecurityAlert row; empty if the partition owns no key of it.
    #[serde(borrow, with = "serde_bytes")]
    pub row: Cow<'a, [u8]>,
}

impl AlertVersion<'_> {
    /// Returns this version with one key by the query alone, and with this window and deadline.
    #[must_use]
    pub fn by_query(self, correlation_id: Text, window: Window, deadline: WallTime) -> Self {
        let links = vec![LinkVersion {
            link: LinkId::QUERY,
            window,
            deadline,
            keys: vec![correlation_id],
        }];
        Self { links, ..self }
    }
}

/// A version of an alert by one link.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkVersion {
    /// The link.
    pub link: LinkId,
    /// The window in event time.
    pub window: Window,
    /// The wall-clock time at which the alert closes by the link whatever the watermark is.
    pub deadline: WallTime,
    /// The correlation ids that belong to the partition, in order and without duplicates.
    pub keys: Vec<Text>,
}

/// How far one router has read its source partitions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WatermarkUpdate {
    /// The router's clock.
    pub wall: WallTime,
    /// The watermark that the clock alone gives, for use while every source partition is idle.
    pub clock: EventTime,
    /// All input topics with their partition counts. There is no watermark until there is an update for each of these
    /// partitions.
    pub topics: Vec<(String, u32)>,
    /// The source partitions that this router reads.
    pub sources: Vec<SourceWatermark>,
    /// The hash of the settings that state depends on. It is the same in all updates of a partition's log.
    pub settings: [u8; 32],
}

/// How far one source partition has been read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceWatermark {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The next offset to read.
    pub position: i64,
    /// The partition's own watermark: the greatest activity time in it, less the out-of-orderness; `None` before the
    /// first activity.
    pub time: Option<EventTime>,
    /// Whether everything has been read and no activity has arrived for so long that the partition no longer holds the
    /// watermark back.
    pub idle: bool,
    /// The number of its records that were sent to the dead-letter topic since this router's previous watermark update.
    /// A record that is read again after a crash counts again.
    pub rejected: u64,
}

/// The reason why bytes are not a log record.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another version of the program wrote them.
    #[error(
        "the log record has format version {0}, this program reads version {VERSION}; run the program that wrote it, or begin again with another application.id or `alerttrail reset`"
    )]
    Version(u8),
    /// This program did not write them.
    #[error("the log record is damaged or not alerttrail's: {0}")]
    Damaged(#[from] postcard::Error),
}

impl<'a> LogRecord<'a> {
    /// Appends the record's bytes to `out`.
    pub fn encode(&self, out: Vec<u8>) -> Result<Vec<u8>, Error> {
        let mut out = out;
        out.push(VERSION);
        Ok(postcard::to_extend(self, out)?)
    }

    /// Decodes a record. Its row is borrowed from `bytes`.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => Ok(postcard::from_bytes(rest)?),
            Some((&version, _)) => Err(Error::Version(version)),
            None => Err(Error::Damaged(postcard::Error::DeserializeUnexpectedEnd)),
        }
    }
}

/// Returns which of `partitions` partitions of the repartition topic owns a correlation id of a tenant. The link does
/// not matter: an activity or an alert that has the same key by several links is stored in one place. Every instance
/// and every version must agree on the owner: it is part of the meaning of the stored log, and fixed by a test.
pub fn partition_of(tenant: &Text, correlation_id: &Text, partitions: u32) -> u32 {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    hash.update((tenant.as_bytes().len() as u64).to_be_bytes());
    hash.update(tenant.as_bytes());
    hash.update(correlation_id.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, ..] = digest;
    u32::from_be_bytes([a, b, c, d]) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ActivityId, Key};

    #[test]
    fn a_record_survives_the_log_and_borrows_its_row() {
        let record = LogRecord::Activity(Activity {
            keys: vec![Key {
                correlation_id: "p".into(),
                ..Key::default()
            }],
            time: EventTime::from_ticks(-5),
            id: ActivityId([7; 32]),
            row: Cow::Borrowed(br#"{"a":1}"#),
        });
        let bytes = record.encode(Vec::new()).unwrap();
        let LogRecord::Activity(activity) = LogRecord::decode(&bytes).unwrap() else {
            panic!("another record")
        };
        assert!(matches!(activity.row, Cow::Borrowed(br#"{"a":1}"#)));
        assert_eq!(LogRecord::Activity(activity), record);
    }

    #[test]
    fn other_bytes_are_an_error() {
        assert!(matches!(LogRecord::decode(&[9, 0]), Err(Error::Version(9))));
        assert!(matches!(LogRecord::decode(&[]), Err(Error::Damaged(_))));
        assert!(matches!(LogRecord::decode(&[VERSION, 200]), Err(Error::Damaged(_))));
    }

    #[test]
    fn the_owner_of_a_key_never_changes() {
        let owner = |tenant: &str, id: &str| partition_of(&tenant.into(), &id.into(), 8);
        assert_eq!(owner("", "8e6ba277-ef39-404e-aaf1-294f6d9a2b88"), 2);
        assert_eq!(owner("", ""), 5);
        assert_eq!(owner("t", ""), 4);
    }
}
