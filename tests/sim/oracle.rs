//! What the outputs are held against.
//!
//! Two yardsticks, neither of which looks at stores, log bytes or outputs: the query's answer over all inputs at once, and what each
//! record of the log has to bring ([`model`](crate::model)).

use std::collections::{BTreeMap, BTreeSet};

use alerttrail::store::Table;
use alerttrail::time::EventTime;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Failure;
use crate::cluster::Stormy;
use crate::disk::Disk;
use crate::due::{Due, Expected, Left, Row, Summary};
use crate::joining::Delivered;
use crate::world::{Settings, Version, What, World, show, ticks, ticks_of};

/// A pair: the alert and the activity's number.
type Pair = (usize, usize);

/// An output record as a reader sees it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said<'a> {
    schema: &'a str,
    kind: &'a str,
    op: &'a str,
    id: &'a str,
    seq: i64,
    system_alert_id: &'a str,
    correlation_id: &'a str,
    reason: Option<&'a str>,
    activity_time: Option<&'a str>,
    #[serde(borrow)]
    alert: Option<&'a RawValue>,
    #[serde(borrow)]
    activity: Option<&'a RawValue>,
    revision: Option<u64>,
    closed_by: Option<&'a str>,
    complete: Option<bool>,
    complete_because: Option<&'a str>,
    late_count: Option<u64>,
    watermark_at_close: Option<&'a str>,
    retained_from: Option<&'a str>,
    #[serde(borrow)]
    sources: Option<&'a RawValue>,
    status: Option<&'a str>,
    window: Option<Bounds<'a>>,
    activity_count: Option<usize>,
    first_activity_time: Option<&'a str>,
    last_activity_time: Option<&'a str>,
    watermark: Option<&'a str>,
    closed_at: Option<&'a str>,
}

#[derive(Deserialize, PartialEq, Debug)]
struct Bounds<'a> {
    start: &'a str,
    end: &'a str,
}

