mod activities;
mod broken;
mod keys;
mod messages;
mod times;
mod values;
mod wrappers;

use proptest::prelude::*;

use super::*;

const ACTIVITY: &str = r#"{"RawEventData":{"Data":"{\"cid\":\"p\"}","CreationTime":"2026-03-01T10:00:00"}}"#;
const ALERT: &str = concat!(
    r#"{"SystemAlertId":"id","AlertType":"p","TimeGenerated":"2026-03-01T12:00:00Z","#,
    r#""StartTime":"2026-03-01T09:00:00Z","EndTime":"2026-03-01T11:00:00Z"}"#
);

fn decode_with(settings: Settings, message: &[u8]) -> Vec<Item<'_>> {
    let mut items = Vec::new();
    Decoder::new(settings).decode(Some(message), &mut |item| items.push(item));
    items
}

fn decode(message: &str) -> Vec<Item<'_>> {
    decode_with(Settings::default(), message.as_bytes())
}

fn one(message: &str) -> Decoded<'_> {
    let mut items = decode(message);
    assert_eq!(items.len(), 1);
    items.remove(0).what
}

fn reject(message: &str) -> Reject<'_> {
    match one(message) {
        Decoded::Rejected(reject) => reject,
        other => panic!("{other:?}"),
    }
}

fn envelope(table: &str, tenant: &str, properties: &str) -> String {
    format!(
        r#"{{"time":"2026-03-01T10:02:00Z","tenantId":"{tenant}","category":"AdvancedHunting-{table}","properties":{properties}}}"#
    )
}

/// Returns a word for what an item is.
fn word<'a>(item: &Item<'a>) -> &'a str {
    match item.what {
        Decoded::Activity(_) => "activity",
        Decoded::Unkeyed { .. } => "unkeyed",
        Decoded::Unreadable { .. } => "unreadable",
        Decoded::Ignored => "ignored",
        Decoded::Alert(_) => "alert",
        Decoded::OtherTable(_) => "other",
        Decoded::Tombstone => "tombstone",
        Decoded::Rejected(ref reject) => reject.reason.as_str(),
    }
}

#[test]
fn no_value_is_a_tombstone() {
    for message in [None, Some(&b""[..])] {
        let mut items = Vec::new();
        Decoder::new(Settings::default()).decode(message, &mut |item| items.push(item));
        assert!(matches!(
            items[..],
            [Item {
                index: 0,
                entra_tenant: None,
                cut_keys: 0,
                what: Decoded::Tombstone
            }]
        ));
    }
    assert_eq!(reject(" \n").reason, Reason::InvalidJson);
}

#[test]
fn a_batch_may_hold_anything() {
    let records = [
        ACTIVITY,
        ALERT,
        "{\"RawEventData\":{}}",
        "{\"Type\":\"X\"}",
        "null",
        "[{}]",
        "{}",
        "{\"SystemAlertId\":\"x\"}",
    ];
    let expected = [
        "activity",
        "alert",
        "unkeyed",
        "other",
        "unknown_record",
        "unknown_record",
        "unknown_record",
        "missing_field",
    ];
    let list = records.join(" ,\n");
    for message in [
        format!("[{list}]"),
        format!("{{\"records\":[{list}]}}"),
        format!(" {{\"x\":[], \"records\" : [ {list} ] }} "),
    ] {
        let items = decode(&message);
        assert_eq!(items.iter().map(word).collect::<Vec<_>>(), expected);
        for (index, item) in items.iter().enumerate() {
            assert_eq!(item.index, index);
            if let Decoded::Rejected(reject) = &item.what {
                assert_eq!(reject.bytes, records[index].as_bytes());
            }
        }
    }
    assert_eq!(decode("{\"records\":[]}"), []);
    assert_eq!(decode("[]"), []);
}

#[test]
fn a_broken_record_costs_itself_only() {
    let message = format!("[{ACTIVITY},{{,{ALERT}]");
    let items = decode(&message);
    assert_eq!(
        items.iter().map(word).collect::<Vec<_>>(),
        ["activity", "invalid_json", "alert"]
    );
    assert_eq!(items[1].index, 1);
    assert!(matches!(&items[1].what, Decoded::Rejected(reject) if *reject.bytes == *b"{"));
    let invalid = [format!("[{ACTIVITY},\"").as_bytes(), b"\xc3\"]"].concat();
    let items = decode_with(Settings::default(), &invalid);
    assert_eq!(items.iter().map(word).collect::<Vec<_>>(), ["activity", "invalid_json"]);
    let message = "[{},{\"a\":1,,]";
    let reject = reject(message);
    assert_eq!((reject.reason, &*reject.bytes), (Reason::InvalidJson, message.as_bytes()));
}

#[test]
fn a_single_record_is_rejected_with_the_bytes_of_the_message() {
    let message = " {\"SystemAlertId\":\"x\"}\n";
    assert_eq!(reject(message).bytes, message.as_bytes());
}

