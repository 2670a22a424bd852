//! Checks the processor's output. The expected output follows only from what was sent.

use std::collections::BTreeMap;
use std::time::Duration;

use super::traffic::Expected;

/// Whether records may be repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeats {
    /// Records may be repeated with the same id and seq, after a crash.
    Allowed,
    /// Records may not be repeated, because delivery is exactly once.
    Forbidden,
}

/// A row of the output topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReceivedRow {
    /// Its id. Of several rows with one id, readers keep one.
    pub id: u128,
    /// Its sequence number. Of two rows with one id, the one with the greater seq counts.
    pub seq: i64,
    /// Whether it adds the pair or deletes it.
    pub is_there: bool,
    /// The number of its alert. `None` if the alert was never sent.
    pub alert: Option<u64>,
    /// The event time of its activity, in ticks.
    pub activity: i64,
}

/// The last state of a pair.
#[derive(Clone, Copy, Debug)]
struct PairState {
    seq: i64,
    is_there: bool,
    activity: i64,
    /// The time when it first arrived.
    arrived: Duration,
}

#[derive(Debug, Default)]
struct AlertOutput {
    expected: Option<Expected>,
    rows: BTreeMap<u128, PairState>,
}

/// The output for all alerts of a trial, as far as it has arrived.
#[derive(Debug, Default)]
pub struct TrialOutput {
    alerts: BTreeMap<u64, AlertOutput>,
    /// Rows of alerts that were never sent.
    strange: u64,
    rows: u64,
    repeated: u64,
    expected: u64,
    pairs: u64,
}

/// The judgement of the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Judgement {
    /// Alerts that were sent.
    pub alerts: u64,
    /// Expected pairs.
    pub pairs: u64,
    /// Expected pairs that are missing.
    pub missing: u64,
    /// Pairs that were not expected.
    pub unexpected: u64,
    /// Rows that were repeated, with the same id and seq.
    pub repeated: u64,
    /// Whether the output is exactly as expected. `None` if the trial could not be judged.
    pub exact: Option<bool>,
}

impl TrialOutput {
    /// Adds the expected output for an alert. Returns, for each row that arrived before, when the window closed and how
    /// long the row took.
    pub fn expect(&mut self, expected: Expected) -> Vec<(Duration, Duration)> {
        self.expected += expected.activities.len() as u64;
        let closes = expected.closes;
        let alert = self.alerts.entry(expected.alert).or_default();
        alert.expected = Some(expected);
        let took = |pair: &PairState| (closes, pair.arrived.saturating_sub(closes));
        alert.rows.values().map(took).collect()
    }

    /// Adds a row that arrived at this time. For the first row of a pair, returns when the window closed and how long
    /// the row took. Returns `None` if that is not known yet, and for every other row.
    pub fn row(&mut self, row: ReceivedRow, arrived: Duration) -> Option<(Duration, Duration)> {
        self.rows += 1;
        let Some(alert) = row.alert else {
            self.strange += 1;
            return None;
        };
        let alert = self.alerts.entry(alert).or_default();
        let pair = PairState {
            seq: row.seq,
            is_there: row.is_there,
            activity: row.activity,
            arrived,
        };
        match alert.rows.get_mut(&row.id) {
            Some(known) => {
                self.repeated += u64::from(known.seq == row.seq);
                if row.seq > known.seq {
                    *known = PairState {
                        arrived: known.arrived,
                        ..pair
                    };
                }
                None
            }
            None => {
                alert.rows.insert(row.id, pair);
                self.pairs += 1;
                let closes = alert.expected.as_ref()?.closes;
                Some((closes, arrived.saturating_sub(closes)))
            }
        }
    }

    /// Returns whether as many pairs have arrived as are expected for the alerts known so far.
    pub fn is_complete(&self) -> bool {
        self.pairs >= self.expected
    }

    /// Returns the number of rows that arrived.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the judgement. `judged` is true if the output for everything that was sent could be complete.
    pub fn judge(&self, repeats: Repeats, judged: bool) -> Judgement {
        let mut judgement = Judgement {
            repeated: self.repeated,
            unexpected: self.strange,
            ..Judgement::default()
        };
        for alert in self.alerts.values() {
            let expected = alert.expected.as_ref().map_or(&[][..], |expected| &expected.activities);
            let mut there: Vec<i64> = alert
                .rows
                .values()
                .filter(|pair| pair.is_there)
                .map(|pair| pair.activity)
                .collect();
            there.sort_unstable();
            // If one pair has two ids, one of them is unexpected.
            let distinct = {
                let mut distinct = there.clone();
                distinct.dedup();
                distinct
            };
            let right = expected.iter().filter(|time| distinct.binary_search(time).is_ok()).count() as u64;
            judgement.alerts += u64::from(alert.expected.is_some());
            judgement.pairs += expected.len() as u64;
            judgement.missing += expected.len() as u64 - right;
            judgement.unexpected += there.len() as u64 - right;
        }
        let repeats_hold = repeats == Repeats::Allowed || judgement.repeated == 0;
        judgement.exact = judged.then_some(judgement.missing == 0 && judgement.unexpected == 0 && repeats_hold);
        judgement
    }
}

