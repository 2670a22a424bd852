//! Estimates, from a sample, which records have keys by each link, which of them match, and the daily numbers.
//!
//! A separate decoder reads the keys of all links. Only a hash of each key is kept. The numbers of keys of activities,
//! of keys of alerts and of times are limited to a million each, whatever the size of the sample. `estimate` calculates
//! rates, and `judge` writes the findings.

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

/// Maximum number of keys of activities that are kept. It is also the maximum for keys of alerts, and for times.
const MAX_KEPT: usize = 1_000_000;

/// Reads the keys that the records of a sample have by all links.
pub(super) struct LinkSample {
    decoder: Decoder,
    stats: SampleStats,
}

/// Statistics about the part of the sample that was read.
struct SampleStats {
    links: Vec<LinkStats>,
    partitions: u32,
    hashes: RandomState,
    sources: BTreeMap<(String, i32), PartitionStats>,
    /// The latest version of each alert.
    alerts: HashMap<AlertId, SeenAlert>,
    activities: u64,
    /// Activities with a key by any link.
    keyed: u64,
    /// Records that have more keys by a link than are used.
    cut: u64,
    kept: Kept,
}

/// The numbers of items that are kept.
#[derive(Default)]
struct Kept {
    keys: usize,
    alert_keys: usize,
    times: usize,
    /// Keys and alerts that were not kept because the maximum was reached.
    left_out: u64,
}

/// Statistics about one link.
struct LinkStats {
    link: Link,
    retention: Duration,
    /// Activities with a key.
    activities: u64,
    /// Bytes of the rows of these activities.
    bytes: u64,
    /// The hash of each of their keys, with the time of the activity.
    key_times: Vec<(u64, EventTime)>,
}

/// The latest version of an alert.
struct SeenAlert {
    version: Version,
    /// The window and the hashes of the keys by each link, in the order of the links.
    links: Vec<(Window, Vec<u64>)>,
}

/// The records of a partition of the input.
#[derive(Default)]
struct PartitionStats {
    activities: u64,
    times: Vec<EventTime>,
    /// For each link, the number of activities with a key.
    keyed: Vec<u64>,
    /// Activities with a key by any link.
    any: u64,
    /// The sum of the seconds for which these activities are stored, over all partitions of the repartition topic.
    /// `stored_bytes` is the same sum, weighted by the bytes of their rows.
    stored: f64,
    stored_bytes: f64,
    /// `TimeGenerated` of the alerts that were first seen in this partition.
    alerts: Vec<EventTime>,
}

impl LinkSample {
    /// Creates an empty sample of links. Returns `None` if there is no link besides the query.
    pub(super) fn new(config: &Config) -> Option<Self> {
        let settings = &config.decode;
        if settings.links.is_empty() {
            return None;
        }
        let links = settings.all_links().map(|(_, link)| LinkStats {
            retention: link.retention.unwrap_or(config.state.retention),
            link,
            activities: 0,
            bytes: 0,
            key_times: Vec::new(),
        });
        Some(Self {
            decoder: Decoder::new(settings.clone()).without_dedup_keys(),
            stats: SampleStats {
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

    /// Decodes a message of a partition and counts its records.
    pub(super) fn message(&mut self, topic: &str, partition: i32, value: Option<&[u8]>) {
        let Self { decoder, stats } = self;
        let name = (topic.to_owned(), partition);
        let mut source = stats.sources.remove(&name).unwrap_or_default();
        source.keyed.resize(stats.links.len(), 0);
        decoder.decode(value, &mut |item| {
            stats.cut += u64::from(item.cut_keys > 0);
            match item.what {
                Decoded::Activity(activity) => stats.activity(&mut source, &activity),
                Decoded::Unkeyed { time } | Decoded::Unreadable { time } => stats.count(&mut source, time),
                Decoded::Alert(alert) => stats.alert(&mut source, &alert),
                Decoded::OtherTable(_) | Decoded::Ignored | Decoded::Tombstone | Decoded::Rejected(_) => {}
            }
        });
        stats.sources.insert(name, source);
    }
}

impl SampleStats {
    /// Counts an activity, whether it has a key or not.
    fn count(&mut self, source: &mut PartitionStats, time: Option<EventTime>) {
        self.activities += 1;
        source.activities += 1;
        if self.kept.times < MAX_KEPT {
            self.kept.times += usize::from(time.is_some());
            source.times.extend(time);
        }
    }

    fn activity(&mut self, source: &mut PartitionStats, activity: &Activity<'_>) {
        self.count(source, Some(activity.time));
        self.keyed += 1;
        source.any += 1;
        let mut longest = Duration::ZERO;
        for (index, link_stats) in self.links.iter_mut().enumerate() {
            let mut keys = activity.keys.iter().filter(|key| usize::from(key.link.0) == index).peekable();
            if keys.peek().is_none() {
                continue;
            }
            longest = longest.max(link_stats.retention);
            link_stats.activities += 1;
            link_stats.bytes += activity.row.len() as u64;
            if let Some(keyed) = source.keyed.get_mut(index) {
                *keyed += 1;
            }
            for key in keys {
                if self.kept.keys == MAX_KEPT {
                    self.kept.left_out += 1;
                    continue;
                }
                self.kept.keys += 1;
                let hash = self.hashes.hash_one((&key.tenant, &key.correlation_id));
                link_stats.key_times.push((hash, activity.time));
            }
        }
        let seconds = longest.as_secs_f64() * estimate::copies(activity.keys.len(), self.partitions);
        source.stored += seconds;
        source.stored_bytes += seconds * activity.row.len() as f64;
    }

    fn alert(&mut self, source: &mut PartitionStats, alert: &Alert<'_>) {
        let before = self.alerts.get(&alert.id);
        if before.is_some_and(|before| before.version >= alert.version) {
            return;
        }
        let previous_size = before.map_or(0, SeenAlert::size);
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
        let kept = self.kept.alert_keys - previous_size + seen.size();
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
