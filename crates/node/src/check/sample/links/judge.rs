//! The findings about each link.

use super::super::super::{Findings, Level, percent, traffic};
use super::estimate::{self, DailyRates, Matches, about, about_bytes};
use super::{LinkSample, LinkStats, MAX_KEPT, SampleStats};
use crate::decode::{Condition, KeyEntry, QUERY};
use crate::words::{counted, duration, grouped};

/// The minimum number of records from which a conclusion about the tenant is drawn.
const MIN_RECORDS: u64 = 20;

/// The minimum number of activities from which a key that has more than a tenth of them is reported.
const MIN_FOR_HOT_KEY: u64 = 1_000;

impl LinkSample {
    /// Returns the findings about the links in the sample.
    pub(in super::super) fn findings(&self) -> Findings {
        let stats = &self.stats;
        let mut findings = Findings::default();
        if stats.activities == 0 && stats.alerts.is_empty() {
            return findings;
        }
        let mut add = |level, text: String| findings.add("links", level, text);
        let rates = DailyRates::estimate(stats);
        for (index, link) in stats.links.iter().enumerate() {
            let matches = estimate::match_alerts(stats, index, link, rates.as_ref());
            let shares = stats.shares(link, &matches);
            let rates = rates.as_ref().filter(|_| link.activities > 0);
            let estimate = rates.map(|rates| stats.estimate(link, index, rates, &matches));
            add(
                Level::Ok,
                [Some(shares), estimate].into_iter().flatten().collect::<Vec<_>>().join("; "),
            );
            stats.judge_missing(link, &matches, &mut add);
            link.judge_hot_key(&mut add);
        }
        if stats.activities > 0 {
            add(Level::Ok, stats.all(rates.as_ref()));
        }
        if let Some(text) = traffic::cut_keys(stats.cut) {
            add(Level::Warning, text);
        }
        if stats.kept.left_out > 0 {
            let text = format!(
                "{} keys and alerts of the sample were left out where alerts and activities meet, as there is room for {} only; a smaller --sample leaves out none",
                grouped(stats.kept.left_out),
                grouped(MAX_KEPT as u64)
            );
            add(Level::Note, text);
        }
        findings
    }
}

impl SampleStats {
    fn alerts(&self) -> u64 {
        self.alerts.len() as u64
    }

    /// Returns a sentence with the numbers of records that have keys and of alerts that match an activity.
    fn shares(&self, link: &LinkStats, matches: &Matches) -> String {
        let name = &link.link.name;
        let sides = [
            (link.activities, self.activities, "activity"),
            (matches.alerts, self.alerts(), "alert"),
        ];
        let side = |(part, whole, noun): (u64, u64, &str)| format!("{} of {}", percent(part, whole), counted(whole, noun));
        let sides: Vec<String> = sides.into_iter().filter(|(_, whole, _)| *whole > 0).map(side).collect();
        let matched_alerts = match (matches.matched, matches.alerts) {
            (_, 0) => String::new(),
            (1, _) => "; 1 alert has an activity in its window".to_owned(),
            (matched, _) => format!("; {} have an activity in their window", counted(matched, "alert")),
        };
        format!("{name}: {} have a key{matched_alerts}", sides.join(" and "))
    }

    /// Returns a sentence with the estimated daily numbers and the amount that is stored.
    fn estimate(&self, link: &LinkStats, index: usize, rates: &DailyRates<'_>, matches: &Matches) -> String {
        let keyed = rates.per_day(|source| source.keyed.get(index).map_or(0.0, |keyed| *keyed as f64));
        let stored = keyed * link.retention.as_secs_f64() / 86_400.0;
        let row = link.bytes as f64 / link.activities.max(1) as f64;
        let rows = match rates.rows_per_day(matches, self.alerts.len()) {
            Some(rows) => format!("{} rows a day", about(rows)),
            None if matches.alerts == 0 => "no rows".to_owned(),
            None => "rows a day unknown, as the sample holds too few alerts, or none from the time of its activities".to_owned(),
        };
        format!(
            "at this rate {} activities a day have a key, and {} ({} of rows) are kept for {}; {rows}",
            about(keyed),
            about(stored),
            about_bytes(stored * row),
            duration(link.retention)
        )
    }