impl Judgement {
    /// Combines the judgements of two trials.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            alerts: self.alerts + other.alerts,
            pairs: self.pairs + other.pairs,
            missing: self.missing + other.missing,
            unexpected: self.unexpected + other.unexpected,
            repeated: self.repeated + other.repeated,
            exact: match (self.exact, other.exact) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), _) | (_, Some(true)) => Some(true),
                (None, None) => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn expected(alert: u64, activities: &[i64]) -> Expected {
        Expected {
            alert,
            activities: activities.to_vec(),
            closes: 100 * MS,
        }
    }

    fn row(alert: u64, activity: i64, seq: i64) -> ReceivedRow {
        ReceivedRow {
            id: u128::from(alert) << 64 | activity as u128,
            seq,
            is_there: true,
            alert: Some(alert),
            activity,
        }
    }

    fn judge(output: &TrialOutput) -> Judgement {
        output.judge(Repeats::Allowed, true)
    }

    #[test]
    fn correct_rows_are_exact_and_latency_counts_from_the_close() {
        let mut output = TrialOutput::default();
        assert_eq!(output.expect(expected(0, &[1, 2])), []);
        assert_eq!(output.row(row(0, 1, 7), 130 * MS), Some((100 * MS, 30 * MS)));
        assert!(!output.is_complete());
        assert_eq!(judge(&output).missing, 1);
        output.row(row(0, 2, 7), 131 * MS);
        assert!(output.is_complete());
        let judgement = judge(&output);
        assert_eq!((judgement.alerts, judgement.pairs, judgement.exact), (1, 2, Some(true)));
    }

    #[test]
    fn a_row_that_arrives_before_it_is_expected_is_measured_later() {
        let mut output = TrialOutput::default();
        assert_eq!(output.row(row(3, 5, 1), 140 * MS), None);
        assert_eq!(judge(&output).unexpected, 1);
        assert_eq!(output.expect(expected(3, &[5])), [(100 * MS, 40 * MS)]);
        assert_eq!(judge(&output).exact, Some(true));
    }

    #[test]
    fn missing_and_unexpected_pairs_are_distinguished() {
        let mut output = TrialOutput::default();
        output.expect(expected(0, &[1, 2, 3]));
        for activity in [1, 3, 9] {
            output.row(row(0, activity, 1), MS);
        }
        output.row(
            ReceivedRow {
                alert: None,
                ..row(8, 1, 1)
            },
            MS,
        );
        let judgement = judge(&output);
        assert_eq!(
            (judgement.missing, judgement.unexpected, judgement.exact),
            (1, 2, Some(false))
        );
    }

    #[test]
    fn a_pair_with_two_ids_counts_as_unexpected() {
        let mut output = TrialOutput::default();
        output.expect(expected(0, &[1]));
        output.row(row(0, 1, 1), MS);
        output.row(ReceivedRow { id: 99, ..row(0, 1, 1) }, MS);
        assert_eq!(judge(&output).unexpected, 1);
    }

    #[test]
    fn repeats_are_counted_and_are_errors_in_exactly_once_mode() {
        let mut output = TrialOutput::default();
        output.expect(expected(0, &[1]));
        for _ in 0..3 {
            output.row(row(0, 1, 4), MS);
        }
        assert_eq!(judge(&output).repeated, 2);
        assert_eq!(judge(&output).exact, Some(true));
        assert_eq!(output.judge(Repeats::Forbidden, true).exact, Some(false));
    }

    #[test]
    fn the_greatest_seq_counts_in_any_order() {
        for order in [[4, 9], [9, 4]] {
            let mut output = TrialOutput::default();
            output.expect(expected(0, &[1]));
            for seq in order {
                output.row(
                    ReceivedRow {
                        is_there: seq == 4,
                        ..row(0, 1, seq)
                    },
                    MS,
                );
            }
            assert_eq!((judge(&output).missing, judge(&output).repeated), (1, 0), "{order:?}");
        }
    }

    #[test]
    fn a_trial_that_could_not_be_judged_is_neither_right_nor_wrong() {
        let exact = |judged| TrialOutput::default().judge(Repeats::Allowed, judged);
        assert_eq!(exact(false).exact, None);
        assert_eq!(exact(false).and(exact(true)).exact, Some(true));
        let wrong = Judgement {
            exact: Some(false),
            ..Judgement::default()
        };
        assert_eq!(exact(true).and(wrong).exact, Some(false));
    }
}
