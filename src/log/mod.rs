//! The repartition log: what ROUTE tells JOIN, and its bytes.
//!
//! A partition of the log is the input of a deterministic state machine: everything JOIN's answer depends on travels here, clocks
//! included. The bytes are a stored format (the topic keeps them for weeks): a version byte, then postcard. Variants and fields are
//! only ever added at the end, under a new version byte. This module does no IO and decides nothing.

mod bundle;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

pub use bundle::Bundle;

use crate::record::{Activity, AlertId, LinkId, Text, Version};
use crate::time::{EventTime, WallTime, Window};

/// The version this program writes, and the only one it reads.
const VERSION: u8 = 4;

/// One record of a partition of the repartition log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LogRecord<'a> {
    /// An activity, with those of its keys that belong to this partition.
    #[serde(borrow)]
    Activity(Activity<'a>),
    /// A version of an alert.
    Alert(#[serde(borrow)] AlertVersion<'a>),
    /// How far one router has read its source partitions. It speaks for all records of that router that stand before it.
    WatermarkUpdate(WatermarkUpdate),
    /// There is no more input: every window closes. Only a log in memory ends.
    EndOfInput,
    /// Activities, each with those of its keys that belong to this partition, in their order: what [`Bundle`] makes.
    Activities(#[serde(borrow)] Vec<Activity<'a>>),
}

/// A version of an alert as far as it concerns a partition. Every partition gets every version: one that held the alert by a key that the
/// version does not have lets go of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AlertVersion<'a> {
    /// Which alert.
    pub id: AlertId,
    /// Which version of it.
    pub version: Version,
    /// What each link makes of it, in the order of their numbers.
    pub links: Vec<LinkVersion>,
    /// The SecurityAlert row; empty where no key of it belongs to the partition.
    #[serde(borrow, with = "serde_bytes")]
    pub row: Cow<'a, [u8]>,
}

impl AlertVersion<'_> {
    /// Returns this version as the query alone looks at it, with one key, in this window and with this deadline.
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

/// What a link makes of a version of an alert.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkVersion {
    /// Which link.
    pub link: LinkId,
    /// The event time it covers.
    pub window: Window,
    /// When it is answered at the latest, with whatever is there.
    pub deadline: WallTime,
    /// The correlation ids that belong to the partition, in order, each once.
    pub keys: Vec<Text>,
}

/// How far one router has read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WatermarkUpdate {
    /// The router's clock.
    pub wall: WallTime,
    /// Where the watermark stands by the clock alone, for the time when every source partition is idle.
    pub clock: EventTime,
    /// All input topics with their numbers of partitions: the sources that must have spoken before there is a watermark.
    pub topics: Vec<(String, u32)>,
    /// The source partitions this router reads.
    pub sources: Vec<SourceWatermark>,
    /// What state depends on, as a hash: a partition's log has one such value from end to end.
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
    /// Its watermark: the greatest activity time seen on it less the out-of-orderness; `None` before the first activity.
    pub time: Option<EventTime>,
    /// Whether no activity came for so long, with everything read, that it no longer holds the watermark back.
    pub idle: bool,
    /// Records of it that went to the dead letters since this router's watermark update before. What is read again after a crash counts again.
    pub rejected: u64,
}

/// Why bytes are no log record.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Written by another version.
    #[error(
        "the log record has format version {0}, this program reads version {VERSION}; run the program that wrote it, or begin again with another application.id or `alerttrail reset`"
    )]
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

/// Returns the partition of the log, of `partitions`, that owns a correlation id of a tenant, whatever link it is a key of: what has a key in
/// common by several links is stored in one place. Every instance and every version must agree on it: it is part of what the stored log
/// means, and fixed by a test.
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
