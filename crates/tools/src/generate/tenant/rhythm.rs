use crate::generate::random::Random;
use crate::generate::tables::ticks;
use crate::time::{EventTime, TICKS_PER_SECOND};

/// The activity in each hour of a working day, relative to its busiest hour.
const WORKING_DAY: [u64; 24] = [
    3, 2, 2, 2, 3, 6, 15, 45, 85, 100, 95, 90, 70, 80, 95, 95, 85, 65, 40, 25, 18, 12, 8, 5,
];
/// The factor by which a day of the weekend is quieter.
const WEEKEND: u64 = 4;
const HOUR: i64 = 3600 * TICKS_PER_SECOND;

/// Spreads activities over the span as in a real tenant: busy in office hours, quiet at night and on weekends.
#[derive(Debug)]
pub(super) struct Rhythm {
    start: EventTime,
    /// The end of each hour, and the sum of the weights up to it.
    hours: Vec<(EventTime, u64)>,
}

impl Rhythm {
    pub(super) fn new(start: EventTime, span: std::time::Duration) -> Self {
        let end = EventTime::from_ticks(start.ticks() + (ticks(span) as i64).max(1));
        let (mut hours, mut from, mut total) = (Vec::new(), start, 0);
        while from < end {
            let next = EventTime::from_ticks(from.ticks() - from.ticks().rem_euclid(HOUR) + HOUR).min(end);
            total += weight(from) * (next.ticks() - from.ticks()) as u64;
            hours.push((next, total));
            from = next;
        }
        Self { start, hours }
    }

    /// Returns the time at which `part` of `whole` activities have happened.
    pub(super) fn at(&self, part: u64, whole: u64) -> EventTime {
        let total = self.hours.last().map_or(0, |(_, total)| *total);
        let position = u128::from(part) * u128::from(total) / u128::from(whole.max(1));
        self.at_weight(position as u64)
    }

    /// Draws a time, busy hours more often than quiet ones.
    pub(super) fn draw(&self, random: &Random) -> EventTime {
        let total = self.hours.last().map_or(0, |(_, total)| *total);
        self.at_weight(random.below(total))
    }

    /// Returns the end of the span.
    pub(super) fn end(&self) -> EventTime {
        self.hours.last().map_or(self.start, |(end, _)| *end)
    }

    fn at_weight(&self, position: u64) -> EventTime {
        let hour = self.hours.partition_point(|(_, upto)| *upto <= position);
        let (from, before) = match hour.checked_sub(1) {
            Some(last) => self.hours[last],
            None => (self.start, 0),
        };
        if hour == self.hours.len() {
            return from;
        }
        EventTime::from_ticks(from.ticks() + ((position - before) / weight(from)) as i64)
    }
}

fn weight(time: EventTime) -> u64 {
    let hour = time.ticks().rem_euclid(24 * HOUR) / HOUR;
    let busy = WORKING_DAY[hour as usize % 24];
    // The first day of the calendar is a Monday.
    if time.day().rem_euclid(7) >= 5 {
        (busy / WEEKEND).max(1)
    } else {
        busy
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn offices_are_busy_and_nights_are_quiet() {
        // A Monday.
        let start = EventTime::from_date(2026, 3, 2, 0).unwrap();
        let rhythm = Rhythm::new(start, Duration::from_secs(7 * 86_400));
        let times: Vec<EventTime> = (0..10_000).map(|part| rhythm.at(part, 10_000)).collect();
        assert!(times.is_sorted());
        assert_eq!((times[0], rhythm.at(10_000, 10_000)), (start, rhythm.end()));
        let count = |day: i64, from: i64, to: i64| {
            let at = |hour: i64| EventTime::from_ticks(start.ticks() + (day * 24 + hour) * HOUR);
            times.iter().filter(|time| (at(from)..at(to)).contains(time)).count()
        };
        assert!(count(1, 9, 12) > 20 * count(1, 0, 3).max(1));
        let (friday, saturday) = (count(4, 0, 24), count(5, 0, 24));
        assert!(friday > 3 * saturday && saturday > friday / 6, "{friday} {saturday}");
    }

    #[test]
    fn a_span_may_begin_and_end_anywhere() {
        for span in [Duration::from_nanos(100), Duration::from_secs(90), Duration::from_secs(5_000)] {
            let start =
                EventTime::from_ticks(EventTime::from_date(2026, 3, 2, 0).unwrap().ticks() + 35_999 * TICKS_PER_SECOND + 7);
            let rhythm = Rhythm::new(start, span);
            assert_eq!(rhythm.end(), start.plus(span));
            for part in 0..50 {
                assert!((start..=rhythm.end()).contains(&rhythm.at(part, 50)), "{span:?} {part}");
            }
        }
    }
}
