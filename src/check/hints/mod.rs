//! Why alerts find few activities or none, and which setting would find more.
//!
//! A [`Tally`] is told how the keys and the windows of alerts met the keys and the times of activities: those of a
//! sample, or all of a run over files. [`Tally::hints`] says what stands out, the weightiest first. Nothing is printed
//! of a record but numbers, times and words that stand for nothing. Memory is bounded: distances are kept of so many
//! activities only, the rest are numbers.

mod forms;
mod side;
mod words;

use std::collections::BTreeMap;

pub use forms::{Forms, by_report};
use side::{Direction, Side};

use crate::decode::null_word;
use crate::record::{Key, Text};
use crate::time::{EventTime, Widening, Window};

/// How alerts met activities.
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
    /// Alerts whose window holds an activity with their key.
    matched: u64,
    /// Alerts with a key that no activity has.
    strangers: u64,
    /// Those of them whose key activities spell in another case.
    other_case: u64,
    /// Alerts that have activities at the bounds of their window only, and those of them that end when they begin.
    at_bounds: u64,
    lengthless: u64,
    before: Side,
    after: Side,
    /// Alerts whose key is such a word.
    null_words: BTreeMap<&'static str, u64>,
    /// Activities that came in two forms.
    two_forms: u64,
}

/// Places of keys, other than those configured, that bring alerts of a sample together with activities.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Places {
    /// The entry for `correlation.activity_key`, as TOML.
    pub activity_key: String,
    /// The entry for `correlation.alert_key`, as TOML.
    pub alert_key: String,
    /// Alert versions of the sample that would have the key of an activity.
    pub met: u64,
    /// Alert versions of the sample.
    pub alerts: u64,
}

/// Something that stands out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hint {
    /// What it is.
    pub kind: Kind,
    /// The alerts that it concerns.
    pub alerts: u64,
    /// The sentence.
    pub text: String,
}

/// What a hint is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The keys of alerts and of activities never meet.
    Keys,
    /// The keys meet, and alerts are without activities for this reason.
    Reason,
    /// The answer probably holds what does not belong there, however much it is.
    Doubt,
}

impl Tally {
    /// One of nothing, of windows that follow from alerts like this.
    pub fn new(widening: Widening) -> Self {
        Self {
            widening,
            ..Self::default()
        }
    }

    /// Notes how many activities there are, and how many of them have a key.
    pub fn activities(&mut self, all: u64, keyed: u64) {
        self.activities = all;
        self.keyed = keyed;
    }

    /// Notes an alert and its key, which may be empty.
    pub fn alert(&mut self, key: &[u8]) {
        self.alerts += 1;
        self.keyless += u64::from(key.is_empty());
        let word = null_word(key);
        if let Some(word) = word {
            *self.null_words.entry(word).or_default() += 1;
        }
    }

    /// Notes that no activity has the key of these alerts.
    pub fn strangers(&mut self, alerts: u64) {
        self.strangers += alerts;
    }

    /// Notes that these alerts have keys that activities spell in another case.
    pub fn other_case(&mut self, alerts: u64) {
        self.other_case += alerts;
    }

    /// Notes how many activities came in two forms.
    pub fn two_forms(&mut self, activities: u64) {
        self.two_forms = activities;
    }

    /// Counts the alerts of a key, by their windows, that hold one of its activities, which are in order of `time`.
    pub fn meet<T>(&mut self, windows: &[Window], activities: &[T], time: impl Fn(&T) -> EventTime) {
        let place = |at: EventTime| activities.partition_point(|activity| time(activity) < at);
        let holds = |window: &&Window| !window.is_empty() && place(window.from) < place(window.to);
        self.matched += windows.iter().filter(holds).count() as u64;
    }

    /// Whether so few alerts have activities that it is worth a closer look.
    pub fn is_poor(&self) -> bool {
        self.matched * 2 <= self.alerts
    }

    /// Whether it takes other places of keys to find more.
    pub fn is_apart(&self) -> bool {
        self.shows(self.strangers + self.keyless)
    }

    /// Looks for activities around the windows that hold none, of the alerts of one key.
    pub fn look<T>(&mut self, windows: &[Window], activities: &[T], time: impl Fn(&T) -> EventTime) {
        let place = |at: EventTime| activities.partition_point(|activity| time(activity) < at);
        for window in windows {
            let (start, end) = window.bounds(self.widening);
            if end < start || (!window.is_empty() && place(window.from) < place(window.to)) {
                continue;
            }
            let (first, behind) = (place(start), place(end.next_tick()));
            if first < behind {
                self.at_bounds += 1;
                self.lengthless += u64::from(start == end);
                continue;
            }
            let before = first.checked_sub(1).and_then(|at| activities.get(at)).map(&time);
            let before = before.map(|time| start.ticks().saturating_sub(time.ticks()));
            let after = activities.get(behind).map(&time);
            let after = after.map(|time| time.ticks().saturating_sub(end.ticks()));
            let is_after = match (before, after) {
                (None, None) => continue,
                (Some(before), Some(after)) => after <= before,
                (None, Some(_)) => true,
                (Some(_), None) => false,
            };
            let side = if is_after { &mut self.after } else { &mut self.before };
            let (direction, margin) = match is_after {
                true => (Direction::After, self.widening.after),
                false => (Direction::Before, self.widening.before),
            };
            side.add(direction, margin, (start, end), activities, &time);
        }
    }

    /// Whether a reason that so many alerts are without activities for is worth a word.
    fn shows(&self, alerts: u64) -> bool {
        alerts > 0 && (self.matched * 10 <= self.alerts || alerts * 2 >= self.alerts)
    }

    /// Whether a reason concerns most alerts.
    pub fn is_most(&self, hint: &Hint) -> bool {
        hint.alerts * 2 >= self.alerts
    }
}

/// A key without regard to case, within its tenant.
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
