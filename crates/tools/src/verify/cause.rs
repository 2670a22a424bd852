//! Decides why a row does not agree, and whether that is a fault. A difference that may be due to the retention of
//! input or output is not a fault, but then the output is not exact either.

use serde::{Deserialize, Serialize};

use super::fold::Mismatch;
use super::reach::{Reach, StartPosition};
use super::record::UNKNOWN_LINK;
use crate::record::Version;
use crate::time::EventTime;

/// The kinds of disagreement.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The row is expected and not in the output.
    Missing,
    /// The row is in the output and not expected.
    Extra,
    /// The row is in the output with other content.
    Changed,
}

/// The consequence of a row that does not agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// The output is right: what is promised allows the disagreement.
    Promised,
    /// It can no longer be determined whether the output is right.
    Undecided,
    /// The output is wrong.
    Fault,
}

/// The reason why a row does not agree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Missing: the alert's window ends after the watermark, and the output has no row of the alert.
    WindowOpen,
    /// Missing: the row is larger than the broker accepts, so it was sent as a dead-letter record.
    TooLarge,
    /// Missing or extra: the activity, or the end of the alert's window, may be before the retention cut-off.
    Expired,
    /// Missing: the row may have been in a record that the output no longer contains.
    BeforeOutput,
    /// Any kind: the row may depend on a record that is not in the input that was read.
    BeforeInput,
    /// Missing or extra: the row may depend on a record that the processor skips according to the configuration.
    BeforeStart,
    /// Missing: the record that counts is a delete.
    Withdrawn,
    /// Missing: the window has closed, and the output has no row of the alert.
    NotAnswered,
    /// Missing: the output has other rows of the alert.
    Lost,
    /// Extra: the configuration has no link with this name.
    UnknownLink,
    /// Extra: the input has no alert with this id.
    UnknownAlert,
    /// Extra: the input has no activity with this content.
    UnknownActivity,
    /// Extra: the input has the alert and the activity, but the id of the row is not that of the pair.
    WrongId,
    /// Extra: the input has the alert and the activity, but by the version that counts they do not belong together.
    NotAPair,
    /// Changed: several records have the greatest seq, and their contents differ.
    Ambiguous,
    /// Changed: the alert id, link, correlation id or time are not those of the pair.
    OtherFields,
    /// Changed: no delivery of the activity has this content.
    OtherActivity,
    /// Changed: no version of the alert has this content.
    OtherAlert,
}

impl Cause {
    /// Returns the judgement that follows from the cause.
    pub fn judgement(self) -> Judgement {
        match self {
            Self::WindowOpen | Self::TooLarge => Judgement::Promised,
            Self::Expired | Self::BeforeOutput | Self::BeforeInput | Self::BeforeStart => Judgement::Undecided,
            Self::Withdrawn
            | Self::NotAnswered
            | Self::Lost
            | Self::UnknownLink
            | Self::UnknownAlert
            | Self::UnknownActivity
            | Self::WrongId
            | Self::NotAPair
            | Self::Ambiguous
            | Self::OtherFields
            | Self::OtherActivity
            | Self::OtherAlert => Judgement::Fault,
        }
    }

    /// Returns a sentence for people, which follows a number of rows.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::WindowOpen => "the alert's window is still open: rows come when the watermark reaches its end",
            Self::TooLarge => "larger than the broker takes, and in the dead letters instead",
            Self::Expired => "may lie behind state.retention, or the retention of its link, where nothing is read any more",
            Self::BeforeOutput => "may have been in records that the output topic no longer holds",
            Self::BeforeInput => "may follow from records that are not in the input that was read",
            Self::BeforeStart => "may follow from records before the first start, which input.start = \"latest\" leaves out",
            Self::Withdrawn => "the record with the greatest seq is a delete",
            Self::NotAnswered => "the alert's window has closed, and no row of the alert is there",
            Self::Lost => "other rows of the same alert are there",
            Self::UnknownLink => "the configuration has no link of this name",
            Self::UnknownAlert => "no alert of this id is in the input that was read",
            Self::UnknownActivity => "the activity, as it stands there, is not in the input that was read",
            Self::WrongId => "the id is not the one that this alert and this activity have",
            Self::NotAPair => "by the version that counts, this activity does not belong to this alert",
            Self::Ambiguous => "several records have the same id and seq, and do not say the same",
            Self::OtherFields => "alert id, link, correlation id or activity time are not those of the pair",
            Self::OtherActivity => "the activity is not, byte for byte, as it was delivered",
            Self::OtherAlert => "the alert is not, byte for byte, as any version of it was delivered",
        }
    }
}

