//! Decodes a sample of records like the processor; `judge` derives the findings about the settings.

mod judge;
mod links;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

pub use judge::many_empty_windows;
use links::LinkSample;

use super::hints::{self, Forms, Tally};
use crate::config::{self, Config};
use crate::decode::{Decoded, Decoder, KeyEntry, KeyPath, Path, Settings};
use crate::record::{Activity, AlertId, Key, Version};
use crate::time::{EventTime, WallTime, Window};

/// Paths in activities at which public records contain an id that alerts may refer to.
const ACTIVITY_PATHS: [&[&str]; 4] = [
    &["RawEventData", "Data", "cid"],
    &["RawEventData", "PolicyId"],
    &["RawEventData", "Data", "dpid"],
    &["RawEventData", "AlertId"],
];
/// Paths in alerts at which public records contain such an id, with the prefix that is stripped.
const ALERT_PATHS: [(&[&str], Option<&str>); 5] = [
    (&["AlertType"], None),
    (&["VendorOriginalId"], None),
    (&["VendorOriginalId"], Some("dl")),
    (&["VendorOriginalId"], Some("fa")),
    (&["SystemAlertId"], None),
];

/// The time in addition to `watermark.max_future_skew` by which a window may end after its arrival without being
/// reported.
const MAX_AHEAD: Duration = Duration::from_secs(86_400);

/// A sample of records, and statistics about it.
pub struct Sample<'c> {
    config: &'c Config,
    now: WallTime,
    decoder: Decoder,
    /// Decoders that compute the dedup keys of activities from their contents and from their report ids.
    dedup_decoders: (Decoder, Option<Decoder>),
    activity_paths: Vec<CandidatePath>,
    alert_paths: Vec<CandidatePath>,
    topics: BTreeMap<String, TopicStats>,
    latest: HashMap<(String, i32), EventTime>,
    /// The times of activities by their keys.
    keys: HashMap<Key, Vec<EventTime>>,
    alert_keys: Vec<Key>,
    /// The latest version of each alert.
    newest: BTreeMap<AlertId, (Version, Key, Window)>,
    forms: Forms,
    links: Option<LinkSample>,
    /// The tenant of the first record whose envelope names one, and the number of records of others.
    first_tenant: Option<String>,
    second_tenant: u64,
    keyed: u64,
    unkeyed: u64,
    alerts: u64,
    empty_windows: u64,
    far_windows: u64,
    disorder: Duration,
    too_late: u64,
}

/// A path that may lead to a correlation id.
struct CandidatePath {
    /// The entry in the notation of `[correlation]`.
    entry: String,
    name: String,
    decoder: Decoder,
    values: HashMap<Vec<u8>, u64>,
}

#[derive(Default)]
struct TopicStats {
    messages: u64,
    activities: u64,
    /// Activities that may move the watermark by the clock, but not by the timestamp of their record.
    ahead_of_timestamp: u64,
    alerts: u64,
    unreadable: u64,
    ignored: u64,
    tombstones: u64,
    others: BTreeMap<String, u64>,
    rejected: BTreeMap<&'static str, u64>,
    largest: usize,
}

impl CandidatePath {
    fn new(settings: Settings, key: &KeyEntry) -> Self {
        Self {
            entry: config::key_entry(key),
            name: key
                .paths()
                .iter()
                .map(|key| key.path.to_string())
                .collect::<Vec<_>>()
                .join(" and "),
            decoder: Decoder::new(settings).without_dedup_keys(),
            values: HashMap::new(),
        }
    }

    fn records(&self) -> u64 {
        self.values.values().sum()
    }
}

impl<'c> Sample<'c> {
    /// Creates an empty sample, taken at `now`, to be judged with `config`.
    pub fn new(config: &'c Config, now: WallTime) -> Self {
        // Paths are suggested only for the query.
        let settings = &Settings {
            links: Vec::new(),
            ..config.decode.clone()
        };
        let candidate = |key: KeyEntry, activity: bool| {
            let mut settings = settings.clone();
            match activity {
                true => settings.activity_key = vec![key.clone()],
                false => settings.alert_key = vec![key.clone()],
            }
            CandidatePath::new(settings, &key)
        };
        let activity_paths = candidate_paths(&settings.activity_key, &ACTIVITY_PATHS.map(|keys| (keys, None)));
        let alert_paths = candidate_paths(&settings.alert_key, &ALERT_PATHS);
        Self {
            config,
            now,
            decoder: Decoder::new(settings.clone()).without_dedup_keys(),
            dedup_decoders: (Decoder::new(settings.clone()), hints::by_report(settings)),
            activity_paths: activity_paths.into_iter().map(|key| candidate(key, true)).collect(),
            alert_paths: alert_paths.into_iter().map(|key| candidate(key, false)).collect(),
            topics: BTreeMap::new(),
            latest: HashMap::new(),
            keys: HashMap::new(),
            alert_keys: Vec::new(),
            newest: BTreeMap::new(),
            forms: Forms::default(),
            links: None,
            first_tenant: None,
            second_tenant: 0,
            keyed: 0,
            unkeyed: 0,
            alerts: 0,
            empty_windows: 0,
            far_windows: 0,
            disorder: Duration::ZERO,
            too_late: 0,
        }
    }