    /// Returns a sentence about what all links store together.
    fn all(&self, rates: Option<&DailyRates<'_>>) -> String {
        let share = percent(self.keyed, self.activities);
        let activities = counted(self.activities, "activity");
        let Some(rates) = rates else {
            return format!(
                "all links: {share} of {activities} have a key and are stored; the sample is too small to estimate a day"
            );
        };
        let stored = rates.per_day(|source| source.stored) / 86_400.0;
        let bytes = rates.per_day(|source| source.stored_bytes) / 86_400.0;
        format!(
            "all links: {share} of {activities} have a key, {} a day; the state holds {} of them, {} of rows before compression, counting an activity once for each partition of the log that owns a key of it",
            about(rates.per_day(|source| source.any as f64)),
            about(stored),
            about_bytes(bytes)
        )
    }

    /// Reports a link that has no key on one side, so that it finds nothing.
    fn judge_missing(&self, link: &LinkStats, matches: &Matches, add: &mut dyn FnMut(Level, String)) {
        let is_query = link.link.name == QUERY;
        let settings = &link.link;
        // For activities of the query, the section about records reports this.
        let sides = [
            (
                !is_query && link.activities == 0,
                self.activities,
                "activity",
                &settings.activity_key,
                &settings.activity_where,
            ),
            (
                matches.alerts == 0,
                self.alerts(),
                "alert",
                &settings.key,
                &settings.alert_where,
            ),
        ];
        for (is_missing, all, noun, key, conditions) in sides {
            if !is_missing || all == 0 {
                continue;
            }
            let level = if all >= MIN_RECORDS { Level::Warning } else { Level::Note };
            let (key_setting, where_setting) = match (is_query, noun) {
                (true, _) => ("correlation.alert_key", ""),
                (false, "alert") => ("key", "from_where"),
                (false, _) => ("activity_key", "where"),
            };
            let (or, remedy) = match conditions.is_empty() {
                true => (String::new(), String::new()),
                false => (
                    format!(", or none meets its {where_setting} ({})", condition_paths(conditions)),
                    format!(", or correct {where_setting}"),
                ),
            };
            add(
                level,
                format!(
                    "{}: no {noun} of the sample has a key at {}{or}, so this link finds nothing: set {key_setting} to a place that holds one{remedy}",
                    settings.name,
                    key_paths(key)
                ),
            );
        }
    }
}

impl LinkStats {
    /// Reports a key that causes much of the work.
    fn judge_hot_key(&self, add: &mut dyn FnMut(Level, String)) {
        let mut counts = std::collections::HashMap::new();
        for (key, _) in &self.key_times {
            *counts.entry(*key).or_insert(0_u64) += 1;
        }
        let most_frequent = counts.values().copied().max().unwrap_or(0);
        if self.activities >= MIN_FOR_HOT_KEY && most_frequent * 10 > self.activities {
            let text = format!(
                "{}: one key has {} of the activities with a key: its partition does that much of the link's work, and more partitions do not help",
                self.link.name,
                percent(most_frequent, self.activities)
            );
            add(Level::Note, text);
        }
    }
}

fn key_paths(entries: &[KeyEntry]) -> String {
    let joined_paths = |entry: &KeyEntry| {
        let paths: Vec<String> = entry.paths().iter().map(|path| path.path.to_string()).collect();
        paths.join(" and ")
    };
    entries.iter().map(joined_paths).collect::<Vec<_>>().join(" or ")
}

fn condition_paths(conditions: &[Condition]) -> String {
    let paths: Vec<String> = conditions.iter().map(|condition| condition.path.to_string()).collect();
    paths.join(", ")
}
