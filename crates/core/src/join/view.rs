//! Gives read access to the state of one partition outside the join.

use super::output::{CloseResult, Completeness};
use super::sources::{Holder, SourceState};
use super::state::{self, AlertState};
use super::work::activity_row;
use super::{Joiner, Position, Retention};
use crate::record::{ActivityId, AlertId, Key, LinkId, LinkedAlert, Text, Version};
use crate::store::keys::Timer;
use crate::store::{Direction, Error, Reads, Span, Table, keys};
use crate::time::{EventTime, WallTime, Window};

/// The state of one partition as it was last written. It cannot be changed through this type.
pub struct View<'r, R> {
    reads: &'r R,
    joiner: Joiner,
}

/// The state of an alert by a link and a key that belongs to this partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlertStatus {
    /// The version that counts.
    pub version: Version,
    /// Its key.
    pub key: Key,
    /// The window in event time.
    pub window: Window,
    /// The wall-clock time at which the alert closes whatever the watermark is.
    pub deadline: WallTime,
    /// The result; `None` while the window is open.
    pub result: Option<CloseResult>,
    /// The number of versions that counted when they arrived.
    pub versions: u32,
    /// The latest time of the alert, which is its place in the list of alerts.
    pub latest: EventTime,
}

/// A place in the list of alerts, latest first. It has the same meaning in every partition.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The latest time of the alert: the greatest of the ends of its windows and its `TimeGenerated`.
    pub time: EventTime,
    /// The alert.
    pub alert: AlertId,
}

/// A stored activity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Its time.
    pub time: EventTime,
    /// Its dedup key.
    pub id: ActivityId,
    /// The CloudAppEvents row.
    pub row: Box<[u8]>,
}

/// A key that differs from another one only in upper and lower case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SimilarKey {
    /// Its correlation id.
    pub correlation_id: Text,
    /// The number of activities with this key, as far as they were read.
    pub activities: u64,
}

impl<'r, R: Reads> View<'r, R> {
    /// Returns a view of the state in `reads`.
    pub fn open(reads: &'r R, retention: impl Into<Retention>) -> Result<Self, Error> {
        Ok(Self {
            reads,
            joiner: Joiner::open(reads, retention)?,
        })
    }