    /// Makes the sample read the keys of every link, if there are links besides the query.
    #[must_use]
    pub fn with_links(self) -> Self {
        Self {
            links: LinkSample::new(self.config),
            ..self
        }
    }

    /// Adds a message with its Kafka timestamp. Messages of a partition must be in order.
    pub fn message(&mut self, topic: &str, partition: i32, value: Option<&[u8]>, timestamp: Option<WallTime>) {
        let skew = self.config.watermark.max_future_skew;
        let arrived = timestamp.map_or(self.now, |timestamp| timestamp.min(self.now)).to_event();
        let (allowed, allowed_now) = (arrived.plus(skew), self.now.to_event().plus(skew));
        let stats = self.topics.entry(topic.to_owned()).or_default();
        stats.messages += 1;
        stats.largest = stats.largest.max(value.map_or(0, <[u8]>::len));
        let mut times = Vec::new();
        let (mut keyed, mut alerts, mut unkeyed) = (Vec::new(), Vec::new(), 0);
        let mut tenants = Vec::new();
        self.decoder.decode(value, &mut |item| {
            tenants.extend(item.entra_tenant.map(Cow::into_owned));
            match item.what {
                Decoded::Activity(activity) => {
                    stats.activities += 1;
                    times.push(activity.time);
                    keyed.push(activity);
                }
                Decoded::Unkeyed { time } => {
                    stats.activities += 1;
                    unkeyed += 1;
                    times.extend(time);
                }
                Decoded::Unreadable { time } => {
                    stats.activities += 1;
                    stats.unreadable += 1;
                    unkeyed += 1;
                    times.extend(time);
                }
                Decoded::Ignored => stats.ignored += 1,
                Decoded::Alert(alert) => {
                    stats.alerts += 1;
                    alerts.extend(alert.links.into_iter().flat_map(|link| {
                        let tenant = alert.id.tenant.clone();
                        let key = link.keys.into_iter().next().map(|correlation_id| Key {
                            tenant,
                            link: link.link,
                            correlation_id,
                        });
                        key.map(|key| (alert.id.clone(), alert.version, key, link.window))
                    }));
                }
                Decoded::OtherTable(table) => *stats.others.entry(table.into_owned()).or_default() += 1,
                Decoded::Tombstone => stats.tombstones += 1,
                Decoded::Rejected(reject) => *stats.rejected.entry(reject.reason.as_str()).or_default() += 1,
            }
        });
        self.keyed += keyed.len() as u64;
        self.unkeyed += unkeyed;
        let is_ahead = |time: &&EventTime| **time > allowed && **time <= allowed_now;
        stats.ahead_of_timestamp += times.iter().filter(is_ahead).count() as u64;
        if self.config.decode.tenants.is_none() {
            self.tenants(tenants);
        }
        self.keyed_activities(keyed);
        let has_activities = !times.is_empty() || unkeyed > 0;
        for time in times {
            self.time(topic, partition, time);
        }
        let has_alerts = !alerts.is_empty();
        for (id, version, key, window) in alerts {
            self.far_windows += u64::from(window.to > allowed.plus(MAX_AHEAD));
            self.alert(id, version, key, window);
        }
        self.read_other_paths(value, has_activities, has_alerts);
        if let Some(links) = &mut self.links {
            links.message(topic, partition, value);
        }
    }

    fn keyed_activities(&mut self, activities: Vec<Activity<'_>>) {
        for activity in activities {
            let (by_content, by_report) = &mut self.dedup_decoders;
            let Some(key) = activity.keys.into_iter().next() else {
                continue;
            };
            let by_content = by_content.identity(&key.tenant, &activity.row);
            let by_report = by_report
                .as_mut()
                .and_then(|decoder| decoder.identity(&key.tenant, &activity.row));
            if let (Some(by_report), Some(by_content)) = (by_report, by_content) {
                self.forms.note(by_report, by_content);
            }
            self.keys.entry(key).or_default().push(activity.time);
        }
    }

