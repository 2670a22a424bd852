//! Derives one watermark, which never goes back, from the routers' watermark updates.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sources::{Holder, SourceState};
use crate::repartition::{SourceWatermark, WatermarkUpdate};
use crate::time::{EventTime, WallTime};

/// How long a router's statement that a partition is idle is valid, measured by the clocks that routers send. A router
/// that has died can no longer see new activities; a live router repeats its statement at least once a second.
const IDLE_LEASE: Duration = Duration::from_secs(5);

/// The state of the source partitions, and the watermark that follows from it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Watermarks {
    /// The latest clock that a router sent.
    wall: Option<WallTime>,
    /// All input topics with their partition counts, according to the router with the latest clock.
    topics: Vec<(String, u32)>,
    listed_at: Option<WallTime>,
    sources: BTreeMap<(String, u32), ReportedSource>,
    /// The greatest watermark that activities have moved.
    by_activities: Option<EventTime>,
    /// The watermark.
    watermark: Option<EventTime>,
    /// The source partition that holds it back.
    holder: Option<Holder>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct ReportedSource {
    time: Option<EventTime>,
    idle: bool,
    reported_at: WallTime,
    position: i64,
    /// The routers' clock when its time last changed.
    since: WallTime,
    rejected: u64,
}

impl ReportedSource {
    fn is_idle(&self, now: WallTime) -> bool {
        self.idle && now.since(self.reported_at) <= IDLE_LEASE
    }
}

impl Watermarks {
    /// Returns the latest clock that a router sent.
    pub(super) fn wall(&self) -> Option<WallTime> {
        self.wall
    }

    /// Returns the watermark: no activity below it is expected any more.
    pub(super) fn watermark(&self) -> Option<EventTime> {
        self.watermark
    }

    /// Returns the watermark as far as activities alone have moved it.
    pub(super) fn by_activities(&self) -> Option<EventTime> {
        self.by_activities
    }

