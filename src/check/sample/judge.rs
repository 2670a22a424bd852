//! What a sample says about the settings.

use std::collections::HashSet;
use std::time::Duration;

use super::super::{Findings, Level, percent};
use super::{OfTopic, Place, Sample};
use crate::time::Bounds;

/// Fewer records than this say nothing about a tenant.
const ENOUGH: u64 = 20;

impl Sample<'_> {
    /// What the sample says.
    pub fn findings(&self) -> Findings {
        let mut findings = Findings::default();
        let mut add = |level, text: String| findings.add("records", level, text);
        for (topic, of_topic) in &self.topics {
            self.judge_topic(topic, of_topic, &mut add);
        }
        self.judge_keys(&mut add);
        self.judge_alerts(&mut add);
        self.judge_times(&mut add);
        findings
    }

    fn judge_topic(&self, topic: &str, of_topic: &OfTopic, add: &mut dyn FnMut(Level, String)) {
        let OfTopic { activities, alerts, .. } = of_topic;
        let mut parts = vec![format!("{activities} activities"), format!("{alerts} alert versions")];
        let others: u64 = of_topic.others.values().sum();
        if others > 0 {
            let tables: Vec<&str> = of_topic.others.keys().take(5).map(String::as_str).collect();
            let more = if of_topic.others.len() > tables.len() { ", …" } else { "" };
            parts.push(format!("{others} of other tables ({}{more})", tables.join(", ")));
        }
        if of_topic.ignored > 0 {
            parts.push(format!("{} ignored by [[input.ignore]]", of_topic.ignored));
        }
        if of_topic.tombstones > 0 {
            parts.push(format!("{} without a value", of_topic.tombstones));
        }
        let largest = bytesize::ByteSize(of_topic.largest as u64).display().si();
        add(
            Level::Ok,
            format!(
                "the newest {} messages of {topic}: {}; the largest has {largest}",
                of_topic.messages,
                parts.join(", ")
            ),
        );
        if of_topic.unreadable > 0 {
            add(
                Level::Warning,
                format!(
                    "RawEventData of {} activities of {topic} ({} of all) holds no JSON object, so no key is found in it: see what cuts it or writes it otherwise on its way",
                    of_topic.unreadable,
                    percent(of_topic.unreadable, *activities),
                ),
            );
        }
        let rejected: u64 = of_topic.rejected.values().sum();
        if rejected > 0 {
            let all = rejected + activities + alerts + others;
            let reasons: Vec<String> = of_topic
                .rejected
                .iter()
                .map(|(reason, count)| format!("{reason} {count}"))
                .collect();
            add(
                Level::Warning,
                format!(
                    "{rejected} records of {topic} would go to the dead letters ({} of all): {}; `alerttrail redrive` brings them back once their cause is mended",
                    percent(rejected, all),
                    reasons.join(", ")
                ),
            );
        }
        if activities + alerts == 0 && of_topic.messages > 0 {
            add(
                Level::Warning,
                format!(
                    "{topic} holds no record of CloudAppEvents or SecurityAlert in the sample; take it out of input.topics, or see what is exported to it"
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
            .map(|key| key.path.keys().join("."))
            .collect();
        let configured = configured.join(" or ");
        let keyed = percent(self.keyed, activities);
        let distinct = self.keys.len();
        add(
            Level::Ok,
            format!("{keyed} of {activities} activities have a correlation id at {configured}: {distinct} different ones"),
        );
        let held = |place: &&Place| place.records() > 0;
        let places: Vec<String> = self
            .activity_places
            .iter()
            .filter(held)
            .map(|place| format!("{} {}", place.name, percent(place.records(), activities)))
            .collect();
        if !places.is_empty() {
            add(
                Level::Ok,
                format!("places of activities that hold an id: {}", places.join(", ")),
            );
        }
        if self.keyed == 0 && activities >= ENOUGH {
            add(
                Level::Warning,
                format!(
                    "no activity has a correlation id at {configured}, so none can join: set correlation.activity_key to a place that holds one"
                ),
            );
        }
        let hottest = self.keys.values().copied().max().unwrap_or(0);
        if self.keyed >= ENOUGH && hottest * 2 > self.keyed && distinct > 1 {
            add(
                Level::Note,
                format!(
                    "one correlation id has {} of the activities with one: its partition does most of the work, and more partitions do not help",
                    percent(hottest, self.keyed)
                ),
            );
        }
    }

    fn judge_alerts(&self, add: &mut dyn FnMut(Level, String)) {
        if self.alerts == 0 {
            return;
        }
        let with_key = self.alert_keys.len() as u64;
        let found = self.alert_keys.iter().filter(|key| self.keys.contains_key(*key)).count() as u64;
        add(
            Level::Ok,
            format!(
                "{} of {} alert versions have a correlation id; activities of the sample have the same for {}",
                percent(with_key, self.alerts),
                self.alerts,
                percent(found, with_key)
            ),
        );
        if let Some(text) = many_empty_windows(self.empty_windows, self.alerts) {
            add(Level::Warning, text);
        } else if self.empty_windows > 0 {
            let bounds = match self.config.decode.widening.bounds {
                Bounds::Exclusive => "exclusive",
                Bounds::Inclusive => "inclusive",
            };
            add(
                Level::Note,
                format!(
                    "{} of {} alert versions have a window that is empty under {bounds} bounds",
                    self.empty_windows, self.alerts
                ),
            );
        }
        let folded: HashSet<String> = self.keys.keys().map(|key| lower(key)).collect();
        let by_case = |key: &&Vec<u8>| !self.keys.contains_key(*key) && folded.contains(&lower(key));
        let by_case = self.alert_keys.iter().filter(by_case).count() as u64;
        if by_case > 0 {
            add(
                Level::Warning,
                format!(
                    "{by_case} alert versions have a correlation id that activities spell in another case; correlation.ignore_case = true takes them for the same"
                ),
            );
        }
        self.judge_places(found, add);
    }

    /// Whether other places would bring more alerts together with activities.
    fn judge_places(&self, found: u64, add: &mut dyn FnMut(Level, String)) {
        let pairs = self
            .activity_places
            .iter()
            .flat_map(|activity| self.alert_places.iter().map(move |alert| (activity, alert)));
        let matched = |(activity, alert): (&'_ Place, &'_ Place)| -> u64 {
            let met = alert.values.iter().filter(|(value, _)| activity.values.contains_key(*value));
            met.map(|(_, count)| count).sum()
        };
        let best = pairs.max_by_key(|(activity, alert)| matched((activity, alert)));
        let Some((activity, alert)) = best else { return };
        let most = matched((activity, alert));
        if self.alerts >= ENOUGH && most >= ENOUGH.min(self.alerts / 10) && most > 2 * found {
            add(
                Level::Warning,
                format!(
                    "with correlation.activity_key = [\"{}\"] and alert_key = [\"{}\"], activities of the sample would have the same id for {} of the alert versions, with the settings as they are for {}",
                    activity.name,
                    alert.name,
                    percent(most, self.alerts),
                    percent(found, self.alerts)
                ),
            );
        }
    }

    fn judge_times(&self, add: &mut dyn FnMut(Level, String)) {
        let activities = self.keyed + self.unkeyed;
        if activities == 0 {
            return;
        }
        let whole_seconds = |duration: Duration| humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string();
        let set = self.config.watermark.out_of_orderness;
        let seen = whole_seconds(self.disorder);
        if self.too_late == 0 {
            let set = whole_seconds(set);
            add(
                Level::Ok,
                format!(
                    "activities are at most {seen} behind the latest of their partition; watermark.out_of_orderness is {set}"
                ),
            );
        } else {
            add(
                Level::Note,
                format!(
                    "{} of the activities are further behind the latest of their partition than watermark.out_of_orderness ({}), the furthest by {seen}: they come late, as revisions; a longer out_of_orderness waits for them",
                    percent(self.too_late, activities),
                    whole_seconds(set)
                ),
            );
        }
    }
}

fn lower(key: &[u8]) -> String {
    String::from_utf8_lossy(key).to_lowercase()
}

/// That so many alert versions have an empty window that the settings cannot be meant: alerts like that are valid, but when there are many,
/// the settings do not fit the tenant.
pub fn many_empty_windows(empty: u64, all: u64) -> Option<String> {
    (all >= ENOUGH && empty * 2 >= all).then(|| {
        format!(
            "{empty} of {all} alert versions have EndTime <= StartTime, which matches nothing under these bounds; [correlation] bounds = \"inclusive\", or before and after, take in what lies at or around them"
        )
    })
}