    /// Counts the records that do not belong to the tenant of the first one.
    fn tenants(&mut self, tenants: Vec<String>) {
        for tenant in tenants {
            let first = self.first_tenant.get_or_insert_with(|| tenant.clone());
            self.second_tenant += u64::from(!first.eq_ignore_ascii_case(&tenant));
        }
    }

    fn alert(&mut self, id: AlertId, version: Version, key: Key, window: Window) {
        self.alerts += 1;
        self.empty_windows += u64::from(window.is_empty());
        if !key.correlation_id.is_empty() {
            self.alert_keys.push(key.clone());
        }
        let newest = self.newest.entry(id).or_insert_with(|| (version, key.clone(), window));
        if newest.0 < version {
            *newest = (version, key, window);
        }
    }

    /// Reads the keys at the other known paths.
    fn read_other_paths(&mut self, value: Option<&[u8]>, has_activities: bool, has_alerts: bool) {
        for candidate in self.activity_paths.iter_mut().filter(|_| has_activities) {
            let values = &mut candidate.values;
            candidate.decoder.decode(value, &mut |item| {
                if let Decoded::Activity(activity) = item.what {
                    for key in &activity.keys {
                        *values.entry(key.correlation_id.as_bytes().to_vec()).or_default() += 1;
                    }
                }
            });
        }
        for candidate in self.alert_paths.iter_mut().filter(|_| has_alerts) {
            let values = &mut candidate.values;
            candidate.decoder.decode(value, &mut |item| {
                if let Decoded::Alert(alert) = item.what {
                    let keys = alert.links.iter().flat_map(|link| &link.keys);
                    for key in keys.filter(|key| !key.is_empty()) {
                        *values.entry(key.as_bytes().to_vec()).or_default() += 1;
                    }
                }
            });
        }
    }

    /// Returns statistics about the alerts and activities of the sample.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::new(self.config.decode.widening);
        tally.activities(self.keyed + self.unkeyed, self.keyed);
        tally.two_forms(self.forms.two());
        let mut windows: BTreeMap<&Key, Vec<Window>> = BTreeMap::new();
        let mut strangers: Vec<&Key> = Vec::new();
        for (_, key, window) in self.newest.values() {
            tally.alert(key.correlation_id.as_bytes());
            match self.keys.contains_key(key) {
                true => windows.entry(key).or_default().push(*window),
                false if key.correlation_id.is_empty() => {}
                false => strangers.push(key),
            }
        }
        let times = |key: &Key| {
            let mut times = self.keys.get(key).cloned().unwrap_or_default();
            times.sort_unstable();
            times
        };
        let matching: Vec<(Vec<Window>, Vec<EventTime>)> =
            windows.into_iter().map(|(key, windows)| (windows, times(key))).collect();
        for (windows, times) in &matching {
            tally.meet(windows, times, |time| *time);
        }
        tally.strangers(strangers.len() as u64);
        if tally.is_poor() {
            for (windows, times) in &matching {
                tally.look(windows, times, |time| *time);
            }
            let known: HashSet<_> = self.keys.keys().map(hints::folded).collect();
            let in_other_case = strangers.iter().filter(|key| known.contains(&hints::folded(key)));
            tally.other_case(in_other_case.count() as u64);
        }
        tally
    }

    fn time(&mut self, topic: &str, partition: i32, time: EventTime) {
        let latest = self.latest.entry((topic.to_owned(), partition)).or_insert(time);
        *latest = time.max(*latest);
        // A tick is 100 ns.
        let behind = Duration::from_nanos(u64::try_from(latest.ticks() - time.ticks()).unwrap_or(0).saturating_mul(100));
        self.disorder = self.disorder.max(behind);
        self.too_late += u64::from(behind > self.config.watermark.out_of_orderness);
    }
}

/// Returns the configured paths and the other known ones.
fn candidate_paths(configured: &[KeyEntry], known: &[(&[&str], Option<&str>)]) -> Vec<KeyEntry> {
    let mut candidates = configured.to_vec();
    for (keys, prefix) in known {
        let key = KeyEntry::from(KeyPath {
            strip_prefix: prefix.iter().map(|prefix| (*prefix).to_owned()).collect(),
            ..KeyPath::from(Path::new(keys.iter().copied()))
        });
        if !candidates.contains(&key) {
            candidates.push(key);
        }
    }
    candidates
}

#[cfg(test)]
mod tests;
