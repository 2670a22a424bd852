//! The state of the source partitions according to the watermark updates in the log.

use serde::{Deserialize, Serialize};

use crate::time::{EventTime, WallTime};

/// How far a source partition has been read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceState {
    /// Its topic.
    pub topic: String,
    /// Its partition number.
    pub partition: u32,
    /// The next offset to read.
    pub position: i64,
    /// Its own watermark; `None` before its first activity.
    pub watermark: Option<EventTime>,
    /// Whether it does not hold the watermark back because no activity arrives.
    pub idle: bool,
    /// The router's clock in the watermark update that `idle` is from.
    pub reported_at: WallTime,
    /// The routers' clock when its own watermark last changed.
    pub since: WallTime,
    /// The number of its records that were sent to the dead-letter topic.
    pub rejected: u64,
}

/// The source partition with the least watermark of those that are not idle.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// Its topic.
    pub topic: String,
    /// Its partition number.
    pub partition: u32,
    /// The routers' clock when it became the one that holds the watermark back.
    pub since: WallTime,
}

impl Holder {
    pub(super) fn is(&self, topic: &str, partition: u32) -> bool {
        self.partition == partition && self.topic == topic
    }
}
