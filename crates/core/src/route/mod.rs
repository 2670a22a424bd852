//! ROUTE: turns input messages into repartition records. Pure.
//!
//! [`Router`] decodes a message and determines which partition of the repartition topic each of its records belongs to.
//! [`Progress`] tracks how far the source partitions have been read, from which watermarks are made. Neither keeps
//! anything about a record: a message may be routed any number of times. [`OffsetTracker`] tracks which input offsets
//! may be committed, and [`RouteTask`] defines what happens after what. No IO and no clock: arrival times and the
//! log-end offsets of partitions are arguments.

mod progress;
pub mod task;
#[cfg(test)]
mod tests;

pub use progress::{Acks, Idleness, OffsetTracker, Positions, Progress, are_equal_but_positions};
pub use task::{Effect, Outcome, RouteTask};

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::decode::{Decoded, Decoder, Item, Reject, null_word};
use crate::record::{Activity, Alert, AlertLink, Key, Text};
use crate::repartition::{AlertVersion, LinkVersion, RepartitionRecord, RowCompressor, partition_of};
use crate::time::{EventTime, WallTime};

/// How much further than `max_future_skew` a window may end ahead of its alert's arrival before it is counted as far
/// ahead. The limit allows for an export that is a day ahead.
const FAR: Duration = Duration::from_secs(86_400);

/// Returns whether a window ends so far ahead of `now` that a wrong clock is more likely than an alert of the future.
fn is_far_ahead(end: EventTime, now: WallTime, max_future_skew: Duration) -> bool {
    end > now.to_event().plus(max_future_skew).plus(FAR)
}

/// Sends records to the partitions of the repartition topic.
pub struct Router {
    decoder: Decoder,
    settings: Settings,
    /// `None` if rows are to stay as they are.
    compressor: Option<RowCompressor>,
    /// The first Entra tenant id found, if tenants are not distinguished.
    tenant: Option<String>,
}

/// The settings of routing, besides those of decoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The number of partitions of the repartition topic.
    pub partitions: u32,
    /// How long an alert may wait, from its arrival or the end of its window, whichever is later.
    pub max_wait: Duration,
    /// How far ahead of its arrival an activity's time may be and still move the watermark.
    pub max_future_skew: Duration,
    /// How far ahead of its arrival an alert's window may end for `max_wait` to be counted from that end; `None` for
    /// any distance.
    pub max_window_ahead: Option<Duration>,
    /// Whether tenants are distinguished.
    pub tenants: bool,
}

/// The time of a message's arrival.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// The current time.
    pub now: WallTime,
    /// The message's own timestamp, if it has one.
    pub timestamp: Option<WallTime>,
}

/// An outcome of routing a message.
#[derive(Debug)]
pub enum Routed<'a> {
    /// A record for one partition of the repartition topic.
    Record {
        /// The partition.
        partition: u32,
        /// The record.
        record: RepartitionRecord<'a>,
    },
    /// A record that cannot be used, for the dead-letter topic.
    Rejected {
        /// Its index in the batch.
        index: usize,
        /// Why it is rejected.
        reject: Reject<'a>,
    },
    /// A record of another table.
    OtherTable(Cow<'a, str>),
    /// A record of a second tenant, although tenants are not distinguished.
    SecondTenant,
}

