//! Writes the output of a step in the form of the scenario files.

use std::collections::BTreeMap;

use alerttrail::decode::QUERY;
use alerttrail::emit::Headers;
use serde_json::Value;

use super::file::Step;

/// The output of one step.
pub(super) struct Outcome {
    notes: Vec<String>,
    /// By partition of the repartition topic.
    records: Vec<Vec<Record>>,
    lines: Vec<String>,
}

struct Record {
    headers: Headers,
    value: Vec<u8>,
}

/// The names of activities by id, and the last record of each id.
#[derive(Default)]
pub(super) struct Names {
    activities: BTreeMap<String, String>,
    last: BTreeMap<String, (i64, Value)>,
}

impl Outcome {
    pub(super) fn new(partitions: usize) -> Self {
        Self {
            notes: Vec::new(),
            records: (0..partitions).map(|_| Vec::new()).collect(),
            lines: Vec::new(),
        }
    }

    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(super) fn note_once(&mut self, note: &str) {
        if !self.notes.iter().any(|before| before == note) {
            self.note(note);
        }
    }

    pub(super) fn record(&mut self, partition: usize, headers: Headers, value: Vec<u8>) {
        self.records[partition].push(Record { headers, value });
    }

    /// Writes the output as lines.
    pub(super) fn name(&mut self, names: &mut Names) {
        self.lines.append(&mut self.notes);
        for record in self.records.iter().flatten() {
            self.lines.push(names.line(record));
        }
    }

    /// Returns the values of the records by partition.
    pub(super) fn values(self) -> Vec<Vec<Vec<u8>>> {
        let values = |records: Vec<Record>| records.into_iter().map(|record| record.value).collect();
        self.records.into_iter().map(values).collect()
    }

    /// Compares the output with the expected one. Records of different partitions have no order.
    pub(super) fn check(&self, step: &Step, partitions: u32, number: usize) {
        let (mut expected, mut lines) = (step.expect.clone(), self.lines.clone());
        if partitions > 1 {
            expected.sort();
            lines.sort();
        }
        assert!(
            expected == lines,
            "with {partitions} partitions, in step {} (from 1), {step:#?}\nthe output was\nexpect = [{}\n]",
            number + 1,
            self.lines.iter().map(|line| format!("\n    {line:?},")).collect::<String>()
        );
        for text in &step.contains {
            let contains = |record: &Record| String::from_utf8_lossy(&record.value).contains(text);
            let mut records = self.records.iter().flatten();
            assert!(
                records.any(contains),
                "no record of step {} contains {text}:\n{}",
                number + 1,
                self.records
                    .iter()
                    .flatten()
                    .map(|record| String::from_utf8_lossy(&record.value) + "\n")
                    .collect::<String>()
            );
        }
    }
}

impl Names {
    fn line(&mut self, record: &Record) -> String {
        let value = parse(&record.value);
        let headers = &record.headers;
        for (name, header) in headers.pairs() {
            let field = &value[name.strip_prefix("alerttrail.").unwrap()];
            let text = field.as_str().map_or_else(|| field.to_string(), str::to_owned);
            assert_eq!(text, header, "the header {name} and the value differ");
        }
        assert_eq!(value["schema"], "alerttrail/1");
        assert!(!record.value.contains(&b'\n'), "a record is one line");
        let line = match value["kind"].as_str() {
            Some("activity") => self.row(&value),
            _ => summary(&value),
        };
        let before = self.last.insert(headers.id.clone(), (headers.seq, value));
        assert!(
            before.is_none_or(|(seq, _)| seq < headers.seq),
            "a later record of one id has a greater seq: {line}"
        );
        line
    }

    fn row(&mut self, row: &Value) -> String {
        let id = row["id"].as_str().unwrap();
        let activity = match row["op"].as_str() {
            // A delete does not contain the activity, but it has its id.
            Some("delete") => self.activities.get(id).cloned().unwrap_or_else(|| format!("?{id}")),
            _ => {
                let name = row["activity"]["ReportId"].as_str().unwrap_or("?").to_owned();
                self.activities.insert(id.to_owned(), name.clone());
                name
            }
        };
        let truncated = if row.get("truncated").is_some() { " truncated" } else { "" };
        let by_link = match row["link"].as_str() {
            Some(QUERY) => String::new(),
            _ => format!(" {}", key(row)),
        };
        format!(
            "{} {} {activity} {}{by_link}{truncated}",
            string(&row["op"]),
            alert(row),
            string(&row["reason"])
        )
    }

    /// Returns the last record of each id, unless that is a retraction.
    pub(super) fn into_fold(self) -> BTreeMap<String, Value> {
        let values = self.last.into_iter().map(|(id, (_, value))| (id, value));
        values.filter(|(_, value)| value["op"] == "upsert").collect()
    }
}

/// Parses an output record as JSON.
pub(super) fn parse(value: &[u8]) -> Value {
    // JSON allows a lone surrogate, but a `Value` cannot hold one.
    let text = std::str::from_utf8(value).unwrap().replace("\\ud800", "\\ufffd");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn summary(summary: &Value) -> String {
    let (alert, key, revision) = (alert(summary), key(summary), &summary["revision"]);
    if summary["op"] == "delete" {
        return format!("summary {alert} {key}: deleted");
    }
    let complete = match summary["complete"].as_bool() {
        Some(true) => "complete",
        _ => "incomplete",
    };
    let (status, count) = (string(&summary["status"]), &summary["activity_count"]);
    let closed_by = string(&summary["closed_by"]);
    let truncated = if summary.get("truncated").is_some() {
        ", truncated"
    } else {
        ""
    };
    format!("summary {alert} {key}: revision {revision}, {status} {count}, {closed_by}, {complete}{truncated}")
}

fn alert(record: &Value) -> String {
    let id = string(&record["system_alert_id"]);
    match record["tenant_id"].as_str() {
        Some(tenant) => format!("{tenant}/{id}"),
        None => id,
    }
}

/// Returns the key of a record, preceded by the link unless that is the query.
fn key(record: &Value) -> String {
    let key = string(&record["correlation_id"]);
    match record["link"].as_str() {
        Some(QUERY) => key,
        link => format!("by {} {key}", link.unwrap()),
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
