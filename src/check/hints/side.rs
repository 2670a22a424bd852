use std::time::Duration;

use crate::time::EventTime;

/// Values for `correlation.before` and `after` that a person would write.
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

/// What lies further outside than this, in ticks, has nothing to do with the alert.
const NEAR: i64 = 86_400 * crate::time::TICKS_PER_SECOND;

/// Distances kept of one alert, and of all.
const MOST_OF_ALERT: usize = 100;
const MOST: usize = 100_000;

/// Activities that lie just outside windows, on one side of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Side {
    alerts: u64,
    /// In ticks, how far they lie from the window's bound.
    distances: Vec<i64>,
    steps: [Step; STEPS.len()],
}

/// What a value takes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Step {
    alerts: u64,
    pairs: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Before,
    After,
}

/// What to set, and what that takes in.
pub(super) struct Advice {
    pub(super) alerts: u64,
    pub(super) pairs: u64,
    /// In ticks, of the activities that are taken in: the median, and the most.
    pub(super) median: i64,
    pub(super) most: i64,
    pub(super) value: &'static str,
}

impl Side {
    /// Takes in a window that holds none of its key's activities, which are in order of `time`. Its bounds are widened
    /// by `margin` already.
    pub(super) fn add<T>(
        &mut self,
        direction: Direction,
        margin: Duration,
        (start, end): (EventTime, EventTime),
        activities: &[T],
        time: &impl Fn(&T) -> EventTime,
    ) {
        let place = |at: EventTime| activities.partition_point(|activity| time(activity) < at);
        let outside = match direction {
            Direction::Before => activities.get(..place(start)),
            Direction::After => activities.get(place(end.next_tick())..),
        };
        let outside = outside.unwrap_or_default();
        let distance = |activity: &T| match direction {
            Direction::Before => start.ticks().saturating_sub(time(activity).ticks()),
            Direction::After => time(activity).ticks().saturating_sub(end.ticks()),
        };
        let room = MOST.saturating_sub(self.distances.len()).min(MOST_OF_ALERT);
        let nearest: Vec<i64> = match direction {
            Direction::Before => outside.iter().rev().map(distance).take(room.max(1)).collect(),
            Direction::After => outside.iter().map(distance).take(room.max(1)).collect(),
        };
        if nearest.first().is_none_or(|nearest| *nearest > NEAR) {
            return;
        }
        self.alerts += 1;
        self.distances.extend(nearest.into_iter().take(room));
        for (step, (_, seconds)) in self.steps.iter_mut().zip(STEPS) {
            let reach = reach(seconds, margin);
            // An activity exactly at the new bound is left out by exclusive bounds.
            let taken = match direction {
                Direction::Before => outside.len() - outside.partition_point(|activity| distance(activity) >= reach),
                Direction::After => outside.partition_point(|activity| distance(activity) < reach),
            };
            step.alerts += u64::from(taken > 0);
            step.pairs += taken as u64;
        }
    }

    /// The alerts that have activities near by.
    pub(super) fn alerts(&self) -> u64 {
        self.alerts
    }

    /// The least value that helps nearly all of these alerts.
    pub(super) fn advice(&self, margin: Duration) -> Option<Advice> {
        let helps = |(step, _): &(&Step, (&str, u64))| step.alerts > 0 && step.alerts * 10 >= self.alerts * 9;
        let (step, (value, seconds)) = self.steps.iter().zip(STEPS).find(helps)?;
        let reach = reach(seconds, margin);
        let mut taken: Vec<i64> = self.distances.iter().copied().filter(|distance| *distance < reach).collect();
        taken.sort_unstable();
        Some(Advice {
            alerts: step.alerts,
            pairs: step.pairs,
            median: *taken.get(taken.len().saturating_sub(1) / 2)?,
            most: *taken.last()?,
            value,
        })
    }
}

/// How far, in ticks, a value reaches beyond bounds that `margin` has widened.
fn reach(seconds: u64, margin: Duration) -> i64 {
    let beyond = Duration::from_secs(seconds).saturating_sub(margin);
    i64::try_from(beyond.as_nanos() / 100).unwrap_or(i64::MAX)
}
