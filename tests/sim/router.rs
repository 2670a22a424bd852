//! One router, and what it writes: the log and a journal. The journal describes what each repartition record means in
//! terms of the inputs. It is written from the inputs, never from what the program makes of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alerttrail::decode::Decoder;
use alerttrail::repartition::partition_of;
use alerttrail::route::{Acks, OffsetTracker, Progress, RouteTask, Router, Settings as Route};

use crate::faults::Fault;
use crate::world::{Message, RecordKind, Settings, World, ticks, ticks_of};

/// The meaning of one record of the log.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// There is no record at this offset.
    Gap,
    /// An activity, as the record of this number.
    Activity(usize),
    /// A version of an alert, as the record of this number, routed when the router's clock showed `now`.
    Alert { record: usize, now: i64 },
    /// How far a router had read.
    WatermarkUpdate(Update),
    /// There is no more input.
    End,
}

/// The content of a watermark update.
#[derive(Clone, Debug)]
pub(crate) struct Update {
    pub(crate) wall: i64,
    pub(crate) clock: i64,
    /// The sources that exist.
    pub(crate) listed: Vec<usize>,
    /// By source: its watermark, and whether it is idle.
    pub(crate) sources: Vec<(usize, Option<i64>, bool)>,
    /// By source: how many of its messages the router, or one before it, has read.
    pub(crate) read: Vec<(usize, usize)>,
}

/// One partition of the log: at each offset the bytes, if any, and what they mean.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) bytes: Vec<Option<Vec<u8>>>,
    pub(crate) journal: Vec<Entry>,
}

/// The number of records that are not in the log yet.
#[derive(Default)]
pub(crate) struct Pending(AtomicU64);

