//! Combines the items of one id: the expected row, the last record of the output, and their differences.

use serde::{Deserialize, Serialize};

use super::record::{ExpectedRow, Hash, OutputRow, RowHashes};
use crate::record::{LinkedAlert, Text};
use crate::time::EventTime;

/// The items of one id.
#[derive(Default, Debug)]
pub(super) struct RowFold {
    expected: Option<ExpectedRow>,
    last: Option<OutputRow>,
    /// Whether two records with the greatest `seq` have different contents.
    is_ambiguous: bool,
    /// Records that repeat another one, with the same `seq` and content.
    pub(super) repeated: u64,
}

/// A row that does not agree, before its cause is known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Mismatch {
    pub(super) id: u128,
    pub(super) alert: LinkedAlert,
    pub(super) correlation_id: Text,
    pub(super) time: EventTime,
    /// The `seq` of the record that counts.
    pub(super) seq: Option<i64>,
    pub(super) difference: Difference,
}

/// The kind of difference.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Difference {
    /// The row is expected and not in the output.
    Missing {
        /// Whether the record that counts is a delete.
        is_withdrawn: bool,
        /// Whether the row is larger than the broker accepts.
        is_too_large: bool,
    },
    /// The row is in the output and not expected.
    Extra {
        /// The hash of its activity's row.
        activity: Hash,
    },
    /// Two records have the greatest `seq` and different contents.
    Ambiguous,
    /// The alert, time or correlation id is not that of the pair with this id.
    Fields,
    /// The activity's row is not the expected delivery. That is right only if it is another delivery of the same
    /// activity.
    Activity { row: Hash, activity_id: [u8; 32] },
    /// The alert's row is not the version that counts in the end. That is right only if it is another version of the
    /// same alert.
    Version { row: Hash },
}

impl RowFold {
    /// Sets the row that is expected.
    pub(super) fn set_expected(&mut self, row: ExpectedRow) {
        self.expected = Some(row);
    }

    /// Adds a record of the output. Records must be added in the order of their offsets.
    pub(super) fn add_output(&mut self, output_row: OutputRow) {
        let Some(last) = &self.last else {
            self.last = Some(output_row);
            return;
        };
        if output_row.seq < last.seq {
            return;
        }
        if output_row.seq > last.seq {
            self.is_ambiguous = false;
        } else if output_row == *last {
            self.repeated += 1;
        } else {
            self.is_ambiguous = true;
        }
        self.last = Some(output_row);
    }

    /// Returns whether a row is expected, and whether the output has one.
    pub(super) fn presence(&self) -> (bool, bool) {
        let has_output = self.last.as_ref().is_some_and(|last| last.rows.is_some());
        (self.expected.is_some(), has_output)
    }

    /// Returns every difference.
    pub(super) fn mismatches(&self) -> Vec<Mismatch> {
        let rows = self.last.as_ref().and_then(|output_row| output_row.rows);
        let found: Vec<Difference> = match (&self.expected, &self.last, rows) {
            (Some(expected), last, None) => vec![Difference::Missing {
                is_withdrawn: last.is_some(),
                is_too_large: expected.too_large,
            }],
            (None, _, Some(rows)) => vec![Difference::Extra { activity: rows.activity }],
            (Some(expected), Some(output_row), Some(rows)) => self.differences(expected, output_row, rows),
            (None, _, None) | (Some(_), None, Some(_)) => Vec::new(),
        };
        let output_fields = |last: &OutputRow| (last.id, last.alert.clone(), last.correlation_id.clone(), last.time);
        let expected_fields = |row: &ExpectedRow| (row.id, row.alert.clone(), row.correlation_id.clone(), row.time);
        let Some((id, alert, correlation_id, time)) = self
            .expected
            .as_ref()
            .map(expected_fields)
            .or_else(|| self.last.as_ref().map(output_fields))
        else {
            return Vec::new();
        };
        let mismatch = |difference| Mismatch {
            id,
            alert: alert.clone(),
            correlation_id: correlation_id.clone(),
            time,
            seq: self.last.as_ref().map(|last| last.seq),
            difference,
        };
        found.into_iter().map(mismatch).collect()
    }

