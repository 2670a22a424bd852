//! Combines the items of one id: the expected row, the last record of the output, and their differences.

use serde::{Deserialize, Serialize};

use super::record::{Expected, Hash, Told, ToldRows};
use crate::record::{LinkedAlert, Text};
use crate::time::EventTime;

/// The items of one id.
#[derive(Default, Debug)]
pub(super) struct Folded {
    expected: Option<Expected>,
    last: Option<Told>,
    /// Whether two records with the greatest `seq` have different contents.
    is_ambiguous: bool,
    /// Records that repeat another one, with the same `seq` and content.
    pub(super) repeated: u64,
}

/// A row that does not agree, before its cause is known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Doubt {
    pub(super) id: u128,
    pub(super) alert: LinkedAlert,
    pub(super) correlation_id: Text,
    pub(super) time: EventTime,
    /// The `seq` of the record that counts.
    pub(super) seq: Option<i64>,
    pub(super) what: What,
}

/// The kind of difference.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum What {
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
    Activity { row: Hash, of: [u8; 32] },
    /// The alert's row is not the version that counts in the end. That is right only if it is another version of the
    /// same alert.
    Version { row: Hash },
}

impl Folded {
    /// Sets the row that is expected.
    pub(super) fn expect(&mut self, row: Expected) {
        self.expected = Some(row);
    }

    /// Adds a record of the output. Records must be added in the order of their offsets.
    pub(super) fn tell(&mut self, told: Told) {
        let Some(last) = &self.last else {
            self.last = Some(told);
            return;
        };
        if told.seq < last.seq {
            return;
        }
        if told.seq > last.seq {
            self.is_ambiguous = false;
        } else if told == *last {
            self.repeated += 1;
        } else {
            self.is_ambiguous = true;
        }
        self.last = Some(told);
    }

    /// Returns whether a row is expected, and whether the output has one.
    pub(super) fn is_there(&self) -> (bool, bool) {
        let told = self.last.as_ref().is_some_and(|told| told.rows.is_some());
        (self.expected.is_some(), told)
    }

    /// Returns every difference.
    pub(super) fn doubts(&self) -> Vec<Doubt> {
        let rows = self.last.as_ref().and_then(|told| told.rows);
        let found: Vec<What> = match (&self.expected, &self.last, rows) {
            (Some(expected), last, None) => vec![What::Missing {
                is_withdrawn: last.is_some(),
                is_too_large: expected.too_large,
            }],
            (None, _, Some(rows)) => vec![What::Extra { activity: rows.activity }],
            (Some(expected), Some(told), Some(rows)) => self.differences(expected, told, rows),
            (None, _, None) | (Some(_), None, Some(_)) => Vec::new(),
        };
        let told = |last: &Told| (last.id, last.alert.clone(), last.correlation_id.clone(), last.time);
        let expected = |row: &Expected| (row.id, row.alert.clone(), row.correlation_id.clone(), row.time);
        let Some((id, alert, correlation_id, time)) =
            self.expected.as_ref().map(expected).or_else(|| self.last.as_ref().map(told))
        else {
            return Vec::new();
        };
        let doubt = |what| Doubt {
            id,
            alert: alert.clone(),
            correlation_id: correlation_id.clone(),
            time,
            seq: self.last.as_ref().map(|last| last.seq),
            what,
        };
        found.into_iter().map(doubt).collect()
    }

    fn differences(&self, expected: &Expected, told: &Told, rows: ToldRows) -> Vec<What> {
        if self.is_ambiguous {
            return vec![What::Ambiguous];
        }
        if told.fields != expected.fields {
            return vec![What::Fields];
        }
        let activity = (rows.activity != expected.activity).then_some(What::Activity {
            row: rows.activity,
            of: expected.activity_id,
        });
        let version = rows.version.filter(|row| *row != expected.version);
        activity.into_iter().chain(version.map(|row| What::Version { row })).collect()
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

    fn expected() -> Expected {
        Expected {
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

    fn told(seq: i64) -> Told {
        Told {
            id: 7,
            seq,
            alert: alert(),
            correlation_id: "c".into(),
            time: EventTime::FIRST,
            fields: 1,
            rows: Some(ToldRows {
                activity: 3,
                version: Some(4),
            }),
        }
    }

    fn gone(seq: i64) -> Told {
        Told { rows: None, ..told(seq) }
    }

    fn doubts(expect: bool, told: impl IntoIterator<Item = Told>) -> Vec<What> {
        let mut folded = Folded::default();
        if expect {
            folded.expect(expected());
        }
        told.into_iter().for_each(|told| folded.tell(told));
        folded.doubts().into_iter().map(|doubt| doubt.what).collect()
    }

    const LOST: What = What::Missing {
        is_withdrawn: false,
        is_too_large: false,
    };

    #[test]
    fn the_greatest_seq_counts_whatever_the_order() {
        assert_eq!(doubts(true, [told(1)]), []);
        assert_eq!(doubts(true, [told(3), gone(2), told(1)]), []);
        assert_eq!(doubts(true, [gone(2), told(3)]), []);
        assert_eq!(doubts(false, [gone(2), told(1)]), []);
        assert_eq!(doubts(false, []), []);
        assert_eq!(
            doubts(true, [gone(2), told(1)]),
            [What::Missing {
                is_withdrawn: true,
                is_too_large: false
            }]
        );
        assert_eq!(doubts(true, []), [LOST]);
        assert_eq!(doubts(false, [told(2), gone(1)]), [What::Extra { activity: 3 }]);
    }

    #[test]
    fn a_record_that_comes_again_is_one_record() {
        let mut folded = Folded::default();
        folded.expect(expected());
        for seq in [1, 1, 0, 1] {
            folded.tell(told(seq));
        }
        assert_eq!(folded.doubts(), []);
        assert_eq!(folded.repeated, 2);
    }

    #[test]
    fn two_contents_under_one_seq_are_ambiguous_until_a_later_one_comes() {
        assert_eq!(doubts(true, [told(1), gone(1), told(1)]), [What::Ambiguous]);
        assert_eq!(doubts(true, [told(1), gone(1), told(2)]), []);
    }

    #[test]
    fn what_differs_is_told_apart() {
        let mut other = told(1);
        other.fields = 9;
        assert_eq!(doubts(true, [other]), [What::Fields]);
        let mut other = told(1);
        other.rows = Some(ToldRows {
            activity: 8,
            version: Some(9),
        });
        assert_eq!(
            doubts(true, [other]),
            [What::Activity { row: 8, of: [2; 32] }, What::Version { row: 9 }]
        );
        let mut cut = told(1);
        cut.rows = Some(ToldRows {
            activity: 3,
            version: None,
        });
        assert_eq!(doubts(true, [cut]), [], "a cut alert has nothing to compare");
    }
}
