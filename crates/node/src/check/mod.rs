//! Judges whether the processor will work with the existing topics, and whether the settings fit their records.
//!
//! [`topics`] judges the topics, [`sample`] decodes records like the processor and judges them, and [`hints`] finds out
//! why alerts match few activities, in a sample or in a run over files. Their input comes from a broker, but nothing
//! here contacts one, prints, or keeps more of a record than its key. A [`Finding`] is a sentence that includes a
//! remedy for the user. This module relies on [`decode`](crate::decode). The running processor uses the same rules for
//! its warnings ([`traffic`]).

pub mod hints;
pub mod sample;
pub mod topics;
pub mod traffic;

use serde::Serialize;

/// The severity of a finding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Everything is correct.
    Ok,
    /// Additional information.
    Note,
    /// It will work, but probably not as intended.
    Warning,
    /// It will not work.
    Error,
}

/// A result of a check.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// Its subject: `broker`, `topics`, `permissions`, `records` or `links`.
    pub section: &'static str,
    /// Its severity.
    pub level: Level,
    /// The sentence.
    pub text: String,
}

/// Findings, in the order of the checks.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Adds a finding.
    pub fn add(&mut self, section: &'static str, level: Level, text: impl Into<String>) {
        let text = text.into();
        self.0.push(Finding { section, level, text });
    }

    /// Adds the findings of `other`.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Returns all findings.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// Returns the number of findings of a level.
    pub fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }
}

/// Formats a part of a whole, such as `12.5 %`.
fn percent(part: u64, whole: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shares are for people")]
    let share = 100.0 * part as f64 / whole.max(1) as f64;
    match share {
        0.0 => "none".to_owned(),
        share if share < 0.1 => "less than 0.1 %".to_owned(),
        share if share >= 100.0 => "100 %".to_owned(),
        share => format!("{:.1} %", share.min(99.9)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_round_to_all_or_nothing() {
        for (part, whole, expected) in [
            (0, 0, "none"),
            (0, 9, "none"),
            (1, 10_000, "less than 0.1 %"),
            (1, 8, "12.5 %"),
            (9_999, 10_000, "99.9 %"),
            (7, 7, "100 %"),
        ] {
            assert_eq!(percent(part, whole), expected, "{part} of {whole}");
        }
    }

    #[test]
    fn levels_are_counted() {
        let mut findings = Findings::default();
        findings.add("broker", Level::Ok, "a");
        findings.add("topics", Level::Error, "b");
        findings.add("topics", Level::Error, "c");
        let counts = [Level::Ok, Level::Warning, Level::Error].map(|level| findings.count(level));
        assert_eq!(counts, [1, 0, 2]);
    }
}