    fn differences(&self, expected: &ExpectedRow, output_row: &OutputRow, rows: RowHashes) -> Vec<Difference> {
        if self.is_ambiguous {
            return vec![Difference::Ambiguous];
        }
        if output_row.fields != expected.fields {
            return vec![Difference::Fields];
        }
        let activity = (rows.activity != expected.activity).then_some(Difference::Activity {
            row: rows.activity,
            activity_id: expected.activity_id,
        });
        let version = rows.version.filter(|row| *row != expected.version);
        activity
            .into_iter()
            .chain(version.map(|row| Difference::Version { row }))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{AlertId, LinkId};

    fn alert() -> LinkedAlert {
        LinkedAlert {
            alert: AlertId {
                tenant: "".into(),
                system_alert_id: "A".into(),
            },
            link: LinkId::QUERY,
        }
    }

    fn expected() -> ExpectedRow {
        ExpectedRow {
            id: 7,
            alert: alert(),
            correlation_id: "c".into(),
            time: EventTime::FIRST,
            fields: 1,
            activity_id: [2; 32],
            activity: 3,
            version: 4,
            too_large: false,
        }
    }

    fn output_row(seq: i64) -> OutputRow {
        OutputRow {
            id: 7,
            seq,
            alert: alert(),
            correlation_id: "c".into(),
            time: EventTime::FIRST,
            fields: 1,
            rows: Some(RowHashes {
                activity: 3,
                version: Some(4),
            }),
        }
    }

    fn deleted(seq: i64) -> OutputRow {
        OutputRow {
            rows: None,
            ..output_row(seq)
        }
    }

    fn mismatches(is_expected: bool, output_rows: impl IntoIterator<Item = OutputRow>) -> Vec<Difference> {
        let mut fold = RowFold::default();
        if is_expected {
            fold.set_expected(expected());
        }
        output_rows.into_iter().for_each(|output_row| fold.add_output(output_row));
        fold.mismatches().into_iter().map(|mismatch| mismatch.difference).collect()
    }

    const LOST: Difference = Difference::Missing {
        is_withdrawn: false,
        is_too_large: false,
    };

    #[test]
    fn the_greatest_seq_counts_whatever_the_order() {
        assert_eq!(mismatches(true, [output_row(1)]), []);
        assert_eq!(mismatches(true, [output_row(3), deleted(2), output_row(1)]), []);
        assert_eq!(mismatches(true, [deleted(2), output_row(3)]), []);
        assert_eq!(mismatches(false, [deleted(2), output_row(1)]), []);
        assert_eq!(mismatches(false, []), []);
        assert_eq!(
            mismatches(true, [deleted(2), output_row(1)]),
            [Difference::Missing {
                is_withdrawn: true,
                is_too_large: false
            }]
        );
        assert_eq!(mismatches(true, []), [LOST]);
        assert_eq!(
            mismatches(false, [output_row(2), deleted(1)]),
            [Difference::Extra { activity: 3 }]
        );
    }

    #[test]
    fn a_repeated_record_counts_once() {
        let mut fold = RowFold::default();
        fold.set_expected(expected());
        for seq in [1, 1, 0, 1] {
            fold.add_output(output_row(seq));
        }
        assert_eq!(fold.mismatches(), []);
        assert_eq!(fold.repeated, 2);
    }

    #[test]
    fn two_contents_with_one_seq_are_ambiguous_until_a_greater_seq() {
        assert_eq!(
            mismatches(true, [output_row(1), deleted(1), output_row(1)]),
            [Difference::Ambiguous]
        );
        assert_eq!(mismatches(true, [output_row(1), deleted(1), output_row(2)]), []);
    }

    #[test]
    fn each_kind_of_difference_is_reported() {
        let mut other = output_row(1);
        other.fields = 9;
        assert_eq!(mismatches(true, [other]), [Difference::Fields]);
        let mut other = output_row(1);
        other.rows = Some(RowHashes {
            activity: 8,
            version: Some(9),
        });
        assert_eq!(
            mismatches(true, [other]),
            [
                Difference::Activity {
                    row: 8,
                    activity_id: [2; 32]
                },
                Difference::Version { row: 9 }
            ]
        );
        let mut cut = output_row(1);
        cut.rows = Some(RowHashes {
            activity: 3,
            version: None,
        });
        assert_eq!(mismatches(true, [cut]), [], "a cut alert has nothing to compare");
    }
}
