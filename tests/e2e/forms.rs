//! Records in the wrappers and forms that senders use.

use std::collections::BTreeSet;
use std::io::Write as _;

use serde_json::Value;

use crate::support::world::Counted;
use crate::support::{World, activity, alert};

#[test]
fn records_are_read_from_every_wrapper_and_encoding() {
    let Some(mut world) = World::new("forms") else { return };
    world.set("input", "ignore = [{ path = \"type\", values = [\"heartbeat\"] }]");
    let row = |note: &str| String::from_utf8(activity("p", "2026-03-01T10:00:00Z", note)).unwrap();
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let utf_16: Vec<u8> = format!("\u{feff}{}", row("utf-16"))
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let audit = r#"{"CreationTime":"2026-03-01T10:00:00","Id":"i","Operation":"o","RecordType":40,"Data":"{\"cid\":\"p\"}"}"#;
    let messages: Vec<Vec<u8>> = vec![
        format!("\u{feff}{}", row("mark")).into(),
        format!("{}\n{}\n", row("line 1"), row("line 2")).into(),
        format!("[{{\"records\":[{}]}},[{}]]", row("batch"), row("list")).into(),
        format!("{{\"source\":\"s\",\"message\":{}}}", quoted(&row("string"))).into(),
        gzip(&format!("{{\"records\":[{}]}}", row("gzip"))),
        zstd::encode_all(row("zstd").as_bytes(), 1).unwrap(),
        utf_16,
        format!("{{\"records\":[{},{{\"a\":nope}},{}", row("before"), row("behind")).into(),
        format!("{{\"Operations\":\"o\",\"AuditData\":{}}}", quoted(audit)).into(),
        b"{\"type\":\"heartbeat\"}".to_vec(),
    ];
    let mut instance = world.start("a");
    world.send_to("activities", 0, Counted::No, messages.iter().map(Vec::as_slice));
    let window = ("2026-03-01T09:00:00Z", "2026-03-01T11:00:00Z");
    let alert = alert("A1", "p", window.0, window.1, "2026-03-01T11:05:00Z");
    world.send_to("alerts", 0, Counted::No, [alert.as_slice()]);
    let notes = [
        "mark", "line 1", "line 2", "batch", "list", "string", "gzip", "zstd", "utf-16", "before", "behind",
    ];
    let mut expected: BTreeSet<String> = notes.iter().map(|note| row(note)).collect();
    expected.insert(format!("{{\"RawEventData\":{audit}}}"));
    let rows = world.wait_for_records("rows", expected.len(), &mut instance);
    let found: BTreeSet<String> = rows
        .iter()
        .map(|record| {
            let value = String::from_utf8(record.value.clone()).unwrap();
            let begin = value.find("\"activity\":").unwrap() + "\"activity\":".len();
            value[begin..value.len() - 1].to_owned()
        })
        .collect();
    assert_eq!(found, expected, "the text of every record is unchanged");
    let dead_letters = world.wait_for_records("dead", 1, &mut instance);
    let dead_letters: Vec<(&str, &str, &[u8])> = dead_letters
        .iter()
        .map(|record| {
            (
                record.header("alerttrail.reason"),
                record.header("alerttrail.index"),
                record.value.as_slice(),
            )
        })
        .collect();
    assert_eq!(dead_letters, [("invalid_json", "1", b"{\"a\":nope}".as_slice())]);
    let summaries = world.wait_for_records("summaries", 1, &mut instance);
    let Value::Object(summary) = summaries[0].json() else {
        panic!()
    };
    assert_eq!(summary["status"], "matched");
    instance.assert_runs();
}
