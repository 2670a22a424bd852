//! Estimates daily rates from a sample, which consists of the ends of partitions. Each end covers its own range of
//! time.

use std::time::Duration;

use super::{LinkStats, PartitionStats, SampleStats};
use crate::time::{EventTime, TICKS_PER_SECOND, Window};
use crate::words::grouped;

const TICKS_PER_DAY: f64 = (86_400 * TICKS_PER_SECOND) as f64;

/// The minimum number of records from which a rate is estimated.
const MIN_RECORDS: u64 = 20;

/// The daily numbers of activities and alerts that a sample suggests.
pub(super) struct DailyRates<'t> {
    activities: Vec<(&'t PartitionStats, TimeRange)>,
    activities_per_day: f64,
    alerts_per_day: Option<f64>,
}

/// The range that times cover, and their rate per day. It is calculated from the middle 90 % of the times, because
/// times from a wrong clock would falsify the rate.
struct TimeRange {
    span: Window,
    per_day: f64,
}

/// The alerts of a sample that match its activities by one link, and their rows.
#[derive(Default)]
pub(super) struct Matches {
    /// Alerts with a key.
    pub(super) alerts: u64,
    /// Alerts with at least one activity in their window.
    pub(super) matched: u64,
    /// Number of rows.
    rows: u64,
    /// The sum, over all alerts with a key, of the share of their rows that the activities of the sample can contain.
    covered: f64,
}

impl Matches {
    /// Returns the number of rows for each alert with a key. Returns `None` if the windows and the activities of the
    /// sample are from different times.
    fn rows_per_alert(&self) -> Option<f64> {
        (self.covered >= 1.0).then(|| self.rows as f64 / self.covered)
    }
}

impl<'t> DailyRates<'t> {
    /// Returns the rates of a sample, or `None` if it is too small.
    pub(super) fn estimate(stats: &'t SampleStats) -> Option<Self> {
        let activities: Vec<(&PartitionStats, TimeRange)> = stats
            .sources
            .values()
            .filter_map(|source| Some((source, time_range(&source.times)?)))
            .collect();
        let counted: u64 = activities.iter().map(|(source, _)| source.activities).sum();
        if stats.activities < MIN_RECORDS || counted * 2 < stats.activities {
            return None;
        }
        let alerts: Vec<(usize, TimeRange)> = stats
            .sources
            .values()
            .filter_map(|source| Some((source.alerts.len(), time_range(&source.alerts)?)))
            .collect();
        let counted: usize = alerts.iter().map(|(count, _)| count).sum();
        let are_enough = stats.alerts.len() as u64 >= MIN_RECORDS && counted * 2 >= stats.alerts.len();
        Some(Self {
            activities_per_day: activities.iter().map(|(_, range)| range.per_day).sum(),
            alerts_per_day: are_enough.then(|| alerts.iter().map(|(_, range)| range.per_day).sum()),
            activities,
        })
    }

    /// Returns a daily number, given the number in each partition.
    pub(super) fn per_day(&self, of_partition: impl Fn(&PartitionStats) -> f64) -> f64 {
        let parts = self
            .activities
            .iter()
            .map(|(source, range)| range.per_day * of_partition(source) / source.activities.max(1) as f64);
        parts.sum()
    }

    /// Returns the daily number of rows by a link.
    pub(super) fn rows_per_day(&self, matches: &Matches, alerts: usize) -> Option<f64> {
        let with_key = matches.alerts as f64 / alerts.max(1) as f64;
        Some(self.alerts_per_day? * with_key * matches.rows_per_alert()?)
    }

    /// Returns the share of the activities in a window that the sample can contain.
    fn covered(&self, window: Window) -> f64 {
        let parts = self.activities.iter().map(|(_, range)| {
            let share = length(window.and(range.span)) / length(window).max(1.0);
            share * range.per_day / self.activities_per_day
        });
        parts.sum()
    }
}

/// Counts the alerts and rows that match activities by the link at `index`.
pub(super) fn match_alerts(stats: &SampleStats, index: usize, link_stats: &LinkStats, rates: Option<&DailyRates<'_>>) -> Matches {
    let mut key_times = link_stats.key_times.clone();
    key_times.sort_unstable();
    let before = |key: u64, time: EventTime| key_times.partition_point(|other| *other < (key, time));
    let mut matches = Matches::default();
    for alert in stats.alerts.values() {
        let Some((window, keys)) = alert.links.get(index).filter(|(_, keys)| !keys.is_empty()) else {
            continue;
        };
        let rows: usize = match window.is_empty() {
            true => 0,
            false => keys
                .iter()
                .map(|key| before(*key, window.to) - before(*key, window.from))
                .sum(),
        };
        matches.alerts += 1;
        matches.matched += u64::from(rows > 0);
        matches.rows += rows as u64;
        matches.covered += match window.is_empty() {
            true => 1.0,
            false => rates.map_or(0.0, |rates| rates.covered(*window)),
        };
    }
    matches
}

/// Returns the average number of partitions of the repartition topic that store an activity with this number of keys.
pub(super) fn copies(keys: usize, partitions: u32) -> f64 {
    let partitions = f64::from(partitions.max(1));
    let keys = i32::try_from(keys).unwrap_or(i32::MAX);
    partitions * (1.0 - (1.0 - 1.0 / partitions).powi(keys))
}

fn time_range(times: &[EventTime]) -> Option<TimeRange> {
    let mut times = times.to_vec();
    times.sort_unstable();
    let cut = times.len() / 20;
    let (first, last) = (cut, times.len().checked_sub(cut + 1)?);
    let middle = Window {
        from: *times.get(first)?,
        to: *times.get(last)?,
    };
    if middle.is_empty() {
        return None;
    }
    let per_tick = (last - first) as f64 / length(middle);
    let margin = Duration::from_nanos((cut as f64 / per_tick * 100.0) as u64);
    Some(TimeRange {
        span: Window {
            from: middle.from.minus(margin),
            to: middle.to.plus(margin),
        },
        per_day: per_tick * TICKS_PER_DAY,
    })
}

/// Returns the length of a window in ticks.
fn length(window: Window) -> f64 {
    match window.is_empty() {
        true => 0.0,
        false => window.to.ticks().saturating_sub(window.from.ticks()) as f64,
    }
}

/// Formats an estimate for people, with two significant digits.
pub(super) fn about(number: f64) -> String {
    let whole = number.round().max(0.0) as u64;
    let step = 10_u64.pow(whole.max(1).ilog10().saturating_sub(1));
    match whole {
        0 if number > 0.0 => "less than 1".to_owned(),
        0 => "no".to_owned(),
        _ => format!("about {}", grouped((whole + step / 2) / step * step)),
    }
}

/// Formats an estimated number of bytes for people.
pub(super) fn about_bytes(bytes: f64) -> String {
    bytesize::ByteSize(bytes.max(0.0) as u64).display().si().to_string()
}
