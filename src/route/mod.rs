//! ROUTE: input messages go in, log records come out. Pure.
//!
//! [`Router`] decodes a message and says which partition of the repartition log each of its records belongs to; [`Progress`] keeps how
//! far the source partitions have been read, which is what watermarks are made of. Neither keeps anything about a record: a message may
//! be routed any number of times. No IO and no clock: arrival times and the ends of partitions are arguments.

mod progress;

pub use progress::{Idleness, Progress};

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::decode::{Decoded, Decoder, Item, Reject, null_word};
use crate::log::{AlertVersion, LinkVersion, LogRecord, partition_of};
use crate::record::{Activity, Alert, AlertLink, Key, Text};
use crate::time::{EventTime, WallTime};

/// How much further than `max_future_skew` a window may end ahead of its alert before that is worth a word: an export
/// that runs ahead of a day.
const FAR: Duration = Duration::from_secs(86_400);

/// Whether a window ends so far ahead of `now` that a wrong clock is likelier than an alert that is to come.
fn is_far_ahead(end: EventTime, now: WallTime, max_future_skew: Duration) -> bool {
    end > now.to_event().plus(max_future_skew).plus(FAR)
}

/// Sends records to the partitions of the log.
pub struct Router {
    decoder: Decoder,
    settings: Settings,
    /// The first Entra tenant id met, while tenants are not told apart.
    tenant: Option<String>,
}

/// What routing depends on besides decoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Number of partitions of the repartition log.
    pub partitions: u32,
    /// How long an alert may wait, from its arrival or the end of its window, whichever is later.
    pub max_wait: Duration,
    /// How far ahead of its arrival an activity's time may be and still move the watermark.
    pub max_future_skew: Duration,
    /// How far ahead of its arrival an alert's window may end for `max_wait` to be counted from that end; any distance
    /// when `None`.
    pub max_window_ahead: Option<Duration>,
    /// Whether tenants are told apart.
    pub tenants: bool,
}

/// When a message arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// The clock now.
    pub now: WallTime,
    /// The message's own timestamp, where it has one.
    pub timestamp: Option<WallTime>,
}

/// What is to be sent on.
#[derive(Debug)]
pub enum Routed<'a> {
    /// A record for one partition of the log.
    Record {
        /// The partition.
        partition: u32,
        /// The record.
        record: LogRecord<'a>,
    },
    /// A record that cannot be used, for the dead letters.
    Rejected {
        /// Its place in the batch.
        index: usize,
        /// What is wrong with it.
        reject: Reject<'a>,
    },
    /// A record of another table.
    OtherTable(Cow<'a, str>),
    /// A record of a second tenant, while tenants are not told apart.
    SecondTenant,
}

/// What a message held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// The greatest activity time that may move the watermark.
    pub latest: Option<EventTime>,
    /// Activities with a time, whether they can join or not.
    pub activities: u64,
    /// Of those, the ones that can join.
    pub keyed: u64,
    /// Activities without a key and without a time.
    pub timeless: u64,
    /// Activities whose `RawEventData` could not be opened.
    pub unreadable: u64,
    /// Records that `[[input.ignore]]` names.
    pub ignored: u64,
    /// Activities whose time was too far in the future to move the watermark.
    pub future: u64,
    /// Of those, the ones that the clock alone would let move it: the message's timestamp lies too far back.
    pub ahead_of_timestamp: u64,
    /// Alert versions.
    pub alerts: u64,
    /// Of those, the ones whose window ends more than a day further ahead than `max_future_skew`.
    pub far_windows: u64,
    /// Activities and alert versions whose correlation id is a word for nothing, such as `None`.
    pub null_words: u64,
    /// Messages without a value.
    pub tombstones: u64,
    /// Times that a record had too many keys by a link, and only the first of them counted.
    pub cut_keys: u64,
    /// Records for the dead letters.
    pub rejected: u64,
}

impl Router {
    /// A router of what `decoder` makes of messages.
    pub fn new(decoder: Decoder, settings: Settings) -> Self {
        Self {
            decoder,
            settings,
            tenant: None,
        }
    }

