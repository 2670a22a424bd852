//! The sentences of hints.

use std::time::Duration;

use super::{Hint, Kind, NearMisses, Places, Tally};
use crate::config::{self, Config};
use crate::time::TICKS_PER_SECOND;
use crate::words::{counted, grouped};

impl Tally {
    /// Returns the hints, the most important first. `places` are the paths found in a sample, if one was taken.
    pub fn hints(&self, config: &Config, places: Option<&Places>) -> Vec<Hint> {
        let mut hints = Vec::new();
        let mut add = |kind: Kind, alerts: u64, text: String| {
            if self.is_relevant(alerts) {
                hints.push(Hint { kind, alerts, text });
            }
        };
        add(Kind::Keys, self.keyless + self.strangers, self.keys_sentence(config, places));
        add(
            Kind::Reason,
            self.other_case,
            format!(
                "{} a key that occurs in activities in another case: correlation.ignore_case = true matches them",
                self.alerts_have(self.other_case)
            ),
        );
        add(Kind::Reason, self.at_bounds, self.at_bounds());
        for (near_misses, place, setting, margin) in [
            (&self.after, "after the end", "after", self.widening.after),
            (&self.before, "before the start", "before", self.widening.before),
        ] {
            if let Some(text) = self.near_misses_sentence(near_misses, place, setting, margin) {
                add(Kind::Reason, near_misses.alerts(), text);
            }
        }
        hints.extend(self.doubts());
        hints.sort_by_key(|hint| std::cmp::Reverse(hint.alerts));
        hints
    }

    /// Returns the hints about probable mistakes that do not depend on the number of matches.
    fn doubts(&self) -> Vec<Hint> {
        let kind = Kind::Doubt;
        let mut doubts = Vec::new();
        let alerts = self.null_words.values().sum();
        if alerts > 0 {
            let words: Vec<String> = self.null_words.keys().map(|word| format!("\"{word}\"")).collect();
            let text = format!(
                "{} a placeholder word as key ({}), which matches every activity with the same word; \
                 point correlation.alert_key and activity_key to fields with ids",
                self.alerts_have(alerts),
                words.join(", ")
            );
            doubts.push(Hint { kind, alerts, text });
        }
        if self.two_forms > 0 {
            let text = format!(
                "{} occurred in two forms, with the same ReportId, key and time but different content (for example streamed and exported), and each counts as two: \
                 input.identity = \"report_id\" treats both as one",
                counted(self.two_forms, "activity")
            );
            doubts.push(Hint { kind, alerts: 0, text });
        }
        doubts
    }

    /// Returns the sentence about keys that do not match.
    fn keys_sentence(&self, config: &Config, places: Option<&Places>) -> String {
        let at = |keys: &[crate::decode::KeyEntry]| keys.iter().map(config::key_entry).collect::<Vec<_>>().join(" or ");
        let (alert_key, activity_key) = (at(&config.decode.alert_key), at(&config.decode.activity_key));
        let mut text = match (self.activities > 0 && self.keyed == 0, self.strangers) {
            (true, _) if self.activities == 1 => format!("the only activity has no key at {activity_key}"),
            (true, _) => format!("none of {} has a key at {activity_key}", counted(self.activities, "activity")),
            (false, 0) => format!("{} no key at {alert_key}", self.alerts_have(self.keyless)),
            (false, strangers) => {
                let keyless = match self.keyless {
                    0 => String::new(),
                    keyless => format!(", and {keyless} have none"),
                };
                format!(
                    "{} a key at {alert_key} that no activity has at {activity_key}{keyless}",
                    self.alerts_have(strangers)
                )
            }
        };
        if let Some(places) = places {
            text += &format!(
                ": with correlation.activity_key = [{}] and alert_key = [{}], {} of {} in a sample would match the key of an activity",
                places.activity_key,
                places.alert_key,
                places.matched,
                counted(places.alerts, "alert version")
            );
        }
        text
    }

    /// Returns `1 of 4 alerts has`, `2 of 4 alerts have`.
    fn alerts_have(&self, alerts: u64) -> String {
        let verb = if alerts == 1 { "has" } else { "have" };
        format!("{alerts} of {} {verb}", counted(self.alerts, "alert"))
    }

    /// Returns the sentence about activities exactly at the bounds of windows.
    fn at_bounds(&self) -> String {
        let lengthless = match self.lengthless {
            0 => String::new(),
            all if all == self.at_bounds => " (their windows have no length)".to_owned(),
            some => format!(" (the windows of {some} have no length)"),
        };
        format!(
            "{} activities exactly at StartTime or EndTime and none between{lengthless}: correlation.bounds = \"inclusive\" includes them",
            self.alerts_have(self.at_bounds)
        )
    }

    /// Returns the sentence about activities just outside windows.
    fn near_misses_sentence(&self, near_misses: &NearMisses, place: &str, setting: &str, margin: Duration) -> Option<String> {
        let advice = near_misses.advice(margin)?;
        Some(format!(
            "{} activities with the same key {place} of the window and none inside: {}; correlation.{setting} = \"{}\" adds {} in all{}",
            self.alerts_have(near_misses.alerts()),
            match advice.median == advice.max {
                true => format!("{} outside", span(advice.max)),
                false => format!(
                    "the median is {} outside, the furthest {}",
                    span(advice.median),
                    span(advice.max)
                ),
            },
            advice.value,
            counted(advice.all_pairs, "pair"),
            match (advice.pairs == advice.all_pairs, advice.alerts == near_misses.alerts()) {
                (true, true) => String::new(),
                (true, false) => format!(", for {} of these alerts", advice.alerts),
                (false, true) => format!(", {} of them for these alerts", grouped(advice.pairs)),
                (false, false) => format!(", {} of them for {} of these alerts", grouped(advice.pairs), advice.alerts),
            }
        ))
    }
}

/// Formats a number of ticks: whole seconds, unless it is short.
fn span(ticks: i64) -> String {
    let ticks = ticks.unsigned_abs();
    let second = TICKS_PER_SECOND.unsigned_abs();
    let span = match ticks >= 10 * second {
        true => Duration::from_secs(ticks / second),
        false => Duration::from_nanos(ticks * 100),
    };
    humantime::format_duration(span).to_string()
}