/// Counts of what a message contains.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// The greatest activity time that may move the watermark.
    pub latest: Option<EventTime>,
    /// Activities with a time, whether they can join or not.
    pub activities: u64,
    /// Of these activities, the ones that can join.
    pub keyed: u64,
    /// Activities without a key and without a time.
    pub timeless: u64,
    /// Activities whose `RawEventData` could not be opened.
    pub unreadable: u64,
    /// Records that `[[input.ignore]]` names.
    pub ignored: u64,
    /// Activities whose time was too far in the future to move the watermark.
    pub future: u64,
    /// Of these activities, the ones whose time is not too far ahead of the clock, but too far ahead of the message's
    /// timestamp.
    pub ahead_of_timestamp: u64,
    /// Alert versions.
    pub alerts: u64,
    /// Of these versions, the ones whose window ends more than a day further ahead than `max_future_skew`.
    pub far_windows: u64,
    /// Activities and alert versions whose correlation id is a placeholder for no value, such as `None`.
    pub null_words: u64,
    /// Messages without a value.
    pub tombstones: u64,
    /// The number of times that a record had too many keys by a link, so that only the first of them were used.
    pub cut_keys: u64,
    /// Records for the dead-letter topic.
    pub rejected: u64,
}

impl Router {
    /// Returns a router that decodes messages with `decoder`.
    pub fn new(decoder: Decoder, settings: Settings) -> Self {
        Self {
            decoder,
            settings,
            compressor: None,
            tenant: None,
        }
    }

    /// Has the rows of activities compressed, as JOIN expects them in the repartition topic.
    #[must_use]
    pub fn with_compressed_rows(self) -> Self {
        Self {
            compressor: Some(RowCompressor::default()),
            ..self
        }
    }

    /// Passes every outcome for `message` to `each`, in the order of the batch.
    pub fn route<'a>(&mut self, message: Option<&'a [u8]>, arrival: Arrival, each: &mut dyn FnMut(Routed<'a>)) -> Seen {
        let mut seen = Seen::default();
        let Self {
            decoder,
            settings,
            compressor,
            tenant,
        } = self;
        decoder.decode(message, &mut |item: Item<'a>| {
            if !settings.tenants
                && let Some(other) = &item.entra_tenant
            {
                match tenant {
                    None => *tenant = Some(other.to_string()),
                    Some(tenant) if !tenant.eq_ignore_ascii_case(other) => each(Routed::SecondTenant),
                    Some(_) => {}
                }
            }
            seen.cut_keys += u64::from(item.cut_keys);
            match item.what {
                Decoded::Activity(mut activity) => {
                    seen.keyed += 1;
                    let is_word = |key: &Key| null_word(key.correlation_id.as_bytes()).is_some();
                    seen.null_words += u64::from(activity.keys.iter().any(is_word));
                    seen.observe(activity.time, arrival, settings.max_future_skew);
                    if let Some(compressor) = compressor {
                        activity.row = compressor.compress(activity.row);
                    }
                    settings.activity(activity, each);
                }
                Decoded::Unkeyed { time } => seen.unkeyed(time, arrival, settings.max_future_skew),
                Decoded::Unreadable { time } => {
                    seen.unreadable += 1;
                    seen.unkeyed(time, arrival, settings.max_future_skew);
                }
                Decoded::Alert(alert) => {
                    seen.alerts += 1;
                    let is_word = |key: &Text| null_word(key.as_bytes()).is_some();
                    seen.null_words += u64::from(alert.links.iter().flat_map(|link| &link.keys).any(is_word));
                    let is_far = |link: &AlertLink| is_far_ahead(link.window.to, arrival.now, settings.max_future_skew);
                    seen.far_windows += u64::from(alert.links.iter().any(is_far));
                    settings.alert(alert, arrival.now, each);
                }
                Decoded::OtherTable(table) => each(Routed::OtherTable(table)),
                Decoded::Ignored => seen.ignored += 1,
                Decoded::Tombstone => seen.tombstones += 1,
                Decoded::Rejected(reject) => {
                    seen.rejected += 1;
                    each(Routed::Rejected {
                        index: item.index,
                        reject,
                    });
                }
            }
        });
        seen
    }
}