/// Reads outputs, and keeps what ids stand for.
pub(crate) struct Reader<'a> {
    world: &'a World,
    /// Rows by their bytes.
    rows: BTreeMap<&'a str, usize>,
    /// By id: the pair it stands for.
    pairs: BTreeMap<String, Pair>,
    ids: BTreeMap<Pair, String>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        let rows = world.records.iter().map(|record| (record.row.as_str(), record.twin));
        Self {
            world,
            rows: rows.collect(),
            pairs: BTreeMap::new(),
            ids: BTreeMap::new(),
        }
    }

    /// Holds the outputs of a partition against what its log has to bring.
    pub(crate) fn check(&mut self, outputs: &[Delivered], expected: &[Due]) -> Result<(), Failure> {
        let mut by_seq: BTreeMap<i64, Vec<&Delivered>> = BTreeMap::new();
        for output in outputs {
            by_seq.entry(output.seq).or_default().push(output);
        }
        for (seq, due) in (0..).zip(expected) {
            let outputs = by_seq.remove(&seq).unwrap_or_default();
            let mut rows = BTreeSet::new();
            let mut summaries = Vec::new();
            let mut order: BTreeMap<(usize, bool, bool), &str> = BTreeMap::new();
            for output in outputs {
                let said = read(output)?;
                let alert = alert(&said)?;
                if output.is_row {
                    let time = said.activity_time.unwrap_or_default();
                    let row = self.row(&said, output)?;
                    let is_again = output.is_upsert && due.again.contains(&(alert, row.activity));
                    let previous = order.insert((alert, output.is_upsert, is_again), time);
                    Failure::unless(previous.is_none_or(|previous| previous <= time), "prompt", || {
                        format!("rows are not in the order of time: {}", output.value)
                    })?;
                    Failure::unless(rows.insert(row), "stable", || format!("said twice at once: {}", output.value))?;
                } else {
                    summaries.push(said);
                }
            }
            self.check_rows(seq, &rows, due, expected)?;
            self.check_summaries(seq, summaries, &due.summaries)?;
        }
        Failure::unless(by_seq.is_empty(), "stable", || {
            "an output's seq is no offset of the log".to_owned()
        })
    }

    fn row(&mut self, said: &Said<'_>, output: &Delivered) -> Result<Row, Failure> {
        let alert = alert(said)?;
        let wrong = |what: &str| Failure::new("sound", format!("{what}: {}", output.value));
        let records = match (said.alert, said.activity) {
            (Some(alert), Some(activity)) => {
                let find = |row: &RawValue| self.rows.get(row.get()).copied();
                let found = find(alert).zip(find(activity));
                Some(found.ok_or_else(|| wrong("a row is not what was sent, byte for byte"))?)
            }
            _ => None,
        };
        let activity = match records {
            Some((_, record)) => {
                let What::Activity { number, key, time } = self.world.records[record].what else {
                    return Err(wrong("the activity is none"));
                };
                let told = (said.correlation_id, said.activity_time) == (key, Some(show(time).as_str()));
                Failure::unless(told, "sound", || {
                    format!("key or time is not the activity's: {}", output.value)
                })?;
                let pair = (alert, number);
                let known = self.pairs.insert(output.id.clone(), pair).is_none_or(|known| known == pair);
                let same = self.ids.insert(pair, output.id.clone()).is_none_or(|id| id == output.id);
                Failure::unless(known && same, "stable", || {
                    format!("ids and pairs are not one to one: {}", output.value)
                })?;
                number
            }
            None => {
                let pair = self.pairs.get(&output.id).filter(|pair| pair.0 == alert);
                pair.ok_or_else(|| wrong("a delete of what never came"))?.1
            }
        };
        let reasons = ["window_closed", "late_activity", "late_alert", "alert_updated"];
        let reason = reasons.into_iter().find(|reason| Some(*reason) == said.reason);
        Ok(Row {
            is_upsert: output.is_upsert,
            alert,
            activity,
            reason: reason.ok_or_else(|| wrong("no such reason"))?,
            records,
        })
    }

    fn check_rows(&self, seq: i64, rows: &BTreeSet<Row>, due: &Due, expected: &[Due]) -> Result<(), Failure> {
        let is_due_some_time = |row: &Row| {
            let mut all = expected.iter().flat_map(|due| &due.rows);
            all.any(|other| (other.is_upsert, other.alert, other.activity) == (row.is_upsert, row.alert, row.activity))
        };
        if let Some(extra) = rows.difference(&due.rows).next() {
            let invariant = if is_due_some_time(extra) { "prompt" } else { "sound" };
            return Err(Failure::new(
                invariant,
                format!("log record {seq} brought {extra:?}, and must not"),
            ));
        }
        if let Some(missing) = due.rows.difference(rows).next() {
            return Err(Failure::new(
                "complete",
                format!("log record {seq} did not bring {missing:?}"),
            ));
        }
        Ok(())
    }

    fn check_summaries(&self, seq: i64, said: Vec<Said<'_>>, due: &[Summary]) -> Result<(), Failure> {
        let mut due: Vec<&Summary> = due.iter().collect();
        for said in said {
            let alert = alert(&said)?;
            let place = due
                .iter()
                .position(|due| (due.alert, due.key, due.is_upsert) == (alert, said.correlation_id, said.op == "upsert"));
            let place = place.ok_or_else(|| {
                Failure::new(
                    "summaries",
                    format!("log record {seq} brought a summary of alert {alert} that is not due"),
                )
            })?;
            self.check_summary(&said, due.remove(place))?;
        }
        Failure::unless(due.is_empty(), "summaries", || {
            format!("log record {seq} did not bring {:?}", due[0].alert)
        })
    }

    fn check_summary(&self, said: &Said<'_>, due: &Summary) -> Result<(), Failure> {
        let same = |what: &str, is: bool| {
            Failure::unless(is, "summaries", || {
                format!(
                    "{what} of the summary of alert {} at {} is wrong, due is {due:?}",
                    due.alert, said.seq
                )
            })
        };
        same("the revision", said.revision == Some(due.revision))?;
        if !due.is_upsert {
            return Ok(());
        }
        let time = |time: Option<i64>| time.map(|time| EventTime::from_ticks(time).to_string());
        let settings = &self.world.settings;
        same("the count", said.activity_count == Some(due.count))?;
        let status = if due.count > 0 { "matched" } else { "unmatched" };
        same("the status", said.status == Some(status))?;
        if let Some((first, last)) = due.extent {
            same("the first activity", said.first_activity_time == time(first).as_deref())?;
            same("the last activity", said.last_activity_time == time(last).as_deref())?;
        }
        same("closed_by", due.closed_by.is_none() || said.closed_by == due.closed_by)?;
        same("closed_at", said.closed_at == time(due.closed_at.map(ticks_of)).as_deref())?;
        let may_be_incomplete = due.closed_by.is_none() && said.complete == Some(false);
        same("complete", said.complete == Some(due.complete) || may_be_incomplete)?;
        let whole = ["passed_by_activities", "end_of_input"];
        let says_whole = said.complete_because.is_some_and(|because| whole.contains(&because));
        same("the reason", said.complete == Some(says_whole))?;
        same(
            "the watermark at the close",
            said.watermark_at_close == time(due.watermark_at_close).as_deref(),
        )?;
        let retained_from = Some(due.horizon).filter(|horizon| *horizon > 0);
        same("what is retained", said.retained_from == time(retained_from).as_deref())?;
        same("the sources", said.sources.is_some())?;
        same("the late ones", said.late_count == Some(due.late_count))?;
        same("the watermark", said.watermark == time(due.watermark).as_deref())?;
        let start = show(due.version.start - ticks(settings.before));
        let end = show(due.version.end + ticks(settings.after));
        let bounds = Bounds {
            start: &start,
            end: &end,
        };
        same("the window", said.window.as_ref() == Some(&bounds))?;
        let row = said.alert.map(RawValue::get);
        same("the alert", row == Some(self.world.records[due.record].row.as_str()))
    }

    /// The rows left when everything is read: of several records of one id the greatest `seq` counts. In the order of delivery it is the
    /// same, unless an older row may have been sent behind a newer one.
    pub(crate) fn fold(&self, joined: &[Stormy]) -> Result<BTreeSet<Pair>, Failure> {
        let mut pairs = BTreeSet::new();
        // A pair is a matter of one partition of the log.
        for Stormy { topic, out_of_order, .. } in joined {
            let mut by_seq: BTreeMap<&str, (i64, bool)> = BTreeMap::new();
            let mut in_order: BTreeMap<&str, bool> = BTreeMap::new();
            for output in topic.iter().filter(|output| output.is_row) {
                let known = by_seq.entry(&output.id).or_insert((output.seq, output.is_upsert));
                if known.0 <= output.seq {
                    *known = (output.seq, output.is_upsert);
                }
                in_order.insert(&output.id, output.is_upsert);
            }
            let by_seq: BTreeMap<&str, bool> = by_seq.into_iter().map(|(id, (_, live))| (id, live)).collect();
            Failure::unless(*out_of_order || by_seq == in_order, "complete", || {
                "seq and order of delivery do not agree".to_owned()
            })?;
            let live = by_seq.iter().filter(|(_, live)| **live);
            pairs.extend(live.map(|(id, _)| self.pairs[*id]));
        }
        Ok(pairs)
    }
}

