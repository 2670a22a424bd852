//! Determines, from what was read, how far the output must be complete and which rows may depend on records that are
//! gone.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::route::Seen;
use crate::time::{EventTime, WallTime};

/// The range in which the output must be complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reach {
    /// Windows that end at this time or earlier are certainly closed.
    pub watermark: EventTime,
    /// Rows before this time may be missing and need not be corrected.
    pub cutoff: EventTime,
    /// Rows of activities before this time may have been in records that the output no longer contains;
    /// [`EventTime::MIN`] if the output contains all records.
    pub output_from: EventTime,
    /// Records with times before this one may be missing in the input that was read; [`EventTime::MIN`] if the input
    /// was read completely.
    pub input_from: EventTime,
    /// The place where the processor began to read.
    pub start: StartPosition,
}

/// The place where the processor began to read the input.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum StartPosition {
    /// The same place as this comparison.
    #[default]
    Here,
    /// The end of the input when the processor first started. Which records were before it is not known.
    Latest,
}

impl Reach {
    /// Returns the reach for a link whose retention is shorter by this duration.
    #[must_use]
    pub(super) fn with_shorter_retention(self, shorter: Duration) -> Self {
        let cutoff = match self.cutoff {
            EventTime::MIN => EventTime::MIN,
            cutoff => cutoff.plus(shorter),
        };
        Self { cutoff, ..self }
    }

    /// Returns whether records are missing in the input that was read.
    pub fn is_input_cut(self) -> bool {
        self.input_from > EventTime::MIN
    }
}

/// The reach of a batch: every window is closed and nothing has expired.
impl Default for Reach {
    fn default() -> Self {
        Self {
            watermark: EventTime::MAX,
            cutoff: EventTime::MIN,
            output_from: EventTime::MIN,
            input_from: EventTime::MIN,
            start: StartPosition::Here,
        }
    }
}

/// The settings that decide when windows close and when records expire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReachSettings {
    /// `watermark.out_of_orderness`
    pub out_of_orderness: Duration,
    /// `watermark.idle_timeout`
    pub idle_timeout: Duration,
    /// `state.retention`
    pub retention: Duration,
    /// `watermark.max_future_skew`
    pub max_future_skew: Duration,
}

/// The records that were read from the source partitions, and the times before which records are gone.
#[derive(Default, Debug)]
pub struct Sources {
    /// For each topic and partition, the greatest activity time that may move the watermark.
    latest: BTreeMap<(String, i32), EventTime>,
    /// The greatest such time of topics that are no longer inputs.
    former: Option<EventTime>,
    /// The time when the last message arrived.
    newest: Option<WallTime>,
    /// Records of the input that arrived before this time are gone.
    input_gone: Option<EventTime>,
    /// Records of the output that were sent before this time are gone.
    output_gone: Option<EventTime>,
    /// The longest time by which an activity's time was ahead of its arrival.
    lead: Duration,
    start: StartPosition,
}

impl Sources {
    /// Adds the result of reading messages of a partition. The last of them arrived at `timestamp`.
    pub fn add_read(&mut self, topic: &str, partition: i32, seen: &Seen, timestamp: Option<WallTime>) {
        self.newest = self.newest.max(timestamp);
        let Some(latest) = seen.latest else { return };
        let known = self.latest.entry((topic.to_owned(), partition)).or_insert(latest);
        *known = latest.max(*known);
    }

    /// Adds the result of reading messages of a former input topic. The watermark does not wait for it.
    pub fn add_former(&mut self, seen: &Seen) {
        self.former = self.former.max(seen.latest);
    }

    /// Notes that records of the input that arrived before this time are gone. [`EventTime::MAX`] means that the time
    /// is not known.
    pub fn set_input_gone(&mut self, before: EventTime) {
        self.input_gone = self.input_gone.max(Some(before));
    }

    /// Notes that records of the output that were sent before this time are gone. [`EventTime::MAX`] means that the
    /// time is not known.
    pub fn set_output_gone(&mut self, before: EventTime) {
        self.output_gone = self.output_gone.max(Some(before));
    }

    /// Adds the longest time by which an activity's time was ahead of its arrival.
    pub fn add_lead(&mut self, lead: Duration) {
        self.lead = self.lead.max(lead);
    }

    /// Sets where the processor began to read.
    pub fn set_start(&mut self, start: StartPosition) {
        self.start = start;
    }

