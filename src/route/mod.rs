//! ROUTE: input messages go in, log records come out. Pure.
//!
//! [`Router`] decodes a message and says which partition of the repartition log each of its records belongs to; [`Progress`] keeps how
//! far the source partitions have been read, which is what watermarks are made of. Neither keeps anything about a record: a message may
//! be routed any number of times. No IO and no clock: arrival times and the ends of partitions are arguments.

mod progress;

pub use progress::{Idleness, Progress};

use std::borrow::Cow;
use std::time::Duration;

use crate::decode::{Decoded, Decoder, Item, Reject, null_word};
use crate::log::{LogRecord, partition_of};
use crate::record::{Activity, Alert};
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
            match item.what {
                Decoded::Activity(activity) => {
                    seen.keyed += 1;
                    seen.null_words += u64::from(null_word(activity.key.correlation_id.as_bytes()).is_some());
                    seen.observe(activity.time, arrival, settings.max_future_skew);
                    each(settings.activity(activity));
                }
                Decoded::Unkeyed { time } => seen.unkeyed(time, arrival, settings.max_future_skew),
                Decoded::Unreadable { time } => {
                    seen.unreadable += 1;
                    seen.unkeyed(time, arrival, settings.max_future_skew);
                }
                Decoded::Alert(alert) => {
                    seen.alerts += 1;
                    seen.null_words += u64::from(null_word(alert.key.correlation_id.as_bytes()).is_some());
                    seen.far_windows += u64::from(is_far_ahead(alert.window.to, arrival.now, settings.max_future_skew));
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
    fn activity<'a>(&self, activity: Activity<'a>) -> Routed<'a> {
        Routed::Record {
            partition: partition_of(&activity.key, self.partitions),
            record: LogRecord::Activity(activity),
        }
    }

    /// The row goes to the owner of the key; every other partition hears that the alert is not (or no longer) its own.
    fn alert<'a>(&self, alert: Alert<'a>, now: WallTime, each: &mut dyn FnMut(Routed<'a>)) {
        let owner = partition_of(&alert.key, self.partitions);
        let is_waited_for = |most| alert.window.to <= now.to_event().plus(most);
        let waits_from = match self.max_window_ahead.is_none_or(is_waited_for) {
            true => now.max(alert.window.to.to_wall()),
            false => now,
        };
        let deadline = waits_from.plus(self.max_wait);
        for partition in (0..self.partitions).filter(|partition| *partition != owner) {
            each(Routed::Record {
                partition,
                record: LogRecord::AlertElsewhere {
                    id: alert.id.clone(),
                    version: alert.version,
                    closes: alert.window.to,
                    deadline,
                },
            });
        }
        each(Routed::Record {
            partition: owner,
            record: LogRecord::Alert { alert, deadline },
        });
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
