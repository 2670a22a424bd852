//! Parses times in the spellings that the two tables use.

use crate::time::{EventTime, TICKS_PER_SECOND};

/// Parses an ISO 8601 time: `YYYY-MM-DD`, a `T` or a space, and `hh:mm:ss`. A point and 1 to 9 digits may follow; the
/// digits after the seventh (100 ns) are discarded. A zone may follow: `Z`, `+hh:mm`, `+hhmm` or `+hh`, or one with
/// `-`, up to 23:59. Letters may have either case. A time without a zone is in UTC.
///
/// Returns `None` for any other text, for a date that does not exist, for a leap second, and for a time that is outside
/// the years 1 to 9999 in UTC.
pub fn parse(text: &str) -> Option<EventTime> {
    let mut rest = Rest(text.as_bytes());
    let year = rest.number(4)?;
    rest.one_of(b"-")?;
    let month = rest.number(2)?;
    rest.one_of(b"-")?;
    let day = rest.number(2)?;
    rest.one_of(b"Tt ")?;
    let hour = rest.number(2).filter(|hour| *hour <= 23)?;
    rest.one_of(b":")?;
    let minute = rest.number(2).filter(|minute| *minute <= 59)?;
    rest.one_of(b":")?;
    let second = rest.number(2).filter(|second| *second <= 59)?;
    let fraction = match rest.one_of(b".") {
        Some(_) => rest.fraction()?,
        None => 0,
    };
    let offset = rest.offset()?;
    if year == 0 || !rest.0.is_empty() {
        return None;
    }
    let seconds = i64::from((hour * 60 + minute) * 60 + second) - offset;
    let time = EventTime::from_date(i32::try_from(year).ok()?, month, day, seconds * TICKS_PER_SECOND + fraction)?;
    (EventTime::FIRST..=EventTime::LAST).contains(&time).then_some(time)
}

/// The bytes that have not been read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn one_of(&mut self, allowed: &[u8]) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        if !allowed.contains(&first) {
            return None;
        }
        self.0 = rest;
        Some(first)
    }

    /// Reads a number of exactly this many digits, which may be up to nine.
    fn number(&mut self, digits: usize) -> Option<u32> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        number.iter().try_fold(0, |sum, digit| match digit {
            b'0'..=b'9' => Some(sum * 10 + u32::from(digit - b'0')),
            _ => None,
        })
    }

    /// Reads the digits after the point, and returns them in ticks of 100 ns.
    fn fraction(&mut self) -> Option<i64> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=9).contains(&digits) {
            return None;
        }
        let number = i64::from(self.number(digits)?);
        Some((0..9 - digits).fold(number, |scaled, _| scaled * 10) / 100)
    }

    /// Reads the zone, and returns it in seconds east of UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.0.is_empty() || self.one_of(b"Zz").is_some() {
            return Some(0);
        }
        let sign = if self.one_of(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.number(2).filter(|hours| *hours <= 23)?;
        let minutes = match (self.one_of(b":"), self.0) {
            (None, []) => 0,
            _ => self.number(2).filter(|minutes| *minutes <= 59)?,
        };
        Some(sign * i64::from((hours * 60 + minutes) * 60))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_is_read() {
        for (text, expected) in [
            ("2026-03-01T10:00:00", "2026-03-01T10:00:00.0000000Z"),
            ("2026-03-01 10:00:00", "2026-03-01T10:00:00.0000000Z"),
            ("2026-03-01t10:00:00z", "2026-03-01T10:00:00.0000000Z"),
            ("2026-03-01T10:00:00.1Z", "2026-03-01T10:00:00.1000000Z"),
            ("2026-03-01T10:00:00.1234567Z", "2026-03-01T10:00:00.1234567Z"),
            ("2026-03-01T10:00:00.12345678", "2026-03-01T10:00:00.1234567Z"),
            ("2026-03-01T10:00:00.123456799+00:00", "2026-03-01T10:00:00.1234567Z"),
            ("2026-03-01T10:00:00+01:30", "2026-03-01T08:30:00.0000000Z"),
            ("2026-03-01T10:00:00.5-0130", "2026-03-01T11:30:00.5000000Z"),
            ("2026-03-01 10:00:00-11", "2026-03-01T21:00:00.0000000Z"),
            ("2026-03-01T23:30:00-23:59", "2026-03-02T23:29:00.0000000Z"),
            ("2026-03-01T00:00:00+00:01", "2026-02-28T23:59:00.0000000Z"),
            ("2026-03-01T10:00:00-00:00", "2026-03-01T10:00:00.0000000Z"),
            ("2024-02-29T23:59:59.9999999Z", "2024-02-29T23:59:59.9999999Z"),
            ("0001-01-01T00:00:00", "0001-01-01T00:00:00.0000000Z"),
            ("0001-01-01T01:00:00+01:00", "0001-01-01T00:00:00.0000000Z"),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.9999999Z"),
        ] {
            assert_eq!(parse(text).map(|time| time.to_string()).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "now",
            "2026-03-01",
            "2026-03-01T10:00",
            "2026-03-01T10:00Z",
            "2026-03-01T10",
            "2026-03-01  10:00:00",
            "2026-03-01_10:00:00",
            " 2026-03-01T10:00:00",
            "2026-03-01T10:00:00 ",
            "2026-03-01T10:00:00 Z",
            "2026-03-01T10:00:00ZZ",
            "2026-03-01T10:00:00.",
            "2026-03-01T10:00:00.Z",
            "2026-03-01T10:00:00,5Z",
            "2026-03-01T10:00:00.1234567890Z",
            "2026-03-01T24:00:00",
            "2026-03-01T10:60:00",
            "2026-03-01T10:00:60",
            "2026-12-31T23:59:60Z",
            "2026-02-29T00:00:00",
            "2026-00-01T00:00:00",
            "2026-13-01T00:00:00",
            "2026-04-31T00:00:00",
            "2026-04-00T00:00:00",
            "0000-12-31T23:59:59",
            "0000-12-31T23:59:59-01:00",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "10000-01-01T00:00:00",
            "+2026-03-01T10:00:00",
            "-2026-03-01T10:00:00",
            "2026-3-1T10:00:00",
            "20260301T100000Z",
            "2026-03-01T10:00:00+",
            "2026-03-01T10:00:00+1",
            "2026-03-01T10:00:00+01:",
            "2026-03-01T10:00:00+01:0",
            "2026-03-01T10:00:00+01:60",
            "2026-03-01T10:00:00+24:00",
            "2026-03-01T10:00:00+010",
            "2026-03-01T10:00:00+01000",
            "2026-03-01T10:00:00+01:000",
            "2026-03-01T10:00:00Z+01",
            "2026-03-01T1 :00:00",
            "２026-03-01T10:00:00",
            "/Date(1772359200000)/",
            "1772359200",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(ticks in 0..=EventTime::LAST.ticks()) {
            let time = EventTime::from_ticks(ticks);
            prop_assert_eq!(parse(&time.to_string()), Some(time));
        }

        #[test]
        fn no_text_does_harm(text in "\\PC*", near in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-9]{2}:[0-9]{2}:[0-9]{2}[-+:.0-9Zé]{0,8}") {
            let (_, _) = (parse(&text), parse(&near));
        }
    }
}
