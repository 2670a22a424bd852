//! Decodes the bytes of a message into what the join needs.
//!
//! [`Decoder::decode`] splits a message into records, determines what each record is, and reads the few fields that
//! matter. Rows keep their bytes. Every input byte passes through this module, so it stops as soon as it knows that a
//! record does not join: after the table name for other tables, and after the time for activities without a correlation
//! id.
//!
//! There are two paths. `message` reads the forms in which the vendor delivers records. Everything else takes the slow
//! path: `body` (compressed, or in UTF-16), `wrapper` (records in lists, objects, strings, exports and responses), and
//! `broken` (several texts in one message, and broken records).
//!
//! Nothing here fails, blocks, keeps state or reads a clock. A record that cannot be used becomes a [`Reject`], which
//! is ordinary data; its error text contains nothing of the record's content. Hostile messages cost time and memory
//! linear in their length, and a limited amount of stack whatever their depth. [`Index::read`] has accepted every text
//! over which [`json`](crate::json) iterates.

mod activity;
mod alert;
mod audit;
mod body;
mod broken;
mod key;
mod message;
mod path;
mod reject;
mod response;
mod settings;
mod value;
mod wrapper;

use std::borrow::Cow;

use sha2::{Digest, Sha256};

pub use key::{Coding, Condition, KeyEntry, KeyPath, MAX_KEYS, Pattern, null_word};
pub use path::{Path, PathError, Segment};
pub use reject::{Reason, Reject};
pub use settings::{AlertColumns, Identity, Ignore, Link, QUERY, Settings, Tenants};
pub use value::parse_time;

use crate::json::{Cursor, Index, MAX_DEPTH, TooDeep, depth};
use crate::record::{Activity, ActivityId, Alert, Text};
use crate::time::EventTime;
use activity::ActivityReader;
use alert::AlertReader;
use message::{Class, Form, InputTable, Record, Records, TableRow, classify};
use reject::Fault;
use value::Room;
use wrapper::{FoundRecords, Ignored, Leaf, Opener, What};

/// A reader of messages with the given settings.
pub struct Decoder {
    activities: ActivityReader,
    alerts: AlertReader,
    ignored: Ignored,
    tenants: Option<Tenants>,
    limit: Option<usize>,
    index: Index,
    room: Room,
}

/// A record of a message, or the message itself if it cannot be split.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item<'a> {
    /// The position in the batch; 0 for a message that is one record or cannot be split.
    pub index: usize,
    /// The `tenantId` of the envelope around a row of our two tables, if the envelope has one.
    pub entra_tenant: Option<Cow<'a, str>>,
    /// The number of links by which the record has more than [`MAX_KEYS`] keys. By each of them, only the first keys
    /// in the order of their bytes count.
    pub cut_keys: u32,
    /// What the record is.
    pub what: Decoded<'a>,
}

