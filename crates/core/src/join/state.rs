//! Defines the state of one alert, and encodes stored values: a version byte, then postcard.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::output::{CloseResult, ClosedBy};
use crate::record::{Text, Version};
use crate::store::Error;
use crate::time::{EventTime, WallTime, Window};

/// The format version of stored values.
const VERSION: u8 = 3;

/// The state of an alert by one link in this partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct AlertState {
    pub(super) version: Version,
    pub(super) window: Window,
    pub(super) deadline: WallTime,
    /// What closed the window, if it is closed. While no key belongs to this partition, no timer closes the window
    /// here; then this is what had closed the previous version, if anything had. A closed alert stays closed, even if
    /// one of its keys belongs to this partition later.
    pub(super) closed_by: Option<ClosedBy>,
    /// The keys that belong to this partition, in order. If the window is closed, each of them has a result.
    pub(super) keys: Vec<KeyState>,
    pub(super) forget_at: EventTime,
    /// The number of versions that counted when they arrived.
    pub(super) versions: u32,
}

/// A key of an alert that belongs to this partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct KeyState {
    pub(super) correlation_id: Text,
    /// `None` while the window is open.
    pub(super) result: Option<CloseResult>,
    /// Whether late activities have arrived that no summary has counted yet.
    pub(super) revise: bool,
}

impl AlertState {
    /// Returns the key with this correlation id, if it belongs to this partition.
    pub(super) fn key(&self, correlation_id: &Text) -> Option<&KeyState> {
        self.keys.iter().find(|key| key.correlation_id == *correlation_id)
    }

    /// Returns the key with this correlation id, if it belongs to this partition.
    pub(super) fn key_mut(&mut self, correlation_id: &Text) -> Option<&mut KeyState> {
        self.keys.iter_mut().find(|key| key.correlation_id == *correlation_id)
    }

    /// Returns whether the alert has timers: it has a key in this partition and is not closed.
    pub(super) fn is_open(&self) -> bool {
        self.closed_by.is_none() && !self.keys.is_empty()
    }
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    // No stored value can fail to serialise: none contains maps of unknown length or foreign types.
    postcard::to_extend(value, vec![VERSION]).map_err(|_| Error::Damaged { what: "value in memory" })
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, Error> {
    let damaged = || Error::Damaged { what };
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| damaged()),
        _ => Err(damaged()),
    }
}