/// Adds the counts of several messages.
impl std::ops::AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.latest = self.latest.max(other.latest);
        self.activities += other.activities;
        self.keyed += other.keyed;
        self.timeless += other.timeless;
        self.unreadable += other.unreadable;
        self.ignored += other.ignored;
        self.future += other.future;
        self.ahead_of_timestamp += other.ahead_of_timestamp;
        self.alerts += other.alerts;
        self.far_windows += other.far_windows;
        self.null_words += other.null_words;
        self.tombstones += other.tombstones;
        self.cut_keys += other.cut_keys;
        self.rejected += other.rejected;
    }
}

impl Seen {
    fn unkeyed(&mut self, time: Option<EventTime>, arrival: Arrival, max_future_skew: Duration) {
        match time {
            Some(time) => self.observe(time, arrival, max_future_skew),
            None => self.timeless += 1,
        }
    }

    fn observe(&mut self, time: EventTime, arrival: Arrival, max_future_skew: Duration) {
        self.activities += 1;
        let arrived = arrival.timestamp.map_or(arrival.now, |timestamp| timestamp.min(arrival.now));
        if time > arrived.to_event().plus(max_future_skew) {
            self.future += 1;
            self.ahead_of_timestamp += u64::from(time <= arrival.now.to_event().plus(max_future_skew));
        } else {
            self.latest = self.latest.max(Some(time));
        }
    }
}

impl Settings {
    /// Sends an activity once to each partition that owns a key of it, with the keys that the partition owns.
    fn activity<'a>(&self, activity: Activity<'a>, each: &mut dyn FnMut(Routed<'a>)) {
        let owner = |key: &Key| partition_of(&key.tenant, &key.correlation_id, self.partitions);
        if let [key] = activity.keys.as_slice() {
            return each(Routed::Record {
                partition: owner(key),
                record: RepartitionRecord::Activity(activity),
            });
        }
        let mut by_owner: BTreeMap<u32, Vec<Key>> = BTreeMap::new();
        for key in activity.keys {
            by_owner.entry(owner(&key)).or_default().push(key);
        }
        for (partition, keys) in by_owner {
            each(Routed::Record {
                partition,
                record: RepartitionRecord::Activity(Activity {
                    keys,
                    time: activity.time,
                    id: activity.id,
                    row: activity.row.clone(),
                }),
            });
        }
    }

    /// Sends a version to every partition: with its row to those that own keys of it, and without to all others, so
    /// that these know that the alert is remote for them, or is from now on.
    fn alert<'a>(&self, alert: Alert<'a>, now: WallTime, each: &mut dyn FnMut(Routed<'a>)) {
        let owner = |key: &Text| partition_of(&alert.id.tenant, key, self.partitions);
        let owners: Vec<Vec<u32>> = alert.links.iter().map(|link| link.keys.iter().map(owner).collect()).collect();
        for partition in 0..self.partitions {
            let of_link = |(link, owners): (&AlertLink, &Vec<u32>)| LinkVersion {
                link: link.link,
                window: link.window,
                deadline: self.deadline(link.window.to, now),
                keys: {
                    let here = link.keys.iter().zip(owners).filter(|(_, owner)| **owner == partition);
                    here.map(|(key, _)| key.clone()).collect()
                },
            };
            let links: Vec<LinkVersion> = alert.links.iter().zip(&owners).map(of_link).collect();
            let row = match links.iter().all(|link| link.keys.is_empty()) {
                true => Cow::Borrowed(&[][..]),
                false => alert.row.clone(),
            };
            each(Routed::Record {
                partition,
                record: RepartitionRecord::Alert(AlertVersion {
                    id: alert.id.clone(),
                    version: alert.version,
                    links,
                    row,
                }),
            });
        }
    }

    /// Returns the wall-clock time at which a window that ends at `end` closes whatever the watermark is.
    fn deadline(&self, end: EventTime, now: WallTime) -> WallTime {
        let is_waited_for = |most| end <= now.to_event().plus(most);
        let waits_from = match self.max_window_ahead.is_none_or(is_waited_for) {
            true => now.max(end.to_wall()),
            false => now,
        };
        waits_from.plus(self.max_wait)
    }
}
