use super::super::message::{fault, split};
use super::super::*;

fn records(message: &str) -> Vec<&str> {
    let mut index = Index::default();
    let records = match split(message.as_bytes(), &mut index).unwrap() {
        Records::One(record) => vec![record],
        Records::Batch(records) => records.collect(),
    };
    records
        .into_iter()
        .map(|record| std::str::from_utf8(record.json).unwrap())
        .collect()
}

fn error(message: &[u8]) -> String {
    let mut index = Index::default();
    assert!(split(message, &mut index).is_err());
    let fault = fault(message);
    assert_eq!(fault.reason, Reason::InvalidJson);
    fault.error
}

#[test]
fn every_form_of_message_is_taken_apart() {
    assert_eq!(records("{\"records\":[{\"a\":1}, 2 ,[]]}"), ["{\"a\":1}", "2", "[]"]);
    assert_eq!(records(" [ {\"a\":1} ,\n{} ] "), ["{\"a\":1}", "{}"]);
    assert_eq!(records("{\"a\":1}"), ["{\"a\":1}"]);
    assert_eq!(records("{\"\\u0072ecords\":[1]}"), ["1"]);
    assert_eq!(records("{\"records\":[]}"), [""; 0]);
    assert_eq!(records("null"), ["null"]);
    assert_eq!(records("\"[]\""), ["\"[]\""]);
}

#[test]
fn records_that_are_no_array_make_a_record_of_the_message() {
    let message = "{\"records\":{\"a\":[1]}}";
    assert_eq!(records(message), [message]);
    let repeated = "{\"records\":[1],\"records\":null}";
    assert_eq!(records(repeated), [repeated]);
    assert_eq!(records("{\"records\":null,\"records\":[1]}"), ["1"]);
}

#[test]
fn errors_say_where_but_not_what() {
    assert_eq!(error(b"{\"secret\":\xff}"), "the message is not UTF-8 from byte 10 on");
    assert_eq!(error(b"\"\xed\xa0\x80\""), "the message is not UTF-8 from byte 1 on");
    let syntax = error(b"{\"secret\":hidden}");
    assert!(
        syntax.starts_with("the message is not JSON: ") && syntax.ends_with("at line 1 column 11"),
        "{syntax}"
    );
    assert!(!syntax.contains("secret") && !syntax.contains("hidden"));
}

#[test]
fn broken_json_is_refused_wherever_it_breaks() {
    for message in [
        " ",
        "\u{feff}{}",
        "{",
        "[1,]",
        "{}{}",
        "[] x",
        "01",
        "1.",
        "-",
        "nul",
        "'a'",
        "{\"a\"}",
        "{a:1}",
        "[\"\n\"]",
        "\"\\x\"",
        "\"\\u12g4\"",
        "[{},{\"a\":tru}]",
        "NaN",
        "\u{c}{}",
    ] {
        error(message.as_bytes());
    }
    error("[".repeat(10_000_000).as_bytes());
    error("{\"a\":".repeat(20_000).as_bytes());
}

fn classify(record: &[u8]) -> Class<'_, '_> {
    message::classify(&Record::at(&Cursor::new(record)))
}

fn other(record: &str) -> Option<String> {
    match classify(record.as_bytes()) {
        Class::OtherTable(table) => Some(table.into_owned()),
        _ => None,
    }
}

/// Returns the table, the text and the form of a row.
fn row(record: &str) -> (InputTable, String, Form<'_>) {
    match classify(record.as_bytes()) {
        Class::Row(TableRow { table, mut start, form }) => (table, String::from_utf8(start.value().to_vec()).unwrap(), form),
        other => panic!("{record}: {other:?}"),
    }
}

#[test]
fn envelopes_of_our_tables_are_opened() {
    for (name, table) in [
        ("CloudAppEvents", InputTable::CloudAppEvents),
        ("SecurityAlert", InputTable::SecurityAlert),
    ] {
        let record =
            format!(r#"{{"time":"","tenantId":"t","category":"AdvancedHunting-{name}","properties": {{"a":1}} ,"Type":"X"}}"#);
        let form = Form::Enveloped {
            entra_tenant: Some(Cow::Borrowed("t")),
        };
        assert_eq!(row(&record), (table, "{\"a\":1}".to_owned(), form));
    }
    let (table, json, _) = row(r#"{"\u0063ategory":"\u0041dvancedHunting-CloudAppEvents","properties":{}}"#);
    assert_eq!((table, json.as_str()), (InputTable::CloudAppEvents, "{}"));
}

#[test]
fn an_envelope_of_ours_needs_properties() {
    let record = |properties: &str| format!(r#"{{"RawEventData":{{}},"category":"AdvancedHunting-CloudAppEvents"{properties}}}"#);
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
            InputTable::CloudAppEvents,
            Some("w"),
        ),
        (
            r#"{"Type":"SecurityAlert","RawEventData":{}}"#,
            InputTable::SecurityAlert,
            None,
        ),
        (r#"{"RawEventData":null,"SystemAlertId":1}"#, InputTable::SecurityAlert, None),
        (
            r#"{"RawEventData":null,"SystemAlertId":"","AlertType":"t"}"#,
            InputTable::SecurityAlert,
            None,
        ),
        (
            r#"{"RawEventData":{},"SystemAlertId":null,"TenantId":""}"#,
            InputTable::CloudAppEvents,
            None,
        ),
        (
            r#"{"RawEventData":"{}","SystemAlertId":"","Type":"","category":""}"#,
            InputTable::CloudAppEvents,
            None,
        ),
        (
            r#"{"SystemAlertId":"x","RawEventData":"","properties":{},"category":""}"#,
            InputTable::SecurityAlert,
            None,
        ),
        (
            r#"{"RawEventData":{},"Type":1,"category":"x"}"#,
            InputTable::CloudAppEvents,
            None,
        ),
        (
            r#"{"RawEventData":{},"properties":{},"category":null}"#,
            InputTable::CloudAppEvents,
            None,
        ),
        (
            r#"{"Type":"X","Type":"SecurityAlert","TenantId":"v","TenantId":"w"}"#,
            InputTable::SecurityAlert,
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
