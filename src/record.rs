//! What the two tables hold, as far as the join looks at it.
//!
//! The types here are what [`decode`](crate::decode) makes of bytes and what [`log`](crate::log) carries from ROUTE to JOIN. Rows stay
//! the bytes they were: no field of a row is ever printed again.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::time::{EventTime, Window};

/// The content of a JSON string: UTF-8, but for lone surrogate escapes (`"\ud800"`), which JSON allows and UTF-8 does not. Those are kept
/// in the three bytes that UTF-8 would give them (WTF-8), so that two strings are equal exactly when their JSON is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Text(#[serde(with = "serde_bytes")] Vec<u8>);

impl Text {
    /// The bytes of the text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is no text.
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

/// As text for people: a lone surrogate is shown as U+FFFD.
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

/// The number of a link: a way for an activity to belong to an alert. Links are numbered in the order of the configuration, which state
/// depends on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LinkId(pub u8);

impl LinkId {
    /// The link that `[correlation]` is: the documented query.
    pub const QUERY: Self = Self(0);
}

/// What activities and alerts meet on: the correlation id, within a tenant and a link. An alert's key may have an empty correlation id; an
/// activity's never has, so such an alert matches nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Key {
    /// The Entra tenant id when tenants are told apart, else empty.
    pub tenant: Text,
    /// The link by which the two meet.
    pub link: LinkId,
    /// The correlation id; by the query `RawEventData.Data.cid` and `AlertType` by default.
    pub correlation_id: Text,
}

impl Key {
    /// Bytes of its texts.
    pub fn size(&self) -> usize {
        self.tenant.as_bytes().len() + self.correlation_id.as_bytes().len()
    }
}

/// Which alert: its `SystemAlertId`, within a tenant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct AlertId {
    /// The Entra tenant id when tenants are told apart, else empty.
    pub tenant: Text,
    /// `SystemAlertId`.
    pub system_alert_id: Text,
}

/// An alert as one link looks at it: it has a window, keys and answers of its own.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct LinkedAlert {
    /// Which alert.
    pub alert: AlertId,
    /// Which link.
    pub link: LinkId,
}

impl LinkedAlert {
    /// Returns the key that a correlation id of this alert makes.
    pub fn key(&self, correlation_id: &Text) -> Key {
        Key {
            tenant: self.alert.tenant.clone(),
            link: self.link,
            correlation_id: correlation_id.clone(),
        }
    }
}

/// Which activity: the SHA-256 of what identifies it. Re-deliveries have the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActivityId(pub [u8; 32]);

impl fmt::Debug for ActivityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Which version of an alert. The greater one counts: the later `TimeGenerated`, on a tie the greater hash of the canonical form, so that
/// the answer never depends on the order of arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Version {
    /// `TimeGenerated`.
    pub time_generated: EventTime,
    /// SHA-256 of the row's canonical form.
    pub hash: [u8; 32],
}

/// An activity that can join: it has a correlation id and a time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Activity<'a> {
    /// What it joins on: one key at least, by any number of links.
    pub keys: Vec<Key>,
    /// `RawEventData.CreationTime` by default.
    pub time: EventTime,
    /// Its identity.
    pub id: ActivityId,
    /// The CloudAppEvents row: one JSON object on one line.
    #[serde(borrow, with = "serde_bytes")]
    pub row: Cow<'a, [u8]>,
}

impl Activity<'_> {
    /// Bytes of its keys.
    pub fn keys_size(&self) -> usize {
        self.keys.iter().map(Key::size).sum()
    }

    /// Returns the same with a row of its own.
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
    /// Which alert.
    pub id: AlertId,
    /// Which version of it.
    pub version: Version,
    /// What each link makes of it, in the order of their numbers.
    pub links: Vec<AlertLink>,
    /// The SecurityAlert row: one JSON object on one line.
    #[serde(borrow, with = "serde_bytes")]
    pub row: Cow<'a, [u8]>,
}

/// What a link makes of an alert.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AlertLink {
    /// Which link.
    pub link: LinkId,
    /// The event time it covers.
    pub window: Window,
    /// The correlation ids, in order, each once. By the query there is always one, which may be empty.
    pub keys: Vec<Text>,
}

impl Alert<'_> {
    /// Returns what the query makes of it.
    pub fn query(&self) -> Option<&AlertLink> {
        self.links.iter().find(|link| link.link == LinkId::QUERY)
    }

    /// Bytes of its keys, with their tenant.
    pub fn keys_size(&self) -> usize {
        let keys = self.links.iter().flat_map(|link| &link.keys);
        let tenant = self.id.tenant.as_bytes().len();
        keys.map(|key| tenant + key.as_bytes().len()).sum()
    }

    /// Returns the same with a row of its own.
    pub fn into_owned(self) -> Alert<'static> {
        Alert {
            id: self.id,
            version: self.version,
            links: self.links,
            row: Cow::Owned(self.row.into_owned()),
        }
    }
}
