//! Splits a message into records, and determines from its form what each record is: a row of one of our tables in an
//! envelope or without one, a row of another table, or something that only the slow path can read.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::reject::{Fault, Reason};
use super::value::{has_content, string, unicode};
use crate::json::{Cursor, Index, NotJson, unescape};

/// The records of a message.
pub(super) enum Records<'i, 'a> {
    /// The message is one record.
    One(Record<'i, 'a>),
    /// The message is a list of records.
    Batch(ListedRecords<'i, 'a>),
}

/// A record of a message.
pub(super) struct Record<'i, 'a> {
    /// Its JSON text as it is in the message, or the whole message if the message is one record.
    pub(super) json: &'a [u8],
    /// The beginning of the record.
    pub(super) start: Cursor<'i, 'a>,
    /// The fields that determine what the record is; `None` if it is not an object.
    pub(super) fields: Option<Fields<'i, 'a>>,
}

impl<'i, 'a> Record<'i, 'a> {
    /// Reads the value at `start`.
    pub(super) fn at(start: &Cursor<'i, 'a>) -> Self {
        Self::read(&mut start.clone())
    }

    /// Reads the next value and moves the cursor after it.
    // Every record of a batch is read here, and a function call for each would make decoding one percent slower.
    #[inline(always)]
    fn read(cursor: &mut Cursor<'i, 'a>) -> Self {
        let start = cursor.clone();
        let mut fields = None;
        let json = cursor.across(|cursor| {
            if cursor.enter(b'{') {
                fields = Some(Fields::read(cursor));
            } else {
                cursor.value();
            }
        });
        Self { json, start, fields }
    }
}

/// The records of a list, which are read one by one during iteration.
pub(super) struct ListedRecords<'i, 'a>(Cursor<'i, 'a>);

impl<'i, 'a> Iterator for ListedRecords<'i, 'a> {
    type Item = Record<'i, 'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.has_element().then(|| Record::read(&mut self.0))
    }
}

/// Splits a message: a batch `{"records":[…]}`, an array, or one record. Afterwards `index` contains the structure of
/// the message.
///
/// This is the only validation of the bytes: everything after it is valid JSON in valid UTF-8. It is iterative, so that
/// depth costs nothing.
pub(super) fn split<'i, 'a>(message: &'a [u8], index: &'i mut Index) -> Result<Records<'i, 'a>, NotJson> {
    if simdutf8::basic::from_utf8(message).is_err() || index.read(message).is_err() {
        return Err(NotJson);
    }
    let start = Cursor::indexed(message, index);
    let mut cursor = start.clone();
    if cursor.enter(b'[') {
        return Ok(Records::Batch(ListedRecords(cursor)));
    }
    let fields = cursor.enter(b'{').then(|| Fields::read(&mut cursor));
    if let Some(mut list) = fields.as_ref().and_then(|fields| fields.records.clone())
        && list.enter(b'[')
    {
        return Ok(Records::Batch(ListedRecords(list)));
    }
    Ok(Records::One(Record {
        json: message,
        start,
        fields,
    }))
}

/// Returns what is wrong with a message that is not JSON in UTF-8. Parses it again with slower parsers, which report
/// the position.
pub(super) fn fault(message: &[u8]) -> Fault {
    Fault::new(
        Reason::InvalidJson,
        match std::str::from_utf8(message).map(serde_json::from_str::<IgnoredAny>) {
            Err(error) => format!("the message is not UTF-8 from byte {} on", error.valid_up_to()),
            Ok(Err(error)) => format!("the message is not JSON: {error}"),
            Ok(Ok(_)) => "the message is not JSON".to_owned(),
        },
    )
}

/// What a record is, determined from its form only.
#[derive(Debug)]
pub(super) enum Class<'i, 'a> {
    /// A row of one of our tables.
    Row(TableRow<'i, 'a>),
    /// A record of the table with this name, which is not one of ours.
    OtherTable(Cow<'a, str>),
    /// A record in an envelope of one of our tables whose `properties` are not an object, but may contain one.
    Wrapped {
        table: InputTable,
        /// The beginning of the properties.
        properties: Cursor<'i, 'a>,
        form: Form<'a>,
    },
    /// A record of no known form, and the reason.
    Unknown(&'static str),
}

/// The table name that is counted for a row that names no table and whose columns of our tables have no value. A union
/// of several tables contains such rows.
const UNNAMED: &str = "unnamed";

/// The two tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum InputTable {
    CloudAppEvents,
    SecurityAlert,
}

/// A row of one of our tables.
#[derive(Debug)]
pub(super) struct TableRow<'i, 'a> {
    pub(super) table: InputTable,
    /// The beginning of the row, which is an object.
    pub(super) start: Cursor<'i, 'a>,
    pub(super) form: Form<'a>,
}

/// The form in which a row was delivered. It determines which field names the row's tenant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Form<'a> {
    /// In a streaming envelope with its `tenantId`, which is an Entra tenant id.
    Enveloped { entra_tenant: Option<Cow<'a, str>> },
    /// Without an envelope, with its own `TenantId`, which is a Log Analytics workspace id.
    Bare { workspace: Option<Cow<'a, str>> },
}

impl<'a> Form<'a> {
    /// Returns the same form with owned strings.
    pub(super) fn into_owned(self) -> Form<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Self::Enveloped { entra_tenant } => Form::Enveloped {
                entra_tenant: entra_tenant.map(owned),
            },
            Self::Bare { workspace } => Form::Bare {
                workspace: workspace.map(owned),
            },
        }
    }

