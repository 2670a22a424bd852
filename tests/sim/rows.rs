//! The text of rows and messages. Two records with the same content differ in form: in the order of their columns, and
//! in their envelopes.

use sha2::{Digest, Sha256};

use crate::rng::Rng;
use crate::world::{show, ticks_of};

/// The name of a column, and its value as JSON without white space.
pub(crate) type Column = (&'static str, String);

/// Returns the columns of a CloudAppEvents row.
pub(crate) fn activity(cid: &str, time: Option<i64>, number: usize, rng: &mut Rng) -> Vec<Column> {
    let mut data = format!("{{\"cid\":{cid},\"pn\":\"\"}}");
    if rng.percent(70) {
        data = quote(&data);
    }
    let mut raw = match time {
        Some(time) => format!("{{\"CreationTime\":\"{}\",\"Data\":{data}}}", spell(time, rng)),
        None => format!("{{\"Data\":{data}}}"),
    };
    if rng.percent(20) {
        raw = quote(&raw);
    }
    vec![
        ("ActionType", "\"FileAccessed\"".to_owned()),
        ("RawEventData", raw),
        ("ReportId", format!("\"report-{number}\"")),
        ("Weight", "1.10e+0".to_owned()),
    ]
}

/// Returns the columns of a SecurityAlert row; `times` are its start, its end and when it was generated.
pub(crate) fn alert(alert: usize, key: &str, times: [i64; 3], rng: &mut Rng) -> Vec<Column> {
    let [start, end, generated] = times.map(|time| format!("\"{}\"", spell(time, rng)));
    vec![
        ("AlertType", format!("\"{key}\"")),
        ("EndTime", end),
        ("StartTime", start),
        ("Status", format!("\"S{}\"", rng.below(1_000))),
        ("SystemAlertId", format!("\"alert-{alert}\"")),
        ("TimeGenerated", generated),
    ]
}

/// Returns the hash that decides ties between versions: that of the row as the shortest JSON with its names in order.
/// The columns are in order and without escapes, so this function only has to join them.
pub(crate) fn hash(columns: &[Column]) -> [u8; 32] {
    assert!(columns.is_sorted(), "columns are kept in order");
    let members: Vec<String> = columns.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    Sha256::digest(format!("{{{}}}", members.join(","))).into()
}

/// Returns the text of a row, and the text in the message: the row alone, or the row in an envelope.
pub(crate) fn wrap(table: &str, columns: &[Column], now: i64, rng: &mut Rng) -> (String, String) {
    let mut columns = columns.to_vec();
    for (name, value) in &mut columns {
        if matches!(*name, "ActionType" | "Status") && rng.percent(20) {
            *value = value.replacen(['F', 'S'], if *name == "Status" { "\\u0053" } else { "\\u0046" }, 1);
        }
    }
    let has_time = |(name, value): &Column| *name == "Timestamp" || value.contains("CreationTime");
    // This column would give a time to a row whose activity has none.
    if table == "CloudAppEvents" && rng.percent(50) && columns.iter().any(has_time) {
        columns.push(("TimeGenerated", format!("\"{}\"", show(ticks_of(now)))));
    }
    if rng.percent(50) {
        columns.push(("_ItemId", format!("\"{}\"", rng.below(1_000_000))));
    }
    let enveloped = rng.percent(60);
    if !enveloped && rng.percent(50) {
        columns.push(("Type", format!("\"{table}\"")));
    }
    rng.shuffle(&mut columns);
    let (colon, comma) = *rng.pick(&[(":", ","), (": ", ", "), (" :", " , ")]);
    let members: Vec<String> = columns
        .iter()
        .map(|(name, value)| format!("\"{name}\"{colon}{value}"))
        .collect();
    let row = format!("{{{}}}", members.join(comma));
    let text = match enveloped {
        true => format!(
            "{{\"time\":\"{}\",\"tenantId\":\"t\",\"operationName\":\"Publish\",\"category\":\"AdvancedHunting-{table}\",\"properties\":{row}}}",
            show(ticks_of(now))
        ),
        false => row.clone(),
    };
    (row, text)
}

/// Writes a time in one of the forms that the two tables use.
pub(crate) fn spell(time: i64, rng: &mut Rng) -> String {
    let text = show(time);
    match rng.below(4) {
        0 => text.trim_end_matches('Z').to_owned(),
        1 => text.replace('T', " "),
        2 => text.replace('Z', "+00:00"),
        _ => text,
    }
}

fn quote(json: &str) -> String {
    format!("\"{}\"", json.replace('\\', "\\\\").replace('"', "\\\""))
}
