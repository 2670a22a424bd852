//! Counts probable mistakes in the input, and warns of each once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::{IntCounter, IntCounterVec, Registry};

use super::Error;
use super::make::{counter, counters};
use crate::check::traffic;
use crate::route::Seen;

/// The counters, and which warnings have been logged.
pub(super) struct Hints {
    ahead_of_timestamp: IntCounterVec,
    far_windows: IntCounter,
    null_words: IntCounter,
    cut_keys: IntCounter,
    topics: Mutex<BTreeMap<String, TopicCounts>>,
    warned_of_far_windows: AtomicBool,
    warned_of_null_words: AtomicBool,
    warned_of_cut_keys: AtomicBool,
}

#[derive(Default)]
struct TopicCounts {
    activities: u64,
    ahead: u64,
    warned: bool,
}

impl Hints {
    pub(super) fn new(r: &Registry) -> Result<Self, Error> {
        Ok(Self {
            ahead_of_timestamp: counters(
                r,
                "activities_ahead_of_timestamp_total",
                "Activities that did not move the watermark because they are too far ahead of their Kafka record's timestamp, though not of the clock.",
                &["topic"],
            )?,
            far_windows: counter(
                r,
                "windows_far_ahead_total",
                "Alert versions whose window ends more than a day and watermark.max_future_skew ahead of their arrival.",
            )?,
            null_words: counter(
                r,
                "records_null_key_total",
                "Activities and alert versions whose correlation id is a placeholder such as None.",
            )?,
            cut_keys: counter(
                r,
                "records_keys_cut_total",
                "Records with more than 64 keys for a link, of which only the first ones were used.",
            )?,
            topics: Mutex::default(),
            warned_of_far_windows: AtomicBool::new(false),
            warned_of_null_words: AtomicBool::new(false),
            warned_of_cut_keys: AtomicBool::new(false),
        })
    }

    /// Counts what was routed from all topics.
    pub(super) fn routed(&self, seen: &Seen, max_window_ahead: Option<Duration>) {
        self.far_windows.inc_by(seen.far_windows);
        self.null_words.inc_by(seen.null_words);
        self.cut_keys.inc_by(seen.cut_keys);
        warn_once(
            traffic::far_windows(self.far_windows.get(), max_window_ahead),
            &self.warned_of_far_windows,
        );
        warn_once(traffic::null_words(self.null_words.get()), &self.warned_of_null_words);
        warn_once(traffic::cut_keys(self.cut_keys.get()), &self.warned_of_cut_keys);
    }

    /// Counts what was routed from one topic.
    pub(super) fn routed_of(&self, topic: &str, activities: u64, ahead: u64) {
        if ahead > 0 {
            self.ahead_of_timestamp.with_label_values(&[topic]).inc_by(ahead);
        }
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = topics.entry(topic.to_owned()).or_default();
        counts.activities += activities;
        counts.ahead += ahead;
        if !counts.warned
            && let Some(sentence) = traffic::stamped_too_early(topic, counts.ahead, counts.activities)
        {
            counts.warned = true;
            tracing::warn!("{sentence}");
        }
    }
}

fn warn_once(sentence: Option<String>, warned: &AtomicBool) {
    if let Some(sentence) = sentence
        && !warned.swap(true, Ordering::Relaxed)
    {
        tracing::warn!("{sentence}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hint_is_counted_and_logged_once() {
        let hints = Hints::new(&Registry::new()).unwrap();
        let warned_of = |topic: &str| hints.topics.lock().unwrap()[topic].warned;
        hints.routed_of("a", 30, 10);
        hints.routed_of("b", 30, 30);
        assert!(!warned_of("a") && warned_of("b"), "a topic is judged by itself");
        hints.routed_of("a", 30, 30);
        assert!(warned_of("a"));
        let ahead = |topic| hints.ahead_of_timestamp.with_label_values(&[topic]).get();
        assert_eq!((ahead("a"), ahead("b")), (40, 30));
        let warned = || {
            (
                hints.warned_of_far_windows.load(Ordering::Relaxed),
                hints.warned_of_null_words.load(Ordering::Relaxed),
            )
        };
        hints.routed(&Seen::default(), None);
        assert_eq!(warned(), (false, false));
        let seen = Seen {
            far_windows: 1,
            null_words: 2,
            ..Seen::default()
        };
        hints.routed(&seen, None);
        assert_eq!(warned(), (true, true));
        assert_eq!((hints.far_windows.get(), hints.null_words.get()), (1, 2));
    }
}
