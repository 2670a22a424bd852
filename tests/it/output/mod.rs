//! Checks every output format against the published definitions, for every scenario and for generated
//! traffic.
//!
//! [`published`] reads the definitions in `tests/definitions`; `docs/schemas` are our own, for users. A field that a
//! format leaves out or renames is compared with the native record of the same output.

mod flat;
mod generated;
mod published;

use alerttrail::emit::{Emitted, Emitter, Format, Headers};
use alerttrail::join::{Op, Output};
use serde_json::Value;

use crate::scenarios;
use published::{Ecs, Schemas};

const FORMATS: [(&str, Format); 4] = [
    ("native", Format::Native),
    ("kql", Format::Kql),
    ("ocsf", Format::Ocsf),
    ("ecs", Format::Ecs),
];

/// Returns a record as JSON text. JSON allows a lone surrogate, but a `Value` cannot hold one.
fn text(value: &[u8]) -> String {
    std::str::from_utf8(value).unwrap().replace("\\ud800", "\\ufffd")
}

fn parse(value: &[u8]) -> Value {
    let text = text(value);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// An emitted record.
struct Record {
    headers: Headers,
    text: String,
    value: Value,
}

fn emit(emitter: &Emitter, format: Format, output: &Output, seq: i64) -> Option<Record> {
    let emitter = Emitter {
        format,
        summaries: true,
        unmatched: true,
        ..emitter.clone()
    };
    let mut value = Vec::new();
    match emitter.emit(output, seq, &mut value) {
        Emitted::Record(headers) => {
            assert!(!value.contains(&b'\n'), "a record is one line");
            let record = Record {
                headers,
                value: parse(&value),
                text: text(&value),
            };
            Some(record)
        }
        Emitted::TooLarge(_) => None,
        Emitted::Omitted => panic!("nothing is omitted here"),
    }
}

/// Returns the part of a record with the fields that the format's standard does not define.
fn own_fields(format: Format, record: &Value) -> &Value {
    match format {
        Format::Native => record,
        Format::Kql | Format::Ecs => &record["alerttrail"],
        Format::Ocsf => &record["unmapped"]["alerttrail"],
    }
}

/// Checks records against all definitions and schemas.
struct Checker {
    schemas: Schemas,
    ecs: Ecs,
}

impl Checker {
    fn new() -> Self {
        Self {
            schemas: Schemas::load(),
            ecs: Ecs::load(),
        }
    }

    /// Adds all errors of an output's record in this format to `wrong`. Returns the number of records: 0 if the record
    /// is too large.
    fn check(
        &self,
        emitter: &Emitter,
        (name, format): (&str, Format),
        output: &Output,
        seq: i64,
        wrong: &mut Vec<String>,
    ) -> usize {
        let Some(record) = emit(emitter, format, output, seq) else {
            return 0;
        };
        let mut found = self.schemas.ours(name, &record.value);
        match format {
            Format::Ocsf => found.extend(self.schemas.ocsf(&record.value)),
            Format::Ecs => found.extend(self.ecs.errors(&record.value)),
            Format::Native | Format::Kql => {}
        }
        for (header, value) in record.headers.pairs() {
            let field = &own_fields(format, &record.value)[header.strip_prefix("alerttrail.").unwrap()];
            if field.as_str().map_or_else(|| field.to_string(), str::to_owned) != value {
                found.push(format!("{header} is {field}, in the headers {value}"));
            }
        }
        if is_hit(format, &record.value) != (op(output) == Op::Upsert) {
            found.push("a hit is not recognised, or a retraction looks like a hit".into());
        }
        wrong.extend(found.into_iter().map(|found| format!("{name}: {found}: {}", record.text)));
        1
    }
}

fn op(output: &Output) -> Op {
    match output {
        Output::Row(row) => row.op,
        Output::Summary(summary) => summary.op,
    }
}

/// Returns true if a reader who knows only the standard, and nothing about `alerttrail`, takes a record for something
/// that has happened or that is open.
fn is_hit(format: Format, record: &Value) -> bool {
    match format {
        // These two formats have no standard but the field itself.
        Format::Native => record["op"] == "upsert",
        Format::Kql => !record["SystemAlertId"].is_null(),
        Format::Ocsf => match record["class_uid"].as_u64() {
            Some(2006) => record["activity_id"] != 3 && record["status_id"] != 6 && record["is_alert"] == true,
            class => class != Some(0),
        },
        Format::Ecs => record["event"]["kind"] == "event" || record["event"]["kind"] == "alert",
    }
}

#[test]
fn every_scenario_is_valid_in_every_format() {
    let checker = Checker::new();
    let mut wrong = Vec::new();
    let mut deletes = 0;
    for name in scenarios::names() {
        let (emitter, outputs) = scenarios::outputs(&name);
        for (seq, output) in &outputs {
            deletes += usize::from(op(output) == Op::Delete);
            for format in FORMATS {
                let before = wrong.len();
                checker.check(&emitter, format, output, *seq, &mut wrong);
                wrong[before..]
                    .iter_mut()
                    .for_each(|wrong| *wrong = format!("{name}: {wrong}"));
            }
        }
    }
    assert!(deletes > 10, "{deletes} deletes prove little");
    assert!(wrong.is_empty(), "{} records are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn rows_keep_their_digits_in_every_format() {
    let (emitter, outputs) = scenarios::outputs("095-rows-travel-unchanged");
    let mut rows = 0;
    for (seq, output) in &outputs {
        let Output::Row(row) = output else { continue };
        let (alert, activity) = row.rows.as_ref().unwrap();
        let quoted = |row: &[u8]| serde_json::to_string(&text(row)).unwrap();
        let assert_contains = |format, part: &str| {
            let record = emit(&emitter, format, output, *seq).unwrap();
            assert!(record.text.contains(part), "{part} is not in {}", record.text);
        };
        assert_contains(Format::Ocsf, &format!(r#","activity":{}"#, text(activity)));
        assert_contains(Format::Ocsf, &format!(r#","alert":{}"#, text(alert)));
        assert_contains(Format::Ecs, &format!(r#""original":{}"#, quoted(activity)));
        assert_contains(Format::Ecs, &format!(r#""alert":{}"#, quoted(alert)));
        rows += 1;
    }
    assert!(rows > 0);
}

#[test]
fn a_record_that_is_too_large_is_cut_in_every_format() {
    let (emitter, outputs) = scenarios::outputs("407-too-large-with-odd-columns");
    for (name, format) in FORMATS {
        for (seq, output) in &outputs {
            let fits = |limit| {
                let emitter = Emitter {
                    limit,
                    ..emitter.clone()
                };
                emit(&emitter, format, output, *seq)
            };
            let whole = fits(None).unwrap();
            let cut = fits(Some(whole.text.len())).unwrap_or_else(|| panic!("{name}: too large"));
            assert_eq!(
                own_fields(format, &cut.value)["truncated"],
                serde_json::json!(["alert"]),
                "{name}"
            );
            assert!(
                cut.text.len() < whole.text.len() && !cut.text.contains("xxxx"),
                "{name}: {}",
                cut.text
            );
            assert!(fits(Some(300)).is_none(), "{name}");
        }
    }
}
