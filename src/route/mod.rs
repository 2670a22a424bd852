//! ROUTE: input messages go in, log records come out. Pure.
//!
//! [`Router`] decodes a message and says which partition of the repartition log each of its records belongs to; [`Progress`] keeps how
//! far the source partitions have been read, which is what watermarks are made of. Neither keeps anything about a record: a message may
//! be routed any number of times. No IO and no clock: arrival times and the ends of partitions are arguments.

mod progress;

pub use progress::{Idleness, Progress};

use std::borrow::Cow;
use std::time::Duration;

use crate::decode::{Decoded, Decoder, Item, Reject};
use crate::log::{LogRecord, partition_of};
use crate::record::{Activity, Alert};
use crate::time::{EventTime, WallTime};

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
    /// Alert versions.
    pub alerts: u64,
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
        self.alerts += other.alerts;
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
        let deadline = now.max(alert.window.to.to_wall()).plus(self.max_wait);
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
