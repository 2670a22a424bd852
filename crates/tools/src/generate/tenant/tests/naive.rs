//! Computes the rows of the links from the records alone: it compares every alert with every activity and uses nothing
//! from the generator's plan.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::generate::tenant::{Fact, LINKS};
use crate::generate::tests::{latest, opened, raw, row, time};
use crate::generate::{Guid, Messages};
use crate::time::{Bounds, EventTime};

/// Returns the rows of valid messages without their envelopes.
pub(super) fn rows(mut source: impl Messages) -> Vec<Value> {
    let (mut rows, mut message) = (Vec::new(), Vec::new());
    while let Some(info) = source.next_message(&mut message) {
        if !info.malformed {
            let mut value: Value = serde_json::from_slice(&message).unwrap();
            match value.get_mut("records") {
                Some(records) => rows.extend(records.as_array_mut().unwrap().drain(..).map(row)),
                None => rows.push(row(value)),
            }
        }
        if info.malformed && info.records > 0 {
            // The batch contains a broken record. The other records count.
            let text = String::from_utf8_lossy(&message).into_owned();
            if let Ok(mut value) = serde_json::from_str::<Value>(&text) {
                let records = value["records"].as_array_mut().unwrap();
                rows.extend(records.drain(..).filter(is_sound).map(row));
            }
        }
        message.clear();
    }
    rows
}

fn is_sound(record: &Value) -> bool {
    record.get("RawEventData").is_some() || record.get("SystemAlertId").is_some() || record["properties"].is_object()
}

struct Activity {
    id: Guid,
    report_id: String,
    time: EventTime,
    keys: [Option<String>; 4],
}

/// Joins every alert with every activity.
pub(super) fn answer(activities: &[Value], alerts: &[Value]) -> Vec<Fact> {
    let activities: Vec<Activity> = activities.iter().map(activity).collect();
    let mut found = Vec::new();
    for (id, alert) in latest(alerts) {
        let (start, end) = (time(&alert["StartTime"]), time(&alert["EndTime"]));
        for ((place, link), keys) in LINKS.iter().enumerate().zip(alert_keys(alert)) {
            let (from, to) = (start.minus(link.margin), end.plus(link.margin));
            for activity in &activities {
                let inside = match link.bounds {
                    Bounds::Exclusive => from < activity.time && activity.time < to,
                    Bounds::Inclusive => from <= activity.time && activity.time <= to,
                };
                let key = activity.keys[place].as_ref().filter(|key| inside && keys.contains(*key));
                if let Some(key) = key {
                    found.push(Fact {
                        alert: guid(&id),
                        link: link.name,
                        key: key.clone(),
                        activity: activity.id,
                        report_id: activity.report_id.clone(),
                        time: activity.time,
                    });
                }
            }
        }
    }
    found
}

fn guid(text: &str) -> Guid {
    Guid::parse_str(text).unwrap()
}

/// Returns a string that is not empty.
fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Returns the composite key in lower case, because the link ignores case.
fn composite(name: &str, suffix: &str) -> String {
    serde_json::to_string(&[name.to_lowercase(), suffix.to_lowercase()]).unwrap()
}

fn activity(row: &Value) -> Activity {
    let event = raw(row);
    let data = opened(&event["Data"]);
    let name = text(&event["UserId"]).and_then(|user| {
        let (name, suffix) = user.split_once('@')?;
        Some(composite(name, suffix))
    });
    let address = text(&event["SharePointMetaData"]["FilePathUrl"]).or_else(|| text(&event["ObjectId"]));
    Activity {
        id: guid(event["Id"].as_str().unwrap()),
        report_id: text(&row["ReportId"]).unwrap(),
        time: time(&event["CreationTime"]),
        keys: [
            text(&data["cid"]),
            text(&row["AccountObjectId"]).or(name),
            text(&event["AlertId"]),
            address.map(|address| decoded(&address)),
        ],
    }
}

/// Returns the keys of an alert for each link.
fn alert_keys(row: &Value) -> [BTreeSet<String>; 4] {
    let entities = opened(&row["Entities"]);
    let entities = entities.as_array().unwrap();
    let of = |kind: &str, member: &str| -> BTreeSet<String> {
        let fitting = entities.iter().filter(|entity| kind.is_empty() || entity["Type"] == kind);
        fitting.filter_map(|entity| text(&entity[member])).collect()
    };
    let mut users = of("", "AadUserId");
    if users.is_empty() {
        for suffix in of("account", "UPNSuffix") {
            users.extend(of("account", "Name").iter().map(|name| composite(name, &suffix)));
        }
    }
    let original = text(&row["VendorOriginalId"]).unwrap();
    let original = original
        .strip_prefix("dl")
        .or(original.strip_prefix("fa"))
        .unwrap_or(&original);
    [
        text(&row["AlertType"]).into_iter().collect(),
        users,
        BTreeSet::from([original.to_owned()]),
        of("file", "Url").iter().map(|address| decoded(address)).collect(),
    ]
}

/// Percent-decodes a text. Invalid sequences are kept.
fn decoded(text: &str) -> String {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::new(), 0);
    while at < bytes.len() {
        let code = text
            .get(at + 1..at + 3)
            .filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match code {
            Some(code) if bytes[at] == b'%' => {
                out.push(u8::from_str_radix(code, 16).unwrap());
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap()
}