    /// Returns the source partition that holds the watermark back; `None` until there is a watermark update for every
    /// source partition, and while all are idle.
    pub(super) fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }

    /// Returns the source partitions for which there has never been a watermark update.
    pub(super) fn unreported_sources(&self) -> Vec<(String, u32)> {
        let all = self
            .topics
            .iter()
            .flat_map(|(topic, count)| (0..*count).map(|partition| (topic.clone(), partition)));
        all.filter(|source| !self.sources.contains_key(source)).collect()
    }

    /// Returns all source partitions for which there has been a watermark update, in the order of topics and
    /// partitions.
    pub(super) fn sources(&self) -> Arc<[SourceState]> {
        let now = self.wall.unwrap_or(WallTime(i64::MAX));
        let state = |((topic, partition), source): (&(String, u32), &ReportedSource)| SourceState {
            topic: topic.clone(),
            partition: *partition,
            position: source.position,
            watermark: source.time,
            idle: source.is_idle(now),
            reported_at: source.reported_at,
            since: source.since,
            rejected: source.rejected,
        };
        self.sources.iter().map(state).collect()
    }

    /// Applies a watermark update, and returns whether the watermark has moved.
    pub(super) fn observe(&mut self, update: &WatermarkUpdate) -> bool {
        let now = self.wall.map_or(update.wall, |wall| wall.max(update.wall));
        self.wall = Some(now);
        if self.listed_at.is_none_or(|listed| listed <= update.wall) {
            self.listed_at = Some(update.wall);
            self.topics.clone_from(&update.topics);
            let mut sources = std::mem::take(&mut self.sources);
            sources.retain(|(topic, partition), _| self.is_listed(topic, *partition));
            self.sources = sources;
        }
        for mark in &update.sources {
            if self.is_listed(&mark.topic, mark.partition) {
                self.hear(mark, update.wall);
            }
        }
        let before = self.watermark;
        self.advance(now, update.clock);
        self.watermark != before
    }

    fn is_listed(&self, topic: &str, partition: u32) -> bool {
        self.topics.iter().any(|(name, count)| name == topic && partition < *count)
    }

    /// Applies the entry of a source partition in a watermark update. Its time stays true whoever reads the partition
    /// now, because the router had read that far. The statement that the partition is idle is true only until it is
    /// read further, so the latest one counts. The statement that it is not idle always counts, because it can only
    /// delay a close.
    fn hear(&mut self, mark: &SourceWatermark, wall: WallTime) {
        let source = self
            .sources
            .entry((mark.topic.clone(), mark.partition))
            .or_insert(ReportedSource {
                time: None,
                idle: false,
                reported_at: wall,
                position: mark.position,
                since: wall,
                rejected: 0,
            });
        source.rejected += mark.rejected;
        if mark.time > source.time {
            source.time = mark.time;
            source.since = source.since.max(wall);
        }
        if source.reported_at <= wall {
            source.position = mark.position;
        }
        if source.reported_at <= wall || !mark.idle {
            source.reported_at = wall;
            source.idle = mark.idle;
        }
    }

    fn advance(&mut self, now: WallTime, clock: EventTime) {
        let expected: u64 = self.topics.iter().map(|(_, count)| u64::from(*count)).sum();
        if (self.sources.len() as u64) < expected {
            self.holder = None;
            return;
        }
        let active = self.sources.iter().filter(|(_, source)| !source.is_idle(now));
        // The first of several partitions with the same time.
        let Some(((topic, partition), least)) = active.min_by_key(|(_, source)| source.time) else {
            self.holder = None;
            self.watermark = self.watermark.max(Some(clock));
            return;
        };
        if !self.holder.as_ref().is_some_and(|holder| holder.is(topic, *partition)) {
            self.holder = Some(Holder {
                topic: topic.clone(),
                partition: *partition,
                since: now,
            });
        }
        if let Some(least) = least.time {
            self.by_activities = self.by_activities.max(Some(least));
            self.watermark = self.watermark.max(self.by_activities);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ticks: i64) -> EventTime {
        EventTime::from_ticks(ticks)
    }

    fn mark(partition: u32, time: Option<i64>, idle: bool) -> SourceWatermark {
        SourceWatermark {
            topic: "a".into(),
            partition,
            position: 0,
            time: time.map(at),
            idle,
            rejected: 0,
        }
    }

    fn watermark_update(wall: i64, sources: Vec<SourceWatermark>) -> WatermarkUpdate {
        WatermarkUpdate {
            wall: WallTime(wall),
            clock: at(wall * 100),
            topics: vec![("a".into(), 2)],
            sources,
            settings: [0; 32],
        }
    }

    #[test]
    fn there_is_no_watermark_until_every_partition_has_spoken() {
        let mut watermarks = Watermarks::default();
        assert!(!watermarks.observe(&watermark_update(1, vec![mark(0, Some(50), false)])));
        assert_eq!(watermarks.watermark(), None);
        assert!(watermarks.observe(&watermark_update(1, vec![mark(1, Some(40), false)])));
        assert_eq!(watermarks.watermark(), Some(at(40)));
    }

    #[test]
    fn a_partition_without_activities_holds_it_back_until_it_is_idle() {
        let mut watermarks = Watermarks::default();
        watermarks.observe(&watermark_update(1, vec![mark(0, Some(50), false), mark(1, None, false)]));
        assert_eq!(watermarks.watermark(), None);
        watermarks.observe(&watermark_update(2, vec![mark(1, None, true)]));
        assert_eq!(watermarks.watermark(), Some(at(50)));
    }

    #[test]
    fn who_holds_it_back_and_since_when_is_known() {
        let holder = |watermarks: &Watermarks| watermarks.holder().map(|holder| (holder.partition, holder.since));
        let mut watermarks = Watermarks::default();
        watermarks.observe(&watermark_update(1, vec![mark(0, Some(50), false)]));
        assert_eq!(watermarks.unreported_sources(), [("a".to_owned(), 1)]);
        assert_eq!(holder(&watermarks), None);
        watermarks.observe(&watermark_update(2, vec![mark(1, Some(40), false)]));
        assert_eq!(
            (watermarks.unreported_sources(), holder(&watermarks)),
            (vec![], Some((1, WallTime(2))))
        );
        watermarks.observe(&watermark_update(3, vec![mark(0, Some(70), false), mark(1, Some(45), false)]));
        assert_eq!(holder(&watermarks), Some((1, WallTime(2))), "it is still the same");
        watermarks.observe(&watermark_update(4, vec![mark(1, Some(90), false)]));
        assert_eq!(holder(&watermarks), Some((0, WallTime(4))));
        let since: Vec<WallTime> = watermarks.sources().iter().map(|source| source.since).collect();
        assert_eq!(since, [WallTime(3), WallTime(4)], "since when each stands where it does");
        watermarks.observe(&watermark_update(5, vec![mark(0, Some(70), true), mark(1, Some(90), true)]));
        assert_eq!(holder(&watermarks), None, "all are idle");
    }

    #[test]
    fn what_went_to_the_dead_letters_adds_up() {
        let mut watermarks = Watermarks::default();
        for (wall, rejected) in [(1, 2), (2, 0), (3, 5)] {
            let rejected = SourceWatermark {
                rejected,
                ..mark(0, None, false)
            };
            watermarks.observe(&watermark_update(wall, vec![rejected]));
        }
        assert_eq!(watermarks.sources()[0].rejected, 7);
    }

    #[test]
    fn it_never_goes_back() {
        let mut watermarks = Watermarks::default();
        watermarks.observe(&watermark_update(1, vec![mark(0, Some(50), false), mark(1, Some(20), true)]));
        assert_eq!(watermarks.watermark(), Some(at(50)));
        watermarks.observe(&watermark_update(2, vec![mark(1, Some(30), false)]));
        assert_eq!(watermarks.watermark(), Some(at(50)));
    }

    #[test]
    fn when_all_are_idle_the_clock_moves_it_but_not_what_activities_moved() {
        let mut watermarks = Watermarks::default();
        watermarks.observe(&watermark_update(1, vec![mark(0, Some(50), false), mark(1, Some(60), false)]));
        watermarks.observe(&watermark_update(9, vec![mark(0, Some(50), true), mark(1, Some(60), true)]));
        assert_eq!(watermarks.watermark(), Some(at(900)));
        assert_eq!(watermarks.by_activities(), Some(at(50)));
    }

    #[test]
    fn idleness_is_a_lease() {
        let mut watermarks = Watermarks::default();
        watermarks.observe(&watermark_update(0, vec![mark(0, Some(50), false), mark(1, Some(20), true)]));
        assert_eq!(watermarks.watermark(), Some(at(50)));
        watermarks.observe(&watermark_update(5_001, vec![mark(0, Some(70), false)]));
        assert_eq!(
            watermarks.watermark(),
            Some(at(50)),
            "partition 1 is not known to be idle any more"
        );
    }

    #[test]
    fn the_word_of_a_router_with_an_older_clock_does_not_make_a_partition_idle() {
        let mut watermarks = Watermarks::default();
        watermarks.observe(&watermark_update(
            10,
            vec![mark(0, Some(50), false), mark(1, Some(20), false)],
        ));
        watermarks.observe(&watermark_update(9, vec![mark(1, Some(25), true)]));
        assert_eq!(watermarks.watermark(), Some(at(25)));
    }

    #[test]
    fn the_word_that_a_partition_is_not_idle_counts_whatever_the_clock() {
        let mut watermarks = Watermarks::default();
        watermarks.observe(&watermark_update(
            3_600_000,
            vec![mark(0, Some(50), false), mark(1, Some(20), true)],
        ));
        watermarks.observe(&watermark_update(
            10,
            vec![mark(0, Some(70), false), mark(1, Some(60), false)],
        ));
        assert_eq!(watermarks.watermark(), Some(at(60)));
        watermarks.observe(&watermark_update(11, vec![mark(0, Some(90), false)]));
        assert_eq!(watermarks.watermark(), Some(at(60)), "partition 1 holds it back");
    }

    #[test]
    fn a_partition_that_is_not_listed_yet_does_not_count() {
        let mut watermarks = Watermarks::default();
        let mut more = watermark_update(2, vec![mark(0, Some(50), false)]);
        watermarks.observe(&more);
        more.wall = WallTime(1);
        more.sources = vec![mark(7, Some(90), false)];
        watermarks.observe(&more);
        assert_eq!(watermarks.watermark(), None, "partition 1 has not spoken");
    }

    #[test]
    fn a_topic_that_is_no_longer_listed_is_forgotten() {
        let mut watermarks = Watermarks::default();
        watermarks.observe(&watermark_update(1, vec![mark(0, Some(50), false), mark(1, Some(20), false)]));
        let mut fewer = watermark_update(2, vec![mark(0, Some(60), false)]);
        fewer.topics = vec![("a".into(), 1)];
        watermarks.observe(&fewer);
        assert_eq!(watermarks.watermark(), Some(at(60)));
    }
}
