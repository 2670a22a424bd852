//! Source partitions that are idle already when this instance takes them over. A new owner would find that out only
//! after `watermark.idle_timeout`. Until then, a partition without activities, such as one of alerts, would hold the
//! watermark back.
//!
//! JOIN keeps what the watermark updates of all routers say; ROUTE looks it up when a partition is assigned.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::join::SourceState;
use crate::route::Progress;
use crate::time::WallTime;

/// The latest mark of each source partition.
#[derive(Debug, Default)]
pub(super) struct IdleSources {
    updates: Mutex<BTreeMap<(String, u32), LastUpdate>>,
    /// Whether partitions were assigned since the last call of [`IdleSources::take_assigned`].
    has_assigned: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
struct LastUpdate {
    reported_at: WallTime,
    position: i64,
    idle: bool,
}

impl IdleSources {
    /// Takes over the watermarks of a state. A state that is not newer is ignored: the mark is the same, but its lease
    /// may have ended since.
    pub(super) fn update(&self, sources: &[SourceState]) {
        let mut updates = self.updates.lock().unwrap_or_else(PoisonError::into_inner);
        for source in sources {
            let mark = LastUpdate {
                reported_at: source.reported_at,
                position: source.position,
                idle: source.idle,
            };
            updates
                .entry((source.topic.clone(), source.partition))
                .and_modify(|known| {
                    if known.reported_at < mark.reported_at {
                        *known = mark;
                    }
                })
                .or_insert(mark);
        }
    }

    /// Begins the reading of a partition at a position. If a router marked it as idle, and everything that was not read
    /// before that mark is read now, it has had no activity since the idle timeout before the mark.
    pub(super) fn assign(&self, progress: &mut Progress, source: (&str, u32, i64), now: WallTime, timeout: Duration) {
        let (topic, partition, position) = source;
        progress.assign(topic, partition, position, now);
        let updates = self.updates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mark) = updates.get(&(topic.to_owned(), partition))
            && mark.idle
            && position <= mark.position
        {
            progress.inactive_since(topic, partition, mark.reported_at.minus(timeout));
        }
        drop(updates);
        self.has_assigned.store(true, Ordering::Relaxed);
    }

    /// Returns whether partitions were assigned since the last call.
    pub(super) fn take_assigned(&self) -> bool {
        self.has_assigned.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Idleness;

    const TIMEOUT: Duration = Duration::from_secs(60);

    fn mark(heard: i64, position: i64, idle: bool) -> SourceState {
        SourceState {
            topic: "t".into(),
            partition: 0,
            position,
            watermark: None,
            idle,
            reported_at: WallTime(heard),
            since: WallTime(heard),
            rejected: 0,
        }
    }

    /// Returns whether the partition is idle right after it was assigned at `position`, with this log-end offset.
    fn is_idle(sources: &IdleSources, position: i64, end: i64) -> bool {
        let mut progress = Progress::default();
        let now = WallTime(1_000_000);
        sources.assign(&mut progress, ("t", 0, position), now, TIMEOUT);
        assert!(sources.take_assigned() && !sources.take_assigned());
        let idleness = Idleness {
            timeout: TIMEOUT,
            out_of_orderness: Duration::ZERO,
        };
        assert!(
            !progress.source_watermarks(now, idleness)[0].idle,
            "its log-end offset is unknown"
        );
        progress.ended_at("t", 0, end, now);
        progress.source_watermarks(now, idleness)[0].idle
    }

    #[test]
    fn a_partition_that_was_idle_is_idle_as_soon_as_its_log_end_offset_is_known() {
        let sources = IdleSources::default();
        assert!(!is_idle(&sources, 7, 7), "there is no mark");
        sources.update(&[mark(990_000, 7, true)]);
        assert!(is_idle(&sources, 7, 7));
        assert!(is_idle(&sources, 5, 5), "records before the mark are read again");
        assert!(!is_idle(&sources, 7, 8), "a record has not been read");
        assert!(!is_idle(&sources, 8, 8), "another router read a record after the mark");
    }

    #[test]
    fn the_latest_mark_counts_even_after_its_lease_has_ended() {
        let sources = IdleSources::default();
        sources.update(&[mark(990_000, 7, true)]);
        sources.update(&[mark(990_000, 7, false)]);
        assert!(is_idle(&sources, 7, 7), "the router has died, but its mark is still true");
        sources.update(&[mark(991_000, 9, false)]);
        assert!(!is_idle(&sources, 7, 7), "an activity was read");
    }
}
