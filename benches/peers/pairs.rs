//! The output of a contender as pairs (alert id, activity id). An activity's id here is `RawEventData.Id`, which the
//! generator never repeats.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Output records as lines
    #[arg(long)]
    input: PathBuf,
    #[arg(long)]
    output: PathBuf,
    #[arg(long, value_enum)]
    form: Form,
}

/// Forms of output records.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    /// alerttrail's rows
    Rows,
    /// `{"alert":"…","activity":"…"}`, with any other members
    Pairs,
}

/// One output record: `upsert` adds the pair, and of several records the one with the greatest `seq` counts.
pub(crate) struct PairRecord {
    pub(crate) pair: String,
    pub(crate) seq: i64,
    pub(crate) upsert: bool,
}

#[derive(Deserialize)]
struct Row<'a> {
    op: &'a str,
    seq: i64,
    system_alert_id: &'a str,
    #[serde(borrow)]
    activity: Option<Activity<'a>>,
}

#[derive(Deserialize)]
struct Activity<'a> {
    #[serde(borrow, rename = "RawEventData")]
    event: &'a RawValue,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "Id")]
    id: &'a str,
}

#[derive(Deserialize)]
struct Pair<'a> {
    alert: &'a str,
    activity: &'a str,
}

impl PairRecord {
    pub(crate) fn read(form: Form, record: &[u8]) -> Self {
        match form {
            Form::Rows => {
                let row: Row<'_> = serde_json::from_slice(record).unwrap();
                // The data has no versions of alerts, so no row is ever retracted.
                let activity = row.activity.unwrap();
                Self {
                    pair: format!("{} {}", row.system_alert_id, event_id(activity.event)),
                    seq: row.seq,
                    upsert: row.op == "upsert",
                }
            }
            Form::Pairs => {
                let pair: Pair<'_> = serde_json::from_slice(record).unwrap();
                Self {
                    pair: format!("{} {}", pair.alert, pair.activity),
                    seq: 0,
                    upsert: true,
                }
            }
        }
    }
}

/// Returns the `Id` of an object, or of an object inside a string.
fn event_id(event: &RawValue) -> String {
    let text: Cow<'_, str> = if event.get().starts_with('"') {
        Cow::Owned(serde_json::from_str(event.get()).unwrap())
    } else {
        Cow::Borrowed(event.get())
    };
    let event: Event<'_> = serde_json::from_str(&text).unwrap();
    event.id.to_owned()
}

pub(crate) fn run(args: &Args) {
    let mut pairs = BTreeSet::new();
    let mut records = 0_u64;
    for line in BufReader::with_capacity(1 << 20, File::open(&args.input).unwrap()).split(b'\n') {
        let pair_record = PairRecord::read(args.form, &line.unwrap());
        assert!(pair_record.upsert, "a row was retracted, which this data never requires");
        pairs.insert(pair_record.pair);
        records += 1;
    }
    let mut out = BufWriter::new(File::create(&args.output).unwrap());
    for pair in &pairs {
        writeln!(out, "{pair}").unwrap();
    }
    out.flush().unwrap();
    crate::print_line(&json!({"records": records, "pairs": pairs.len()}));
}
