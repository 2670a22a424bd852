//! The flat row, compared with the result of the query's `extend` and `join` on the two rows.

use std::collections::{BTreeMap, BTreeSet};

use alerttrail::emit::Format;
use alerttrail::join::Output;
use serde_json::value::RawValue;

use super::{emit, text};
use crate::scenarios;

type Columns = BTreeMap<String, Box<RawValue>>;

fn columns(row: &str) -> Columns {
    serde_json::from_str(row).unwrap_or_else(|error| panic!("{error}: {row}"))
}

#[test]
fn every_row_equals_that_of_the_query() {
    let mut rows = 0;
    for name in scenarios::names() {
        let (emitter, outputs) = scenarios::outputs(&name);
        for (seq, output) in &outputs {
            let Output::Row(row) = output else { continue };
            let Some((alert, activity)) = &row.rows else { continue };
            let Some(record) = emit(&emitter, Format::Kql, output, *seq) else {
                continue;
            };
            if record.value["alerttrail"].get("truncated").is_some() {
                continue;
            }
            let (alert, activity) = (columns(&text(alert)), columns(&text(activity)));
            let mut flat = columns(&record.text);
            flat.remove("correlationId").unwrap();
            assert_eq!(record.value["correlationId"], record.value["alerttrail"]["correlation_id"]);
            flat.remove("correlationId1").unwrap();
            flat.remove("alerttrail").unwrap();
            for (name, value) in &activity {
                let column = flat
                    .remove(name)
                    .unwrap_or_else(|| panic!("{name} is not in {}", record.text));
                assert_eq!(column.get(), value.get(), "{name}");
            }
            for (name, value) in &alert {
                let column = match activity.contains_key(name) {
                    true => format!("{name}1"),
                    false => name.clone(),
                };
                let found = flat
                    .remove(&column)
                    .unwrap_or_else(|| panic!("{column} is not in {}", record.text));
                assert_eq!(found.get(), value.get(), "{column}");
            }
            assert!(flat.is_empty(), "more columns than the query has: {:?}", flat.keys());
            rows += 1;
        }
    }
    assert!(rows > 50, "{rows} rows");
}

/// Reads the record as text, because a map would hide the order and duplicate columns.
#[test]
fn the_columns_are_in_the_order_of_the_query() {
    let (emitter, outputs) = scenarios::outputs("010-inside-window");
    let (seq, output) = &outputs[0];
    let text = emit(&emitter, Format::Kql, output, *seq).unwrap().text;
    let mut last = 0;
    for name in [
        "ReportId",
        "RawEventData",
        "correlationId1",
        "correlationId",
        "SystemAlertId",
        "AlertType",
        "StartTime",
        "EndTime",
        "TimeGenerated",
        "TenantId",
        "Type",
        "alerttrail",
    ] {
        let places: BTreeSet<usize> = text.match_indices(&format!("\"{name}\":")).map(|(at, _)| at).collect();
        let at = *places.first().unwrap_or_else(|| panic!("{name} is not in {text}"));
        assert_eq!(places.len(), 1, "{name} in {text}");
        assert!(at >= last, "{name} comes too early in {text}");
        last = at;
    }
}

/// `cid` may be a number: the query's `correlationId1` keeps its type, and `correlationId` is its text.
#[test]
fn the_dynamic_key_keeps_its_type() {
    let (emitter, outputs) = scenarios::outputs("061-forms-of-keys");
    let mut plain = 0;
    for (seq, output) in &outputs {
        let Some(record) = emit(&emitter, Format::Kql, output, *seq) else {
            continue;
        };
        let columns = columns(&record.text);
        let Some(dynamic) = columns.get("correlationId1") else {
            continue;
        };
        if !dynamic.get().starts_with('"') {
            assert_eq!(Some(dynamic.get()), record.value["correlationId"].as_str());
            plain += 1;
        }
    }
    assert!(plain >= 2, "{plain} keys that are not strings");
}
