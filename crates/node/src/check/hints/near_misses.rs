use std::time::Duration;

use crate::time::{EventTime, Window};

/// Values that a person would choose for `correlation.before` and `after`.
const STEPS: [(&str, u64); 11] = [
    ("1m", 60),
    ("5m", 300),
    ("15m", 900),
    ("30m", 1_800),
    ("1h", 3_600),
    ("2h", 7_200),
    ("6h", 21_600),
    ("12h", 43_200),
    ("1d", 86_400),
    ("2d", 172_800),
    ("7d", 604_800),
];

/// The maximum distance in ticks. Activities further outside are considered unrelated to the alert.
const MAX_DISTANCE: i64 = 86_400 * crate::time::TICKS_PER_SECOND;

/// Maximum number of distances to keep per alert, and in total.
const MAX_PER_ALERT: usize = 100;
const MAX_DISTANCES: usize = 100_000;

/// Activities just outside the windows of alerts, on one side of the windows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct NearMisses {
    alerts: u64,
    /// The distances of activities from the bound of the window, in ticks.
    distances: Vec<i64>,
    steps: [Step; STEPS.len()],
    /// The pairs that each value adds for all alerts, also for those that are no near misses on this side.
    gains: [u64; STEPS.len()],
}

/// The numbers of alerts and pairs that a value of the setting adds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Step {
    alerts: u64,
    pairs: u64,
}

/// The side of a window on which an activity is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WindowSide {
    Before,
    After,
}

/// The value to set, and its effect.
pub(super) struct Advice {
    pub(super) alerts: u64,
    /// The pairs that the value adds for these alerts, and for all alerts.
    pub(super) pairs: u64,
    pub(super) all_pairs: u64,
    /// The median and the maximum distance of the included activities, in ticks.
    pub(super) median: i64,
    pub(super) max: i64,
    pub(super) value: &'static str,
}

impl NearMisses {
    /// Adds a window that contains no activity of its key. The activities with the key are ordered by `time`, and the
    /// bounds already include `margin`.
    pub(super) fn add<T>(
        &mut self,
        side: WindowSide,
        margin: Duration,
        (start, end): (EventTime, EventTime),
        activities: &[T],
        time: &impl Fn(&T) -> EventTime,
    ) {
        let place = |at: EventTime| activities.partition_point(|activity| time(activity) < at);
        let outside = match side {
            WindowSide::Before => activities.get(..place(start)),
            WindowSide::After => activities.get(place(end.next_tick())..),
        };
        let outside = outside.unwrap_or_default();
        let distance = |activity: &T| match side {
            WindowSide::Before => start.ticks().saturating_sub(time(activity).ticks()),
            WindowSide::After => time(activity).ticks().saturating_sub(end.ticks()),
        };
        let room = MAX_DISTANCES.saturating_sub(self.distances.len()).min(MAX_PER_ALERT);
        let nearest: Vec<i64> = match side {
            WindowSide::Before => outside.iter().rev().map(distance).take(room.max(1)).collect(),
            WindowSide::After => outside.iter().map(distance).take(room.max(1)).collect(),
        };
        if nearest.first().is_none_or(|nearest| *nearest > MAX_DISTANCE) {
            return;
        }
        self.alerts += 1;
        self.distances.extend(nearest.into_iter().take(room));
        for (step, (_, seconds)) in self.steps.iter_mut().zip(STEPS) {
            let reach = reach(seconds, margin);
            // Exclusive bounds exclude an activity exactly at the new bound.
            let included = match side {
                WindowSide::Before => outside.len() - outside.partition_point(|activity| distance(activity) >= reach),
                WindowSide::After => outside.partition_point(|activity| distance(activity) < reach),
            };
            step.alerts += u64::from(included > 0);
            step.pairs += included as u64;
        }
    }

    /// Counts the pairs that each value adds for a window, whether it contains activities of its key or not. The
    /// activities with the key are ordered by `time`, and the window already includes `margin`.
    pub(super) fn count_gains<T>(
        &mut self,
        side: WindowSide,
        margin: Duration,
        window: Window,
        activities: &[T],
        time: &impl Fn(&T) -> EventTime,
    ) {
        let place = |at: EventTime| activities.partition_point(|activity| time(activity) < at);
        let inside = |window: Window| match window.is_empty() {
            true => 0,
            false => place(window.to) - place(window.from),
        };
        let now = inside(window);
        for (gain, (_, seconds)) in self.gains.iter_mut().zip(STEPS) {
            let beyond = Duration::from_secs(seconds).saturating_sub(margin);
            let (from, to) = match side {
                WindowSide::Before => (window.from.minus(beyond), window.to),
                WindowSide::After => (window.from, window.to.plus(beyond)),
            };
            *gain += (inside(Window { from, to }) - now) as u64;
        }
    }

    /// Returns the number of alerts with activities near their windows.
    pub(super) fn alerts(&self) -> u64 {
        self.alerts
    }

    /// Returns the smallest value that helps nearly all of these alerts.
    pub(super) fn advice(&self, margin: Duration) -> Option<Advice> {
        let helps = |(step, _): &(&Step, (&str, u64))| step.alerts > 0 && step.alerts * 10 >= self.alerts * 9;
        let at = self.steps.iter().zip(STEPS).position(|step| helps(&step))?;
        let (step, (value, seconds)) = (self.steps.get(at)?, *STEPS.get(at)?);
        let reach = reach(seconds, margin);
        let mut included: Vec<i64> = self.distances.iter().copied().filter(|distance| *distance < reach).collect();
        included.sort_unstable();
        Some(Advice {
            alerts: step.alerts,
            pairs: step.pairs,
            all_pairs: *self.gains.get(at)?,
            median: *included.get(included.len().saturating_sub(1) / 2)?,
            max: *included.last()?,
            value,
        })
    }
}

/// Returns how far, in ticks, a value reaches beyond bounds that already include `margin`.
fn reach(seconds: u64, margin: Duration) -> i64 {
    let beyond = Duration::from_secs(seconds).saturating_sub(margin);
    i64::try_from(beyond.as_nanos() / 100).unwrap_or(i64::MAX)
}
