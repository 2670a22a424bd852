//! Judges the settings by a sample.

use std::time::Duration;

use super::super::hints::{Kind, Places};
use super::super::traffic;
use super::super::{Findings, Level, percent};
use super::{CandidatePath, Sample, TopicStats};
use crate::words::{counted, duration, grouped};

/// The minimum number of records from which a conclusion is drawn.
const MIN_RECORDS: u64 = 20;

impl Sample<'_> {
    /// Returns the findings about the sample.
    pub fn findings(&self) -> Findings {
        let mut findings = Findings::default();
        let mut add = |level, text: String| findings.add("records", level, text);
        for (topic, stats) in &self.topics {
            self.judge_topic(topic, stats, &mut add);
        }
        if let Some(text) = traffic::second_tenant(self.second_tenant) {
            add(Level::Warning, text);
        }
        self.judge_keys(&mut add);
        self.judge_alerts(&mut add);
        self.judge_times(&mut add);
        if let Some(links) = &self.links {
            findings.append(links.findings());
        }
        findings
    }

    fn judge_topic(&self, topic: &str, stats: &TopicStats, add: &mut dyn FnMut(Level, String)) {
        let TopicStats { activities, alerts, .. } = stats;
        let mut parts = vec![counted(*activities, "activity"), counted(*alerts, "alert version")];
        let others: u64 = stats.others.values().sum();
        if others > 0 {
            let tables: Vec<&str> = stats.others.keys().take(5).map(String::as_str).collect();
            let more = if stats.others.len() > tables.len() { ", …" } else { "" };
            parts.push(format!("{others} of other tables ({}{more})", tables.join(", ")));
        }
        if stats.ignored > 0 {
            parts.push(format!("{} ignored by [[input.ignore]]", stats.ignored));
        }
        if stats.tombstones > 0 {
            parts.push(format!("{} without a value", stats.tombstones));
        }
        let largest = bytesize::ByteSize(stats.largest as u64).display().si();
        add(
            Level::Ok,
            format!(
                "in the newest {} of {topic}: {}; the largest has {largest}",
                counted(stats.messages, "message"),
                parts.join(", ")
            ),
        );
        if stats.unreadable > 0 {
            add(
                Level::Warning,
                format!(
                    "RawEventData of {} activities of {topic} ({} of all) contains no JSON object, so they have no correlation id: find out what truncates or rewrites it before it reaches the topic",
                    stats.unreadable,
                    percent(stats.unreadable, *activities),
                ),
            );
        }
        let rejected: u64 = stats.rejected.values().sum();
        if rejected > 0 {
            let all = rejected + activities + alerts + others;
            let reasons: Vec<String> = stats
                .rejected
                .iter()
                .map(|(reason, count)| format!("{reason} {count}"))
                .collect();
            add(
                Level::Warning,
                format!(
                    "{} of {topic} would become {} ({} of all): {}; once the cause is fixed, `alerttrail redrive` sends {} through again",
                    counted(rejected, "record"),
                    if rejected == 1 { "a dead letter" } else { "dead letters" },
                    percent(rejected, all),
                    reasons.join(", "),
                    if rejected == 1 { "it" } else { "them" }
                ),
            );
        }
        if let Some(text) = traffic::stamped_too_early(topic, stats.ahead_of_timestamp, *activities) {
            add(Level::Warning, text);
        }
        if activities + alerts == 0 && stats.messages > 0 {
            add(
                Level::Warning,
                format!(
                    "the sample of {topic} contains no record of CloudAppEvents or SecurityAlert; remove it from input.topics, or check what is exported to it"
                ),
            );
        }
    }

    fn judge_keys(&self, add: &mut dyn FnMut(Level, String)) {
        let activities = self.keyed + self.unkeyed;
        if activities == 0 {
            return;
        }
        let configured: Vec<String> = self
            .config
            .decode
            .activity_key
            .iter()
            .flat_map(|key| key.paths())
            .map(|key| key.path.to_string())
            .collect();
        let configured = configured.join(" or ");
        let keyed = percent(self.keyed, activities);
        let distinct = self.keys.len();
        add(
            Level::Ok,
            format!(
                "{keyed} of {} have a correlation id at {configured}: {}",
                counted(activities, "activity"),
                match distinct {
                    1 => "1 distinct id".to_owned(),
                    distinct => format!("{} distinct ids", grouped(distinct as u64)),
                }
            ),
        );
        let has_records = |place: &&CandidatePath| place.records() > 0;
        let places: Vec<String> = self
            .activity_paths
            .iter()
            .filter(has_records)
            .map(|place| format!("{} {}", place.name, percent(place.records(), activities)))
            .collect();
        if !places.is_empty() {
            add(
                Level::Ok,
                format!("fields of activities that contain an id: {}", places.join(", ")),
            );
        }
        if self.keyed == 0 && activities >= MIN_RECORDS {
            add(
                Level::Warning,
                format!(
                    "no activity has a correlation id at {configured}, so none can join: set correlation.activity_key to a field that contains one"
                ),
            );
        }
        let most_frequent = self.keys.values().map(Vec::len).max().unwrap_or(0) as u64;
        if self.keyed >= MIN_RECORDS && most_frequent * 2 > self.keyed && distinct > 1 {
            add(
                Level::Note,
                format!(
                    "{} of the activities with a correlation id share the same one: its partition does most of the work, and more partitions do not help",
                    percent(most_frequent, self.keyed)
                ),
            );
        }
    }

    fn judge_alerts(&self, add: &mut dyn FnMut(Level, String)) {
        if self.alerts == 0 {
            return;
        }
        let with_key = self.alert_keys.len() as u64;
        let found = self.count_matched_alerts();
        add(
            Level::Ok,
            format!(
                "{} of {} have a correlation id; {} of these occur in activities of the sample",
                percent(with_key, self.alerts),
                counted(self.alerts, "alert version"),
                percent(found, with_key)
            ),
        );
        if let Some(text) = many_empty_windows(self.empty_windows, self.alerts) {
            add(Level::Warning, text);
        } else if self.empty_windows > 0 {
            let bounds = self.config.decode.widening.bounds.as_str();
            add(
                Level::Note,
                format!(
                    "the window is empty under {bounds} bounds in {} of {}",
                    grouped(self.empty_windows),
                    counted(self.alerts, "alert version")
                ),
            );
        }
        if let Some(text) = traffic::far_windows(self.far_windows, self.config.watermark.max_window_ahead) {
            add(Level::Warning, text);
        }
        if let Some(places) = self.places().filter(|places| {
            // The ends of two topics cover different times, so a few matches do not prove anything.
            places.alerts >= MIN_RECORDS && places.matched >= MIN_RECORDS.min(places.alerts / 10)
        }) {
            add(
                Level::Warning,
                format!(
                    "with correlation.activity_key = [{}] and alert_key = [{}], activities of the sample would match {} of the alert versions; with the current settings they match {}",
                    places.activity_key,
                    places.alert_key,
                    percent(places.matched, places.alerts),
                    percent(found, places.alerts)
                ),
            );
        }
        let tally = self.tally();
        // If the keys in a sample do not match, the sample may be the cause.
        for hint in tally
            .hints(self.config, None)
            .into_iter()
            .filter(|hint| hint.kind != Kind::Keys)
        {
            let level = match hint.kind == Kind::Doubt || tally.affects_most(&hint) {
                true => Level::Warning,
                false => Level::Note,
            };
            add(level, hint.text);
        }
    }

    /// Returns the paths with which the most alerts match activities, if these are more than twice as many as with the
    /// configured ones.
    pub fn places(&self) -> Option<Places> {
        let found = self.count_matched_alerts();
        let pairs = self
            .activity_paths
            .iter()
            .flat_map(|activity| self.alert_paths.iter().map(move |alert| (activity, alert)));
        let matched = |(activity, alert): (&'_ CandidatePath, &'_ CandidatePath)| -> u64 {
            let shared = alert.values.iter().filter(|(value, _)| activity.values.contains_key(*value));
            shared.map(|(_, count)| count).sum()
        };
        let best = pairs.clone().map(matched).max()?;
        // If several are equally good, the first counts: configured paths come before other known ones.
        let (activity, alert) = pairs.into_iter().find(|pair| matched(*pair) == best)?;
        (best > 2 * found).then(|| Places {
            activity_key: activity.entry.clone(),
            alert_key: alert.entry.clone(),
            matched: best,
            alerts: self.alerts,
        })
    }

    /// Returns the number of alert versions whose key an activity of the sample has.
    fn count_matched_alerts(&self) -> u64 {
        self.alert_keys.iter().filter(|key| self.keys.contains_key(*key)).count() as u64
    }

    fn judge_times(&self, add: &mut dyn FnMut(Level, String)) {
        let activities = self.keyed + self.unkeyed;
        if activities == 0 {
            return;
        }
        let whole_seconds = |span: Duration| duration(Duration::from_secs(span.as_secs()));
        let allowed = self.config.watermark.out_of_orderness;
        let observed = whole_seconds(self.disorder);
        if self.too_late == 0 {
            let allowed = whole_seconds(allowed);
            add(
                Level::Ok,
                format!(
                    "activities are at most {observed} behind the latest of their partition; watermark.out_of_orderness is {allowed}"
                ),
            );
        } else {
            add(
                Level::Note,
                format!(
                    "{} of the activities are further behind the latest of their partition than watermark.out_of_orderness ({}), the furthest by {observed}: they are emitted late, as revisions; a longer out_of_orderness waits for them",
                    percent(self.too_late, activities),
                    whole_seconds(allowed)
                ),
            );
        }
    }
}

/// Returns a warning if at least half of the alert versions have an empty window, because the settings probably do not
/// fit the tenant. Single alerts with an empty window are valid.
pub fn many_empty_windows(empty: u64, all: u64) -> Option<String> {
    (all >= MIN_RECORDS && empty * 2 >= all).then(|| {
        format!(
            "{empty} of {all} alert versions have EndTime <= StartTime, which matches nothing with these bounds; [correlation] bounds = \"inclusive\", or before and after, include activities at or around these times"
        )
    })
}
