use super::*;

const AUDIT: &str = concat!(
    r#"{"CreationTime":"2026-03-01T10:00:00","Id":"i","Operation":"o","OrganizationId":"T","RecordType":40,"#,
    r#""Data":"{\"cid\":\"p\"}"}"#
);

fn string(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn words(message: &[u8]) -> Vec<String> {
    let words = decode_with(Settings::default(), message);
    words.iter().map(|item| word(item).to_owned()).collect()
}

/// Returns the rows of the activities and alerts in a message.
fn rows(message: &[u8]) -> Vec<String> {
    decode_with(Settings::default(), message)
        .into_iter()
        .map(|item| match item.what {
            Decoded::Activity(activity) => String::from_utf8(activity.row.into_owned()).unwrap(),
            Decoded::Alert(alert) => String::from_utf8(alert.row.into_owned()).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn compressed(text: &str) -> [Vec<u8>; 2] {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(text.as_bytes()).unwrap();
    [gzip.finish().unwrap(), zstd::encode_all(text.as_bytes(), 1).unwrap()]
}

#[test]
fn whatever_lies_around_records_their_rows_are_the_bytes_they_were() {
    let both = format!("{ACTIVITY},{ALERT}");
    let batch = format!("{{\"records\":[{both}]}}");
    for message in [
        format!("[{batch}]"),
        format!("[[{ACTIVITY}],[[{ALERT}]]]"),
        format!("[{},{}]", string(ACTIVITY), string(&string(ALERT))),
        format!("{{\"records\":{}}}", string(&format!("[{both}]"))),
        string(&batch),
        format!("{{\"source\":\"s\",\"message\":{}}}", string(&batch)),
        format!("{{\"@odata.context\":\"c\",\"value\":[{both}]}}"),
        format!("{{\"Stats\":{{\"n\":1}},\"Schema\":[{{\"Name\":\"a\"}}],\"Results\":[{both}]}}"),
        format!("{{\"hits\":{{\"total\":2,\"hits\":[{{\"_id\":\"1\",\"_source\":{ACTIVITY}}},{{\"_source\":{ALERT}}}]}}}}"),
        format!("{{\"specversion\":\"1.0\",\"type\":\"t\",\"data\":{{\"a\":[],\"b\":{ACTIVITY}}},\"more\":{ALERT}}}"),
        format!("\u{feff}{batch}"),
        format!("{ACTIVITY}{ALERT}"),
        format!("{ACTIVITY}\r\n\u{feff}{ALERT}\n"),
        format!("\u{1e}{ACTIVITY}\n\u{1e}{ALERT}\n"),
    ] {
        assert_eq!(rows(message.as_bytes()), [ACTIVITY, ALERT], "{message}");
    }
}

#[test]
fn a_record_in_more_wrappers_than_are_opened_is_said_to_be_too_deep() {
    let errors = |message: &str| -> Vec<String> {
        let items = decode_with(Settings::default(), message.as_bytes());
        let errors = items.iter().map(|item| match &item.what {
            Decoded::Rejected(reject) => format!("{}: {}", reject.reason.as_str(), reject.error),
            _ => word(item).to_owned(),
        });
        errors.collect()
    };
    let nested = |levels: usize| format!("{}{ACTIVITY}{}", "[".repeat(levels), "]".repeat(levels));
    // The outermost list is the batch.
    assert_eq!(errors(&nested(17)), ["activity"]);
    let limit = "arrays and other wrappers are opened up to 16 levels deep";
    let too_deep = format!("unknown_record: the record is nested too deeply: {limit}");
    assert_eq!(errors(&nested(18)), [too_deep.as_str()]);
    assert_eq!(
        errors(&format!("[[{},{ACTIVITY}]]", nested(18))),
        [too_deep.as_str(), "activity"]
    );
    let properties = format!(
        r#"{{"category":"AdvancedHunting-CloudAppEvents","properties":{}}}"#,
        nested(17)
    );
    assert_eq!(
        errors(&properties),
        [format!(
            "unknown_record: the envelope's properties are no object, and hold none: {limit}"
        )]
    );
    assert_eq!(errors("[[7]]"), ["unknown_record: the record is no object"]);
    assert_eq!(
        errors(&format!("[[[7],{ACTIVITY}]]")),
        ["unknown_record: the record is no object", "activity"]
    );
}

#[test]
fn a_body_may_be_compressed_or_utf_16() {
    let batch = format!("{{\"records\":[{ACTIVITY},{ALERT}]}}");
    let little: Vec<u8> = "\u{feff}"
        .encode_utf16()
        .chain(batch.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let big: Vec<u8> = "\u{feff}"
        .encode_utf16()
        .chain(batch.encode_utf16())
        .flat_map(u16::to_be_bytes)
        .collect();
    for body in compressed(&batch).into_iter().chain([little, big]) {
        assert_eq!(rows(&body), [ACTIVITY, ALERT]);
    }
    for body in compressed("no JSON") {
        let items = decode_with(Settings::default(), &body);
        assert!(matches!(&items[..], [Item { what: Decoded::Rejected(reject), .. }] if *reject.bytes == *body));
        let cut = &body[..body.len() - 4];
        assert_eq!(words(cut), ["invalid_json"]);
    }
    for bomb in compressed(&" ".repeat(body::MAX_BODY + 1)) {
        assert_eq!(words(&bomb), ["too_large"]);
    }
}

#[test]
fn a_body_or_a_member_may_be_base_64() {
    use base64::Engine as _;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let batch = format!("{{\"records\":[{ACTIVITY},{ALERT}]}}");
    for text in [
        encode(batch.as_bytes()),
        encode(&compressed(&batch)[0]),
        encode(format!("[{ACTIVITY},{ALERT}]").as_bytes()),
    ] {
        for message in [
            text.clone(),
            format!("{{\"specversion\":\"1.0\",\"data_base64\":\"{text}\"}}"),
        ] {
            assert_eq!(rows(message.as_bytes()), [ACTIVITY, ALERT], "{message}");
        }
    }
    assert_eq!(words(b"eyJ!"), ["invalid_json"]);
    assert_eq!(words(b"\"eyJhIjoxfQ==\""), ["unknown_record"]);
}

#[test]
fn a_syslog_header_is_no_part_of_the_record() {
    for header in [
        "<134>1 2026-03-01T10:00:00Z host app - - [id k=\"v\"] ",
        "<13>Mar  1 10:00:00 host app: ",
    ] {
        assert_eq!(rows(format!("{header}{ACTIVITY}").as_bytes()), [ACTIVITY]);
        assert_eq!(rows(format!("{header}[{ACTIVITY},{ALERT}]\n").as_bytes()), [ACTIVITY, ALERT]);
        let message = format!("{header}{{\"a\"");
        assert_eq!(&*reject(&message).bytes, message.as_bytes(), "the dead letter is what came");
    }
    assert_eq!(words(b"<1345>{}"), ["invalid_json"]);
}

#[test]
fn properties_may_be_a_string_or_a_list() {
    let twice = string(&string(ACTIVITY));
    for properties in [string(ACTIVITY), twice, format!("[{ACTIVITY}]")] {
        let message = envelope("CloudAppEvents", "T-1", &properties);
        let items = decode(&message);
        assert_eq!(items[0].entra_tenant.as_deref(), Some("T-1"));
        assert_eq!(rows(message.as_bytes()), [ACTIVITY], "{message}");
    }
    for properties in ["null", "\"{\"", "\"x\"", "[]", "7"] {
        let message = envelope("CloudAppEvents", "T-1", properties);
        assert_eq!(words(message.as_bytes()), ["unknown_record"]);
    }
}

#[test]
fn records_are_numbered_through_all_wrappers() {
    let message = format!("[{{\"records\":[{ACTIVITY},1]}},{},2,[]]", string(&format!("[{ALERT},{{}}]")));
    let items = decode(&message);
    let found: Vec<(usize, &str)> = items.iter().map(|item| (item.index, word(item))).collect();
    let expected = [
        "activity",
        "unknown_record",
        "alert",
        "unknown_record",
        "unknown_record",
        "unknown_record",
    ];
    assert_eq!(found, expected.into_iter().enumerate().collect::<Vec<_>>());
}

#[test]
fn an_element_without_a_record_is_one_dead_letter_with_all_that_is_in_it() {
    for element in ["1", "[1]", "[1,[2,3]]", r#"{"a":[1,2]}"#] {
        let message = format!("[{element},{ACTIVITY}]");
        assert_eq!(words(message.as_bytes()), ["unknown_record", "activity"], "{message}");
    }
}

#[test]
fn an_audit_record_is_what_raw_event_data_would_hold() {
    let expected = format!("{{\"RawEventData\":{AUDIT}}}");
    for message in [
        AUDIT.to_owned(),
        format!("{{\"Operations\":\"o\",\"AuditData\":{}}}", string(AUDIT)),
        format!("{{\"id\":\"i\",\"operation\":\"o\",\"auditData\":{AUDIT}}}"),
        format!("[{AUDIT}]"),
    ] {
        assert_eq!(rows(message.as_bytes()), [expected.as_str()], "{message}");
        let items = decode(&message);
        assert_eq!(items[0].entra_tenant.as_deref(), Some("T"));
    }
    for none in ["\"\"", "null", "\"{\"", "\"[]\"", "7"] {
        let message = format!("{{\"Operations\":\"o\",\"AuditData\":{none}}}");
        assert_eq!(words(message.as_bytes()), ["unknown_record"], "{message}");
    }
    for column in ["CreationTime", "Id", "Operation", "RecordType"] {
        assert_eq!(words(AUDIT.replace(column, "x").as_bytes()), ["unknown_record"]);
    }
}

#[test]
fn answers_with_columns_and_rows_are_read() {
    let raw = r#"{"Data":{"cid":"p"},"CreationTime":"2026-03-01T10:00:00"}"#;
    let row = format!("{{\"A\":1.50,\"RawEventData\":{raw}}}");
    let columns = r#"[{"name":"A","type":"real"},{"name":"RawEventData","type":"dynamic"}]"#;
    let capitals = columns.replace("name", "ColumnName");
    for message in [
        format!("{{\"tables\":[{{\"name\":\"PrimaryResult\",\"columns\":{columns},\"rows\":[[1.50,{raw}]]}}]}}"),
        format!("{{\"Tables\":[{{\"TableName\":\"T\",\"Columns\":{capitals},\"Rows\":[[1.50,{raw}]]}}]}}"),
        format!(
            "[{{\"FrameType\":\"DataSetHeader\"}},{{\"FrameType\":\"DataTable\",\"Columns\":{capitals},\"Rows\":[[1.50,{raw}]]}},{{\"FrameType\":\"DataSetCompletion\"}}]"
        ),
    ] {
        assert_eq!(rows(message.as_bytes()), [row.as_str()], "{message}");
    }
    let strings = columns.replace('A', "SystemAlertId");
    let message = format!("{{\"tables\":[{{\"columns\":{strings},\"rows\":[[\"\",\"\"],[\"x\",null],[null,{raw}]]}}]}}");
    assert_eq!(words(message.as_bytes()), ["other", "missing_field", "activity"]);
    for empty in [
        format!("{{\"tables\":[{{\"columns\":{columns},\"rows\":[]}}]}}"),
        "{\"@odata.context\":\"c\",\"value\":[]}".to_owned(),
        "{\"schema\":[],\"results\":[]}".to_owned(),
    ] {
        assert!(decode(&empty).is_empty(), "{empty}");
    }
    let others = "{\"tables\":[{\"columns\":[{\"name\":\"n\"}],\"rows\":[[1],[2]]}]}";
    assert_eq!(words(others.as_bytes()), ["unknown_record"]);
}

#[test]
fn an_answer_does_not_grow_without_end() {
    let columns = format!("[{{\"name\":\"{}\"}}]", "n".repeat(10_000));
    let rows = vec!["[1]"; 1_000].join(",");
    let message = format!("{{\"columns\":{columns},\"rows\":[{rows}]}}");
    assert_eq!(words(message.as_bytes()), ["too_large"]);
}

#[test]
fn a_record_that_only_mentions_others_is_none() {
    // The `Type` of an entity does not name a table.
    let alert = r#"{"AlertName":"n","Entities":[{"$id":"1","Type":"ip"},{"Type":"account"}]}"#;
    let items = decode(alert);
    assert!(matches!(&items[..], [Item { what: Decoded::Rejected(reject), .. }] if *reject.bytes == *alert.as_bytes()));
    assert_eq!(words(b"{\"value\":[{\"Type\":\"DeviceInfo\"}]}"), ["other"]);
    assert_eq!(
        words(b"{\"foo\":[{\"category\":\"AdvancedHunting-DeviceInfo\",\"properties\":{}}]}"),
        ["other"]
    );
}

#[test]
fn expected_records_are_ignored() {
    let settings = Settings {
        ignore: vec![
            Ignore {
                path: Path::new(["type"]),
                values: vec!["heartbeat".to_owned(), "1".to_owned()],
            },
            Ignore {
                path: Path::new(["a", "b"]),
                values: vec!["c".to_owned()],
            },
        ],
        ..Settings::default()
    };
    let words = |message: &str| -> Vec<String> {
        let items = decode_with(settings.clone(), message.as_bytes());
        items.iter().map(|item| word(item).to_owned()).collect()
    };
    assert_eq!(words(r#"{"type":"heartbeat"}"#), ["ignored"]);
    assert_eq!(
        words(r#"[{"type":1},{"a":"{\"b\":\"c\"}"},{"type":"Heartbeat"},{"type":[]}]"#),
        ["ignored", "ignored", "unknown_record", "unknown_record"]
    );
    assert_eq!(
        words("{\"type\":\"heartbeat\"}\n{\"type\":\"heartbeat\"}\n"),
        ["ignored", "ignored"]
    );
    assert_eq!(words(&ACTIVITY.replacen('{', "{\"type\":\"heartbeat\",", 1)), ["activity"]);
}

#[test]
fn an_alert_is_known_by_its_id_wherever_that_is() {
    let settings = Settings {
        alert: AlertColumns {
            id: vec![Path::new(["AlertId"])],
            ..AlertColumns::default()
        },
        ..Settings::default()
    };
    let alert = ALERT.replace("SystemAlertId", "AlertId");
    let items = decode_with(settings.clone(), alert.as_bytes());
    assert_eq!(items.iter().map(word).collect::<Vec<_>>(), ["alert"]);
    // An activity that has a member with this name is still an activity.
    let items = decode_with(settings, ACTIVITY.replacen('{', "{\"AlertId\":\"x\",", 1).into_bytes().leak());
    assert_eq!(items.iter().map(word).collect::<Vec<_>>(), ["activity"]);
}

#[test]
fn wrappers_have_an_end() {
    let mut message = ACTIVITY.to_owned();
    for _ in 0..12 {
        message = format!("{{\"a\":[{message}]}}");
    }
    assert_eq!(words(message.as_bytes()), ["unknown_record"]);
    let mut message = ACTIVITY.to_owned();
    for _ in 0..6 {
        message = string(&message);
    }
    assert_eq!(words(message.as_bytes()), ["activity"]);
}