    /// Returns the tenant that the envelope names.
    pub(super) fn entra_tenant(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Enveloped { entra_tenant } => entra_tenant,
            Self::Bare { .. } => None,
        }
    }
}

/// The prefix of the table name of an advanced hunting row in an envelope's `category`.
const ADVANCED_HUNTING: &str = "AdvancedHunting-";

/// Returns what a record is. Names of tables are compared exactly, including their case. A column identifies a table
/// only by its value, which must not be null or the empty string.
pub(super) fn classify<'i, 'a>(record: &Record<'i, 'a>) -> Class<'i, 'a> {
    let Some(fields) = &record.fields else {
        return Class::Unknown("the record is no object");
    };
    let named = |value: &'a [u8]| string(value).filter(|name| !name.is_empty());
    let category = fields.category.and_then(named);
    if let Some(table) = category.as_ref().and_then(|category| after_prefix(category)) {
        return fields.enveloped(table);
    }
    let bare = |table| {
        Class::Row(TableRow {
            table,
            start: record.start.clone(),
            form: Form::Bare {
                workspace: fields.workspace(),
            },
        })
    };
    if let Some(table) = fields.table.and_then(named) {
        return match our_table(&table) {
            Some(table) => bare(table),
            None => Class::OtherTable(table),
        };
    }
    match category {
        Some(category) if fields.properties.is_some() => Class::OtherTable(category),
        _ if fields.has_system_alert_id => bare(InputTable::SecurityAlert),
        _ if fields.has_raw_event_data => bare(InputTable::CloudAppEvents),
        // An alert without an id becomes a dead-letter record. It is not a row of another table.
        _ if fields.has_empty_column && fields.has_alert_type => bare(InputTable::SecurityAlert),
        _ if fields.has_empty_column => Class::OtherTable(Cow::Borrowed(UNNAMED)),
        _ => Class::Unknown("the record is no envelope, and no row of a known table"),
    }
}

fn our_table(name: &str) -> Option<InputTable> {
    match name {
        "CloudAppEvents" => Some(InputTable::CloudAppEvents),
        "SecurityAlert" => Some(InputTable::SecurityAlert),
        _ => None,
    }
}

fn after_prefix<'a>(category: &Cow<'a, str>) -> Option<Cow<'a, str>> {
    match category {
        Cow::Borrowed(category) => category.strip_prefix(ADVANCED_HUNTING).map(Cow::Borrowed),
        Cow::Owned(category) => category
            .strip_prefix(ADVANCED_HUNTING)
            .map(|table| Cow::Owned(table.to_owned())),
    }
}

/// The fields of a record that determine what it is. If a name is repeated, the last field counts.
#[derive(Default)]
pub(super) struct Fields<'i, 'a> {
    /// The member `records`: the list of a batch, or a value of any other type.
    records: Option<Cursor<'i, 'a>>,
    category: Option<&'a [u8]>,
    properties: Option<Cursor<'i, 'a>>,
    entra_tenant: Option<&'a [u8]>,
    table: Option<&'a [u8]>,
    workspace: Option<&'a [u8]>,
    has_system_alert_id: bool,
    has_raw_event_data: bool,
    has_alert_type: bool,
    /// Whether `SystemAlertId` or `RawEventData` is present but empty.
    has_empty_column: bool,
}

impl<'i, 'a> Fields<'i, 'a> {
    /// Reads the fields of the object that `record` has entered, and moves `record` after the object.
    fn read(record: &mut Cursor<'i, 'a>) -> Self {
        let mut fields = Self::default();
        while let Some(key) = record.key() {
            let start = record.clone();
            let value = record.value();
            // Hardly any key contains an escape.
            match key.contains(&b'\\') {
                false => fields.set(key.get(1..key.len() - 1).unwrap_or_default(), value, start),
                true => fields.set(&unescape(key).unwrap_or_default(), value, start),
            }
        }
        fields
    }

    fn set(&mut self, name: &[u8], value: &'a [u8], start: Cursor<'i, 'a>) {
        match name {
            b"records" => self.records = Some(start),
            b"category" => self.category = Some(value),
            b"properties" => self.properties = Some(start),
            b"tenantId" => self.entra_tenant = Some(value),
            b"Type" => self.table = Some(value),
            b"TenantId" => self.workspace = Some(value),
            b"SystemAlertId" => self.has_system_alert_id = self.has_value(value),
            b"RawEventData" => self.has_raw_event_data = self.has_value(value),
            b"AlertType" => self.has_alert_type = has_content(value),
            _ => {}
        }
    }

    fn has_value(&mut self, value: &[u8]) -> bool {
        let has_content = has_content(value);
        self.has_empty_column |= !has_content;
        has_content
    }

    /// Returns the workspace id of a bare row.
    pub(super) fn workspace(&self) -> Option<Cow<'a, str>> {
        self.workspace.and_then(unicode)
    }

    /// Returns whether these are the fields of an envelope of the streaming API.
    pub(super) fn is_enveloped(&self) -> bool {
        self.properties.is_some() && self.category.is_some()
    }

    fn enveloped(&self, table: Cow<'a, str>) -> Class<'i, 'a> {
        let Some(ours) = our_table(&table) else {
            return Class::OtherTable(table);
        };
        let form = Form::Enveloped {
            entra_tenant: self.entra_tenant.and_then(unicode),
        };
        match self.properties.clone().map(|mut start| (start.peek(), start)) {
            Some((Some(b'{'), start)) => Class::Row(TableRow {
                table: ours,
                start,
                form,
            }),
            Some((_, properties)) => Class::Wrapped {
                table: ours,
                properties,
                form,
            },
            None => Class::Unknown("the envelope has no properties"),
        }
    }
}
