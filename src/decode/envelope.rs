use std::borrow::Cow;

use super::message::Record;
use super::value::{string, unicode};
use crate::json::Cursor;

/// What a record is, by its form alone.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Class<'a> {
    /// A row of one of our tables.
    Row(Row<'a>),
    /// A record of the table of this name, which is not ours.
    OtherTable(Cow<'a, str>),
    /// A record of no known form, and in what it is none.
    Unknown(&'static str),
}

/// The two tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Table {
    CloudAppEvents,
    SecurityAlert,
}

/// A row of one of our tables.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Row<'a> {
    pub(super) table: Table,
    /// The row, an object, without white space around it.
    pub(super) json: &'a [u8],
    pub(super) form: Form<'a>,
}

/// How a row came, which decides whose it says it is.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Form<'a> {
    /// In a streaming envelope, with its `tenantId`: an Entra tenant id.
    Enveloped { entra_tenant: Option<Cow<'a, str>> },
    /// On its own, with its `TenantId`: a Log Analytics workspace id.
    Bare { workspace: Option<Cow<'a, str>> },
}

impl<'a> Form<'a> {
    /// The tenant that an envelope says.
    pub(super) fn entra_tenant(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Enveloped { entra_tenant } => entra_tenant,
            Self::Bare { .. } => None,
        }
    }
}

/// What the table of an advanced hunting row is preceded by in an envelope's `category`.
const ADVANCED_HUNTING: &str = "AdvancedHunting-";

/// Tells what a record is. Names of tables count exactly, in their case.
pub(super) fn classify<'a>(record: &Record<'a>) -> Class<'a> {
    let Some(fields) = &record.fields else {
        return Class::Unknown("the record is no object");
    };
    let category = fields.category.and_then(string);
    if let Some(table) = category.as_ref().and_then(|category| after_prefix(category)) {
        return fields.enveloped(table);
    }
    let bare = |table| {
        Class::Row(Row {
            table,
            json: record.json.trim_ascii(),
            form: Form::Bare {
                workspace: fields.workspace.and_then(unicode),
            },
        })
    };
    if let Some(table) = fields.table.and_then(string) {
        return match our_table(&table) {
            Some(table) => bare(table),
            None => Class::OtherTable(table),
        };
    }
    match category {
        Some(category) if fields.properties.is_some() => Class::OtherTable(category),
        _ if fields.has_system_alert_id => bare(Table::SecurityAlert),
        _ if fields.has_raw_event_data => bare(Table::CloudAppEvents),
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

/// The fields of a record that tell what it is, each the last of its name.
#[derive(Default)]
pub(super) struct Fields<'a> {
    category: Option<&'a [u8]>,
    properties: Option<&'a [u8]>,
    entra_tenant: Option<&'a [u8]>,
    table: Option<&'a [u8]>,
    workspace: Option<&'a [u8]>,
    has_system_alert_id: bool,
    has_raw_event_data: bool,
}

impl<'a> Fields<'a> {
    /// Of the object that `record` has entered, going behind it.
    pub(super) fn read(record: &mut Cursor<'a>) -> Self {
        let mut fields = Self::default();
        while let Some(member) = record.member() {
            let value = Some(member.value);
            match &*member.name() {
                b"category" => fields.category = value,
                b"properties" => fields.properties = value,
                b"tenantId" => fields.entra_tenant = value,
                b"Type" => fields.table = value,
                b"TenantId" => fields.workspace = value,
                b"SystemAlertId" => fields.has_system_alert_id = true,
                b"RawEventData" => fields.has_raw_event_data = true,
                _ => {}
            }
        }
        fields
    }

    fn enveloped(&self, table: Cow<'a, str>) -> Class<'a> {
        let Some(ours) = our_table(&table) else {
            return Class::OtherTable(table);
        };
        match self.properties {
            Some(json) if json.starts_with(b"{") => Class::Row(Row {
                table: ours,
                json,
                form: Form::Enveloped {
                    entra_tenant: self.entra_tenant.and_then(unicode),
                },
            }),
            Some(_) => Class::Unknown("the envelope's properties are no object"),
            None => Class::Unknown("the envelope has no properties"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(record: &[u8]) -> Class<'_> {
        let mut cursor = Cursor::new(record);
        super::classify(&Record {
            json: record,
            fields: cursor.enter(b'{').then(|| Fields::read(&mut cursor)),
        })
    }

    fn other(record: &str) -> Option<String> {
        match classify(record.as_bytes()) {
            Class::OtherTable(table) => Some(table.into_owned()),
            _ => None,
        }
    }

    fn bare<'a>(table: Table, json: &'a str, workspace: Option<&'a str>) -> Class<'a> {
        let workspace = workspace.map(Cow::Borrowed);
        Class::Row(Row {
            table,
            json: json.as_bytes(),
            form: Form::Bare { workspace },
        })
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
            let expected = Class::Row(Row {
                table,
                json: b"{\"a\":1}",
                form: Form::Enveloped {
                    entra_tenant: Some(Cow::Borrowed("t")),
                },
            });
            assert_eq!(classify(record.as_bytes()), expected);
        }
        let escaped = br#"{"\u0063ategory":"\u0041dvancedHunting-CloudAppEvents","properties":{}}"#;
        assert!(matches!(
            classify(escaped),
            Class::Row(Row {
                table: Table::CloudAppEvents,
                json: b"{}",
                ..
            })
        ));
    }

    #[test]
    fn an_envelope_of_ours_needs_properties() {
        for properties in [
            "",
            ",\"properties\":null",
            ",\"properties\":\"{}\"",
            ",\"properties\":[{}]",
            ",\"properties\":{},\"properties\":1",
        ] {
            let record = format!(r#"{{"RawEventData":{{}},"category":"AdvancedHunting-CloudAppEvents"{properties}}}"#);
            assert!(matches!(classify(record.as_bytes()), Class::Unknown(_)), "{record}");
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
            (r#"{"RawEventData":null,"SystemAlertId":null}"#, Table::SecurityAlert, None),
            (r#"{"RawEventData":null,"TenantId":""}"#, Table::CloudAppEvents, None),
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
            assert_eq!(
                classify(format!(" {record}\n").as_bytes()),
                bare(table, record, workspace),
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
