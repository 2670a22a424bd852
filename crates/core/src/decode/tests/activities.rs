use sha2::{Digest as _, Sha256};

use super::super::activity::ActivityReader;
use super::super::*;

fn read_with<'a>(settings: &Settings, row: &'a str) -> Result<Decoded<'a>, Reason> {
    ActivityReader::new(settings)
        .read(&Cursor::new(row.as_bytes()), "", &mut Room::default())
        .map_err(|fault| fault.reason)
}

fn activity_with<'a>(settings: &Settings, row: &'a str) -> Activity<'a> {
    match read_with(settings, row) {
        Ok(Decoded::Activity(activity)) => activity,
        other => panic!("{other:?}"),
    }
}

fn activity(row: &str) -> Activity<'_> {
    activity_with(&Settings::default(), row)
}

fn row_with_cid(cid: &str) -> String {
    let data = serde_json::to_string(&format!("{{\"cid\":{cid}}}")).unwrap();
    format!(r#"{{"RawEventData":{{"Data":{data},"CreationTime":"2026-03-01T10:00:00"}}}}"#)
}

fn paths(paths: &[&str]) -> Vec<Path> {
    paths.iter().map(|path| Path::new(path.split('.'))).collect()
}

#[test]
fn the_default_is_the_query() {
    let row = r#"{"RawEventData":{"Data":"{\"cid\":\"Policy 1 \"}","CreationTime":"2026-03-01T10:00:00.1234567"}, "n":1.50}"#;
    let activity = activity(row);
    assert_eq!(activity.keys[0].correlation_id, Text::from("Policy 1 "));
    assert!(activity.keys[0].tenant.is_empty());
    assert_eq!(activity.time.to_string(), "2026-03-01T10:00:00.1234567Z");
    assert!(matches!(activity.row, Cow::Borrowed(same) if same == row.as_bytes()));
}

#[test]
fn a_correlation_id_is_what_tostring_makes_of_it() {
    for (cid, expected) in [
        ("1.0", "1.0"),
        ("true", "true"),
        ("\"\\u00e9\"", "é"),
        ("[ 1 ]", "[1]"),
        ("\" \"", " "),
    ] {
        assert_eq!(activity(&row_with_cid(cid)).keys[0].correlation_id, Text::from(expected));
    }
}

#[test]
fn without_a_correlation_id_only_the_time_matters() {
    let unkeyed = |row: &str| match read_with(&Settings::default(), row) {
        Ok(Decoded::Unkeyed { time }) => time.map(|time| time.to_string()),
        other => panic!("{other:?}"),
    };
    let time = Some("2026-03-01T10:00:00.0000000Z".to_owned());
    assert_eq!(unkeyed(&row_with_cid("null")), time);
    assert_eq!(unkeyed(&row_with_cid("\"\"")), time);
    for data in ["\"\"", "\"no JSON\"", "\"{\\\"eid\\\":\\\"x\\\"}\"", "null", "7", "[]"] {
        let row = format!(r#"{{"RawEventData":{{"Data":{data},"CreationTime":"2026-03-01T10:00:00"}}}}"#);
        assert_eq!(unkeyed(&row), time, "{data}");
    }
    assert_eq!(unkeyed(r#"{"RawEventData":{"CreationTime":"yesterday"}}"#), None);
    assert_eq!(unkeyed(r#"{"RawEventData":"{}"}"#), None);
    let deep = format!(r#"{{"RawEventData":{{"x":{}{}}}}}"#, "[".repeat(500), "]".repeat(500));
    assert_eq!(unkeyed(&deep), None);
}

#[test]
fn what_was_cut_or_flattened_is_unreadable() {
    let read = |raw: &str| {
        let row = format!(r#"{{"Timestamp":"2026-03-01T10:00:00","RawEventData":{raw}}}"#);
        match read_with(&Settings::default(), &row) {
            Ok(Decoded::Unreadable { time: Some(_) }) => true,
            Ok(Decoded::Unkeyed { time: Some(_) }) => false,
            other => panic!("{other:?}"),
        }
    };
    for raw in [
        r#""{\"CreationTime\":\"2026-03-01T10:00:00\",\"Da""#,
        r#""@{Operation=x}""#,
        "7",
        "[{}]",
        r#""[]""#,
        r#"" ""#,
    ] {
        assert!(read(raw), "{raw}");
    }
    for data in [r#""{\"cid\":\"p\",\"a""#, r#""@{cid=p; sev=Medium}""#] {
        let raw = format!(r#"{{"CreationTime":"2026-03-01T10:00:00","Data":{data}}}"#);
        assert!(read(&raw), "{raw}");
    }
    for raw in [
        r#""{}""#,
        "{}",
        r#""\" {} \"""#,
        r#""{\"CreationTime\":\"2026-03-01T10:00:00\"}""#,
        "null",
        "\"\"",
    ] {
        assert!(!read(raw), "{raw}");
    }
}

#[test]
fn without_a_time_of_the_activity_the_row_has_one() {
    let time = |row: &str| match read_with(&Settings::default(), row) {
        Ok(Decoded::Unkeyed { time }) => time.map(|time| time.to_string()),
        other => panic!("{other:?}"),
    };
    let first = Some("2026-03-01T10:00:00.0000000Z".to_owned());
    let both = r#""TimeGenerated":"2026-03-01T11:00:00","Timestamp":"2026-03-01T10:00:00""#;
    assert_eq!(time(&format!(r#"{{"RawEventData":{{"CreationTime":null}},{both}}}"#)), first);
    assert_eq!(time(r#"{"RawEventData":{},"TimeGenerated":"2026-03-01T10:00:00"}"#), first);
    let invalid = format!(r#"{{"RawEventData":{{"CreationTime":"yesterday"}},{both}}}"#);
    assert_eq!(time(&invalid), None, "a time that is there, but is none, is not passed over");
    let keyed = format!(r#"{{"RawEventData":{{"Data":{{"cid":"x"}}}},{both}}}"#);
    assert_eq!(read_with(&Settings::default(), &keyed).unwrap_err(), Reason::MissingField);
}

#[test]
fn a_joinable_activity_needs_a_time() {
    let reason = |time: &str| {
        let row = format!(r#"{{"RawEventData":{{"Data":{{"cid":"x"}}{time}}}}}"#);
        read_with(&Settings::default(), &row).unwrap_err()
    };
    for missing in ["", ",\"CreationTime\":null", ",\"CreationTime\":\"\""] {
        assert_eq!(reason(missing), Reason::MissingField, "{missing}");
    }
    for invalid in [
        "\"yesterday\"",
        "20260301",
        "true",
        "{}",
        "[]",
        "\" \"",
        "\"2026-03-01\"",
        "\"0000-01-01T00:00:00\"",
    ] {
        assert_eq!(
            reason(&format!(",\"CreationTime\":{invalid}")),
            Reason::InvalidTime,
            "{invalid}"
        );
    }
}

#[test]
fn the_first_path_that_leads_to_something_counts() {
    let settings = Settings {
        activity_key: paths(&["RawEventData.AlertId", "RawEventData.Data.cid"])
            .into_iter()
            .map(KeyEntry::from)
            .collect(),
        activity_time: paths(&["Timestamp", "RawEventData.CreationTime"]),
        ignore_case: true,
        ..Settings::default()
    };
    let read = |row: &str| activity_with(&settings, row).keys[0].correlation_id.to_string();
    let tail = r#""CreationTime":"2026-03-01T10:00:00""#;
    assert_eq!(
        read(&format!(
            r#"{{"RawEventData":{{"Data":{{"cid":"C"}},"AlertId":"A",{tail}}}}}"#
        )),
        "a"
    );
    assert_eq!(
        read(&format!(r#"{{"RawEventData":{{"Data":{{"cid":"C"}},"AlertId":"",{tail}}}}}"#)),
        "c"
    );
    assert_eq!(
        read(&format!(
            r#"{{"Timestamp":null,"RawEventData":{{"Data":{{"cid":"C"}},{tail}}}}}"#
        )),
        "c"
    );
    let unreadable = format!(r#"{{"Timestamp":"soon","RawEventData":{{"Data":{{"cid":"C"}},{tail}}}}}"#);
    assert_eq!(read_with(&settings, &unreadable).unwrap_err(), Reason::InvalidTime);
}

#[test]
fn identity_is_the_content() {
    let base = activity(r#"{"A":1.0,"RawEventData":{"Data":{"cid":"x"},"CreationTime":"2026-03-01T10:00:00"}}"#).id;
    for same in [
        r#"{"RawEventData":{"CreationTime":"2026-03-01T10:00:00","Data":{"cid":"x"}},"A":1.0}"#,
        r#"{ "A":1.0, "RawEventData":{"Data":{"c\u0069d":"\u0078"},"CreationTime":"2026-03-01T10:00:00"}}"#,
        r#"{"A":2,"A":1.0,"RawEventData":{"Data":{"cid":"x"},"CreationTime":"2026-03-01T10:00:00"}}"#,
        concat!(
            r#"{"Type":"CloudAppEvents","TenantId":"t","SourceSystem":"s","_ItemId":"i","TimeGenerated":"2026-03-01T10:01:00","A":1.0,"#,
            r#""RawEventData":{"Data":{"cid":"x"},"CreationTime":"2026-03-01T10:00:00"}}"#
        ),
    ] {
        assert_eq!(activity(same).id, base, "{same}");
    }
    for other in [
        r#"{"A":1,"RawEventData":{"Data":{"cid":"x"},"CreationTime":"2026-03-01T10:00:00"}}"#,
        r#"{"A":1.0,"RawEventData":{"Data":"{\"cid\":\"x\"}","CreationTime":"2026-03-01T10:00:00"}}"#,
        r#"{"A":1.0,"RawEventData":{"Data":{"cid":"x"},"CreationTime":"2026-03-01T10:00:00","_ItemId":1}}"#,
        r#"{"A":1.0,"RawEventData":{"Data":{"cid":"x"},"CreationTime":"2026-03-01T10:00:00Z"}}"#,
    ] {
        assert_ne!(activity(other).id, base, "{other}");
    }
    let canonical = r#"{"A":1.0,"RawEventData":{"CreationTime":"2026-03-01T10:00:00","Data":{"cid":"x"}}}"#;
    assert_eq!(base.0, <[u8; 32]>::from(Sha256::digest(canonical)));
}

#[test]
fn identity_may_be_the_report_id() {
    let settings = Settings {
        identity: Identity::ReportId,
        ..Settings::default()
    };
    let row = |rest: &str| format!(r#"{{"RawEventData":{{"Data":{{"cid":"x"}},"CreationTime":"2026-03-01T10:00:00"}}{rest}}}"#);
    let id = |rest: &str| activity_with(&settings, &row(rest)).id;
    assert_eq!(id(r#","ReportId":"r","A":1"#), id(r#","ReportId":"r","A":2"#));
    assert_ne!(id(r#","ReportId":"r""#), id(r#","ReportId":"s""#));
    for none in ["", ",\"ReportId\":null", ",\"ReportId\":\"\""] {
        assert_eq!(id(none), activity(&row(none)).id);
    }
    let later = row(r#","ReportId":"r""#).replace("10:00:00", "10:00:01");
    assert_ne!(activity_with(&settings, &later).id, id(r#","ReportId":"r""#));
    let deep = row(&format!(r#","ReportId":"r","x":{}{}"#, "[".repeat(128), "]".repeat(128)));
    assert_eq!(read_with(&settings, &deep).unwrap_err(), Reason::TooDeep);
    assert_eq!(read_with(&Settings::default(), &deep).unwrap_err(), Reason::TooDeep);
    let mut anonymous = ActivityReader::new(&settings);
    anonymous.anonymous = true;
    let read = |row: &str| anonymous.read(&Cursor::new(row.as_bytes()), "", &mut Room::default()).is_ok();
    assert!(!read(&deep) && read(&row("")));
}

#[test]
fn a_row_goes_on_in_one_line() {
    let row = "{\"RawEventData\":{\"Data\":{\"cid\":\"a b\"},\r\n\"CreationTime\":\"2026-03-01T10:00:00\"}}";
    assert_eq!(*activity(row).row, *row.replace("\r\n", "").as_bytes());
}