/// What a record is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decoded<'a> {
    /// An activity that can join.
    Activity(Activity<'a>),
    /// An activity without a correlation id. It joins nothing, but its time moves the watermark.
    Unkeyed {
        /// The time of the activity, if it is valid.
        time: Option<EventTime>,
    },
    /// An activity whose `RawEventData` is not a JSON object, because it was truncated or flattened. It is treated like
    /// an activity without a correlation id.
    Unreadable {
        /// The time of the row, if it is valid.
        time: Option<EventTime>,
    },
    /// A version of an alert.
    Alert(Alert<'a>),
    /// A record of the table with this name, which is not one of ours. The name is `unnamed` for a row of a union of
    /// tables that has no value in any column of our tables.
    OtherTable(Cow<'a, str>),
    /// A record of no known form that matches `[[input.ignore]]`.
    Ignored,
    /// A message without a value.
    Tombstone,
    /// A record that cannot be used.
    Rejected(Reject<'a>),
}

impl Decoder {
    /// Creates a decoder with these settings.
    pub fn new(settings: Settings) -> Self {
        Self {
            activities: ActivityReader::new(&settings),
            alerts: AlertReader::new(&settings),
            ignored: Ignored::new(&settings.ignore),
            tenants: settings.tenants,
            limit: None,
            index: Index::default(),
            room: Room::default(),
        }
    }

    /// Sets the largest size of a record in the repartition topic, in bytes, including the few hundred bytes that are
    /// sent with it. Larger records are rejected as too large.
    #[must_use]
    pub fn with_limit(self, bytes: usize) -> Self {
        Self {
            limit: Some(bytes),
            ..self
        }
    }

    /// Leaves the dedup keys of activities as zeros, because they cost more than everything else in a record. All other
    /// results are the same, and the same records are rejected. [`Decoder::identity`] computes the dedup keys later,
    /// for the rows that turn out to matter.
    #[must_use]
    pub fn without_dedup_keys(mut self) -> Self {
        self.activities.anonymous = true;
        self
    }

    /// Returns the dedup key of an activity that was decoded before, given its tenant and its row. Returns `None` if
    /// the row is not an activity.
    pub fn identity(&mut self, tenant: &Text, row: &[u8]) -> Option<ActivityId> {
        let tenant = std::str::from_utf8(tenant.as_bytes()).ok()?;
        let mut index = std::mem::take(&mut self.index);
        let id = match simdutf8::basic::from_utf8(row).is_ok() && index.read(row).is_ok() {
            true => {
                let start = Cursor::indexed(row, &index);
                self.activities.identity(&start, tenant, &mut self.room)
            }
            false => None,
        };
        self.index = index;
        id
    }

    /// Calls `each` with every record of a Kafka message's value, in order. An empty batch has no records.
    pub fn decode<'a>(&mut self, message: Option<&'a [u8]>, each: &mut dyn FnMut(Item<'a>)) {
        let whole = |what| Item {
            index: 0,
            entra_tenant: None,
            cut_keys: 0,
            what,
        };
        let message = message.unwrap_or_default();
        if message.is_empty() {
            return each(whole(Decoded::Tombstone));
        }
        // The index is taken out of the decoder, so that the decoder can be borrowed while the index is read.
        let mut index = std::mem::take(&mut self.index);
        let mut place = 0;
        match message::split(message, &mut index) {
            Ok(Records::One(record)) => self.record(&record, &mut place, each),
            Ok(Records::Batch(records)) => records.for_each(|record| self.record(&record, &mut place, each)),
            Err(_) => self.other_message(message, each),
        }
        self.index = index;
    }

    /// Reads a record of a message that could be split. Its position is `place`.
    fn record<'a>(&mut self, record: &Record<'_, 'a>, place: &mut usize, each: &mut dyn FnMut(Item<'a>)) {
        let (what, entra_tenant) = match classify(record) {
            Class::OtherTable(table) => (Ok(Decoded::OtherTable(table)), None),
            Class::Row(row) => (
                self.row(&row).and_then(|decoded| self.fitting(decoded)),
                row.form.entra_tenant(),
            ),
            Class::Wrapped { .. } | Class::Unknown(_) => {
                let mut leaves = Vec::new();
                let mut opener = self.opener();
                if opener.value(&record.start, 0, &mut leaves) == FoundRecords::Nothing {
                    leaves = vec![Leaf::unusable(record.json, opener.unknown(&record.start))];
                }
                for leaf in leaves {
                    each(self.leaf(*place, leaf));
                    *place += 1;
                }
                return;
            }
        };
        each(Item {
            index: *place,
            entra_tenant,
            cut_keys: std::mem::take(&mut self.room.cut_keys),
            what: what.unwrap_or_else(|fault| Decoded::Rejected(reject(fault, record.json))),
        });
        *place += 1;
    }

    /// Reads a message that is not one JSON text in UTF-8.
    fn other_message<'a>(&mut self, message: &'a [u8], each: &mut dyn FnMut(Item<'a>)) {
        let whole = |fault: Fault| Item {
            index: 0,
            entra_tenant: None,
            cut_keys: 0,
            what: Decoded::Rejected(fault.reject(message)),
        };
        let body = match body::decode_base_64(message) {
            Some(text) => Ok(Some(text)),
            None => body::open(message),
        };
        match body {
            Ok(Some(text)) => self.opened(&text, &mut |item| {
                // If nothing can be read, the dead-letter record contains the bytes as they were received.
                let is_all = matches!(&item.what, Decoded::Rejected(reject) if *reject.bytes == *text);
                match (is_all, item.what) {
                    (true, Decoded::Rejected(reject)) => each(whole(Fault::new(reject.reason, reject.error))),
                    (_, what) => each(Item { what, ..item }.into_owned()),
                }
            }),
            Ok(None) => self.opened(message, each),
            Err(fault) => each(whole(fault)),
        }
    }

    /// Reads a text with a byte order mark or a syslog header, several texts, or a broken text.
    fn opened<'a>(&mut self, text: &'a [u8], each: &mut dyn FnMut(Item<'a>)) {
        let unmarked = body::without_mark(text);
        let unmarked = body::behind_syslog(unmarked).unwrap_or(unmarked);
        let mut leaves = Vec::new();
        let mut opener = self.opener();
        let mut found = match simdutf8::basic::from_utf8(unmarked) {
            Ok(_) => opener.text(unmarked, 0, &mut leaves),
            Err(_) => FoundRecords::Nothing,
        };
        if found == FoundRecords::Nothing {
            leaves.clear();
            found = broken::take_apart(&mut opener, unmarked, 0, &mut leaves);
        }
        if found == FoundRecords::Nothing {
            leaves = vec![Leaf::unusable(text, message::fault(unmarked))];
        }
        for (place, leaf) in leaves.into_iter().enumerate() {
            each(self.leaf(place, leaf));
        }
    }

    fn opener(&mut self) -> Opener<'_> {
        Opener {
            alerts: &self.alerts,
            ignored: &self.ignored,
            room: &mut self.room,
            is_cut: false,
        }
    }

    /// Reads a record that was in a wrapper.
    fn leaf<'a>(&mut self, index: usize, leaf: Leaf<'a>) -> Item<'a> {
        let Leaf { record, what } = leaf;
        let (decoded, entra_tenant) = match what {
            What::OtherTable(table) => (Ok(Decoded::OtherTable(table)), None),
            What::Ignored => (Ok(Decoded::Ignored), None),
            What::Unusable(fault) => (Err(fault), None),
            What::Row { table, row, form } => {
                let decoded = match row {
                    Cow::Borrowed(row) => self.row_of(table, row, &form),
                    Cow::Owned(row) => self.row_of(table, &row, &form).map(Decoded::into_owned),
                };
                (decoded, form.entra_tenant())
            }
        };
        Item {
            index,
            entra_tenant,
            cut_keys: std::mem::take(&mut self.room.cut_keys),
            what: decoded.unwrap_or_else(|fault| Decoded::Rejected(reject(fault, record))),
        }
    }

    fn row_of<'a>(&mut self, table: InputTable, text: &'a [u8], form: &Form<'a>) -> Result<Decoded<'a>, Fault> {
        let mut index = Index::default();
        // The row comes from a text that was validated before, so this succeeds.
        index
            .read(text)
            .map_err(|_| Fault::new(Reason::InvalidJson, "the record is not JSON"))?;
        let row = TableRow {
            table,
            start: Cursor::indexed(text, &index),
            form: form.clone(),
        };
        self.row(&row).and_then(|decoded| self.fitting(decoded))
    }

    fn row<'a>(&mut self, row: &TableRow<'_, 'a>) -> Result<Decoded<'a>, Fault> {
        let tenant = tenant(self.tenants.as_ref(), &row.form)?;
        let room = &mut self.room;
        match row.table {
            InputTable::CloudAppEvents => self.activities.read(&row.start, tenant, room),
            InputTable::SecurityAlert => self.alerts.read(&row.start, tenant, room).map(Decoded::Alert),
        }
    }

    /// Returns the record, or a fault if it is too large. The check comes before anything is sent, because an alert
    /// version is sent to several partitions and must not be too large for only one of them.
    fn fitting<'a>(&self, decoded: Decoded<'a>) -> Result<Decoded<'a>, Fault> {
        /// The bytes of the dedup key, times and lengths, and the overhead of Kafka's record format.
        const BESIDE: usize = 512;
        /// The bytes of a further link: a window, a deadline, and the numbers of the link and its keys.
        const LINK: usize = 64;
        let bytes = match &decoded {
            // A key is part of the record, and may also be its Kafka key.
            Decoded::Activity(activity) => activity.row.len() + 2 * activity.keys_size(),
            Decoded::Alert(alert) => {
                let more_links = alert.links.len().saturating_sub(1);
                alert.row.len() + 2 * alert.keys_size() + alert.id.system_alert_id.as_bytes().len() + more_links * LINK
            }
            _ => 0,
        };
        match self.limit {
            Some(limit) if bytes + BESIDE > limit => Err(Fault::new(
                Reason::TooLarge,
                format!("the record takes {bytes} bytes in the repartition topic, more than message.max.bytes ({limit}) allows"),
            )),
            _ => Ok(decoded),
        }
    }
}

