//! What is kept about one alert, and how values are stored: a version byte, then postcard.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::output::{Answer, ClosedBy};
use crate::record::{Text, Version};
use crate::store::Error;
use crate::time::{EventTime, WallTime, Window};

/// The version of stored values.
const VERSION: u8 = 3;

/// Where an alert stands by one link in this partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) version: Version,
    pub(super) window: Window,
    pub(super) deadline: WallTime,
    /// What has closed the window. While no key is here nothing closes it here, and this is what had closed the version before, if anything
    /// had: once answered, an alert stays answered, also when a key comes here later.
    pub(super) closed_by: Option<ClosedBy>,
    /// The keys that belong to this partition, in order. Where the window is closed, each has an answer.
    pub(super) keys: Vec<HeldKey>,
    pub(super) forget_at: EventTime,
    /// Versions that counted when they came.
    pub(super) versions: u32,
}

/// A key of an alert that belongs to this partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct HeldKey {
    pub(super) correlation_id: Text,
    /// `None` while the window is open.
    pub(super) answer: Option<Answer>,
    /// Whether late activities have come that no summary has counted yet.
    pub(super) revise: bool,
}

impl Held {
    /// Returns the key of this correlation id, if it belongs here.
    pub(super) fn key(&self, correlation_id: &Text) -> Option<&HeldKey> {
        self.keys.iter().find(|key| key.correlation_id == *correlation_id)
    }

    /// Returns the key of this correlation id, if it belongs here.
    pub(super) fn key_mut(&mut self, correlation_id: &Text) -> Option<&mut HeldKey> {
        self.keys.iter_mut().find(|key| key.correlation_id == *correlation_id)
    }

    /// Whether its timers run: a key is here that has no answer yet.
    pub(super) fn is_open(&self) -> bool {
        self.closed_by.is_none() && !self.keys.is_empty()
    }
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    // Nothing that is stored can fail to serialise: there are no maps of unknown length and no foreign types.
    postcard::to_extend(value, vec![VERSION]).map_err(|_| Error::Damaged { what: "value in memory" })
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, Error> {
    let damaged = || Error::Damaged { what };
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| damaged()),
        _ => Err(damaged()),
    }
}