#[test]
fn rows_are_the_bytes_they_were() {
    let enveloped = envelope("CloudAppEvents", "t", ACTIVITY);
    let bare = format!("\t{ACTIVITY}\r\n");
    for message in [enveloped.as_str(), bare.as_str(), ACTIVITY] {
        let Decoded::Activity(activity) = one(message) else { panic!() };
        assert!(matches!(activity.row, Cow::Borrowed(row) if row == ACTIVITY.as_bytes()));
    }
}

#[test]
fn the_envelope_does_not_matter() {
    let enveloped = envelope("CloudAppEvents", "t", ACTIVITY);
    let logged = ACTIVITY.replacen(
        '{',
        r#"{"Type":"CloudAppEvents","TenantId":"w","_ItemId":"i","TimeGenerated":"2026-03-01T10:03:00Z","#,
        1,
    );
    let ids = [ACTIVITY, &enveloped, &logged].map(|message| match one(message) {
        Decoded::Activity(activity) => activity.id,
        other => panic!("{other:?}"),
    });
    assert_eq!(ids, [ids[0]; 3]);
    let enveloped = envelope("SecurityAlert", "t", ALERT);
    let logged = ALERT.replacen(
        '{',
        r#"{"Type":"SecurityAlert","TenantId":"w","SourceSystem":"Detection","#,
        1,
    );
    let versions = [ALERT, &enveloped, &logged].map(|message| match one(message) {
        Decoded::Alert(alert) => alert.version,
        other => panic!("{other:?}"),
    });
    assert_eq!(versions, [versions[0]; 3]);
}

#[test]
fn the_envelope_tells_its_tenant() {
    let tenant = |message: &str| decode(message)[0].entra_tenant.as_deref().map(str::to_owned);
    assert_eq!(tenant(&envelope("CloudAppEvents", "T-1", ACTIVITY)).as_deref(), Some("T-1"));
    assert_eq!(tenant(&envelope("CloudAppEvents", "T-1", "{}")).as_deref(), Some("T-1"));
    assert_eq!(tenant(&envelope("SecurityAlert", "T-1", "{}")).as_deref(), Some("T-1"));
    assert_eq!(tenant(&envelope("CloudAppEvents", "", ACTIVITY)), None);
    assert_eq!(tenant(&envelope("DeviceInfo", "T-1", "{}")), None);
    assert_eq!(tenant(&ACTIVITY.replacen('{', "{\"tenantId\":\"T-1\",", 1)), None);
}

#[test]
fn listed_tenants_are_part_of_keys_and_others_are_rejected() {
    let settings = Settings {
        tenants: Some(Tenants::new([("Entra-1".to_owned(), "Work-1".to_owned())])),
        ..Settings::default()
    };
    let decode = |message: &str| -> Vec<String> {
        let show = |item: &Item<'_>| match &item.what {
            Decoded::Activity(activity) => format!("activity {}", activity.keys[0].tenant),
            Decoded::Alert(alert) => format!("alert {}", alert.id.tenant),
            _ => word(item).to_owned(),
        };
        decode_with(settings.clone(), message.as_bytes()).iter().map(show).collect()
    };
    assert_eq!(decode(&envelope("CloudAppEvents", "ENTRA-1", ACTIVITY)), ["activity entra-1"]);
    assert_eq!(
        decode(&ALERT.replacen('{', "{\"TenantId\":\"WORK-1\",", 1)),
        ["alert entra-1"]
    );
    assert_eq!(decode(&envelope("DeviceInfo", "other", "{}")), ["other"]);
    for unknown in [
        envelope("CloudAppEvents", "Work-1", ACTIVITY),
        envelope("CloudAppEvents", "", ACTIVITY),
        envelope("CloudAppEvents", "other", "{\"RawEventData\":{}}"),
        envelope("SecurityAlert", "other", "{}"),
        ALERT.to_owned(),
        ALERT.replacen('{', "{\"TenantId\":\"Entra-1\",", 1),
    ] {
        assert_eq!(decode(&unknown), ["unknown_tenant"], "{unknown}");
    }
    for (record, expected) in [
        (ALERT.to_owned(), "the row has no TenantId, so"),
        (ALERT.replacen('{', "{\"TenantId\":\"\",", 1), "the row has no TenantId, so"),
        (
            ALERT.replacen('{', "{\"TenantId\":\"w\",", 1),
            "the row's TenantId is none of the workspace ids",
        ),
        (envelope("CloudAppEvents", "", ACTIVITY), "the record names no Entra tenant, "),
        (
            envelope("CloudAppEvents", "t", ACTIVITY),
            "the envelope's tenantId is none of the Entra",
        ),
    ] {
        let items = decode_with(settings.clone(), record.as_bytes());
        let Decoded::Rejected(reject) = &items[0].what else {
            panic!("{record}");
        };
        assert!(reject.error.starts_with(expected), "{record}: {}", reject.error);
    }
    let id_elsewhere = Settings {
        alert: AlertColumns {
            id: vec![Path::new(["Id"])],
            ..AlertColumns::default()
        },
        ..settings.clone()
    };
    let alert = ALERT
        .replace("SystemAlertId", "Id")
        .replacen('{', "{\"TenantId\":\"Work-1\",", 1);
    assert_eq!(word(&decode_with(id_elsewhere, alert.as_bytes())[0]), "alert");
}

