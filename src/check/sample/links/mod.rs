//! What a sample says of links: what has keys by each of them, what meets, and about how much that makes a day.
//!
//! A decoder of its own reads the keys of all links. Of a key only a hash is kept, and no more than a million keys of activities, keys of
//! alerts and times each, whatever the sample holds. `estimate` works out rates, `judge` says what was found.

mod estimate;
mod judge;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use crate::config::Config;
use crate::decode::{Decoded, Decoder, Link};
use crate::record::{Activity, Alert, AlertId, Text, Version};
use crate::time::{EventTime, Window};

/// The most keys of activities that are remembered; the same of keys of alerts, and of times.
const MAX_KEPT: usize = 1_000_000;

/// Reads a sample by all links.
pub(super) struct Links {
    decoder: Decoder,
    tally: Tally,
}

/// What has been found in a sample so far.
struct Tally {
    links: Vec<OfLink>,
    partitions: u32,
    hashes: RandomState,
    sources: BTreeMap<(String, i32), Source>,
    /// The greatest version of each alert.
    alerts: HashMap<AlertId, SeenAlert>,
    activities: u64,
    /// Activities with a key by any link.
    keyed: u64,
    /// Records that have more keys by a link than count.
    cut: u64,
    kept: Kept,
}

/// How much is remembered.
#[derive(Default)]
struct Kept {
    keys: usize,
    alert_keys: usize,
    times: usize,
    /// Keys and alerts for which there was no room.
    left_out: u64,
}

struct OfLink {
    link: Link,
    retention: Duration,
    /// Activities with a key.
    activities: u64,
    /// Bytes of their rows.
    bytes: u64,
    /// Each of their keys with the time of the activity.
    places: Vec<(u64, EventTime)>,
}

/// An alert by its greatest version.
struct SeenAlert {
    version: Version,
    /// By each link, in their order.
    links: Vec<(Window, Vec<u64>)>,
}

/// What a partition of the input holds.
#[derive(Default)]
struct Source {
    activities: u64,
    times: Vec<EventTime>,
    /// Of each link, the activities with a key.
    keyed: Vec<u64>,
    /// Activities with a key by any link.
    any: u64,
    /// For how many seconds these are stored in all partitions of the log together, and the same times the bytes of their rows.
    stored: f64,
    stored_bytes: f64,
    /// `TimeGenerated` of the alerts that were seen here first.
    alerts: Vec<EventTime>,
}

impl Links {
    /// Returns one that has read nothing; `None` where there is no link beside the query.
    pub(super) fn new(config: &Config) -> Option<Self> {
        let settings = &config.decode;
        if settings.links.is_empty() {
            return None;
        }
        let links = settings.all_links().map(|(_, link)| OfLink {
            retention: link.retention.unwrap_or(config.state.retention),
            link,
            activities: 0,
            bytes: 0,
            places: Vec::new(),
        });
        Some(Self {
            decoder: Decoder::new(settings.clone()).without_identities(),
            tally: Tally {
                links: links.collect(),
                partitions: config.repartition.partitions,
                hashes: RandomState::new(),
                sources: BTreeMap::new(),
                alerts: HashMap::new(),
                activities: 0,
                keyed: 0,
                cut: 0,
                kept: Kept::default(),
            },
        })
    }

    /// Takes in a message of a partition.
    pub(super) fn message(&mut self, topic: &str, partition: i32, value: Option<&[u8]>) {
        let Self { decoder, tally } = self;
        let name = (topic.to_owned(), partition);
        let mut source = tally.sources.remove(&name).unwrap_or_default();
        source.keyed.resize(tally.links.len(), 0);
        decoder.decode(value, &mut |item| {
            tally.cut += u64::from(item.cut_keys > 0);
            match item.what {
                Decoded::Activity(activity) => tally.activity(&mut source, &activity),
                Decoded::Unkeyed { time } | Decoded::Unreadable { time } => tally.count(&mut source, time),
                Decoded::Alert(alert) => tally.alert(&mut source, &alert),
                Decoded::OtherTable(_) | Decoded::Ignored | Decoded::Tombstone | Decoded::Rejected(_) => {}
            }
        });
        tally.sources.insert(name, source);
    }
}

impl Tally {
    /// Counts an activity, whether it has a key or not.
    fn count(&mut self, source: &mut Source, time: Option<EventTime>) {
        self.activities += 1;
        source.activities += 1;
        if self.kept.times < MAX_KEPT {
            self.kept.times += usize::from(time.is_some());
            source.times.extend(time);
        }
    }

    fn activity(&mut self, source: &mut Source, activity: &Activity<'_>) {
        self.count(source, Some(activity.time));
        self.keyed += 1;
        source.any += 1;
        let mut longest = Duration::ZERO;
        for (place, of_link) in self.links.iter_mut().enumerate() {
            let mut keys = activity.keys.iter().filter(|key| usize::from(key.link.0) == place).peekable();
            if keys.peek().is_none() {
                continue;
            }
            longest = longest.max(of_link.retention);
            of_link.activities += 1;
            of_link.bytes += activity.row.len() as u64;
            if let Some(keyed) = source.keyed.get_mut(place) {
                *keyed += 1;
            }
            for key in keys {
                if self.kept.keys == MAX_KEPT {
                    self.kept.left_out += 1;
                    continue;
                }
                self.kept.keys += 1;
                let hash = self.hashes.hash_one((&key.tenant, &key.correlation_id));
                of_link.places.push((hash, activity.time));
            }
        }
        let seconds = longest.as_secs_f64() * estimate::copies(activity.keys.len(), self.partitions);
        source.stored += seconds;
        source.stored_bytes += seconds * activity.row.len() as f64;
    }

    fn alert(&mut self, source: &mut Source, alert: &Alert<'_>) {
        let before = self.alerts.get(&alert.id);
        if before.is_some_and(|before| before.version >= alert.version) {
            return;
        }
        let held = before.map_or(0, SeenAlert::size);
        let is_new = before.is_none();
        let hash = |key: &Text| self.hashes.hash_one((&alert.id.tenant, key));
        let links = alert.links.iter().map(|link| {
            let keys = link.keys.iter().filter(|key| !key.is_empty());
            (link.window, keys.map(hash).collect())
        });
        let seen = SeenAlert {
            version: alert.version,
            links: links.collect(),
        };
        let kept = self.kept.alert_keys - held + seen.size();
        if kept > MAX_KEPT {
            self.kept.left_out += 1;
            return;
        }
        self.kept.alert_keys = kept;
        if is_new {
            source.alerts.push(alert.version.time_generated);
        }
        self.alerts.insert(alert.id.clone(), seen);
    }
}

impl SeenAlert {
    fn size(&self) -> usize {
        1 + self.links.iter().map(|(_, keys)| keys.len()).sum::<usize>()
    }
}