    /// Returns whether a key of the alert belongs to the partition whose state is in `reads`.
    pub fn holds(reads: &R, retention: &Retention, alert: &AlertId) -> Result<bool, Error> {
        for link in retention.all_links() {
            if state(reads, alert, link)?.is_some_and(|state| !state.keys.is_empty()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the state of the alert by each key that belongs to this partition, in the order of links and keys. The
    /// list is empty if the alert is unknown or if all its keys belong to other partitions.
    pub fn statuses(&self, alert: &AlertId) -> Result<Vec<AlertStatus>, Error> {
        let mut statuses = Vec::new();
        for link in self.joiner.retention.all_links() {
            let Some(state) = state(self.reads, alert, link)? else {
                continue;
            };
            let alert = LinkedAlert {
                alert: alert.clone(),
                link,
            };
            statuses.extend(state.keys.iter().map(|key| AlertStatus {
                version: state.version,
                key: alert.key(&key.correlation_id),
                window: state.window,
                deadline: state.deadline,
                result: key.result.clone(),
                versions: state.versions,
                latest: state.forget_at,
            }));
        }
        Ok(statuses)
    }

    /// Returns the SecurityAlert row of the version that counts for the link.
    pub fn alert_row(&self, alert: &LinkedAlert) -> Result<Vec<u8>, Error> {
        let row = self.reads.get(Table::AlertRows, &keys::alert(alert))?;
        row.ok_or(Error::Damaged { what: "alert's row" })
    }

    /// Returns all known alerts, local and remote, latest first. If `after` is given, only those that follow it are
    /// returned.
    pub fn latest(&self, after: Option<&Place>) -> impl Iterator<Item = Result<Place, Error>> {
        let span = match after {
            Some(place) => {
                let alert = LinkedAlert {
                    alert: place.alert.clone(),
                    link: LinkId::QUERY,
                };
                keys::timers_before(Timer::Forget, place.time.ticks(), &alert)
            }
            None => keys::timers_until(Timer::Forget, i64::MAX),
        };
        let timers = self.reads.scan(Table::Timers, span, Direction::Backward);
        // Every partition has an entry for every alert by every link, so one link is enough to list them.
        let by_query = timers.map(|timer| {
            let (key, _) = timer?;
            let alert = keys::timer_alert(&key)?;
            let time = EventTime::from_ticks(keys::timer_time(&key)?);
            let place = Place {
                time,
                alert: alert.alert,
            };
            Ok((alert.link == LinkId::QUERY).then_some(place))
        });
        by_query.filter_map(Result::transpose)
    }

    /// Counts the open or the closed alerts of all links, up to `most`. An open alert counts once for each link, a
    /// closed one once for each key that belongs to this partition.
    pub fn count(&self, what: Counted, most: usize) -> Result<usize, Error> {
        let (table, span) = match what {
            Counted::Open => (Table::Timers, keys::timers_until(Timer::Close, i64::MAX)),
            Counted::Closed => {
                let all = Span {
                    from: Vec::new(),
                    to: vec![0xff; 5],
                };
                (Table::ClosedWindows, all)
            }
        };
        let mut count = 0;
        for pair in self.reads.scan(table, span, Direction::Forward).take(most) {
            pair?;
            count += 1;
        }
        Ok(count)
    }

    /// Returns the activities of `key` in `window` that are not before the retention cut-off, in order of time. If
    /// `after` is given, only those that follow it are returned.
    pub fn activities<'a>(
        &'a self,
        key: &'a Key,
        window: Window,
        after: Option<(EventTime, ActivityId)>,
    ) -> impl Iterator<Item = Result<Stored, Error>> + 'a {
        let window = window.not_before(self.joiner.cutoff(key.link));
        let days: Vec<i64> = match window.is_empty() {
            true => Vec::new(),
            false => self.joiner.days.range(window.from.day()..=window.to.day()).copied().collect(),
        };
        let from_day = after.map_or(i64::MIN, |(time, _)| time.day());
        days.into_iter().filter(move |day| *day >= from_day).flat_map(move |day| {
            let span = match after {
                Some((time, id)) if time.day() == day => keys::activities_behind(key, window, time, id),
                _ => keys::activities(key, window, day),
            };
            self.reads
                .scan(Table::Activities, span, Direction::Forward)
                .map(|pair| self.stored(key, pair))
        })
    }

    /// Returns up to `most` activities of `key` before the window and up to `most` after it, nearest first.
    pub fn around(&self, key: &Key, window: Window, most: usize) -> Result<[Vec<Stored>; 2], Error> {
        let cutoff = self.joiner.cutoff(key.link);
        let end = window.to.max(window.from);
        let before = Window {
            from: cutoff,
            to: window.from.min(end),
        };
        let behind = Window {
            from: end.max(cutoff),
            to: EventTime::MAX,
        };
        let days = &self.joiner.days;
        let scan = |day: &i64, part, direction| {
            self.reads
                .scan(Table::Activities, keys::activities(key, part, *day), direction)
        };
        let earlier = days.range(..=before.to.day()).rev();
        let earlier = earlier
            .flat_map(|day| scan(day, before, Direction::Backward))
            .map(|pair| self.stored(key, pair));
        let later = days.range(behind.from.day()..);
        let later = later
            .flat_map(|day| scan(day, behind, Direction::Forward))
            .map(|pair| self.stored(key, pair));
        Ok([
            earlier.take(most).collect::<Result<_, _>>()?,
            later.take(most).collect::<Result<_, _>>()?,
        ])
    }

    /// Returns keys with activities in `window` that differ from `key` only in upper and lower case. Reads at most
    /// `most` entries.
    pub fn keys_in_other_case(&self, key: &Key, window: Window, most: usize) -> Result<Vec<SimilarKey>, Error> {
        let window = window.not_before(self.joiner.cutoff(key.link));
        let wanted = key.correlation_id.as_bytes();
        let mut found: Vec<SimilarKey> = Vec::new();
        let mut left = most;
        let days = match window.is_empty() {
            true => Vec::new(),
            false => self.joiner.days.range(window.from.day()..=window.to.day()).copied().collect(),
        };
        for day in days {
            let mut span = keys::activities_of_length(key, wanted.len(), day);
            while left > 0
                && let Some(pair) = self.reads.scan(Table::Activities, span.clone(), Direction::Forward).next()
            {
                left -= 1;
                let (stored, _) = pair?;
                span.from = keys::behind_key_of(&stored);
                let other = keys::activity_correlation_id(&stored, &key.tenant)?;
                if other.as_bytes() != wanted && other.as_bytes().eq_ignore_ascii_case(wanted) {
                    let similar = Key {
                        tenant: key.tenant.clone(),
                        link: key.link,
                        correlation_id: other,
                    };
                    let inside = keys::activities(&similar, window, day);
                    let inside = self
                        .reads
                        .scan(Table::Activities, inside, Direction::Forward)
                        .take(left)
                        .count();
                    left -= inside;
                    add(&mut found, similar.correlation_id, inside as u64);
                }
            }
        }
        Ok(found)
    }

    fn stored(&self, key: &Key, pair: Result<crate::store::Pair, Error>) -> Result<Stored, Error> {
        let (stored, value) = pair?;
        let (time, id) = keys::activity_parts(&stored)?;
        let row = activity_row(key, time, id, value, |key| self.reads.get(Table::Activities, key))?;
        Ok(Stored { time, id, row })
    }

    /// Returns whether the activity arrived after the alert had closed.
    pub fn is_late(&self, alert: &LinkedAlert, activity: &Stored) -> Result<bool, Error> {
        let key = keys::late(alert, activity.time, activity.id);
        Ok(self.reads.get(Table::Activities, &key)?.is_some())
    }

    /// Returns whether the result is known to be complete, and why.
    pub fn completeness(&self, window: Window, result: &CloseResult) -> Completeness {
        self.joiner.completeness(window, result)
    }

    /// Returns the watermark; `None` before there is one.
    pub fn watermark(&self) -> Option<EventTime> {
        self.joiner.watermark()
    }

    /// Returns the latest clock that a router sent.
    pub fn wall(&self) -> Option<WallTime> {
        self.joiner.wall()
    }

    /// Returns the time before which activities have expired by a link; `None` if none have.
    pub fn retained_from(&self, link: LinkId) -> Option<EventTime> {
        self.joiner.retained_from(link)
    }

    /// Returns the source partition that holds the watermark back; `None` until there is a watermark update for every
    /// source partition, and while all are idle.
    pub fn holder(&self) -> Option<&Holder> {
        self.joiner.progress.watermarks.holder()
    }

    /// Returns the source partitions for which there has never been a watermark update.
    pub fn unreported_sources(&self) -> Vec<(String, u32)> {
        self.joiner.progress.watermarks.unreported_sources()
    }

    /// Returns how far the source partitions have been read.
    pub fn sources(&self) -> Vec<SourceState> {
        self.joiner.progress.watermarks.sources().to_vec()
    }

    /// Returns how far the output has been produced.
    pub fn position(&self) -> Position {
        self.joiner.position()
    }

    /// Returns whether work for the record that was applied last is left.
    pub fn is_at_work(&self) -> bool {
        self.joiner.has_work()
    }
}

/// The alerts that [`View::count`] counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counted {
    /// Open alerts.
    Open,
    /// Closed alerts.
    Closed,
}

/// Returns the state of an alert by a link.
fn state<R: Reads>(reads: &R, alert: &AlertId, link: LinkId) -> Result<Option<AlertState>, Error> {
    let alert = LinkedAlert {
        alert: alert.clone(),
        link,
    };
    let bytes = reads.get(Table::Alerts, &keys::alert(&alert))?;
    bytes.map(|bytes| state::decode(&bytes, "alert")).transpose()
}

fn add(found: &mut Vec<SimilarKey>, correlation_id: Text, activities: u64) {
    match found.iter_mut().find(|similar| similar.correlation_id == correlation_id) {
        _ if activities == 0 => {}
        Some(similar) => similar.activities += activities,
        None => found.push(SimilarKey {
            correlation_id,
            activities,
        }),
    }
}