/// Returns the listed tenant to which the row belongs, or the empty string if tenants are not distinguished.
fn tenant<'t>(tenants: Option<&'t Tenants>, form: &Form<'_>) -> Result<&'t str, Fault> {
    let Some(tenants) = tenants else {
        return Ok("");
    };
    let (listed, error) = match form {
        Form::Enveloped { entra_tenant: None } => (
            None,
            "the record names no Entra tenant, in an envelope's tenantId or an audit record's OrganizationId, and [tenants] needs one",
        ),
        Form::Enveloped { entra_tenant } => (
            entra_tenant.as_deref().and_then(|id| tenants.with_entra_id(id)),
            "the envelope's tenantId is none of the Entra tenant ids listed in [tenants]",
        ),
        Form::Bare { workspace: None } => (
            None,
            "the row has no TenantId, so it belongs to none of the workspaces listed in [tenants]",
        ),
        Form::Bare { workspace } => (
            workspace.as_deref().and_then(|id| tenants.with_workspace_id(id)),
            "the row's TenantId is none of the workspace ids listed in [tenants]",
        ),
    };
    listed.ok_or_else(|| Fault::new(Reason::UnknownTenant, error))
}

/// Returns the reject of a record.
fn reject<'a>(fault: Fault, record: impl Into<Cow<'a, [u8]>>) -> Reject<'a> {
    let record = record.into();
    // Excessive depth is reported first. Any other fault is reported when the record is sent again with less depth.
    let fault = match fault.reason != Reason::InvalidJson && depth(&record) > MAX_DEPTH {
        true => Fault::from(TooDeep),
        false => fault,
    };
    fault.reject(record)
}

