//! The watermark, computed from the updates of the routers.

use std::collections::BTreeMap;

use crate::hits::Hits;
use crate::router::Update;

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
    sources: BTreeMap<usize, SourceState>,
}

struct SourceState {
    time: Option<i64>,
    idle: bool,
    at: i64,
}

impl Clock {
    /// Applies a watermark update. Returns whether the watermark has moved.
    pub(crate) fn observe(&mut self, update: &Update, hits: &mut Hits) -> bool {
        let wall = self.wall.unwrap_or(update.wall).max(update.wall);
        self.wall = Some(wall);
        if self.listed.as_ref().is_none_or(|(at, _)| *at <= update.wall) {
            self.sources.retain(|source, _| update.listed.contains(source));
            self.listed = Some((update.wall, update.listed.clone()));
        }
        let (_, listed) = self.listed.as_ref().unwrap();
        for (source, time, idle) in update.sources.iter().filter(|(source, ..)| listed.contains(source)) {
            let state = self.sources.entry(*source).or_insert(SourceState {
                time: None,
                idle: false,
                at: i64::MIN,
            });
            state.time = state.time.max(*time);
            // A report that a source is not idle counts whatever its clock, because it can only delay the watermark.
            if state.at <= update.wall || !idle {
                (state.at, state.idle) = (update.wall, *idle);
            }
        }
        if self.sources.len() < listed.len() {
            hits.hit("watermark: waits for a partition");
            return false;
        }
        let before = self.watermark;
        let is_idle = |state: &&SourceState| state.idle && wall - state.at <= LEASE;
        if self.sources.values().any(|state| state.idle && wall - state.at > LEASE) {
            hits.hit("watermark: lease of idleness runs out");
        }
        let active: Vec<Option<i64>> = self
            .sources
            .values()
            .filter(|state| !is_idle(state))
            .map(|state| state.time)
            .collect();
        match active.iter().min() {
            None => {
                self.watermark = self.watermark.max(Some(update.clock));
                hits.hit("watermark: goes by the clock");
            }
            // The minimum is `None` if a source has had no activity.
            Some(earliest) => {
                self.by_activities = self.by_activities.max(*earliest);
                self.watermark = self.watermark.max(self.by_activities);
            }
        }
        self.watermark != before
    }
}
