//! A world: settings, and everything that is ever written to the input topics, drawn from one seed.

use std::collections::BTreeSet;
use std::time::Duration;

use alerttrail::join::AlertUpdates;
use alerttrail::time::EventTime;

use crate::inputs;
use crate::links::{self, Link, LinkKey, QUERY};
use crate::rng::Rng;

pub(crate) const TICKS_PER_MILLI: i64 = 10_000;
const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Everything drawn for one seed, before anything happens.
pub(crate) struct World {
    pub(crate) settings: Settings,
    /// Every record ever sent, including re-deliveries, in the order of sending.
    pub(crate) records: Vec<Record>,
    /// By source, in the order of its offsets.
    pub(crate) messages: Vec<Vec<Message>>,
}

/// The settings that a user would make, and the limits of the run.
pub(crate) struct Settings {
    pub(crate) out_of_orderness: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_wait: Duration,
    pub(crate) max_future_skew: Duration,
    /// The query, and the other links.
    pub(crate) links: Vec<Link>,
    pub(crate) unmatched: bool,
    /// Whether a newer version of a closed alert emits the rows that stay again.
    pub(crate) rows_again: bool,
    /// The number of partitions of the repartition topic.
    pub(crate) partitions: u32,
    /// The source partitions: every partition of every topic.
    pub(crate) sources: Vec<Source>,
    pub(crate) routers: usize,
    /// Whether the input ends, as in `correlate`, instead of staying open without messages.
    pub(crate) ends: bool,
    pub(crate) time_scale: TimeScale,
}

/// One partition of an input topic.
pub(crate) struct Source {
    pub(crate) topic: &'static str,
    pub(crate) partition: u32,
    /// When the partition was created, in milliseconds of wall time.
    pub(crate) since: i64,
}

/// The scale of time: milliseconds between two messages, and the usual length of a window.
#[derive(Clone, Copy)]
pub(crate) struct TimeScale {
    pub(crate) gap: i64,
    pub(crate) quiet: i64,
    pub(crate) window: i64,
}

/// A record as it was sent once.
pub(crate) struct Record {
    pub(crate) kind: RecordKind,
    /// The exact bytes of the row, if the record holds one.
    pub(crate) row: String,
    /// The first record with exactly the same row.
    pub(crate) twin: usize,
}

/// The kind of a record, as it was drawn.
#[derive(Clone)]
pub(crate) enum RecordKind {
    /// An activity that can join. Re-deliveries have the same number.
    Activity {
        number: usize,
        keys: BTreeSet<LinkKey>,
        time: i64,
    },
    /// An activity that cannot join.
    Unkeyed { time: Option<i64> },
    /// A readable version of an alert.
    Alert(Version),
    /// Something else.
    Nothing,
}

/// A version of an alert. All times are ticks since year 1.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) alert: usize,
    pub(crate) generated: i64,
    pub(crate) hash: [u8; 32],
    /// One key by the query, which may be empty, and any number by each link.
    pub(crate) keys: BTreeSet<LinkKey>,
    pub(crate) start: i64,
    pub(crate) end: i64,
}

impl std::fmt::Debug for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [start, end, generated] = [self.start, self.end, self.generated].map(show);
        write!(
            f,
            "alert {} of {:?} from {start} to {end}, generated {generated}",
            self.alert, self.keys
        )
    }
}

impl Version {
    /// Returns its key by the query.
    pub(crate) fn query_key(&self) -> &'static str {
        self.keys.iter().find(|key| key.0 == QUERY).map(|key| key.1).unwrap()
    }

    /// Returns the order among the versions of one alert.
    pub(crate) fn order(&self) -> (i64, [u8; 32]) {
        (self.generated, self.hash)
    }
}

/// One message of a source.
pub(crate) struct Message {
    /// When it is written, in milliseconds of wall time.
    pub(crate) at: i64,
    pub(crate) timestamp: Option<i64>,
    /// The records inside, as indices.
    pub(crate) records: Vec<usize>,
    pub(crate) value: Option<String>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut settings = Settings::draw(&mut Rng::new(seed, 1));
        let links = links::draw(&settings, &mut Rng::new(seed, 5));
        settings.links.extend(links);
        let (records, messages) = inputs::draw(&settings, &mut Rng::new(seed, 2), Rng::new(seed, 6));
        Self {
            settings,
            records,
            messages,
        }
    }
}

