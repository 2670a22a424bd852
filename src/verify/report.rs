//! What the comparison found, with causes.

use std::collections::BTreeMap;

use serde::Serialize;

use super::fold::Doubt;
use crate::time::EventTime;

/// How a row does not agree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It must be there and is not.
    Missing,
    /// It is there and must not be.
    Extra,
    /// It is there, with something else in it.
    Changed,
}

/// Why a row does not agree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Missing: the alert's window ends behind the watermark, and no row of the alert is there.
    WindowOpen,
    /// Missing or extra: it may lie behind the horizon that retention has moved.
    Expired,
    /// Missing: it is larger than the broker takes, and goes to the dead letters.
    TooLarge,
    /// Missing: the record that counts is a delete.
    Withdrawn,
    /// Missing: the window has closed, and no row of the alert is there.
    NotAnswered,
    /// Missing: other rows of the alert are there.
    Lost,
    /// Extra: no alert of this id is in the input.
    UnknownAlert,
    /// Extra: the activity, as it stands there, is not in the input.
    UnknownActivity,
    /// Extra: alert and activity are in the input, but the row's id is not that of the pair.
    WrongId,
    /// Extra: alert and activity are in the input, but do not belong together by the version that counts.
    NotAPair,
    /// Changed: several records have the greatest seq, and do not say the same.
    Ambiguous,
    /// Changed: alert id, correlation id or time are not those of the pair.
    OtherFields,
    /// Changed: the activity is not as any delivery of it was.
    OtherActivity,
    /// Changed: the alert is not as any version of it was.
    OtherAlert,
}

impl Cause {
    /// Whether rows may be so, by what is promised.
    pub fn is_allowed(self) -> bool {
        matches!(self, Self::WindowOpen | Self::Expired | Self::TooLarge)
    }

    /// A sentence for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::WindowOpen => "the alert's window is still open: they come when the watermark reaches its end",
            Self::Expired => "they may lie behind state.retention, where nothing is read any more",
            Self::TooLarge => "they are larger than the broker takes, and go to the dead letters",
            Self::Withdrawn => "the record with the greatest seq is a delete",
            Self::NotAnswered => "the alert's window has closed, and no row of the alert is there",
            Self::Lost => "other rows of the same alert are there",
            Self::UnknownAlert => "no alert of this id is in the input that was read",
            Self::UnknownActivity => "the activity, as it stands there, is not in the input that was read",
            Self::WrongId => "the id is not the one that this alert and this activity have",
            Self::NotAPair => "by the version that counts, this activity does not belong to this alert",
            Self::Ambiguous => "several records have the same id and seq, and do not say the same",
            Self::OtherFields => "alert id, correlation id or activity time are not those of the pair",
            Self::OtherActivity => "the activity is not, byte for byte, as it was delivered",
            Self::OtherAlert => "the alert is not, byte for byte, as any version of it was delivered",
        }
    }
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

    /// Whether the output is the answer, but for what may be otherwise by what is promised.
    pub fn is_exact(&self) -> bool {
        let mut causes = self.findings.values().flatten();
        self.unreadable == 0 && causes.all(|(cause, _)| cause.is_allowed())
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
            tenant_id: doubt.alert.tenant.to_string(),
            system_alert_id: doubt.alert.system_alert_id.to_string(),
            activity_time: doubt.time.clamp(EventTime::FIRST, EventTime::LAST).to_string(),
            seq: doubt.seq,
        });
    }
}
