use std::borrow::Cow;

use super::message::Record;
use super::value::{string, unicode};
use crate::json::{Cursor, unescape};

/// What a record is, determined from its form only.
#[derive(Debug)]
pub(super) enum Class<'i, 'a> {
    /// A row of one of our tables.
    Row(Row<'i, 'a>),
    /// A record of the table with this name, which is not one of ours.
    OtherTable(Cow<'a, str>),
    /// A record in an envelope of one of our tables whose `properties` are not an object, but may contain one.
    Wrapped {
        table: Table,
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
pub(super) enum Table {
    CloudAppEvents,
    SecurityAlert,
}

/// A row of one of our tables.
#[derive(Debug)]
pub(super) struct Row<'i, 'a> {
    pub(super) table: Table,
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
        Class::Row(Row {
            table,
            start: record.start.clone(),
            form: Form::Bare {
                workspace: fields.workspace.and_then(unicode),
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
        _ if fields.has_system_alert_id => bare(Table::SecurityAlert),
        _ if fields.has_raw_event_data => bare(Table::CloudAppEvents),
        // An alert without an id becomes a dead-letter record. It is not a row of another table.
        _ if fields.has_empty_column && fields.has_alert_type => bare(Table::SecurityAlert),
        _ if fields.has_empty_column => Class::OtherTable(Cow::Borrowed(UNNAMED)),
        _ => Class::Unknown("the record is no envelope, and no row of a known table"),
    }
}

fn our_table(name: &str) -> Option<Table> {
    match name {
        "CloudAppEvents" => Some(Table::CloudAppEvents),
        "SecurityAlert" => Some(Table::SecurityAlert),
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
    pub(super) records: Option<Cursor<'i, 'a>>,
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
    pub(super) fn read(record: &mut Cursor<'i, 'a>) -> Self {
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
            b"AlertType" => self.has_alert_type = says_something(value),
            _ => {}
        }
    }

    fn has_value(&mut self, value: &[u8]) -> bool {
        let says = says_something(value);
        self.has_empty_column |= !says;
        says
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
            Some((Some(b'{'), start)) => Class::Row(Row {
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

/// Returns whether the value of a column is neither null nor the empty string.
pub(super) fn says_something(value: &[u8]) -> bool {
    !matches!(value, b"null" | b"\"\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(record: &[u8]) -> Class<'_, '_> {
        let mut cursor = Cursor::new(record);
        super::classify(&Record {
            json: record,
            start: cursor.clone(),
            fields: cursor.enter(b'{').then(|| Fields::read(&mut cursor)),
        })
    }

    fn other(record: &str) -> Option<String> {
        match classify(record.as_bytes()) {
            Class::OtherTable(table) => Some(table.into_owned()),
            _ => None,
        }
    }

    /// Returns the table, the text and the form of a row.
    fn row(record: &str) -> (Table, String, Form<'_>) {
        match classify(record.as_bytes()) {
            Class::Row(Row { table, mut start, form }) => (table, String::from_utf8(start.value().to_vec()).unwrap(), form),
            other => panic!("{record}: {other:?}"),
        }
    }

    #[test]
    fn envelopes_of_our_tables_are_opened() {
        for (name, table) in [
            ("CloudAppEvents", Table::CloudAppEvents),
            ("SecurityAlert", Table::SecurityAlert),
        ] {
            let record = format!(
                r#"{{"time":"","tenantId":"t","category":"AdvancedHunting-{name}","properties": {{"a":1}} ,"Type":"X"}}"#
            );
            let form = Form::Enveloped {
                entra_tenant: Some(Cow::Borrowed("t")),
            };
            assert_eq!(row(&record), (table, "{\"a\":1}".to_owned(), form));
        }
        let (table, json, _) = row(r#"{"\u0063ategory":"\u0041dvancedHunting-CloudAppEvents","properties":{}}"#);
        assert_eq!((table, json.as_str()), (Table::CloudAppEvents, "{}"));
    }

    #[test]
    fn an_envelope_of_ours_needs_properties() {
        let record =
            |properties: &str| format!(r#"{{"RawEventData":{{}},"category":"AdvancedHunting-CloudAppEvents"{properties}}}"#);
        assert!(matches!(classify(record("").as_bytes()), Class::Unknown(_)));
        for properties in [
            ",\"properties\":null",
            ",\"properties\":\"{}\"",
            ",\"properties\":[{}]",
            ",\"properties\":{},\"properties\":1",
        ] {
            assert!(
                matches!(classify(record(properties).as_bytes()), Class::Wrapped { .. }),
                "{properties}"
            );
        }
    }

    #[test]
    fn rows_are_told_by_their_type_or_by_a_column() {
        for (record, table, workspace) in [
            (
                r#"{"Type":"CloudAppEvents","SystemAlertId":"x","TenantId":"w"}"#,
                Table::CloudAppEvents,
                Some("w"),
            ),
            (r#"{"Type":"SecurityAlert","RawEventData":{}}"#, Table::SecurityAlert, None),
            (r#"{"RawEventData":null,"SystemAlertId":1}"#, Table::SecurityAlert, None),
            (
                r#"{"RawEventData":null,"SystemAlertId":"","AlertType":"t"}"#,
                Table::SecurityAlert,
                None,
            ),
            (
                r#"{"RawEventData":{},"SystemAlertId":null,"TenantId":""}"#,
                Table::CloudAppEvents,
                None,
            ),
            (
                r#"{"RawEventData":"{}","SystemAlertId":"","Type":"","category":""}"#,
                Table::CloudAppEvents,
                None,
            ),
            (
                r#"{"SystemAlertId":"x","RawEventData":"","properties":{},"category":""}"#,
                Table::SecurityAlert,
                None,
            ),
            (r#"{"RawEventData":{},"Type":1,"category":"x"}"#, Table::CloudAppEvents, None),
            (
                r#"{"RawEventData":{},"properties":{},"category":null}"#,
                Table::CloudAppEvents,
                None,
            ),
            (
                r#"{"Type":"X","Type":"SecurityAlert","TenantId":"v","TenantId":"w"}"#,
                Table::SecurityAlert,
                Some("w"),
            ),
        ] {
            let workspace = workspace.map(Cow::Borrowed);
            assert_eq!(
                row(&format!(" {record}\n")),
                (table, record.to_owned(), Form::Bare { workspace }),
                "{record}"
            );
        }
    }

    #[test]
    fn other_tables_are_named() {
        for (record, table) in [
            (
                r#"{"category":"AdvancedHunting-CloudAppEventsV2","properties":{}}"#,
                "CloudAppEventsV2",
            ),
            (r#"{"category":"AdvancedHunting-cloudappevents"}"#, "cloudappevents"),
            (
                r#"{"category":"AdvancedHunting-DeviceInfo","Type":"SecurityAlert","SystemAlertId":"x"}"#,
                "DeviceInfo",
            ),
            (
                r#"{"Type":"securityalert","SystemAlertId":"x","RawEventData":{}}"#,
                "securityalert",
            ),
            (r#"{"Type":"SignIn\u004cogs"}"#, "SignInLogs"),
            (r#"{"RawEventData":null,"SystemAlertId":"","DeviceName":"d"}"#, "unnamed"),
            (r#"{"RawEventData":null}"#, "unnamed"),
            (
                r#"{"category":"AuditLogs","properties":null,"RawEventData":{},"SystemAlertId":"x"}"#,
                "AuditLogs",
            ),
        ] {
            assert_eq!(other(record).as_deref(), Some(table), "{record}");
        }
    }

    #[test]
    fn the_rest_is_unknown() {
        for record in [
            "null",
            "1",
            "\"{}\"",
            "[]",
            "[{\"Type\":\"SecurityAlert\"}]",
            "{}",
            "{\"category\":\"AuditLogs\"}",
            "{\"type\":\"SecurityAlert\"}",
        ] {
            assert!(matches!(classify(record.as_bytes()), Class::Unknown(_)), "{record}");
        }
    }
}