impl Settings {
    fn draw(rng: &mut Rng) -> Self {
        let millis = |rng: &mut Rng, from: &[u64]| Duration::from_millis(*rng.pick(from));
        let time_scale = *rng.pick(&[
            (400, 20 * SECOND, MINUTE),
            (5 * SECOND, 5 * MINUTE, 2 * MINUTE),
            (MINUTE, HOUR, HOUR),
            (2 * HOUR, 2 * DAY, 8 * HOUR),
        ]);
        let [gap, quiet, window] = [time_scale.0, time_scale.1, time_scale.2].map(|millis| i64::try_from(millis).unwrap());
        let out_of_orderness = millis(rng, &[0, SECOND, 10 * SECOND, 5 * MINUTE]);
        let before = millis(rng, &[0, 0, 0, SECOND, 5 * MINUTE]);
        let after = millis(rng, &[0, 0, 0, SECOND, 5 * MINUTE]);
        // A retention must be longer than all three.
        let min_retention = out_of_orderness.max(before).max(after) + Duration::from_millis(1);
        let retention = match rng.below(8) {
            0..=2 => None,
            3 => Some(Duration::from_millis(30 * DAY)),
            4 => Some(min_retention),
            5 => Some(min_retention.max(Duration::from_millis(MINUTE))),
            6 => Some(min_retention.max(Duration::from_millis(2 * HOUR))),
            _ => Some(min_retention.max(Duration::from_millis(2 * DAY))),
        };
        let mut settings = Self {
            out_of_orderness,
            idle_timeout: millis(rng, &[SECOND, 10 * SECOND, MINUTE]),
            max_wait: millis(rng, &[SECOND, MINUTE, HOUR, DAY]),
            max_future_skew: millis(rng, &[0, 10 * MINUTE]),
            links: vec![Link {
                inclusive: rng.percent(30),
                before,
                after,
                retention,
            }],
            unmatched: rng.percent(50),
            rows_again: false,
            partitions: u32::try_from(rng.between(1, 4)).unwrap(),
            sources: sources(rng, quiet),
            routers: rng.below(3) + 1,
            ends: rng.percent(15),
            time_scale: TimeScale { gap, quiet, window },
        };
        // Drawn last, so that the rest of a seed's world does not change.
        settings.rows_again = rng.percent(40);
        settings
    }

    /// Returns the window of a version by a link as `from <= time < to`.
    pub(crate) fn window(&self, link: usize, version: &Version) -> (i64, i64) {
        let link = &self.links[link];
        let from = version.start - ticks(link.before);
        let to = version.end + ticks(link.after);
        match link.inclusive {
            true => (from, to + 1),
            false => (from + 1, to),
        }
    }

    /// Returns how long a link keeps activities.
    pub(crate) fn retention(&self, link: usize) -> Option<Duration> {
        self.links[link].retention
    }

    /// Returns how far after `EndTime` a window may end.
    pub(crate) fn furthest(&self) -> Duration {
        self.links.iter().map(|link| link.after).max().unwrap()
    }

    pub(crate) fn alert_updates(&self) -> AlertUpdates {
        match self.rows_again {
            true => AlertUpdates::Rows,
            false => AlertUpdates::Summary,
        }
    }

    /// Returns the number of source partitions of each topic at a time.
    pub(crate) fn topics_at(&self, wall: i64) -> Vec<(String, u32)> {
        let mut topics: Vec<(String, u32)> = Vec::new();
        for source in self.sources.iter().filter(|source| source.since <= wall) {
            match topics.iter_mut().find(|(topic, _)| topic == source.topic) {
                Some((_, count)) => *count += 1,
                None => topics.push((source.topic.to_owned(), 1)),
            }
        }
        topics
    }
}

/// Draws one or two topics with one to four partitions in all. The last partition of a topic may be added during the
/// run.
fn sources(rng: &mut Rng, quiet: i64) -> Vec<Source> {
    let mut sources = Vec::new();
    for topic in ["cloudappevents", "securityalert"] {
        if topic == "securityalert" && rng.percent(40) {
            continue;
        }
        for partition in 0..u32::try_from(rng.between(1, 2)).unwrap() {
            let added = partition > 0 && rng.percent(20);
            sources.push(Source {
                topic,
                partition,
                since: start() + if added { rng.between(0, quiet) } else { 0 },
            });
        }
    }
    sources
}

/// Returns the start of every world, in milliseconds of wall time.
pub(crate) fn start() -> i64 {
    wall_of(EventTime::from_date(2026, 3, 1, 0).unwrap().ticks())
}

/// Returns a duration in ticks.
pub(crate) fn ticks(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos() / 100).unwrap()
}

/// Returns a duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap()
}

/// 1970-01-01 in ticks since year 1.
const EPOCH: i64 = 621_355_968_000_000_000;

/// Converts event time to wall time, rounded down.
pub(crate) fn wall_of(ticks: i64) -> i64 {
    (ticks - EPOCH).div_euclid(TICKS_PER_MILLI)
}

/// Converts wall time to event time.
pub(crate) fn ticks_of(wall: i64) -> i64 {
    wall * TICKS_PER_MILLI + EPOCH
}

/// Formats a time for people.
pub(crate) fn show(ticks: i64) -> String {
    EventTime::from_ticks(ticks).to_string()
}
