use std::fmt;
use std::time::Duration;

use chrono::{Datelike, NaiveDate};

/// One tick is 100 ns, the resolution of a KQL `datetime`.
pub const TICKS_PER_SECOND: i64 = 10_000_000;
/// Ticks in a millisecond, the resolution of Kafka's timestamps.
pub const TICKS_PER_MILLISECOND: i64 = 10_000;
const TICKS_PER_DAY: i64 = 86_400 * TICKS_PER_SECOND;
/// Ticks between 0001-01-01 and 1970-01-01.
const UNIX_EPOCH: i64 = 719_162 * TICKS_PER_DAY;

/// A point in event time: ticks of 100 ns since 0001-01-01T00:00:00 UTC, as in a KQL `datetime`.
///
/// Times in records are between the years 1 and 9999. Arithmetic may leave that range and saturates at the ends of
/// `i64`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub struct EventTime(i64);

impl EventTime {
    /// A time before every time that a record can have.
    pub const MIN: Self = Self(i64::MIN);
    /// A time after every time that a record can have.
    pub const MAX: Self = Self(i64::MAX);
    /// 0001-01-01T00:00:00, the first time that a record can have.
    pub const FIRST: Self = Self(0);
    /// 9999-12-31T23:59:59.9999999, the last time that a record can have.
    pub const LAST: Self = Self(3_652_059 * TICKS_PER_DAY - 1);

    /// Returns the time that is `ticks` of 100 ns after 0001-01-01T00:00:00 UTC.
    pub const fn from_ticks(ticks: i64) -> Self {
        Self(ticks)
    }

    /// Returns the ticks of 100 ns since 0001-01-01T00:00:00 UTC.
    pub const fn ticks(self) -> i64 {
        self.0
    }

    /// Returns the time of a calendar date (proleptic Gregorian, UTC) plus `ticks` within the day, or `None` for a date
    /// that does not exist.
    pub fn from_date(year: i32, month: u32, day: u32, ticks: i64) -> Option<Self> {
        let date = NaiveDate::from_ymd_opt(year, month, day)?;
        let days = i64::from(date.num_days_from_ce()) - 1;
        Some(Self(days * TICKS_PER_DAY + ticks))
    }

    /// Returns the day of this time: whole days since 0001-01-01, negative before it.
    pub fn day(self) -> i64 {
        self.0.div_euclid(TICKS_PER_DAY)
    }

    /// Returns `self + duration`, at most [`EventTime::MAX`].
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(ticks(duration)))
    }

    /// Returns `self - duration`, at least [`EventTime::MIN`].
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(ticks(duration)))
    }

    /// Returns the next tick.
    #[must_use]
    pub fn next_tick(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Returns the wall time at which an accurate clock shows this time, rounded down to the millisecond.
    pub fn to_wall(self) -> WallTime {
        WallTime(self.0.saturating_sub(UNIX_EPOCH).div_euclid(TICKS_PER_MILLISECOND))
    }
}

/// Formats the time as ISO 8601 with `T`, seven fraction digits and `Z`, as KQL prints a `datetime`. A time outside the
/// calendar is printed as the nearest one within it.
impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = (*self).clamp(Self::FIRST, Self::LAST);
        // Within the calendar, the day number is far below `i32::MAX` and always a date.
        let day = i32::try_from(time.day() + 1).unwrap_or(1);
        let date = NaiveDate::from_num_days_from_ce_opt(day).unwrap_or_default();
        let ticks = time.0.rem_euclid(TICKS_PER_DAY);
        let seconds = ticks / TICKS_PER_SECOND;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:07}Z",
            date.year(),
            date.month(),
            date.day(),
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            ticks % TICKS_PER_SECOND
        )
    }
}

/// A point in wall time: milliseconds since 1970-01-01T00:00:00 UTC, as in a Kafka message's timestamp.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub struct WallTime(pub i64);

impl WallTime {
    /// Returns `self + duration`, saturating.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// Returns `self - duration`, saturating.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// Returns the time from `earlier` to this one, or zero if this one is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Returns the same moment in event time.
    pub fn to_event(self) -> EventTime {
        EventTime(self.0.saturating_mul(TICKS_PER_MILLISECOND).saturating_add(UNIX_EPOCH))
    }
}

fn ticks(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos() / 100).unwrap_or(i64::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_kql_prints_a_datetime() {
        let time = EventTime::from_date(2026, 3, 1, 36_000 * TICKS_PER_SECOND + 1).unwrap();
        assert_eq!(time.to_string(), "2026-03-01T10:00:00.0000001Z");
        assert_eq!(EventTime::FIRST.to_string(), "0001-01-01T00:00:00.0000000Z");
        assert_eq!(EventTime::LAST.to_string(), "9999-12-31T23:59:59.9999999Z");
        assert_eq!(EventTime::MIN.to_string(), EventTime::FIRST.to_string());
        assert_eq!(EventTime::MAX.to_string(), EventTime::LAST.to_string());
    }

    #[test]
    fn wall_time_and_event_time_name_the_same_moment() {
        let event = EventTime::from_date(1970, 1, 2, 5 * TICKS_PER_MILLISECOND).unwrap();
        assert_eq!(event.to_wall(), WallTime(86_400_005));
        assert_eq!(event.to_wall().to_event(), event);
        assert_eq!(EventTime::MAX.to_wall().to_event().plus(Duration::MAX), EventTime::MAX);
    }

    #[test]
    fn days_are_counted_downwards_before_the_first_one() {
        assert_eq!(EventTime::FIRST.day(), 0);
        assert_eq!(EventTime::from_ticks(-1).day(), -1);
    }
}
