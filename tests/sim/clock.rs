//! The watermark, computed from the updates of the routers.

use std::collections::BTreeMap;

use crate::hits::Hits;
use crate::router::Said;

/// How long, in milliseconds, a router's report that a source is idle is valid.
const LEASE: i64 = 5_000;

/// The watermark of one partition of the repartition topic.
#[derive(Default)]
pub(crate) struct Clock {
    /// The latest clock of a router.
    pub(crate) wall: Option<i64>,
    /// The watermark as far as activities have moved it.
    pub(crate) by_activities: Option<i64>,
    pub(crate) watermark: Option<i64>,
    /// The list of sources, and the clock of the router that reported it.
    listed: Option<(i64, Vec<usize>)>,
    sources: BTreeMap<usize, Heard>,
}

struct Heard {
    time: Option<i64>,
    idle: bool,
    at: i64,
}

impl Clock {
    /// Applies a watermark update. Returns whether the watermark has moved.
    pub(crate) fn observe(&mut self, said: &Said, hits: &mut Hits) -> bool {
        let wall = self.wall.unwrap_or(said.wall).max(said.wall);
        self.wall = Some(wall);
        if self.listed.as_ref().is_none_or(|(at, _)| *at <= said.wall) {
            self.sources.retain(|source, _| said.listed.contains(source));
            self.listed = Some((said.wall, said.listed.clone()));
        }
        let (_, listed) = self.listed.as_ref().unwrap();
        for (source, time, idle) in said.sources.iter().filter(|(source, ..)| listed.contains(source)) {
            let heard = self.sources.entry(*source).or_insert(Heard {
                time: None,
                idle: false,
                at: i64::MIN,
            });
            heard.time = heard.time.max(*time);
            // A report that a source is not idle counts whatever its clock, because it can only delay the watermark.
            if heard.at <= said.wall || !idle {
                (heard.at, heard.idle) = (said.wall, *idle);
            }
        }
        if self.sources.len() < listed.len() {
            hits.hit("watermark: waits for a partition");
            return false;
        }
        let before = self.watermark;
        let is_idle = |heard: &&Heard| heard.idle && wall - heard.at <= LEASE;
        if self.sources.values().any(|heard| heard.idle && wall - heard.at > LEASE) {
            hits.hit("watermark: lease of idleness runs out");
        }
        let active: Vec<Option<i64>> = self
            .sources
            .values()
            .filter(|heard| !is_idle(heard))
            .map(|heard| heard.time)
            .collect();
        match active.iter().min() {
            None => {
                self.watermark = self.watermark.max(Some(said.clock));
                hits.hit("watermark: goes by the clock");
            }
            // The minimum is `None` if a source has had no activity.
            Some(least) => {
                self.by_activities = self.by_activities.max(*least);
                self.watermark = self.watermark.max(self.by_activities);
            }
        }
        self.watermark != before
    }
}
