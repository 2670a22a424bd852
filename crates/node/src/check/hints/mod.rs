//! Finds out why alerts match few activities or none, and which setting would match more.
//!
//! A [`Tally`] collects how the keys and windows of alerts match the keys and times of activities, from a sample or a
//! whole run over files. [`Tally::hints`] returns the conspicuous facts, the most important first. The sentences
//! contain only numbers, times and placeholder words from records. Memory is bounded: distances are kept for a
//! limited number of activities, and everything else is a count.

mod forms;
mod near_misses;
mod words;

use std::collections::BTreeMap;

pub use forms::{Forms, by_report};
use near_misses::{NearMisses, WindowSide};

use crate::decode::null_word;
use crate::record::{Key, Text};
use crate::time::{EventTime, Widening, Window};

/// Statistics about alerts and the activities that they match.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    widening: Widening,
    /// Activities, with a key or without.
    activities: u64,
    /// Activities with a key.
    keyed: u64,
    alerts: u64,
    /// Alerts without a key.
    keyless: u64,
    /// Alerts with at least one activity of their key in their window.
    matched: u64,
    /// Alerts with a key that no activity has.
    strangers: u64,
    /// Alerts among these whose key occurs in activities with another case.
    other_case: u64,
    /// Alerts whose only activities are exactly at the bounds of their window, and how many of these have a window
    /// without length.
    at_bounds: u64,
    lengthless: u64,
    before: NearMisses,
    after: NearMisses,
    /// Alerts by the placeholder word that is their key.
    null_words: BTreeMap<&'static str, u64>,
    /// Activities that occurred in two forms.
    two_forms: u64,
}

/// Paths of keys, other than the configured ones, with which alerts of a sample match activities.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Places {
    /// The entry for `correlation.activity_key`, as TOML.
    pub activity_key: String,
    /// The entry for `correlation.alert_key`, as TOML.
    pub alert_key: String,
    /// Alert versions of the sample whose key would be that of an activity.
    pub matched: u64,
    /// Alert versions of the sample.
    pub alerts: u64,
}

/// A conspicuous fact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hint {
    /// Its kind.
    pub kind: Kind,
    /// The alerts that it affects.
    pub alerts: u64,
    /// The sentence.
    pub text: String,
}

/// The kind of a hint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The keys of alerts and of activities do not match.
    Keys,
    /// The keys match, but alerts have no activities for this reason.
    Reason,
    /// The result probably contains wrong matches, however many matches there are.
    Doubt,
}

impl Tally {
    /// Creates an empty tally for windows that are derived from alerts in this way.
    pub fn new(widening: Widening) -> Self {
        Self {
            widening,
            ..Self::default()
        }
    }

    /// Sets the number of activities, and of those that have a key.
    pub fn activities(&mut self, all: u64, keyed: u64) {
        self.activities = all;
        self.keyed = keyed;
    }

    /// Adds an alert with this key, which may be empty.
    pub fn alert(&mut self, key: &[u8]) {
        self.alerts += 1;
        self.keyless += u64::from(key.is_empty());
        let word = null_word(key);
        if let Some(word) = word {
            *self.null_words.entry(word).or_default() += 1;
        }
    }

    /// Adds alerts whose keys no activity has.
    pub fn strangers(&mut self, alerts: u64) {
        self.strangers += alerts;
    }

    /// Adds alerts whose keys activities have in another case.
    pub fn other_case(&mut self, alerts: u64) {
        self.other_case += alerts;
    }

    /// Sets the number of activities that occurred in two forms.
    pub fn two_forms(&mut self, activities: u64) {
        self.two_forms = activities;
    }

    /// Counts the windows that contain at least one activity. The alerts and the activities all have one key, and the
    /// activities are ordered by `time`.
    pub fn meet<T>(&mut self, windows: &[Window], activities: &[T], time: impl Fn(&T) -> EventTime) {
        let place = |at: EventTime| activities.partition_point(|activity| time(activity) < at);
        let holds = |window: &&Window| !window.is_empty() && place(window.from) < place(window.to);
        self.matched += windows.iter().filter(holds).count() as u64;
    }

    /// Returns whether so few alerts match activities that it is worth searching for the reasons.
    pub fn is_poor(&self) -> bool {
        self.matched * 2 <= self.alerts
    }

    /// Returns whether other paths of keys might match more.
    pub fn is_apart(&self) -> bool {
        self.is_relevant(self.strangers + self.keyless)
    }

    /// Searches for activities near the windows that contain none. The alerts and the activities all have one key.
    pub fn look<T>(&mut self, windows: &[Window], activities: &[T], time: impl Fn(&T) -> EventTime) {
        let place = |at: EventTime| activities.partition_point(|activity| time(activity) < at);
        for window in windows {
            let Widening { before, after, .. } = self.widening;
            self.before
                .count_gains(WindowSide::Before, before, *window, activities, &time);
            self.after.count_gains(WindowSide::After, after, *window, activities, &time);
            let (start, end) = window.bounds(self.widening);
            if end < start || (!window.is_empty() && place(window.from) < place(window.to)) {
                continue;
            }
            let (first, next) = (place(start), place(end.next_tick()));
            if first < next {
                self.at_bounds += 1;
                self.lengthless += u64::from(start == end);
                continue;
            }
            let before = first.checked_sub(1).and_then(|at| activities.get(at)).map(&time);
            let before = before.map(|time| start.ticks().saturating_sub(time.ticks()));
            let after = activities.get(next).map(&time);
            let after = after.map(|time| time.ticks().saturating_sub(end.ticks()));
            let is_after = match (before, after) {
                (None, None) => continue,
                (Some(before), Some(after)) => after <= before,
                (None, Some(_)) => true,
                (Some(_), None) => false,
            };
            let near_misses = if is_after { &mut self.after } else { &mut self.before };
            let (window_side, margin) = match is_after {
                true => (WindowSide::After, self.widening.after),
                false => (WindowSide::Before, self.widening.before),
            };
            near_misses.add(window_side, margin, (start, end), activities, &time);
        }
    }

    /// Returns whether a reason that affects this many alerts is worth reporting.
    fn is_relevant(&self, alerts: u64) -> bool {
        alerts > 0 && (self.matched * 10 <= self.alerts || alerts * 2 >= self.alerts)
    }

    /// Returns whether a reason affects most alerts.
    pub fn affects_most(&self, hint: &Hint) -> bool {
        hint.alerts * 2 >= self.alerts
    }
}

/// Returns a key that ignores case, within its tenant.
pub fn folded(key: &Key) -> (Text, Vec<u8>) {
    let text = key.correlation_id.as_bytes();
    let folded = match std::str::from_utf8(text) {
        Ok(text) => text.to_lowercase().into_bytes(),
        Err(_) => text.to_ascii_lowercase(),
    };
    (key.tenant.clone(), folded)
}

#[cfg(test)]
mod tests;
