//! The records of the two tables, as far as the join reads them.
//!
//! [`decode`](crate::decode) makes these types from bytes, and [`repartition`](crate::repartition) carries them from
//! ROUTE to JOIN. Rows keep their bytes: no field of a row is ever formatted again.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::{EventTime, Window};

/// The content of a JSON string: UTF-8, except for lone surrogate escapes (`"\ud800"`), which JSON allows and UTF-8
/// does not. These are kept in the three bytes that UTF-8 would give them (WTF-8), so that two strings are equal
/// exactly if their JSON is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Text(#[serde(with = "serde_bytes")] Vec<u8>);

impl Text {
    /// Returns the bytes of the text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// Formats the text for people: a lone surrogate is shown as U+FFFD.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// The number of a link, which is a way for an activity to belong to an alert. Links are numbered in the order of the
/// configuration. State depends on this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LinkId(pub u8);

impl LinkId {
    /// The link of the documented query, which `[correlation]` configures.
    pub const QUERY: Self = Self(0);
}

/// The key that activities and alerts must have in common: the correlation id, within a tenant and a link. The
/// correlation id of an alert may be empty. That of an activity never is, so such an alert matches nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Key {
    /// The Entra tenant id if tenants are distinguished, otherwise empty.
    pub tenant: Text,
    /// The link by which activity and alert have the key.
    pub link: LinkId,
    /// The correlation id. By the query it is `RawEventData.Data.cid` of an activity and `AlertType` of an alert by
    /// default.
    pub correlation_id: Text,
}

impl Key {
    /// Returns the number of bytes of the tenant and the correlation id.
    pub fn size(&self) -> usize {
        self.tenant.as_bytes().len() + self.correlation_id.as_bytes().len()
    }
}

/// The id of an alert: its `SystemAlertId`, within a tenant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct AlertId {
    /// The Entra tenant id if tenants are distinguished, otherwise empty.
    pub tenant: Text,
    /// The `SystemAlertId`.
    pub system_alert_id: Text,
}

/// An alert by one link. It has its own window, keys and output records.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct LinkedAlert {
    /// The id of the alert.
    pub alert: AlertId,
    /// The number of the link.
    pub link: LinkId,
}

impl LinkedAlert {
    /// Returns the key of this alert with a correlation id.
    pub fn key(&self, correlation_id: &Text) -> Key {
        Key {
            tenant: self.alert.tenant.clone(),
            link: self.link,
            correlation_id: correlation_id.clone(),
        }
    }
}

/// The dedup key of an activity: the SHA-256 of what identifies it. Repeated deliveries of an activity have the same
/// dedup key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActivityId(pub [u8; 32]);

impl fmt::Debug for ActivityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// The version of an alert. Of two versions, the greater one counts: the one with the later `TimeGenerated` or, if
/// these are equal, the one with the greater hash of the canonical form. So the output never depends on the order of
/// arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Version {
    /// The `TimeGenerated` of the row.
    pub time_generated: EventTime,
    /// The SHA-256 of the row's canonical form.
    pub hash: [u8; 32],
}

/// An activity that can join: it has a correlation id and a time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Activity<'a> {
    /// The keys on which the activity joins: at least one, by any number of links.
    pub keys: Vec<Key>,
    /// The time of the activity, by default `RawEventData.CreationTime`.
    pub time: EventTime,
    /// The dedup key.
    pub id: ActivityId,
    /// The CloudAppEvents row: one JSON object on one line.
    #[serde(borrow, with = "serde_bytes")]
    pub row: Cow<'a, [u8]>,
}

impl Activity<'_> {
    /// Returns the number of bytes of all keys.
    pub fn keys_size(&self) -> usize {
        self.keys.iter().map(Key::size).sum()
    }

    /// Returns the same activity with an owned row.
    pub fn into_owned(self) -> Activity<'static> {
        Activity {
            keys: self.keys,
            time: self.time,
            id: self.id,
            row: Cow::Owned(self.row.into_owned()),
        }
    }
}

/// One version of an alert.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Alert<'a> {
    /// The id of the alert.
    pub id: AlertId,
    /// The version of the alert.
    pub version: Version,
    /// The alert's window and keys by each link, in the order of the links' numbers.
    pub links: Vec<AlertLink>,
    /// The SecurityAlert row: one JSON object on one line.
    #[serde(borrow, with = "serde_bytes")]
    pub row: Cow<'a, [u8]>,
}

/// The window and the keys of an alert by one link.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AlertLink {
    /// The number of the link.
    pub link: LinkId,
    /// The window: the event time that the alert covers.
    pub window: Window,
    /// The correlation ids, sorted and without duplicates. By the query there is always at least one, which may be
    /// empty.
    pub keys: Vec<Text>,
}

impl Alert<'_> {
    /// Returns the alert's window and keys by the query.
    pub fn query(&self) -> Option<&AlertLink> {
        self.links.iter().find(|link| link.link == LinkId::QUERY)
    }

    /// Returns the number of bytes of all keys, each with the tenant.
    pub fn keys_size(&self) -> usize {
        let keys = self.links.iter().flat_map(|link| &link.keys);
        let tenant = self.id.tenant.as_bytes().len();
        keys.map(|key| tenant + key.as_bytes().len()).sum()
    }

    /// Returns the same alert with an owned row.
    pub fn into_owned(self) -> Alert<'static> {
        Alert {
            id: self.id,
            version: self.version,
            links: self.links,
            row: Cow::Owned(self.row.into_owned()),
        }
    }
}
