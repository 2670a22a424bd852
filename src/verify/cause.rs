//! Why a row does not agree, and whether that is a fault: what retention took, from either side, can be no fault and
//! is no proof.

use serde::{Deserialize, Serialize};

use super::fold::Doubt;
use super::reach::{Reach, Start};
use super::record::UNKNOWN_LINK;
use crate::record::Version;
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

/// What follows from a row that does not agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// The output is right: the row may be so by what is promised.
    Promised,
    /// Nobody can tell any more whether the output is right.
    Undecided,
    /// The output is wrong.
    Fault,
}

/// Why a row does not agree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Missing: the alert's window ends behind the watermark, and no row of the alert is there.
    WindowOpen,
    /// Missing: it is larger than the broker takes, and goes to the dead letters.
    TooLarge,
    /// Missing or extra: it may lie before the retention cut-off that retention has moved.
    Expired,
    /// Missing: it may have stood in a record that the output no longer holds.
    BeforeOutput,
    /// Any kind: it may follow from a record that is not in the input that was read.
    BeforeInput,
    /// Missing or extra: it may follow from a record that the processor was told to leave out.
    BeforeStart,
    /// Missing: the record that counts is a delete.
    Withdrawn,
    /// Missing: the window has closed, and no row of the alert is there.
    NotAnswered,
    /// Missing: other rows of the alert are there.
    Lost,
    /// Extra: the configuration has no link of this name.
    UnknownLink,
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
    /// Changed: alert id, link, correlation id or time are not those of the pair.
    OtherFields,
    /// Changed: the activity is not as any delivery of it was.
    OtherActivity,
    /// Changed: the alert is not as any version of it was.
    OtherAlert,
}

impl Cause {
    /// Says what follows from it.
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

    /// Words it for people, behind a number of rows.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::WindowOpen => "the alert's window is still open: rows come when the watermark reaches its end",
            Self::TooLarge => "larger than the broker takes, and in the dead letters instead",
            Self::Expired => "may lie behind state.retention, or the retention of its link, where nothing is read any more",
            Self::BeforeOutput => "may have stood in records that the output topic no longer holds",
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

/// What the input says of the activity of a row that is too many.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Activity {
    NotAsked,
    /// It was not delivered.
    Unknown,
    /// It was, but another id follows from it and the alert.
    OfAnotherId,
    /// It was.
    Known,
}

/// What is known of one alert.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Standing {
    /// The version that counts, the greatest in the input, and where its window ends.
    counts: Option<(Version, EventTime)>,
    /// Whether something of it is in the output.
    pub(super) is_answered: bool,
}

impl Standing {
    /// Takes in a version of the input.
    pub(super) fn takes_in(&mut self, version: Version, ends: EventTime) {
        self.counts = self.counts.max(Some((version, ends)));
    }

    /// Returns where the window of the version that counts ends.
    fn ends(self) -> Option<EventTime> {
        self.counts.map(|(_, ends)| ends)
    }

    /// Says why nobody can tell that the version that counts here is the one that counted for the processor. It is,
    /// when it was generated behind everything that is gone: no greater one can be among that.
    fn doubtful(self, reach: Reach) -> Option<Cause> {
        let generated = self.counts.map(|(version, _)| version.time_generated);
        if generated < Some(reach.input_from) && reach.is_input_cut() {
            return Some(Cause::BeforeInput);
        }
        (reach.start == Start::Latest).then_some(Cause::BeforeStart)
    }
}

/// Says why a row is missing.
pub(super) fn missing(doubt: &Doubt, is_withdrawn: bool, is_too_large: bool, standing: Standing, reach: Reach) -> Cause {
    if is_too_large {
        Cause::TooLarge
    } else if doubt.time < reach.cutoff {
        Cause::Expired
    } else if !is_withdrawn && !standing.is_answered && standing.ends().is_some_and(|ends| ends > reach.watermark) {
        Cause::WindowOpen
    } else if !is_withdrawn && doubt.time < reach.output_from {
        Cause::BeforeOutput
    } else if let Some(cause) = standing.doubtful(reach) {
        cause
    } else if is_withdrawn {
        Cause::Withdrawn
    } else if standing.is_answered {
        Cause::Lost
    } else {
        Cause::NotAnswered
    }
}

/// Says why a row is too many.
pub(super) fn extra(doubt: &Doubt, activity: Activity, standing: Standing, reach: Reach) -> Cause {
    if doubt.alert.link == UNKNOWN_LINK {
        return Cause::UnknownLink;
    }
    let Some(ends) = standing.ends() else {
        // An alert may come long before its activities: the row's time says nothing of when it came.
        return match reach.is_input_cut() {
            true => Cause::BeforeInput,
            false => Cause::UnknownAlert,
        };
    };
    match activity {
        Activity::Unknown | Activity::NotAsked if doubt.time < reach.input_from => Cause::BeforeInput,
        Activity::Unknown | Activity::NotAsked => Cause::UnknownActivity,
        Activity::OfAnotherId => Cause::WrongId,
        // The last version that counts may have come when it no longer could change anything, or no longer this row.
        Activity::Known if doubt.time < reach.cutoff || ends < reach.cutoff => Cause::Expired,
        Activity::Known => standing.doubtful(reach).unwrap_or(Cause::NotAPair),
    }
}

/// Says why a row's activity is as no delivery was.
pub(super) fn activity(doubt: &Doubt, reach: Reach) -> Cause {
    match doubt.time < reach.input_from {
        true => Cause::BeforeInput,
        false => Cause::OtherActivity,
    }
}

/// Says why a row's alert is as no version was.
pub(super) fn version(reach: Reach) -> Cause {
    match reach.is_input_cut() {
        true => Cause::BeforeInput,
        false => Cause::OtherAlert,
    }
}