fn read(output: &Delivered) -> Result<Said<'_>, Failure> {
    let said: Said<'_> = serde_json::from_str(&output.value)
        .map_err(|error| Failure::new("sound", format!("an output cannot be read: {error}: {}", output.value)))?;
    let told = (
        said.schema,
        said.kind == "activity",
        said.op == "upsert",
        said.id,
        said.seq,
        said.system_alert_id.as_bytes(),
    );
    let headers = (
        "alerttrail/1",
        output.is_row,
        output.is_upsert,
        output.id.as_str(),
        output.seq,
        output.key.as_slice(),
    );
    Failure::unless(told == headers, "sound", || {
        format!("headers and value do not agree: {}", output.value)
    })?;
    Ok(said)
}

fn alert(said: &Said<'_>) -> Result<usize, Failure> {
    let number = said
        .system_alert_id
        .strip_prefix("alert-")
        .and_then(|number| number.parse().ok());
    number.ok_or_else(|| Failure::new("sound", format!("no such alert: {}", said.system_alert_id)))
}

/// The query's answer: every alert's greatest version with every activity that has its key and lies within its bounds.
pub(crate) fn answer(world: &World) -> BTreeSet<Pair> {
    let mut pairs = BTreeSet::new();
    for version in greatest(world).values() {
        for record in &world.records {
            if let What::Activity { number, key, time } = record.what
                && is_pair(&world.settings, version, key, time)
            {
                pairs.insert((version.alert, number));
            }
        }
    }
    pairs
}

