//! The results that the outputs are compared with.
//!
//! There are two, and neither looks at stores, log bytes or outputs: the result of the query over all inputs at once,
//! and the outputs that each record of the log must lead to ([`model`](crate::model)).

use std::collections::{BTreeMap, BTreeSet};

use alerttrail::store::Table;
use alerttrail::time::EventTime;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Failure;
use crate::cluster::Disturbed;
use crate::disk::Disk;
use crate::due::{Due, Expected, Left, Pair, Row, Summary};
use crate::joining::Delivered;
use crate::links::{LinkKey, name};
use crate::world::{RecordKind, Settings, Version, World, show, ticks, ticks_of};

/// An output record as a reader sees it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmittedRecord<'a> {
    schema: &'a str,
    kind: &'a str,
    op: &'a str,
    id: &'a str,
    seq: i64,
    system_alert_id: &'a str,
    correlation_id: &'a str,
    link: &'a str,
    activity_id: Option<&'a str>,
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

/// Reads outputs, and keeps the pairs that ids belong to.
pub(crate) struct Reader<'a> {
    world: &'a World,
    /// Rows by their bytes.
    rows: BTreeMap<&'a str, usize>,
    /// The pair of each id.
    pairs: BTreeMap<String, Pair>,
    ids: BTreeMap<Pair, String>,
    /// The dedup key of each activity in the outputs.
    dedup_keys: BTreeMap<usize, String>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        let rows = world.records.iter().map(|record| (record.row.as_str(), record.twin));
        Self {
            world,
            rows: rows.collect(),
            pairs: BTreeMap::new(),
            ids: BTreeMap::new(),
            dedup_keys: BTreeMap::new(),
        }
    }

    /// Compares the outputs of a partition with those that its log must lead to.
    pub(crate) fn check(&mut self, outputs: &[Delivered], expected: &[Due]) -> Result<(), Failure> {
        let mut by_seq: BTreeMap<i64, Vec<&Delivered>> = BTreeMap::new();
        for output in outputs {
            by_seq.entry(output.seq).or_default().push(output);
        }
        for (seq, due) in (0..).zip(expected) {
            let outputs = by_seq.remove(&seq).unwrap_or_default();
            let mut rows = BTreeSet::new();
            let mut summaries = Vec::new();
            let mut order: BTreeMap<(usize, LinkKey, bool, bool), &str> = BTreeMap::new();
            for output in outputs {
                let emitted = read(output)?;
                if output.is_row {
                    let time = emitted.activity_time.unwrap_or_default();
                    let row = self.row(&emitted, output)?;
                    let (alert, key, _) = row.pair;
                    let is_again = output.is_upsert && due.again.contains(&row.pair);
                    let previous = order.insert((alert, key, output.is_upsert, is_again), time);
                    Failure::unless(previous.is_none_or(|previous| previous <= time), "prompt", || {
                        format!("rows are not in the order of time: {}", output.value)
                    })?;
                    Failure::unless(rows.insert(row), "stable", || {
                        format!("a row is emitted twice by one record: {}", output.value)
                    })?;
                } else {
                    summaries.push(emitted);
                }
            }
            self.check_rows(seq, &rows, due, expected)?;
            self.check_summaries(seq, summaries, &due.summaries)?;
        }
        Failure::unless(by_seq.is_empty(), "stable", || {
            "an output's seq is not an offset of the log".to_owned()
        })
    }

    fn row(&mut self, emitted: &EmittedRecord<'_>, output: &Delivered) -> Result<Row, Failure> {
        let alert = alert(emitted)?;
        let wrong = |problem: &str| Failure::new("sound", format!("{problem}: {}", output.value));
        let records = match (emitted.alert, emitted.activity) {
            (Some(alert), Some(activity)) => {
                let find = |row: &RawValue| self.rows.get(row.get()).copied();
                let found = find(alert).zip(find(activity));
                Some(found.ok_or_else(|| wrong("a row differs from the bytes that were sent"))?)
            }
            _ => None,
        };
        let pair = match records {
            Some((_, record)) => self.pair(emitted, output, record)?,
            None => {
                let pair = self.pairs.get(&output.id).filter(|pair| pair.0 == alert);
                *pair.ok_or_else(|| wrong("a delete of a row that was never emitted"))?
            }
        };
        let same = has_key(pair.1, emitted);
        let same = same && self.dedup_keys.get(&pair.2).map(String::as_str) == emitted.activity_id;
        Failure::unless(same, "sound", || {
            format!("the link, the key or the dedup key is wrong: {}", output.value)
        })?;
        let reasons = ["window_closed", "late_activity", "late_alert", "alert_updated"];
        let reason = reasons.into_iter().find(|reason| Some(*reason) == emitted.reason);
        Ok(Row {
            is_upsert: output.is_upsert,
            pair,
            reason: reason.ok_or_else(|| wrong("the reason is unknown"))?,
            records,
        })
    }

    /// Returns the pair of a row that holds the activity of `record`.
    fn pair(&mut self, emitted: &EmittedRecord<'_>, output: &Delivered, record: usize) -> Result<Pair, Failure> {
        let wrong = |problem: &str| Failure::new("sound", format!("{problem}: {}", output.value));
        let RecordKind::Activity { number, keys, time } = &self.world.records[record].kind else {
            return Err(wrong("the record is not an activity"));
        };
        let key = keys.iter().find(|key| has_key(**key, emitted));
        let key = key.ok_or_else(|| wrong("link and key are not the activity's"))?;
        Failure::unless(emitted.activity_time == Some(show(*time).as_str()), "sound", || {
            format!("the time is not the activity's: {}", output.value)
        })?;
        let pair = (alert(emitted)?, *key, *number);
        let known = self.pairs.insert(output.id.clone(), pair).is_none_or(|known| known == pair);
        let same = self.ids.insert(pair, output.id.clone()).is_none_or(|id| id == output.id);
        Failure::unless(known && same, "stable", || {
            format!("ids and pairs are not one to one: {}", output.value)
        })?;
        let id = emitted.activity_id.unwrap_or_default();
        let known = self.dedup_keys.entry(*number).or_insert_with(|| id.to_owned());
        Failure::unless(known == id, "stable", || {
            format!("an activity has two dedup keys: {}", output.value)
        })?;
        Ok(pair)
    }

    fn check_rows(&self, seq: i64, rows: &BTreeSet<Row>, due: &Due, expected: &[Due]) -> Result<(), Failure> {
        let is_due_some_time = |row: &Row| {
            let mut all = expected.iter().flat_map(|due| &due.rows);
            all.any(|other| (other.is_upsert, other.pair) == (row.is_upsert, row.pair))
        };
        if let Some(extra) = rows.difference(&due.rows).next() {
            let invariant = if is_due_some_time(extra) { "prompt" } else { "sound" };
            return Err(Failure::new(
                invariant,
                format!("repartition record {seq} led to {extra:?}, and must not"),
            ));
        }
        if let Some(missing) = due.rows.difference(rows).next() {
            return Err(Failure::new(
                "complete",
                format!("repartition record {seq} did not lead to {missing:?}"),
            ));
        }
        Ok(())
    }

    fn check_summaries(&self, seq: i64, emitted: Vec<EmittedRecord<'_>>, due: &[Summary]) -> Result<(), Failure> {
        let mut due: Vec<&Summary> = due.iter().collect();
        for emitted in emitted {
            let alert = alert(&emitted)?;
            let place = due
                .iter()
                .position(|due| (due.alert, due.is_upsert) == (alert, emitted.op == "upsert") && has_key(due.key, &emitted));
            let place = place.ok_or_else(|| {
                Failure::new(
                    "summaries",
                    format!("repartition record {seq} led to a summary of alert {alert} that is not expected"),
                )
            })?;
            self.check_summary(&emitted, due.remove(place))?;
        }
        Failure::unless(due.is_empty(), "summaries", || {
            format!(
                "repartition record {seq} did not lead to a summary of alert {:?}",
                due[0].alert
            )
        })
    }

    fn check_summary(&self, emitted: &EmittedRecord<'_>, due: &Summary) -> Result<(), Failure> {
        let same = |field: &str, is_right: bool| {
            Failure::unless(is_right, "summaries", || {
                format!(
                    "{field} of the summary of alert {} at {} is wrong, expected is {due:?}",
                    due.alert, emitted.seq
                )
            })
        };
        same("the revision", emitted.revision == Some(due.revision))?;
        if !due.is_upsert {
            return Ok(());
        }
        let time = |time: Option<i64>| time.map(|time| EventTime::from_ticks(time).to_string());
        let link = &self.world.settings.links[due.key.0];
        same("the count", emitted.activity_count == Some(due.count))?;
        let status = if due.count > 0 { "matched" } else { "unmatched" };
        same("the status", emitted.status == Some(status))?;
        if let Some((first, last)) = due.extent {
            same("the first activity", emitted.first_activity_time == time(first).as_deref())?;
            same("the last activity", emitted.last_activity_time == time(last).as_deref())?;
        }
        same("closed_by", due.closed_by.is_none() || emitted.closed_by == due.closed_by)?;
        same("closed_at", emitted.closed_at == time(due.closed_at.map(ticks_of)).as_deref())?;
        let may_be_incomplete = due.closed_by.is_none() && emitted.complete == Some(false);
        same("complete", emitted.complete == Some(due.complete) || may_be_incomplete)?;
        let whole = ["passed_by_activities", "end_of_input"];
        let is_whole = emitted.complete_because.is_some_and(|because| whole.contains(&because));
        same("the reason", emitted.complete == Some(is_whole))?;
        same(
            "the watermark at the close",
            emitted.watermark_at_close == time(due.watermark_at_close).as_deref(),
        )?;
        let retained_from = Some(due.cutoff).filter(|cutoff| *cutoff > 0);
        same(
            "the retention cut-off",
            emitted.retained_from == time(retained_from).as_deref(),
        )?;
        same("the sources", emitted.sources.is_some())?;
        same("the count of late activities", emitted.late_count == Some(due.late_count))?;
        same("the watermark", emitted.watermark == time(due.watermark).as_deref())?;
        let start = show(due.version.start - ticks(link.before));
        let end = show(due.version.end + ticks(link.after));
        let bounds = Bounds {
            start: &start,
            end: &end,
        };
        same("the window", emitted.window.as_ref() == Some(&bounds))?;
        let row = emitted.alert.map(RawValue::get);
        same("the alert", row == Some(self.world.records[due.record].row.as_str()))
    }

    /// Returns the rows that are left when everything is read: of several records of one id, the one with the greatest
    /// `seq` counts. The order of delivery gives the same rows, unless an older row may have been sent after a newer
    /// one.
    pub(crate) fn fold(&self, joined: &[Disturbed]) -> Result<BTreeSet<Pair>, Failure> {
        let mut pairs = BTreeSet::new();
        // All rows of a pair belong to one partition of the repartition topic.
        for Disturbed { topic, out_of_order, .. } in joined {
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

fn read(output: &Delivered) -> Result<EmittedRecord<'_>, Failure> {
    let emitted: EmittedRecord<'_> = serde_json::from_str(&output.value)
        .map_err(|error| Failure::new("sound", format!("an output cannot be read: {error}: {}", output.value)))?;
    let fields = (
        emitted.schema,
        emitted.kind == "activity",
        emitted.op == "upsert",
        emitted.id,
        emitted.seq,
        emitted.system_alert_id.as_bytes(),
    );
    let headers = (
        "alerttrail/1",
        output.is_row,
        output.is_upsert,
        output.id.as_str(),
        output.seq,
        output.key.as_slice(),
    );
    Failure::unless(fields == headers, "sound", || {
        format!("headers and value do not agree: {}", output.value)
    })?;
    Ok(emitted)
}

/// Returns whether an output has this link and key.
fn has_key(key: LinkKey, emitted: &EmittedRecord<'_>) -> bool {
    emitted.link == name(key.0) && emitted.correlation_id == key.1
}

fn alert(emitted: &EmittedRecord<'_>) -> Result<usize, Failure> {
    let number = emitted
        .system_alert_id
        .strip_prefix("alert-")
        .and_then(|number| number.parse().ok());
    number.ok_or_else(|| Failure::new("sound", format!("no such alert: {}", emitted.system_alert_id)))
}

/// Returns the result of the query and of every link: the greatest version of every alert with every activity that
/// shares a key with it and lies within its bounds.
pub(crate) fn query_result(world: &World) -> BTreeSet<Pair> {
    let mut pairs = BTreeSet::new();
    for version in greatest(world).values() {
        for record in &world.records {
            let RecordKind::Activity { number, keys, time } = &record.kind else {
                continue;
            };
            let common = version.keys.intersection(keys);
            let found = common.filter(|key| is_inside(&world.settings, key.0, version, *time));
            pairs.extend(found.map(|key| (version.alert, *key, *number)));
        }
    }
    pairs
}

fn is_inside(settings: &Settings, link: usize, version: &Version, time: i64) -> bool {
    let link = &settings.links[link];
    let start = version.start - ticks(link.before);
    let end = version.end + ticks(link.after);
    match link.inclusive {
        true => start <= time && time <= end,
        false => start < time && time < end,
    }
}

fn greatest(world: &World) -> BTreeMap<usize, &Version> {
    let mut greatest: BTreeMap<usize, &Version> = BTreeMap::new();
    for record in &world.records {
        if let RecordKind::Alert(version) = &record.kind {
            let newest = greatest.entry(version.alert).or_insert(version);
            if newest.order() < version.order() {
                *newest = version;
            }
        }
    }
    greatest
}

/// Compares the rows that are left with the query's result. With a retention, it compares only pairs that retention
/// cannot have removed: neither the activity nor the end of any version of the alert lies before the greatest possible
/// retention cut-off.
pub(crate) fn check_query_result(world: &World, fold: &BTreeSet<Pair>) -> Result<usize, Failure> {
    let links = 0..world.settings.links.len();
    let mut times = BTreeMap::new();
    // By alert and link.
    let mut ends: BTreeMap<(usize, usize), i64> = BTreeMap::new();
    for record in &world.records {
        match &record.kind {
            RecordKind::Activity { number, time, .. } => {
                times.insert(*number, *time);
            }
            RecordKind::Alert(version) => {
                for link in links.clone() {
                    let to = world.settings.window(link, version).1;
                    let earliest_end = ends.entry((version.alert, link)).or_insert(to);
                    *earliest_end = (*earliest_end).min(to);
                }
            }
            RecordKind::Unkeyed { .. } | RecordKind::Nothing => {}
        }
    }
    let greatest = greatest_time(world);
    let cutoff = |link| {
        world
            .settings
            .retention(link)
            .map_or(i64::MIN, |retention| greatest - ticks(retention))
    };
    let cutoffs: Vec<i64> = links.map(cutoff).collect();
    let is_safe =
        |(alert, (link, _), activity): &&Pair| ends[&(*alert, *link)] >= cutoffs[*link] && times[activity] >= cutoffs[*link];
    let due = query_result(world);
    let (safe, found): (BTreeSet<&Pair>, BTreeSet<&Pair>) =
        (due.iter().filter(is_safe).collect(), fold.iter().filter(is_safe).collect());
    if let Some(extra) = found.difference(&safe).next() {
        return Err(Failure::new(
            "sound",
            format!("the query and the links do not lead to {extra:?}"),
        ));
    }
    if let Some(missing) = safe.difference(&found).next() {
        return Err(Failure::new(
            "complete",
            format!("the query or a link leads to {missing:?}, which is missing"),
        ));
    }
    Ok(safe.len())
}

/// Returns a time that no watermark of activities exceeds.
fn greatest_time(world: &World) -> i64 {
    let mut greatest = i64::MIN / 2;
    for message in world.messages.iter().flatten() {
        for record in &message.records {
            let (RecordKind::Activity { time, .. } | RecordKind::Unkeyed { time: Some(time) }) = &world.records[*record].kind
            else {
                continue;
            };
            let time = *time;
            let arrived = message.timestamp.map_or(i64::MAX, ticks_of);
            if message.timestamp.is_none() || time <= arrived.saturating_add(ticks(world.settings.max_future_skew)) {
                greatest = greatest.max(time);
            }
        }
    }
    greatest - ticks(world.settings.out_of_orderness)
}

/// Asserts that nothing before the retention cut-off stays, and that nothing else is removed.
pub(crate) fn check_left(disk: &Disk, expected: &Expected) -> Result<(), Failure> {
    let len = |table| disk.len(table);
    let left = Left {
        activities: len(Table::Activities),
        alerts: len(Table::Alerts),
        alert_rows: len(Table::AlertRows),
        closed_windows: len(Table::ClosedWindows),
        timers: len(Table::Timers),
        meta: len(Table::Meta),
    };
    Failure::unless(left == expected.left, "bounded", || {
        format!("the tables hold {left:?}, not {:?}", expected.left)
    })
}
