//! Estimates daily rates from a sample, which consists of the ends of partitions. Each end covers its own range of
//! time.

use std::time::Duration;

use super::{OfLink, Source, Tally};
use crate::time::{EventTime, TICKS_PER_SECOND, Window};
use crate::words::grouped;

const TICKS_PER_DAY: f64 = (86_400 * TICKS_PER_SECOND) as f64;

/// Minimum number of records for an estimate of a rate.
const ENOUGH: u64 = 20;

/// The daily numbers of activities and alerts that a sample suggests.
pub(super) struct Rates<'t> {
    activities: Vec<(&'t Source, Extent)>,
    activities_a_day: f64,
    alerts_a_day: Option<f64>,
}

/// The range that times cover, and their rate per day. It is calculated from the middle 90 % of the times, because
/// times from a wrong clock would falsify the rate.
struct Extent {
    span: Window,
    a_day: f64,
}

/// The rows of the alerts and activities of a sample by one link.
#[derive(Default)]
pub(super) struct Met {
    /// Alerts with a key.
    pub(super) alerts: u64,
    /// Alerts with an activity in their window.
    pub(super) met: u64,
    /// Number of rows.
    rows: u64,
    /// The sum, over all alerts with a key, of the share of their rows that the activities of the sample can contain.
    covered: f64,
}

impl Met {
    /// Returns the number of rows for each alert with a key. Returns `None` if the windows and the activities of the
    /// sample are from different times.
    fn rows_an_alert(&self) -> Option<f64> {
        (self.covered >= 1.0).then(|| self.rows as f64 / self.covered)
    }
}

impl<'t> Rates<'t> {
    /// Returns the rates of a sample, or `None` if it is too small.
    pub(super) fn of(tally: &'t Tally) -> Option<Self> {
        let activities: Vec<(&Source, Extent)> = tally
            .sources
            .values()
            .filter_map(|source| Some((source, extent(&source.times)?)))
            .collect();
        let counted: u64 = activities.iter().map(|(source, _)| source.activities).sum();
        if tally.activities < ENOUGH || counted * 2 < tally.activities {
            return None;
        }
        let alerts: Vec<(usize, Extent)> = tally
            .sources
            .values()
            .filter_map(|source| Some((source.alerts.len(), extent(&source.alerts)?)))
            .collect();
        let counted: usize = alerts.iter().map(|(count, _)| count).sum();
        let are_enough = tally.alerts.len() as u64 >= ENOUGH && counted * 2 >= tally.alerts.len();
        Some(Self {
            activities_a_day: activities.iter().map(|(_, extent)| extent.a_day).sum(),
            alerts_a_day: are_enough.then(|| alerts.iter().map(|(_, extent)| extent.a_day).sum()),
            activities,
        })
    }

    /// Returns the daily number of something, given its number in each source.
    pub(super) fn a_day(&self, of_source: impl Fn(&Source) -> f64) -> f64 {
        let parts = self
            .activities
            .iter()
            .map(|(source, extent)| extent.a_day * of_source(source) / source.activities.max(1) as f64);
        parts.sum()
    }

    /// Returns the daily number of rows by a link.
    pub(super) fn rows_a_day(&self, met: &Met, alerts: usize) -> Option<f64> {
        let with_key = met.alerts as f64 / alerts.max(1) as f64;
        Some(self.alerts_a_day? * with_key * met.rows_an_alert()?)
    }

    /// Returns the share of the activities in a window that the sample can contain.
    fn covered(&self, window: Window) -> f64 {
        let parts = self.activities.iter().map(|(_, extent)| {
            let share = length(window.and(extent.span)) / length(window).max(1.0);
            share * extent.a_day / self.activities_a_day
        });
        parts.sum()
    }
}

/// Returns which alerts match activities by the link at `place`.
pub(super) fn meet(tally: &Tally, place: usize, of_link: &OfLink, rates: Option<&Rates<'_>>) -> Met {
    let mut places = of_link.places.clone();
    places.sort_unstable();
    let before = |key: u64, time: EventTime| places.partition_point(|other| *other < (key, time));
    let mut met = Met::default();
    for alert in tally.alerts.values() {
        let Some((window, keys)) = alert.links.get(place).filter(|(_, keys)| !keys.is_empty()) else {
            continue;
        };
        let rows: usize = match window.is_empty() {
            true => 0,
            false => keys
                .iter()
                .map(|key| before(*key, window.to) - before(*key, window.from))
                .sum(),
        };
        met.alerts += 1;
        met.met += u64::from(rows > 0);
        met.rows += rows as u64;
        met.covered += match window.is_empty() {
            true => 1.0,
            false => rates.map_or(0.0, |rates| rates.covered(*window)),
        };
    }
    met
}

/// Returns the average number of partitions of the repartition topic that store an activity with this number of keys.
pub(super) fn copies(keys: usize, partitions: u32) -> f64 {
    let partitions = f64::from(partitions.max(1));
    let keys = i32::try_from(keys).unwrap_or(i32::MAX);
    partitions * (1.0 - (1.0 - 1.0 / partitions).powi(keys))
}

fn extent(times: &[EventTime]) -> Option<Extent> {
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
    let a_tick = (last - first) as f64 / length(middle);
    let beside = Duration::from_nanos((cut as f64 / a_tick * 100.0) as u64);
    Some(Extent {
        span: Window {
            from: middle.from.minus(beside),
            to: middle.to.plus(beside),
        },
        a_day: a_tick * TICKS_PER_DAY,
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
