//! What is kept about one alert, and how values are stored: a version byte, then postcard.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::output::{Answer, ClosedBy};
use crate::record::{Key, Version};
use crate::store::Error;
use crate::time::{EventTime, WallTime, Window};

/// The version of stored values.
const VERSION: u8 = 2;

/// Where an alert stands in this partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum AlertState {
    /// Its key belongs to this partition.
    Here(Held),
    /// Its key belongs to another one.
    Elsewhere(Away),
}

/// An alert whose key belongs to this partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) version: Version,
    pub(super) key: Key,
    pub(super) window: Window,
    pub(super) deadline: WallTime,
    /// `None` while the window is open.
    pub(super) answer: Option<Answer>,
    /// Whether late activities have come that no summary has told of yet.
    pub(super) revise: bool,
    pub(super) forget_at: EventTime,
    /// Versions that counted when they came.
    pub(super) versions: u32,
}

/// An alert whose key belongs to another partition. What is kept is enough to know, should the key come here, whether the alert has been
/// answered by then: once answered, an alert stays answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Away {
    pub(super) version: Version,
    pub(super) closes: EventTime,
    pub(super) deadline: WallTime,
    /// What had closed a version before this one when this one came, if anything had.
    pub(super) answered: Option<ClosedBy>,
    pub(super) forget_at: EventTime,
    pub(super) versions: u32,
}

impl AlertState {
    pub(super) fn version(&self) -> Version {
        match self {
            Self::Here(held) => held.version,
            Self::Elsewhere(away) => away.version,
        }
    }

    pub(super) fn versions(&self) -> u32 {
        match self {
            Self::Here(held) => held.versions,
            Self::Elsewhere(away) => away.versions,
        }
    }

    pub(super) fn forget_at(&self) -> EventTime {
        match self {
            Self::Here(held) => held.forget_at,
            Self::Elsewhere(away) => away.forget_at,
        }
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
