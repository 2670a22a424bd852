//! How far an answer can be expected to be there, from what was read of the input.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::route::Seen;
use crate::time::{EventTime, WallTime};

/// How far an answer can be expected to be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reach {
    /// Windows that end here or before have closed for certain.
    pub watermark: EventTime,
    /// What lies before it need neither be there nor be corrected.
    pub horizon: EventTime,
}

/// Everything: every window has closed, and nothing is forgotten. That is the answer of the batch.
impl Default for Reach {
    fn default() -> Self {
        Self {
            watermark: EventTime::MAX,
            horizon: EventTime::MIN,
        }
    }
}

/// The settings that decide when an answer comes, and what is forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// `watermark.out_of_orderness`
    pub out_of_orderness: Duration,
    /// `watermark.idle_timeout`
    pub idle_timeout: Duration,
    /// `state.retention`
    pub retention: Duration,
}

/// What was read of the source partitions.
#[derive(Default, Debug)]
pub struct Sources {
    /// Of each topic and partition the greatest activity time that may move the watermark.
    latest: BTreeMap<(String, i32), EventTime>,
    /// When the last message came.
    newest: Option<WallTime>,
}

impl Sources {
    /// Takes in what messages of a partition held, the last of which came at `timestamp`.
    pub fn read(&mut self, topic: &str, partition: i32, seen: &Seen, timestamp: Option<WallTime>) {
        self.newest = self.newest.max(timestamp);
        let Some(latest) = seen.latest else { return };
        let known = self.latest.entry((topic.to_owned(), partition)).or_insert(latest);
        *known = latest.max(*known);
    }

    /// How far a processor that has read all of it is for certain: partitions that are idle may have let it go further. `now` is the clock.
    ///
    /// The watermark is the least over all partitions; when no message has come for longer than the time-out, it is also where the clock
    /// alone moves it. The horizon is the furthest that retention can have moved, since no order of arrival is known.
    pub fn reach(&self, patience: Patience, now: WallTime) -> Reach {
        let Patience {
            out_of_orderness,
            idle_timeout,
            retention,
        } = patience;
        let least = self.latest.values().min().map(|latest| latest.minus(out_of_orderness));
        let is_quiet = self.newest.is_none_or(|newest| now.since(newest) > idle_timeout);
        let clock = now.minus(idle_timeout).to_event().minus(out_of_orderness);
        let most = self.latest.values().max();
        Reach {
            watermark: least.max(is_quiet.then_some(clock)).unwrap_or(EventTime::MIN),
            horizon: most.map_or(EventTime::MIN, |most| most.minus(out_of_orderness).minus(retention)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        out_of_orderness: Duration::from_secs(300),
        idle_timeout: Duration::from_secs(60),
        retention: Duration::from_secs(3_600),
    };

    fn at(minute: u32) -> EventTime {
        EventTime::from_date(2026, 3, 1, i64::from(minute) * 600_000_000).unwrap()
    }

    fn sources() -> Sources {
        let mut sources = Sources::default();
        let seen = |minute| Seen {
            latest: Some(at(minute)),
            ..Seen::default()
        };
        sources.read("a", 0, &seen(100), Some(at(100).to_wall()));
        sources.read("a", 0, &seen(90), Some(at(101).to_wall()));
        sources.read("a", 1, &seen(80), Some(at(102).to_wall()));
        sources.read("alerts", 0, &Seen::default(), Some(at(99).to_wall()));
        sources
    }

    #[test]
    fn the_slowest_partition_decides_while_messages_come() {
        let reach = sources().reach(PATIENCE, at(103).to_wall());
        assert_eq!(reach.watermark, at(75));
        assert_eq!(reach.horizon, at(35), "the fastest partition decides what may be forgotten");
    }

    #[test]
    fn the_clock_decides_when_none_come() {
        assert_eq!(sources().reach(PATIENCE, at(200).to_wall()).watermark, at(194));
        assert_eq!(Sources::default().reach(PATIENCE, at(200).to_wall()).watermark, at(194));
        assert_eq!(Sources::default().reach(PATIENCE, at(200).to_wall()).horizon, EventTime::MIN);
    }
}