    /// Hands everything that follows from `message` to `each`, in the order of the batch.
    pub fn route<'a>(&mut self, message: Option<&'a [u8]>, arrival: Arrival, each: &mut dyn FnMut(Routed<'a>)) -> Seen {
        let mut seen = Seen::default();
        let Self {
            decoder,
            settings,
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
                Decoded::Activity(activity) => {
                    seen.keyed += 1;
                    let is_word = |key: &Key| null_word(key.correlation_id.as_bytes()).is_some();
                    seen.null_words += u64::from(activity.keys.iter().any(is_word));
                    seen.observe(activity.time, arrival, settings.max_future_skew);
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

/// What several messages held together.
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
    /// Sends an activity once to each partition that owns a key of it, with the keys that live there.
    fn activity<'a>(&self, activity: Activity<'a>, each: &mut dyn FnMut(Routed<'a>)) {
        let owner = |key: &Key| partition_of(&key.tenant, &key.correlation_id, self.partitions);
        if let [key] = activity.keys.as_slice() {
            return each(Routed::Record {
                partition: owner(key),
                record: LogRecord::Activity(activity),
            });
        }
        let mut by_owner: BTreeMap<u32, Vec<Key>> = BTreeMap::new();
        for key in activity.keys {
            by_owner.entry(owner(&key)).or_default().push(key);
        }
        for (partition, keys) in by_owner {
            each(Routed::Record {
                partition,
                record: LogRecord::Activity(Activity {
                    keys,
                    time: activity.time,
                    id: activity.id,
                    row: activity.row.clone(),
                }),
            });
        }
    }

    /// Sends a version to every partition: to those that own keys of it with its row, to all others without, so that they know that the
    /// alert is not, or no longer, theirs.
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
                record: LogRecord::Alert(AlertVersion {
                    id: alert.id.clone(),
                    version: alert.version,
                    links,
                    row,
                }),
            });
        }
    }

    /// Returns when a window that ends at `end` is answered at the latest.
    fn deadline(&self, end: EventTime, now: WallTime) -> WallTime {
        let is_waited_for = |most| end <= now.to_event().plus(most);
        let waits_from = match self.max_window_ahead.is_none_or(is_waited_for) {
            true => now.max(end.to_wall()),
            false => now,
        };
        waits_from.plus(self.max_wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Settings as Decode;

    const HOUR: i64 = 3_600_000;
    /// 2026-03-01T12:00:00Z.
    const NOON: i64 = 1_772_366_400_000;

    fn seen(message: &str, timestamp: i64) -> Seen {
        let settings = Settings {
            partitions: 1,
            max_wait: Duration::from_secs(3_600),
            max_future_skew: Duration::from_secs(600),
            max_window_ahead: None,
            tenants: false,
        };
        let arrival = Arrival {
            now: WallTime(NOON),
            timestamp: Some(WallTime(timestamp)),
        };
        let mut router = Router::new(Decoder::new(Decode::default()), settings);
        router.route(Some(message.as_bytes()), arrival, &mut |_| {})
    }

    #[test]
    fn an_early_timestamp_is_told_from_a_wrong_clock() {
        let activity = |hour: u32| {
            format!(r#"{{"RawEventData":{{"CreationTime":"2026-03-01T{hour}:00:00Z","Data":"{{\"cid\":\"N/A\"}}"}}}}"#)
        };
        let counts = |hour, timestamp| {
            let seen = seen(&activity(hour), timestamp);
            (seen.future, seen.ahead_of_timestamp, seen.null_words)
        };
        assert_eq!(counts(12, NOON), (0, 0, 1));
        assert_eq!(counts(12, NOON - HOUR), (1, 1, 1), "stamped an hour before its time");
        assert_eq!(counts(13, NOON - HOUR), (1, 0, 1), "ahead of the clock as well");
        assert_eq!(counts(13, NOON + HOUR), (1, 0, 1));
    }

    #[test]
    fn a_window_is_far_ahead_by_the_clock_and_not_by_the_timestamp() {
        let alert = |end: &str| {
            format!(
                r#"{{"SystemAlertId":"a","AlertType":"p","StartTime":"2026-03-01T10:00:00Z","EndTime":"{end}","TimeGenerated":"2026-03-01T10:00:00Z"}}"#
            )
        };
        for (end, far) in [
            ("2026-03-02T12:10:00Z", 0),
            ("2026-03-02T12:10:00.0000001Z", 1),
            ("9999-01-01T00:00:00Z", 1),
        ] {
            assert_eq!(seen(&alert(end), NOON - 100 * HOUR).far_windows, far, "{end}");
        }
    }
}