/// Whether the input has the activity of an extra row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum ActivityMatch {
    /// The comparison did not look it up.
    NotRequested,
    /// The activity was not delivered.
    Unknown,
    /// The activity was delivered, but the alert and this activity have another id.
    OtherId,
    /// The activity was delivered.
    Known,
}

/// The versions of one alert in the input, and whether the output has rows of it.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct AlertFacts {
    /// The version that counts, which is the greatest in the input, and the end of its window.
    greatest: Option<(Version, EventTime)>,
    /// Whether the output has a record of a row of the alert.
    pub(super) has_output: bool,
}

impl AlertFacts {
    /// Adds a version from the input.
    pub(super) fn add_version(&mut self, version: Version, window_end: EventTime) {
        self.greatest = self.greatest.max(Some((version, window_end)));
    }

    /// Returns the end of the window of the version that counts.
    fn window_end(self) -> Option<EventTime> {
        self.greatest.map(|(_, window_end)| window_end)
    }

    /// Returns the reason why the version that counts here may not be the one that counted for the processor. Returns
    /// `None` if it is the same: when it was generated after everything that is gone, no greater version can be among
    /// the records that are gone.
    fn uncertainty(self, reach: Reach) -> Option<Cause> {
        let generated = self.greatest.map(|(version, _)| version.time_generated);
        if generated < Some(reach.input_from) && reach.is_input_cut() {
            return Some(Cause::BeforeInput);
        }
        (reach.start == StartPosition::Latest).then_some(Cause::BeforeStart)
    }
}

/// Returns the cause of a missing row.
pub(super) fn missing(mismatch: &Mismatch, is_withdrawn: bool, is_too_large: bool, facts: AlertFacts, reach: Reach) -> Cause {
    if is_too_large {
        Cause::TooLarge
    } else if mismatch.time < reach.cutoff {
        Cause::Expired
    } else if !is_withdrawn && !facts.has_output && facts.window_end().is_some_and(|window_end| window_end > reach.watermark) {
        Cause::WindowOpen
    } else if !is_withdrawn && mismatch.time < reach.output_from {
        Cause::BeforeOutput
    } else if let Some(cause) = facts.uncertainty(reach) {
        cause
    } else if is_withdrawn {
        Cause::Withdrawn
    } else if facts.has_output {
        Cause::Lost
    } else {
        Cause::NotAnswered
    }
}

/// Returns the cause of an extra row.
pub(super) fn extra(mismatch: &Mismatch, activity: ActivityMatch, facts: AlertFacts, reach: Reach) -> Cause {
    if mismatch.alert.link == UNKNOWN_LINK {
        return Cause::UnknownLink;
    }
    let Some(window_end) = facts.window_end() else {
        // An alert may arrive long before its activities, so the time of the row does not show when the alert arrived.
        return match reach.is_input_cut() {
            true => Cause::BeforeInput,
            false => Cause::UnknownAlert,
        };
    };
    match activity {
        ActivityMatch::Unknown | ActivityMatch::NotRequested if mismatch.time < reach.input_from => Cause::BeforeInput,
        ActivityMatch::Unknown | ActivityMatch::NotRequested => Cause::UnknownActivity,
        ActivityMatch::OtherId => Cause::WrongId,
        // The last version may have arrived when the alert, or this row, had already expired and could no longer
        // change.
        ActivityMatch::Known if mismatch.time < reach.cutoff || window_end < reach.cutoff => Cause::Expired,
        ActivityMatch::Known => facts.uncertainty(reach).unwrap_or(Cause::NotAPair),
    }
}

/// Returns the cause of a row whose activity has the content of no delivery.
pub(super) fn changed_activity(mismatch: &Mismatch, reach: Reach) -> Cause {
    match mismatch.time < reach.input_from {
        true => Cause::BeforeInput,
        false => Cause::OtherActivity,
    }
}

/// Returns the cause of a row whose alert has the content of no version.
pub(super) fn changed_version(reach: Reach) -> Cause {
    match reach.is_input_cut() {
        true => Cause::BeforeInput,
        false => Cause::OtherAlert,
    }
}
