//! Finds where a message contains a key, also at paths that are not configured.

use std::collections::BTreeSet;

use serde_json::Value;

/// The maximum number of steps in a path, including the steps inside strings that contain JSON.
const MAX_DEPTH: usize = 16;

/// Returns, for each CloudAppEvents row of a message that contains `key`, the paths from the row to strings that equal
/// `key`. Strings that contain JSON are parsed on the way, as for configured paths. In a path, `[]` means any element
/// of a list.
pub fn places_of(message: &[u8], key: &str) -> Vec<BTreeSet<String>> {
    let Ok(message) = serde_json::from_slice::<Value>(message) else {
        return Vec::new();
    };
    let mut records = Vec::new();
    unpack(&message, &mut records);
    let places = |row: &Value| {
        let mut found = BTreeSet::new();
        walk(row, key, &mut Vec::new(), &mut found);
        found
    };
    records.into_iter().map(places).filter(|found| !found.is_empty()).collect()
}

/// Collects the rows of activities in a message, from batches and envelopes.
fn unpack<'v>(value: &'v Value, rows: &mut Vec<&'v Value>) {
    if let Some(list) = value.as_array().or_else(|| value.get("records").and_then(Value::as_array)) {
        for record in list {
            unpack(record, rows);
        }
        return;
    }
    let row = value.get("properties").unwrap_or(value);
    if row.get("RawEventData").is_some() {
        rows.push(row);
    }
}

fn walk(value: &Value, key: &str, path: &mut Vec<String>, found: &mut BTreeSet<String>) {
    if path.len() > MAX_DEPTH {
        return;
    }
    match value {
        Value::String(text) if text == key => drop(found.insert(path.join("."))),
        Value::String(text) if text.starts_with(['{', '[']) && text.contains(key) => {
            if let Ok(inner) = serde_json::from_str(text) {
                walk(&inner, key, path, found);
            }
        }
        Value::Array(list) => {
            path.push("[]".to_owned());
            list.iter().for_each(|element| walk(element, key, path, found));
            path.pop();
        }
        Value::Object(members) => {
            for (name, member) in members {
                path.push(name.clone());
                walk(member, key, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_at_every_path() {
        let message = r#"{"records":[{"category":"AdvancedHunting-CloudAppEvents","properties":{"ObjectId":"p-7",
            "RawEventData":{"Data":"{\"cid\":\"q\",\"list\":[{\"id\":\"p-7\"}]}","PolicyDetails":[{"PolicyId":"p-7"},{"PolicyId":"p-7"}]}}},
            {"properties":{"RawEventData":{"Data":"{}"}}},{"properties":{"SystemAlertId":"p-7"}}]}"#;
        let found = places_of(message.as_bytes(), "p-7");
        let expected = [
            "ObjectId",
            "RawEventData.Data.list.[].id",
            "RawEventData.PolicyDetails.[].PolicyId",
        ];
        assert_eq!(found, [expected.map(str::to_owned).into()]);
        assert!(places_of(b"no json", "p-7").is_empty());
    }
}
