//! What the watermark updates in the log say of the source partitions.

use serde::{Deserialize, Serialize};

use crate::time::{EventTime, WallTime};

/// How far a source partition has been read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceState {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: u32,
    /// The next offset to read.
    pub position: i64,
    /// Its own watermark; `None` before its first activity.
    pub watermark: Option<EventTime>,
    /// Whether it does not hold the watermark back, as no activity comes.
    pub idle: bool,
    /// The clock of the router that spoke of it last, when it did.
    pub heard: WallTime,
    /// Since when its own watermark stands where it does.
    pub since: WallTime,
    /// Records of it that went to the dead letters.
    pub rejected: u64,
}

/// The source partition whose watermark is the least of those that are not idle.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: u32,
    /// Since when it is this one.
    pub since: WallTime,
}

impl Holder {
    pub(super) fn is(&self, topic: &str, partition: u32) -> bool {
        self.partition == partition && self.topic == topic
    }
}
