use super::random::Random;
use crate::time::EventTime;

/// A format for times: one of the ISO 8601 variants that occur in real records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimeForm {
    /// Minimum number of fraction digits, 0 to 7. A time that needs more digits gets them, so that no format changes a
    /// time.
    pub digits: u8,
    /// Whether `Z` follows. A time without a zone is in UTC, so its meaning is the same.
    pub zone: bool,
    /// The character between date and time: `T`, or a space as in some `Data` strings.
    pub separator: char,
}

impl TimeForm {
    /// `2026-03-01T10:00:00.0000000Z`, the format in which KQL prints a `datetime`.
    pub const FULL: Self = Self::zulu(7);

    /// Returns the format with `T`, `Z` and this number of fraction digits.
    pub const fn zulu(digits: u8) -> Self {
        Self {
            digits,
            zone: true,
            separator: 'T',
        }
    }

    /// Draws a format as often as it occurs in real records.
    pub(super) fn draw(random: &Random) -> Self {
        let (digits, zone) = match random.below(20) {
            0..=8 => (0, true),
            9..=12 => (0, false),
            13..=14 => (3, true),
            15..=16 => (7, true),
            17..=18 => (random.between(1, 6), true),
            _ => (random.between(1, 7), false),
        };
        Self {
            digits: digits as u8,
            zone,
            separator: 'T',
        }
    }

    /// Returns `time` in this format.
    pub(super) fn text(self, time: EventTime) -> String {
        let mut text = time.to_string();
        text.pop();
        let needed = text.trim_end_matches('0').len();
        let length = if self.digits == 0 { 19 } else { 20 + usize::from(self.digits) };
        // Without a fraction, what is needed ends with the point, or before it.
        let digits = if needed <= 20 { length } else { length.max(needed) };
        text.truncate(digits);
        if self.separator != 'T' {
            text = text.replace('T', &self.separator.to_string());
        }
        if self.zone {
            text.push('Z');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::TICKS_PER_SECOND;

    #[test]
    fn a_form_never_changes_a_time() {
        let at = |fraction| EventTime::from_date(2026, 3, 1, 36_000 * TICKS_PER_SECOND + fraction).unwrap();
        let time = at(1_230_000);
        assert_eq!(TimeForm::FULL.text(time), time.to_string());
        assert_eq!(TimeForm::zulu(0).text(time), "2026-03-01T10:00:00.123Z");
        assert_eq!(TimeForm::zulu(0).text(at(0)), "2026-03-01T10:00:00Z");
        assert_eq!(TimeForm::zulu(1).text(at(0)), "2026-03-01T10:00:00.0Z");
        let spaced = TimeForm {
            digits: 4,
            zone: false,
            separator: ' ',
        };
        assert_eq!(spaced.text(time), "2026-03-01 10:00:00.1230");
    }
}