    /// Returns how far a processor that has read everything has certainly progressed. Idle partitions may have allowed
    /// it to progress further. `now` is the wall-clock time.
    ///
    /// The watermark is the least over all partitions. If no message has arrived for longer than the idle timeout, it
    /// is at least the time to which the clock alone moves it. The retention cut-off is the latest one that is
    /// possible, because the order of arrival is not known.
    ///
    /// No row is sent before its activity arrives, and a record arrives before its own time only by as much as clocks
    /// are wrong. So records that are gone cannot contain rows or activities after that time.
    pub fn reach(&self, settings: ReachSettings, now: WallTime) -> Reach {
        let ReachSettings {
            out_of_orderness,
            idle_timeout,
            retention,
            max_future_skew,
        } = settings;
        let slowest = self.latest.values().min().map(|latest| latest.minus(out_of_orderness));
        let is_idle = self.newest.is_none_or(|newest| now.since(newest) > idle_timeout);
        let clock = now.minus(idle_timeout).to_event().minus(out_of_orderness);
        let fastest = self.latest.values().copied().max().max(self.former);
        let not_before = |gone: Option<EventTime>, margin| gone.map_or(EventTime::MIN, |gone| gone.plus(margin));
        Reach {
            watermark: slowest.max(is_idle.then_some(clock)).unwrap_or(EventTime::MIN),
            cutoff: fastest.map_or(EventTime::MIN, |fastest| fastest.minus(out_of_orderness).minus(retention)),
            output_from: not_before(self.output_gone, max_future_skew.max(self.lead)),
            input_from: not_before(self.input_gone, max_future_skew.saturating_add(out_of_orderness)),
            start: self.start,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: ReachSettings = ReachSettings {
        out_of_orderness: Duration::from_secs(300),
        idle_timeout: Duration::from_secs(60),
        retention: Duration::from_secs(3_600),
        max_future_skew: Duration::from_secs(600),
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
        sources.add_read("a", 0, &seen(100), Some(at(100).to_wall()));
        sources.add_read("a", 0, &seen(90), Some(at(101).to_wall()));
        sources.add_read("a", 1, &seen(80), Some(at(102).to_wall()));
        sources.add_read("alerts", 0, &Seen::default(), Some(at(99).to_wall()));
        sources
    }

    #[test]
    fn rows_of_a_link_with_a_shorter_retention_expire_earlier() {
        let shorter = Duration::from_secs(600);
        let reach = Reach {
            cutoff: at(10),
            ..Reach::default()
        };
        assert_eq!(reach.with_shorter_retention(shorter).cutoff, at(20));
        assert_eq!(Reach::default().with_shorter_retention(shorter), Reach::default());
    }

    #[test]
    fn the_slowest_partition_decides_while_messages_arrive() {
        let reach = sources().reach(SETTINGS, at(103).to_wall());
        assert_eq!(reach.watermark, at(75));
        assert_eq!(
            reach.cutoff,
            at(35),
            "the fastest partition decides which rows may have expired"
        );
    }

    #[test]
    fn the_clock_decides_when_no_messages_arrive() {
        assert_eq!(sources().reach(SETTINGS, at(200).to_wall()).watermark, at(194));
        assert_eq!(Sources::default().reach(SETTINGS, at(200).to_wall()).watermark, at(194));
        assert_eq!(Sources::default().reach(SETTINGS, at(200).to_wall()).cutoff, EventTime::MIN);
    }

    #[test]
    fn a_former_input_does_not_hold_back_the_watermark() {
        let mut sources = sources();
        let seen = |minute| Seen {
            latest: Some(at(minute)),
            ..Seen::default()
        };
        sources.add_former(&seen(10));
        assert_eq!(
            sources.reach(SETTINGS, at(103).to_wall()),
            self::sources().reach(SETTINGS, at(103).to_wall())
        );
        sources.add_former(&seen(110));
        let reach = sources.reach(SETTINGS, at(103).to_wall());
        assert_eq!((reach.watermark, reach.cutoff), (at(75), at(45)));
    }

    #[test]
    fn the_rows_that_may_be_gone_are_bounded_by_the_clocks() {
        let mut sources = sources();
        let whole = sources.reach(SETTINGS, at(103).to_wall());
        assert_eq!((whole.output_from, whole.input_from), (EventTime::MIN, EventTime::MIN));
        assert!(!whole.is_input_cut());
        sources.set_output_gone(at(20));
        sources.set_output_gone(at(10));
        sources.set_input_gone(at(30));
        let reach = sources.reach(SETTINGS, at(103).to_wall());
        assert_eq!((reach.output_from, reach.input_from), (at(30), at(45)));
        assert!(reach.is_input_cut());
        sources.add_lead(Duration::from_secs(1_200));
        assert_eq!(sources.reach(SETTINGS, at(103).to_wall()).output_from, at(40));
        sources.set_output_gone(EventTime::MAX);
        assert_eq!(sources.reach(SETTINGS, at(103).to_wall()).output_from, EventTime::MAX);
    }
}
