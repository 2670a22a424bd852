//! What the comparison found, with causes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::cause::{Cause, Judgement, Kind};
use super::fold::Doubt;
use crate::time::EventTime;

/// Whether the output is the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is, but for what may be otherwise by what is promised.
    Exact,
    /// It is not.
    NotExact,
    /// No fault was found, and not every row could be judged.
    Undecided,
}

/// One row that does not agree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Example {
    /// How.
    pub kind: Kind,
    /// Why.
    pub cause: Cause,
    /// The row's id.
    pub id: String,
    /// The alert's tenant, where tenants are told apart.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub tenant_id: String,
    /// Its alert.
    pub system_alert_id: String,
    /// Its activity's time.
    pub activity_time: String,
    /// Of the record that counts, where there is one.
    pub seq: Option<i64>,
}

/// Everything that was found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Report {
    /// Rows that must be there.
    pub expected: u64,
    /// Rows that the fold of the output has.
    pub found: u64,
    /// Expected rows that are there.
    pub matched: u64,
    /// Rows that do not agree, by how and why.
    pub findings: BTreeMap<Kind, BTreeMap<Cause, u64>>,
    /// Of those, the first of each kind and cause.
    pub examples: Vec<Example>,
    /// Records of the output that are no record of this program, or damaged.
    pub unreadable: u64,
    /// Records of rows that were read.
    pub records: u64,
    /// Of those, the ones that came again with the same content.
    pub repeated: u64,
    /// Matched rows whose activity stands there as another delivery had it.
    pub other_deliveries: u64,
    /// Matched rows whose alert is an older version.
    pub other_versions: u64,
    /// Records of the input that cannot be used, by reason.
    pub dead_letters: BTreeMap<&'static str, u64>,
    #[serde(skip)]
    most: usize,
}

impl Report {
    /// Nothing found yet; of each kind and cause `most` examples are kept.
    pub(super) fn new(most: usize) -> Self {
        Self { most, ..Self::default() }
    }

    /// Says whether the output is the answer. One fault decides it, whatever else could not be judged.
    pub fn verdict(&self) -> Verdict {
        if self.unreadable > 0 || self.judged(Judgement::Fault) > 0 {
            Verdict::NotExact
        } else if self.judged(Judgement::Undecided) > 0 {
            Verdict::Undecided
        } else {
            Verdict::Exact
        }
    }

    /// Whether the output is the answer for certain.
    pub fn is_exact(&self) -> bool {
        self.verdict() == Verdict::Exact
    }

    /// Counts the rows that do not agree and are judged like this.
    pub fn judged(&self, judgement: Judgement) -> u64 {
        let causes = self.findings.values().flatten();
        let causes = causes.filter(|(cause, _)| cause.judgement() == judgement);
        causes.map(|(_, count)| count).sum()
    }

    /// Counts the rows that do not agree by causes judged like this, whether they are missing, too many or changed.
    pub fn causes(&self, judgement: Judgement) -> BTreeMap<Cause, u64> {
        let mut causes = BTreeMap::new();
        for (cause, count) in self.findings.values().flatten() {
            if cause.judgement() == judgement {
                *causes.entry(*cause).or_default() += count;
            }
        }
        causes
    }

    /// How many rows do not agree in this way.
    pub fn count(&self, kind: Kind) -> u64 {
        self.findings.get(&kind).map_or(0, |causes| causes.values().sum())
    }

    pub(super) fn find(&mut self, kind: Kind, cause: Cause, doubt: &Doubt) {
        let count = self.findings.entry(kind).or_default().entry(cause).or_default();
        *count += 1;
        if *count > self.most as u64 {
            return;
        }
        self.examples.push(Example {
            kind,
            cause,
            id: hex::encode(doubt.id.to_be_bytes()),
            tenant_id: doubt.alert.alert.tenant.to_string(),
            system_alert_id: doubt.alert.alert.system_alert_id.to_string(),
            activity_time: doubt.time.clamp(EventTime::FIRST, EventTime::LAST).to_string(),
            seq: doubt.seq,
        });
    }
}
