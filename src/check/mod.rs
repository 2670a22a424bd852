//! Judging what was found: whether the processor will work with the topics there are, and what the records in them say about the settings.
//!
//! [`topics`] judges the topics, [`sample`] reads records with the decoder that the processor has and judges those, and
//! [`hints`] says why alerts find few activities, in a sample or in a run over files. All are given what a
//! broker said; nothing here asks one, prints, or holds more of a record than its key. A [`Finding`] is a sentence for people; the first word of
//! what to do stands in it. It relies on [`decode`](crate::decode). What the processor warns of while it runs
//! it finds by the same rules ([`traffic`]).

pub mod hints;
pub mod sample;
pub mod topics;
pub mod traffic;

use serde::Serialize;

/// How much a finding matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// It will work, but probably not as meant.
    Warning,
    /// It will not work.
    Error,
}

/// Something that was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What it is about: `broker`, `topics`, `permissions` or `records`.
    pub section: &'static str,
    /// How much it matters.
    pub level: Level,
    /// The sentence.
    pub text: String,
}

/// What was found, in the order in which it was looked for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// Adds a finding.
    pub fn add(&mut self, section: &'static str, level: Level, text: impl Into<String>) {
        let text = text.into();
        self.0.push(Finding { section, level, text });
    }

    /// Adds those of `other`.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// How many there are of a level.
    pub fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }
}

/// What part of a whole it is, as `12.5 %`.
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
        for (part, whole, said) in [
            (0, 0, "none"),
            (0, 9, "none"),
            (1, 10_000, "less than 0.1 %"),
            (1, 8, "12.5 %"),
            (9_999, 10_000, "99.9 %"),
            (7, 7, "100 %"),
        ] {
            assert_eq!(percent(part, whole), said, "{part} of {whole}");
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