impl Acks for Pending {
    fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Pending {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes one, unless a planted fault has removed all.
    pub(crate) fn remove(&self) {
        self.0
            .store(self.0.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }

    /// Counts all as acknowledged, which only a planted fault does.
    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A record on its way to the log.
pub(crate) struct Sent {
    pub(crate) bytes: Vec<u8>,
    pub(crate) entry: Entry,
    pub(crate) acks: Arc<Pending>,
    /// The source and offset of the message of which it is the last record in this partition of the log.
    pub(crate) completes: Option<(usize, usize)>,
}

/// Which messages of the sources are in a partition of the log, with all their records for it.
#[derive(Default)]
pub(crate) struct Arrived {
    /// By source: how many of the first messages, and which later ones.
    sources: BTreeMap<usize, (usize, BTreeSet<usize>)>,
}

impl Arrived {
    pub(crate) fn add(&mut self, source: usize, offset: usize) {
        let (front, later) = self.sources.entry(source).or_default();
        if offset >= *front {
            later.insert(offset);
        }
        while later.remove(front) {
            *front += 1;
        }
    }

    /// Returns whether all messages of a source before a position are there.
    pub(crate) fn is_all_before(&self, source: usize, position: usize) -> bool {
        self.sources.get(&source).map_or(0, |(front, _)| *front) >= position
    }
}

/// One router, with what it has not sent yet.
pub(crate) struct Node {
    pub(crate) task: RouteTask,
    pub(crate) tracker: OffsetTracker<Pending>,
    pub(crate) router: Router,
    pub(crate) progress: Progress,
    pub(crate) reading: BTreeMap<usize, Reading>,
    /// The state of sources when they were revoked.
    pub(crate) left: BTreeMap<usize, Reading>,
    /// The sources that are assigned to it, and by source the position at which it begins to read.
    pub(crate) assigned: Vec<usize>,
    pub(crate) begins: BTreeMap<usize, usize>,
    /// By source: the position that must be committed before the sources are given up.
    pub(crate) owed: BTreeMap<usize, usize>,
    /// By partition of the log: the records that wait to be sent, and those that the producer has.
    pub(crate) bundles: Vec<Vec<Sent>>,
    pub(crate) queues: Vec<VecDeque<Sent>>,
    /// Whether it has to stop.
    pub(crate) stops: bool,
    /// How far its clock is ahead.
    pub(crate) skew: i64,
}

/// The state of a source that a router reads.
pub(crate) struct Reading {
    pub(crate) position: usize,
    pub(crate) latest: Option<i64>,
    pub(crate) active: i64,
    /// When the router last fetched the end of the source.
    pub(crate) end_fetched: Option<i64>,
}

impl Reading {
    pub(crate) fn new(position: usize, now: i64) -> Self {
        Self {
            position,
            latest: None,
            active: now,
            end_fetched: None,
        }
    }

    /// Returns a source that is assigned again: it keeps the time of its last activity, unless another router has read
    /// further.
    pub(crate) fn resumed(position: usize, now: i64, left: Option<Self>) -> Self {
        let known = left.filter(|left| position <= left.position);
        Self {
            latest: known.as_ref().and_then(|known| known.latest),
            active: known.as_ref().map_or(now, |known| known.active),
            ..Self::new(position, now)
        }
    }

    /// Records that the router has read one message. Returns how many activities in it have times that are too far
    /// ahead to move the watermark.
    pub(crate) fn read(&mut self, world: &World, offset: usize, message: &Message, now: i64) -> u64 {
        self.position = offset + 1;
        let arrived = message.timestamp.map_or(now, |timestamp| timestamp.min(now));
        let allowed = ticks_of(arrived) + ticks(world.settings.max_future_skew);
        let mut ahead = 0;
        for record in &message.records {
            let (RecordKind::Activity { time, .. } | RecordKind::Unkeyed { time: Some(time) }) = &world.records[*record].kind
            else {
                continue;
            };
            self.active = self.active.max(now);
            match *time <= allowed {
                true => self.latest = self.latest.max(Some(*time)),
                false => ahead += 1,
            }
        }
        ahead
    }
}

impl Node {
    pub(crate) fn new(settings: &Settings, fault: Option<Fault>, skew: i64) -> Self {
        let decoder = Decoder::new(settings.decode());
        let max_future_skew = match fault {
            Some(Fault::FutureMovesWatermark) => std::time::Duration::MAX,
            _ => settings.max_future_skew,
        };
        let route = Route {
            partitions: settings.partitions,
            max_wait: settings.max_wait,
            max_future_skew,
            max_window_ahead: None,
            tenants: false,
        };
        Self {
            task: RouteTask::default(),
            tracker: OffsetTracker::default(),
            router: Router::new(decoder, route).with_compressed_rows(),
            progress: Progress::default(),
            reading: BTreeMap::new(),
            left: BTreeMap::new(),
            assigned: Vec::new(),
            begins: BTreeMap::new(),
            owed: BTreeMap::new(),
            bundles: (0..settings.partitions).map(|_| Vec::new()).collect(),
            queues: (0..settings.partitions).map(|_| VecDeque::new()).collect(),
            stops: false,
            skew,
        }
    }

    /// Returns everything that is not in the log yet.
    pub(crate) fn in_flight(&self) -> impl Iterator<Item = &Sent> {
        self.queues.iter().flatten().chain(self.bundles.iter().flatten())
    }

    /// Records how far it has read, if all of that is acknowledged: it must be committed before anything is given up.
    pub(crate) fn record_owed(&mut self) {
        if self.in_flight().next().is_none() {
            let positions = self.reading.iter().map(|(source, reading)| (*source, reading.position));
            self.owed = positions.collect();
        }
    }
}

/// Returns the partition of the log to which a correlation id belongs.
pub(crate) fn partition_of_key(key: &str, partitions: u32) -> usize {
    partition_of(&"".into(), &key.into(), partitions) as usize
}

/// Returns the entries that the records of a message must lead to, by partition of the log.
pub(crate) fn expected_entries(world: &World, records: &[usize], now: i64) -> Vec<Vec<Entry>> {
    let partitions = world.settings.partitions;
    let mut expected_entries: Vec<Vec<Entry>> = (0..partitions).map(|_| Vec::new()).collect();
    for record in records {
        match &world.records[*record].kind {
            // Once to each partition, however many of its keys belong there.
            RecordKind::Activity { keys, .. } => {
                let partitions_of_keys: BTreeSet<usize> = keys.iter().map(|key| partition_of_key(key.1, partitions)).collect();
                partitions_of_keys
                    .iter()
                    .for_each(|partition| expected_entries[*partition].push(Entry::Activity(*record)));
            }
            RecordKind::Alert(_) => {
                for partition in &mut expected_entries {
                    partition.push(Entry::Alert { record: *record, now });
                }
            }
            RecordKind::Unkeyed { .. } | RecordKind::Nothing => {}
        }
    }
    expected_entries
}
