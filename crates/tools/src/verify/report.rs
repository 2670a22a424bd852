//! The result of the comparison, with causes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::cause::{Cause, Judgement, Kind};
use super::fold::Mismatch;
use crate::time::EventTime;

/// The verdict on the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The output is right, except for differences that are promised.
    Exact,
    /// The output has a fault.
    NotExact,
    /// No fault was found, but not every row could be judged.
    Undecided,
}

/// One row that does not agree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Example {
    /// The kind of disagreement.
    pub kind: Kind,
    /// Its cause.
    pub cause: Cause,
    /// The row's id.
    pub id: String,
    /// The alert's tenant, if tenants are configured.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tenant_id: String,
    /// The `SystemAlertId` of its alert.
    pub system_alert_id: String,
    /// The time of its activity.
    pub activity_time: String,
    /// The `seq` of the record that counts, if there is one.
    pub seq: Option<i64>,
}

/// The result of a comparison.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Report {
    /// Rows that are expected.
    pub expected: u64,
    /// Rows that the output has after all its records are applied.
    pub found: u64,
    /// Expected rows that the output has.
    pub matched: u64,
    /// Rows that do not agree, by kind and cause.
    pub findings: BTreeMap<Kind, BTreeMap<Cause, u64>>,
    /// The first rows that do not agree, for each kind and cause.
    pub examples: Vec<Example>,
    /// Records of the output that are damaged or were not written by this program.
    pub unreadable: u64,
    /// Records of rows that were read.
    pub records: u64,
    /// Records that repeat another one with the same content.
    pub repeated: u64,
    /// Matched rows whose activity has the content of another delivery.
    pub other_deliveries: u64,
    /// Matched rows whose alert is an older version.
    pub other_versions: u64,
    /// Records of the input that cannot be used, by reason.
    pub dead_letters: BTreeMap<&'static str, u64>,
    #[serde(skip)]
    max_examples: usize,
}

impl Report {
    /// Creates an empty report that keeps at most `max_examples` examples of each kind and cause.
    pub(super) fn new(max_examples: usize) -> Self {
        Self {
            max_examples,
            ..Self::default()
        }
    }

    /// Returns the verdict. One fault decides it, even if other rows could not be judged.
    pub fn verdict(&self) -> Verdict {
        if self.unreadable > 0 || self.judged(Judgement::Fault) > 0 {
            Verdict::NotExact
        } else if self.judged(Judgement::Undecided) > 0 {
            Verdict::Undecided
        } else {
            Verdict::Exact
        }
    }

    /// Returns whether the output is certainly right.
    pub fn is_exact(&self) -> bool {
        self.verdict() == Verdict::Exact
    }

    /// Returns the number of rows whose disagreement has this judgement.
    pub fn judged(&self, judgement: Judgement) -> u64 {
        let causes = self.findings.values().flatten();
        let causes = causes.filter(|(cause, _)| cause.judgement() == judgement);
        causes.map(|(_, count)| count).sum()
    }

    /// Returns the number of rows by cause, for causes with this judgement, over all kinds of disagreement.
    pub fn causes(&self, judgement: Judgement) -> BTreeMap<Cause, u64> {
        let mut causes = BTreeMap::new();
        for (cause, count) in self.findings.values().flatten() {
            if cause.judgement() == judgement {
                *causes.entry(*cause).or_default() += count;
            }
        }
        causes
    }

    /// Returns the number of rows with this kind of disagreement.
    pub fn count(&self, kind: Kind) -> u64 {
        self.findings.get(&kind).map_or(0, |causes| causes.values().sum())
    }

    pub(super) fn add_finding(&mut self, kind: Kind, cause: Cause, mismatch: &Mismatch) {
        let count = self.findings.entry(kind).or_default().entry(cause).or_default();
        *count += 1;
        if *count > self.max_examples as u64 {
            return;
        }
        self.examples.push(Example {
            kind,
            cause,
            id: hex::encode(mismatch.id.to_be_bytes()),
            tenant_id: mismatch.alert.alert.tenant.to_string(),
            system_alert_id: mismatch.alert.alert.system_alert_id.to_string(),
            activity_time: mismatch.time.clamp(EventTime::FIRST, EventTime::LAST).to_string(),
            seq: mismatch.seq,
        });
    }
}