#[test]
fn too_deep_is_told_from_unknown() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let reason = |message: String| word(&decode(&message)[0]).to_owned();
    assert_eq!(reason(format!("[{}]", nested(MAX_DEPTH))), "unknown_record");
    assert_eq!(reason(format!("[{}]", nested(MAX_DEPTH + 1))), "too_deep");
    assert_eq!(reason(format!("{{\"a\":{}}}", nested(MAX_DEPTH))), "too_deep");
    assert_eq!(reason(format!("{{\"Type\":\"X\",\"a\":{}}}", nested(MAX_DEPTH))), "other");
    assert_eq!(
        reason(ALERT.replacen('{', &format!("{{\"a\":{},", nested(MAX_DEPTH)), 1)),
        "too_deep"
    );
    assert_eq!(
        reason(ACTIVITY.replacen('{', &format!("{{\"a\":{},", nested(MAX_DEPTH)), 1)),
        "too_deep"
    );
}

#[test]
fn hostile_depth_is_harmless() {
    for depth in [20_000, 10_000_000] {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        assert_eq!(reject(&open).reason, Reason::InvalidJson);
        assert_eq!(reject(&format!("{open}{close}")).reason, Reason::TooDeep);
        assert_eq!(
            word(&decode(&format!("{{\"records\":[{{\"RawEventData\":{open}{close}}}]}}"))[0]),
            "unreadable"
        );
        let row = ACTIVITY.replacen('{', &format!("{{\"a\":{open}{close},"), 1);
        assert_eq!(word(&decode(&envelope("CloudAppEvents", "t", &row))[0]), "too_deep");
    }
}

#[test]
fn errors_hold_nothing_of_the_record() {
    let messages = [
        r#"{"secret":1}"#.to_owned(),
        r#"{"secret":secret}"#.to_owned(),
        r#""secret""#.to_owned(),
        envelope("CloudAppEvents", "secret", "null"),
        ACTIVITY.replace("2026", "secret"),
        ALERT.replace("2026", "secret"),
        ALERT.replace("\"id\"", "[\"secret\"]"),
    ];
    for message in &messages {
        let error = reject(message).error;
        assert!(!error.contains("secret") && !error.is_empty(), "{error}");
    }
}

#[test]
fn an_identity_can_be_found_later() {
    for identity in [Identity::Content, Identity::ReportId] {
        let settings = Settings {
            identity,
            ..Settings::default()
        };
        for row in [ACTIVITY.to_owned(), ACTIVITY.replacen('{', "{\"ReportId\":\"r\",", 1)] {
            let message = envelope("CloudAppEvents", "t", &row);
            let Decoded::Activity(known) = decode_with(settings.clone(), message.as_bytes()).remove(0).what else {
                panic!("no activity")
            };
            let mut items = Vec::new();
            let mut without = Decoder::new(settings.clone()).without_dedup_keys();
            without.decode(Some(message.as_bytes()), &mut |item| items.push(item.what));
            let unknown = Activity {
                id: ActivityId([0; 32]),
                ..known.clone()
            };
            assert_eq!(items, [Decoded::Activity(unknown)]);
            let mut later = Decoder::new(settings.clone());
            assert_eq!(later.identity(&known.keys[0].tenant, &known.row), Some(known.id));
            for damaged in [&b"{"[..], b"\xff", b""] {
                assert_eq!(later.identity(&known.keys[0].tenant, damaged), None);
            }
        }
    }
}

#[test]
fn of_a_repeated_key_the_last_counts() {
    let message = envelope("DeviceInfo", "t", "{}").replacen('{', "{\"category\":\"AdvancedHunting-CloudAppEvents\",", 1);
    assert_eq!(word(&decode(&message)[0]), "other");
    let message = format!(
        "{{\"category\":\"AdvancedHunting-X\",{}",
        &envelope("CloudAppEvents", "t", ACTIVITY)[1..]
    );
    assert_eq!(word(&decode(&message)[0]), "activity");
}

proptest! {
    #[test]
    fn any_bytes_are_decoded(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        decode_with(Settings::default(), &bytes);
    }

    #[test]
    fn any_json_is_decoded(json in crate::json::arbitrary::json()) {
        let items = decode_with(Settings::default(), json.as_bytes());
        let invalid = |item: &Item<'_>| matches!(&item.what, Decoded::Rejected(reject) if reject.reason == Reason::InvalidJson);
        prop_assert!(!items.iter().any(invalid));
    }

    #[test]
    fn damaged_records_are_decoded(places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), alert in any::<bool>()) {
        let row = if alert { envelope("SecurityAlert", "t", ALERT) } else { envelope("CloudAppEvents", "t", ACTIVITY) };
        let mut bytes = row.into_bytes();
        for (place, byte) in places {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        prop_assert!(!decode_with(Settings::default(), &bytes).is_empty());
    }
}
