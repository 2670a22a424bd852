//! Merges the responses of several instances into one.

use std::collections::BTreeMap;

use super::shapes::{AlertItem, AlertList, ProcessorStatus, ReasonCount, SourceStatus, TableCount};
use super::{Error, cursor};
use crate::join::Place;

/// Merges pages of several instances, which all received the same request, into one page. Alerts after the place where
/// an instance stopped are left for the next page.
pub fn merge_lists(pages: Vec<AlertList>, limit: usize) -> Result<AlertList, Error> {
    let mut ends: Vec<Place> = Vec::new();
    let mut items: BTreeMap<Place, AlertItem> = BTreeMap::new();
    let mut examined = 0;
    for page in pages {
        examined += page.examined;
        if let Some(next) = &page.next_cursor {
            ends.push(cursor::parse_alert(next)?);
        }
        for item in page.alerts {
            items.insert(cursor::parse_alert(&item.cursor)?, item);
        }
    }
    let end = ends.into_iter().max();
    let within = items.into_iter().rev();
    let within: Vec<(Place, AlertItem)> = within
        .filter(|(place, _)| end.as_ref().is_none_or(|end| place >= end))
        .collect();
    let more = within.len() > limit;
    let alerts: Vec<AlertItem> = within.into_iter().take(limit).map(|(_, item)| item).collect();
    let next_cursor = match more {
        true => alerts.last().map(|item| item.cursor.clone()),
        false => end.as_ref().map(cursor::after_alert),
    };
    Ok(AlertList {
        alerts,
        next_cursor,
        examined,
        unanswered_partitions: Vec::new(),
    })
}

/// Adds the counts of `other` to those of `all`. [`Throughput`](super::shapes::Throughput) and
/// [`Totals`](super::shapes::Totals) have the same fields.
macro_rules! add_counts {
    ($all:expr, $other:expr) => {
        add_counts!($all, $other, messages bytes activities alerts rows summaries dead_letters)
    };
    ($all:expr, $other:expr, $($field:ident)+) => {
        $($all.$field += $other.$field;)+
    };
}

/// Returns the status of a group: `own`, the status of this instance, merged with those of the others.
pub fn merge_statuses(own: ProcessorStatus, others: Vec<ProcessorStatus>) -> ProcessorStatus {
    let mut all = own;
    for other in others {
        add_counts!(all.throughput, other.throughput);
        add_counts!(all.totals, other.totals);
        all.open_alerts += other.open_alerts;
        all.alerts += other.alerts;
        all.state_bytes = all
            .state_bytes
            .zip(other.state_bytes)
            .map(|(one, more)| one + more)
            .or(all.state_bytes);
        for ReasonCount { reason, count } in other.dead_letters {
            match all.dead_letters.iter_mut().find(|known| known.reason == reason) {
                Some(known) => known.count += count,
                None => all.dead_letters.push(ReasonCount { reason, count }),
            }
        }
        for TableCount { table, count } in other.skipped {
            match all.skipped.iter_mut().find(|known| known.table == table) {
                Some(known) => known.count += count,
                None => all.skipped.push(TableCount { table, count }),
            }
        }
        for source in other.sources {
            add_source(&mut all.sources, source);
        }
        all.partitions.extend(other.partitions);
    }
    all.partitions.sort_by_key(|partition| partition.partition);
    all.partitions.dedup_by_key(|partition| partition.partition);
    all.sources
        .sort_by(|one, other| (&one.topic, one.partition).cmp(&(&other.topic, other.partition)));
    // A partition without a watermark cannot close windows yet, so the group has no watermark either.
    let lowest = all.partitions.iter().map(|partition| &partition.watermark).min();
    all.watermark = lowest.cloned().flatten();
    all
}

/// Adds the status of a source partition. Every instance reports every source partition; the report of the instance
/// that reads it is kept, because it is the most accurate.
fn add_source(known: &mut Vec<SourceStatus>, source: SourceStatus) {
    let same = |known: &&mut SourceStatus| known.topic == source.topic && known.partition == source.partition;
    match known.iter_mut().find(same) {
        Some(known) => {
            let knows_end = source.end.is_some() && known.end.is_none();
            if knows_end || (source.end.is_some() == known.end.is_some() && source.heard_at > known.heard_at) {
                *known = source;
            }
        }
        None => known.push(source),
    }
}