impl Item<'_> {
    /// Returns the same item without a borrow of the message.
    fn into_owned(self) -> Item<'static> {
        Item {
            index: self.index,
            entra_tenant: self.entra_tenant.map(|tenant| Cow::Owned(tenant.into_owned())),
            cut_keys: self.cut_keys,
            what: self.what.into_owned(),
        }
    }
}

impl Decoded<'_> {
    fn into_owned(self) -> Decoded<'static> {
        match self {
            Self::Activity(activity) => Decoded::Activity(activity.into_owned()),
            Self::Unkeyed { time } => Decoded::Unkeyed { time },
            Self::Unreadable { time } => Decoded::Unreadable { time },
            Self::Alert(alert) => Decoded::Alert(alert.into_owned()),
            Self::OtherTable(table) => Decoded::OtherTable(Cow::Owned(table.into_owned())),
            Self::Ignored => Decoded::Ignored,
            Self::Tombstone => Decoded::Tombstone,
            Self::Rejected(reject) => Decoded::Rejected(reject.into_owned()),
        }
    }
}

/// Returns the bytes of each record of a message. Returns `None` if the message is not one JSON text in UTF-8 and
/// therefore cannot be split here.
pub fn records(message: &[u8]) -> Option<Vec<&[u8]>> {
    Some(match message::split(message, &mut Index::default()).ok()? {
        Records::One(record) => vec![record.json],
        Records::Batch(records) => records.map(|record| record.json).collect(),
    })
}

/// Returns whether the service adds this column during delivery, so that it does not belong to the content of the row.
fn is_service_column(name: &[u8]) -> bool {
    matches!(name, b"Type" | b"TenantId" | b"SourceSystem") || name.starts_with(b"_")
}

/// Returns the SHA-256 of the canonical form of a row without the columns that `skip` selects.
fn content_hash(row: Cursor<'_, '_>, skip: &dyn Fn(&[u8]) -> bool, room: &mut Room) -> Result<[u8; 32], TooDeep> {
    Ok(Sha256::digest(room.canonical.form(row, skip)?).into())
}

#[cfg(test)]
mod tests;
