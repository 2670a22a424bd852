//! Formats numbers and durations in sentences, in the same way for every command, log line and page, and finds the name
//! that somebody may have meant.

use std::time::Duration;

/// Formats `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Formats a number with what it counts, whose singular is `noun`: `1 activity`, `1,200 dead letters`.
pub fn counted(number: u64, noun: &str) -> String {
    let plural = match noun.strip_suffix('y') {
        _ if number == 1 => noun.to_owned(),
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ => format!("{noun}s"),
    };
    format!("{} {plural}", grouped(number))
}

/// Returns the name whose spelling is most similar to `name`, if the similarity, from 0 to 1, is at least `least`.
pub fn nearest<'n>(name: &str, names: impl IntoIterator<Item = &'n str>, least: f64) -> Option<&'n str> {
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(name, known);
    let alike = names.into_iter().filter(|known| likeness(known) >= least);
    alike.max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
}

/// The similarity from which on a known name may be what somebody meant by another one.
pub const ALIKE: f64 = 0.5;

/// Formats a duration as in settings, with a space before units that are words: `30 days`, `1 day 2h 30m`, `250ms`.
pub fn duration(duration: Duration) -> String {
    let text = humantime::format_duration(duration).to_string();
    let spaced = text.split(' ').map(|part| {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        match part.split_at_checked(digits) {
            Some((number, unit)) if unit.len() > 2 => format!("{number} {unit}"),
            _ => part.to_owned(),
        }
    });
    spaced.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn one_is_singular_and_nothing_else() {
        for (number, noun, text) in [
            (0, "pair", "0 pairs"),
            (1, "pair", "1 pair"),
            (1, "activity", "1 activity"),
            (2_000, "activity", "2,000 activities"),
            (2, "key", "2 keys"),
            (3, "dead letter", "3 dead letters"),
        ] {
            assert_eq!(counted(number, noun), text);
        }
    }

    #[test]
    fn durations_have_spaces_before_words() {
        for (seconds, text) in [
            (0, "0s"),
            (90, "1m 30s"),
            (43_200, "12h"),
            (86_400, "1 day"),
            (95_400, "1 day 2h 30m"),
            (30 * 86_400, "30 days"),
            (2 * 31_557_600, "2 years"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
        assert_eq!(duration(Duration::from_millis(250)), "250ms");
    }
}