fn is_pair(settings: &Settings, version: &Version, key: &str, time: i64) -> bool {
    let start = version.start - ticks(settings.before);
    let end = version.end + ticks(settings.after);
    let inside = match settings.inclusive {
        true => start <= time && time <= end,
        false => start < time && time < end,
    };
    inside && version.key == key
}

fn greatest(world: &World) -> BTreeMap<usize, &Version> {
    let mut greatest: BTreeMap<usize, &Version> = BTreeMap::new();
    for record in &world.records {
        if let What::Alert(version) = &record.what {
            let held = greatest.entry(version.alert).or_insert(version);
            if held.order() < version.order() {
                *held = version;
            }
        }
    }
    greatest
}

/// Holds what is left against the query's answer. With a retention, only pairs that it cannot have touched: the activity, and the end
/// of every version of the alert, lie not behind the greatest horizon there can have been.
pub(crate) fn check_answer(world: &World, fold: &BTreeSet<Pair>) -> Result<usize, Failure> {
    let mut times = BTreeMap::new();
    let mut ends: BTreeMap<usize, i64> = BTreeMap::new();
    for record in &world.records {
        match &record.what {
            What::Activity { number, time, .. } => {
                times.insert(*number, *time);
            }
            What::Alert(version) => {
                let to = world.settings.window(version).1;
                let least = ends.entry(version.alert).or_insert(to);
                *least = (*least).min(to);
            }
            What::Unkeyed { .. } | What::Nothing => {}
        }
    }
    let horizon = world
        .settings
        .retention
        .map_or(i64::MIN, |retention| greatest_time(world) - ticks(retention));
    let is_safe = |pair: &&Pair| ends[&pair.0] >= horizon && times[&pair.1] >= horizon;
    let due = answer(world);
    let (safe, found): (BTreeSet<&Pair>, BTreeSet<&Pair>) =
        (due.iter().filter(is_safe).collect(), fold.iter().filter(is_safe).collect());
    if let Some(extra) = found.difference(&safe).next() {
        return Err(Failure::new(
            "sound",
            format!("the query does not give (alert, activity) {extra:?}"),
        ));
    }
    if let Some(missing) = safe.difference(&found).next() {
        return Err(Failure::new(
            "complete",
            format!("the query gives (alert, activity) {missing:?}"),
        ));
    }
    Ok(safe.len())
}

/// No watermark that activities move is greater than this.
fn greatest_time(world: &World) -> i64 {
    let mut greatest = i64::MIN / 2;
    for message in world.messages.iter().flatten() {
        for record in &message.records {
            let (What::Activity { time, .. } | What::Unkeyed { time: Some(time) }) = world.records[*record].what else {
                continue;
            };
            let arrived = message.timestamp.map_or(i64::MAX, ticks_of);
            if message.timestamp.is_none() || time <= arrived.saturating_add(ticks(world.settings.max_future_skew)) {
                greatest = greatest.max(time);
            }
        }
    }
    greatest - ticks(world.settings.out_of_orderness)
}

/// Nothing behind the horizon stays, and nothing else goes.
pub(crate) fn check_left(disk: &Disk, expected: &Expected) -> Result<(), Failure> {
    let len = |table| disk.len(table);
    let left = Left {
        activities: len(Table::Activities),
        alerts: len(Table::Alerts),
        alert_rows: len(Table::AlertRows),
        answered: len(Table::Answered),
        timers: len(Table::Timers),
        meta: len(Table::Meta),
    };
    Failure::unless(left == expected.left, "bounded", || {
        format!("the tables hold {left:?}, not {:?}", expected.left)
    })
}
