//! The parts of a row that the comparison keeps: hashes, and the fields that a person needs to find the row.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::decode::parse_time;
use crate::emit::{self, Links};
use crate::join;
use crate::json;
use crate::record::{AlertId, LinkId, LinkedAlert, Text};
use crate::time::EventTime;

/// A link that the configuration does not have. The number is larger than that of any configured link.
pub(super) const UNKNOWN_LINK: LinkId = LinkId(u8::MAX);

/// 128 bits of a SHA-256.
pub(super) type Hash = u128;

/// A row that is expected.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct ExpectedRow {
    pub(super) id: u128,
    pub(super) alert: LinkedAlert,
    /// The correlation id of the key that the alert and the activity have in common.
    pub(super) correlation_id: Text,
    pub(super) time: EventTime,
    /// The hash of everything except the two rows.
    pub(super) fields: Hash,
    /// The dedup key of the activity.
    pub(super) activity_id: [u8; 32],
    /// The hash of the activity's row.
    pub(super) activity: Hash,
    /// The hash of the alert's row, in the version that counts in the end.
    pub(super) version: Hash,
    /// Whether the record is larger than the broker accepts, even with its alert cut.
    pub(super) too_large: bool,
}

/// A record of a row in the output.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct OutputRow {
    pub(super) id: u128,
    pub(super) seq: i64,
    pub(super) alert: LinkedAlert,
    pub(super) correlation_id: Text,
    pub(super) time: EventTime,
    pub(super) fields: Hash,
    /// The rows; `None` if the record is a delete.
    pub(super) rows: Option<RowHashes>,
}

/// The rows in a record of the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct RowHashes {
    pub(super) activity: Hash,
    /// The hash of the alert's row; `None` if it was cut.
    pub(super) version: Option<Hash>,
}

/// The kind of a record of the output topic.
#[derive(Debug)]
pub(super) enum OutputValue {
    Row(OutputRow),
    Summary,
}

/// Hashes rows. A row that is the same as the previous one is hashed once, as the alert is in the rows of one alert.
#[derive(Default)]
pub(super) struct Hasher {
    last: Option<(Vec<u8>, Hash)>,
}

impl Hasher {
    pub(super) fn hash_row(&mut self, row: &[u8]) -> Hash {
        if let Some((last, hash)) = &self.last
            && last == row
        {
            return *hash;
        }
        let hash = hash([row]);
        self.last = Some((row.to_vec(), hash));
        hash
    }
}

/// Returns the hash of these parts. Their lengths are hashed too, so that different divisions have different hashes.
pub(super) fn hash<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Hash {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    first_half(&hash.finalize())
}

/// Returns the hash of an alert by one link, by which it is looked up.
pub(super) fn alert_hash(alert: &LinkedAlert) -> Hash {
    let LinkedAlert { alert, link } = alert;
    hash([
        b"alert".as_slice(),
        alert.tenant.as_bytes(),
        alert.system_alert_id.as_bytes(),
        &[link.0],
    ])
}

fn first_half(digest: &[u8]) -> Hash {
    let first = digest.first_chunk().copied().unwrap_or_default();
    u128::from_be_bytes(first)
}

fn fields(alert: &LinkedAlert, correlation_id: &[u8], time: EventTime) -> Hash {
    let ticks = time.ticks().to_be_bytes();
    hash([
        alert.alert.tenant.as_bytes(),
        alert.alert.system_alert_id.as_bytes(),
        &[alert.link.0],
        correlation_id,
        ticks.as_slice(),
    ])
}

impl ExpectedRow {
    /// Creates the expected row from one that the join emitted; `None` for a retraction.
    pub(super) fn from_join(row: &join::Row, too_large: bool, links: &Links, alerts: &mut Hasher) -> Option<Self> {
        let (alert, activity) = row.rows.as_ref()?;
        let linked = LinkedAlert {
            alert: row.alert.clone(),
            link: row.key.link,
        };
        Some(Self {
            id: emit::pair_number(&row.alert, &row.key, row.activity, links),
            time: row.time,
            fields: fields(&linked, row.key.correlation_id.as_bytes(), row.time),
            alert: linked,
            correlation_id: row.key.correlation_id.clone(),
            activity_id: row.activity.0,
            activity: hash([&**activity]),
            version: alerts.hash_row(alert),
            too_large,
        })
    }
}

/// The fields that are read from a record in the format `alerttrail/1`. Texts are kept as they are spelled, because
/// they may contain escapes that cannot be UTF-8.
#[derive(Deserialize)]
struct Native<'a> {
    #[serde(borrow)]
    schema: Cow<'a, str>,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    seq: i64,
    #[serde(borrow, default)]
    tenant_id: Option<&'a RawValue>,
    #[serde(borrow)]
    system_alert_id: &'a RawValue,
    #[serde(borrow)]
    correlation_id: &'a RawValue,
    /// The name of the link. Records of a former version do not have it; they belong to the query.
    #[serde(borrow, default)]
    link: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    activity_time: Option<Cow<'a, str>>,
    #[serde(default)]
    truncated: Vec<String>,
    #[serde(borrow, default)]
    alert: Option<&'a RawValue>,
    #[serde(borrow, default)]
    activity: Option<&'a RawValue>,
}

/// Parses the value of a record of the output topic. Returns `None` if this program does not write such records there.
pub(super) fn parse(value: &[u8], links: &Links, alerts: &mut Hasher) -> Option<OutputValue> {
    let native: Native<'_> = serde_json::from_slice(value).ok()?;
    if native.schema != "alerttrail/1" {
        return None;
    }
    if native.kind == "alert" {
        return Some(OutputValue::Summary);
    }
    let text = |literal: &RawValue| Some(json::unescape(literal.get().as_bytes())?.into_owned());
    let link = match native.link.as_deref() {
        None => LinkId::QUERY,
        Some(name) => links.named(name).unwrap_or(UNKNOWN_LINK),
    };
    let alert = AlertId {
        tenant: Text::from(native.tenant_id.map_or_else(|| Some(Vec::new()), text)?),
        system_alert_id: Text::from(text(native.system_alert_id)?),
    };
    let alert = LinkedAlert { alert, link };
    let correlation_id = text(native.correlation_id)?;
    let time = parse_time(&native.activity_time?)?;
    let rows = match &*native.op {
        "delete" => None,
        "upsert" => Some(RowHashes {
            activity: hash([native.activity?.get().as_bytes()]),
            version: match native.truncated.iter().any(|name| name == "alert") {
                true => None,
                false => Some(alerts.hash_row(native.alert?.get().as_bytes())),
            },
        }),
        _ => return None,
    };
    let is_valid_id = native.kind == "activity" && native.id.len() == 32;
    Some(OutputValue::Row(OutputRow {
        id: u128::from_str_radix(&native.id, 16).ok().filter(|_| is_valid_id)?,
        seq: native.seq,
        fields: fields(&alert, &correlation_id, time),
        correlation_id: Text::from(correlation_id),
        alert,
        time,
        rows,
    }))
}
