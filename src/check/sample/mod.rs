//! Reading a sample of the records, with the decoder that the processor has; `judge` says what the settings make of it.

mod judge;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

pub use judge::many_empty_windows;

use crate::config::Config;
use crate::decode::{Decoded, Decoder, KeyPath, Path, Settings};
use crate::time::EventTime;

/// Where the public records of tenants hold an id that an alert may be found by, besides what is configured.
const ACTIVITY_PLACES: [&[&str]; 4] = [
    &["RawEventData", "Data", "cid"],
    &["RawEventData", "PolicyId"],
    &["RawEventData", "Data", "dpid"],
    &["RawEventData", "AlertId"],
];
/// The same of alerts.
const ALERT_PLACES: [&[&str]; 3] = [&["AlertType"], &["VendorOriginalId"], &["SystemAlertId"]];

/// A sample, and what is in it.
pub struct Sample<'c> {
    config: &'c Config,
    decoder: Decoder,
    activity_places: Vec<Place>,
    alert_places: Vec<Place>,
    topics: BTreeMap<String, OfTopic>,
    latest: HashMap<(String, i32), EventTime>,
    keys: HashMap<Vec<u8>, u64>,
    alert_keys: Vec<Vec<u8>>,
    keyed: u64,
    unkeyed: u64,
    alerts: u64,
    empty_windows: u64,
    disorder: Duration,
    too_late: u64,
}

/// A path that may lead to a correlation id.
struct Place {
    name: String,
    decoder: Decoder,
    values: HashMap<Vec<u8>, u64>,
}

#[derive(Default)]
struct OfTopic {
    messages: u64,
    activities: u64,
    alerts: u64,
    unreadable: u64,
    ignored: u64,
    tombstones: u64,
    others: BTreeMap<String, u64>,
    rejected: BTreeMap<&'static str, u64>,
    largest: usize,
}

impl Place {
    fn new(settings: Settings, name: String) -> Self {
        Self {
            name,
            decoder: Decoder::new(settings).without_identities(),
            values: HashMap::new(),
        }
    }

    fn records(&self) -> u64 {
        self.values.values().sum()
    }
}

impl<'c> Sample<'c> {
    /// An empty sample, to be judged under `config`.
    pub fn new(config: &'c Config) -> Self {
        let settings = &config.decode;
        let place = |key: KeyPath, activity: bool| {
            let name = key.path.keys().join(".");
            let keys = vec![key];
            let mut settings = settings.clone();
            match activity {
                true => settings.activity_key = keys,
                false => settings.alert_key = keys,
            }
            Place::new(settings, name)
        };
        let activity_places = places(&settings.activity_key, &ACTIVITY_PLACES);
        let alert_places = places(&settings.alert_key, &ALERT_PLACES);
        Self {
            config,
            decoder: Decoder::new(settings.clone()).without_identities(),
            activity_places: activity_places.into_iter().map(|key| place(key, true)).collect(),
            alert_places: alert_places.into_iter().map(|key| place(key, false)).collect(),
            topics: BTreeMap::new(),
            latest: HashMap::new(),
            keys: HashMap::new(),
            alert_keys: Vec::new(),
            keyed: 0,
            unkeyed: 0,
            alerts: 0,
            empty_windows: 0,
            disorder: Duration::ZERO,
            too_late: 0,
        }
    }

    /// Takes in a message; those of a partition in their order.
    pub fn message(&mut self, topic: &str, partition: i32, value: Option<&[u8]>) {
        let of_topic = self.topics.entry(topic.to_owned()).or_default();
        of_topic.messages += 1;
        of_topic.largest = of_topic.largest.max(value.map_or(0, <[u8]>::len));
        let mut times = Vec::new();
        let (keys, alert_keys) = (&mut self.keys, &mut self.alert_keys);
        let (keyed, unkeyed, alerts, empty) = (&mut self.keyed, &mut self.unkeyed, &mut self.alerts, &mut self.empty_windows);
        self.decoder.decode(value, &mut |item| match item.what {
            Decoded::Activity(activity) => {
                of_topic.activities += 1;
                *keyed += 1;
                times.push(activity.time);
                *keys.entry(activity.key.correlation_id.as_bytes().to_vec()).or_default() += 1;
            }
            Decoded::Unkeyed { time } => {
                of_topic.activities += 1;
                *unkeyed += 1;
                times.extend(time);
            }
            Decoded::Unreadable { time } => {
                of_topic.activities += 1;
                of_topic.unreadable += 1;
                *unkeyed += 1;
                times.extend(time);
            }
            Decoded::Ignored => of_topic.ignored += 1,
            Decoded::Alert(alert) => {
                of_topic.alerts += 1;
                *alerts += 1;
                *empty += u64::from(alert.window.is_empty());
                if !alert.key.correlation_id.is_empty() {
                    alert_keys.push(alert.key.correlation_id.as_bytes().to_vec());
                }
            }
            Decoded::OtherTable(table) => *of_topic.others.entry(table.into_owned()).or_default() += 1,
            Decoded::Tombstone => of_topic.tombstones += 1,
            Decoded::Rejected(reject) => *of_topic.rejected.entry(reject.reason.as_str()).or_default() += 1,
        });
        for time in times {
            self.time(topic, partition, time);
        }
        for place in &mut self.activity_places {
            let values = &mut place.values;
            place.decoder.decode(value, &mut |item| {
                if let Decoded::Activity(activity) = item.what {
                    *values.entry(activity.key.correlation_id.as_bytes().to_vec()).or_default() += 1;
                }
            });
        }
        for place in &mut self.alert_places {
            let values = &mut place.values;
            place.decoder.decode(value, &mut |item| match item.what {
                Decoded::Alert(alert) if !alert.key.correlation_id.is_empty() => {
                    *values.entry(alert.key.correlation_id.as_bytes().to_vec()).or_default() += 1;
                }
                _ => {}
            });
        }
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

/// What is configured, and the other known places.
fn places(configured: &[KeyPath], known: &[&[&str]]) -> Vec<KeyPath> {
    let mut places = configured.to_vec();
    for keys in known {
        let path = Path::new(keys.iter().copied());
        if !places.iter().any(|place| place.path == path) {
            places.push(KeyPath::from(path));
        }
    }
    places
}

#[cfg(test)]
mod tests;
