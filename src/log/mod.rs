//! The repartition log: what ROUTE tells JOIN, and its bytes.
//!
//! A partition of the log is the input of a deterministic state machine: everything JOIN's answer depends on travels here, clocks
//! included. The bytes are a stored format (the topic keeps them for weeks): a version byte, then postcard. Variants and fields are
//! only ever added at the end, under a new version byte. This module does no IO and decides nothing.

mod bundle;

use serde::{Deserialize, Serialize};

pub use bundle::Bundle;

use crate::record::{Activity, Alert, AlertId, Key, Version};
use crate::time::{EventTime, WallTime};

/// The version this program writes, and the only one it reads.
const VERSION: u8 = 3;

/// One record of a partition of the repartition log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LogRecord<'a> {
    /// An activity whose key belongs to this partition.
    #[serde(borrow)]
    Activity(Activity<'a>),
    /// A version of an alert whose key belongs to this partition.
    Alert {
        /// The version, with its row.
        #[serde(borrow)]
        alert: Alert<'a>,
        /// When it is answered at the latest, with whatever is there.
        deadline: WallTime,
    },
    /// A version of an alert whose key belongs to another partition. If this one held the alert until now, it lets go of it.
    AlertElsewhere {
        /// Which alert.
        id: AlertId,
        /// Which version.
        version: Version,
        /// When its window closes.
        closes: EventTime,
        /// When it is answered at the latest.
        deadline: WallTime,
    },
    /// How far one router has read its source partitions. It speaks for all records of that router that stand before it.
    Marks(Marks),
    /// There is no more input: every window closes. Only a log in memory ends.
    EndOfInput,
    /// Activities whose keys belong to this partition, in their order: what [`Bundle`] makes.
    Activities(#[serde(borrow)] Vec<Activity<'a>>),
}

/// How far one router has read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Marks {
    /// The router's clock.
    pub wall: WallTime,
    /// Where the watermark stands by the clock alone, for the time when every source partition is idle.
    pub clock: EventTime,
    /// All input topics with their numbers of partitions: the sources that must have spoken before there is a watermark.
    pub topics: Vec<(String, u32)>,
    /// The source partitions this router reads.
    pub sources: Vec<Mark>,
    /// What state depends on, as a hash: a partition's log has one such value from end to end.
    pub settings: [u8; 32],
}

/// How far one source partition has been read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The next offset to read.
    pub position: i64,
    /// Its watermark: the greatest activity time seen on it less the out-of-orderness; `None` before the first activity.
    pub time: Option<EventTime>,
    /// Whether no activity came for so long, with everything read, that it no longer holds the watermark back.
    pub idle: bool,
    /// Records of it that went to the dead letters since this router's marks before. What is read again after a crash counts again.
    pub rejected: u64,
}

/// Why bytes are no log record.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Written by another version.
    #[error("the log record has format version {0}, this program reads version {VERSION}; run the version that wrote it")]
    Version(u8),
    /// Not written by this program.
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

    /// The record of these bytes. The row is borrowed from them.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => Ok(postcard::from_bytes(rest)?),
            Some((&version, _)) => Err(Error::Version(version)),
            None => Err(Error::Damaged(postcard::Error::DeserializeUnexpectedEnd)),
        }
    }
}

/// The partition of the log that owns `key`, of `partitions`. Every instance and every version must agree on it: it is part of what the
/// stored log means, and fixed by a test.
pub fn partition_of(key: &Key, partitions: u32) -> u32 {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    hash.update((key.tenant.as_bytes().len() as u64).to_be_bytes());
    hash.update(key.tenant.as_bytes());
    hash.update(key.correlation_id.as_bytes());
    let digest: [u8; 32] = hash.finalize().into();
    let [a, b, c, d, ..] = digest;
    u32::from_be_bytes([a, b, c, d]) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::record::ActivityId;

    fn key(correlation_id: &str) -> Key {
        Key {
            tenant: "".into(),
            correlation_id: correlation_id.into(),
        }
    }

    #[test]
    fn a_record_survives_the_log_and_borrows_its_row() {
        let record = LogRecord::Activity(Activity {
            key: key("p"),
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
        assert_eq!(partition_of(&key("8e6ba277-ef39-404e-aaf1-294f6d9a2b88"), 8), 2);
        assert_eq!(partition_of(&key(""), 8), 5);
        assert_eq!(
            partition_of(
                &Key {
                    tenant: "t".into(),
                    correlation_id: "".into()
                },
                8
            ),
            4
        );
    }
}
