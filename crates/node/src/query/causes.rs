//! What can bear on an answer, for programs.

use serde::{Deserialize, Serialize};

use super::shapes::{Bounds, Time};

/// What a finding is about. `cause` is its name, `details` what is known.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "cause", content = "details", rename_all = "snake_case")]
pub enum Cause {
    /// No alert of this id is held.
    UnknownAlert {
        /// Activities, and alerts that end, before this are forgotten.
        retained_from: Option<Time>,
        /// Records that went to the dead letters.
        rejected: u64,
    },
    /// A source partition has not come to the window's end.
    WaitingForWatermark {
        /// The topic of the source partition that holds the watermark back; `null` when all are idle and the clock moves it.
        topic: Option<String>,
        /// Its number.
        partition: Option<u32>,
        /// How far it has come.
        source_watermark: Option<Time>,
        /// Since when it is this one that holds the watermark back.
        since: Option<Time>,
        /// Event time that is missing to the window's end; `null` before there is a watermark.
        remaining_seconds: Option<f64>,
        /// By the clock: when it closes if activities come as they happen; `null` when that has passed.
        expected: Option<Time>,
        /// By the clock: when it is answered whatever the watermark says.
        at_latest: Time,
    },
    /// A source partition has never spoken.
    NoWatermark {
        /// Which have not.
        silent: Vec<Source>,
        /// By the clock: when it is answered whatever the watermark says.
        at_latest: Time,
    },
    /// Its answer is going out now.
    BeingAnswered {
        /// The offset of the log record that is being worked on.
        offset: i64,
    },
    /// It has been answered.
    Answered {
        /// `watermark`, `clock`, `max_wait` or `end_of_input`.
        closed_by: String,
        /// The routers' clock then.
        closed_at: Option<Time>,
        /// Where the watermark stood then.
        watermark_at_close: Option<Time>,
        /// How many activities.
        activity_count: u64,
        /// Those of them that came after it.
        late_count: u64,
    },
    /// No time lies in the window.
    EmptyWindow {
        /// `StartTime`, less the margin.
        start: Time,
        /// `EndTime`, plus the margin.
        end: Time,
        /// `exclusive` or `inclusive`.
        bounds: String,
        /// Activities that inclusive bounds would take in.
        at_the_bounds: u64,
    },
    /// It has no key.
    NoCorrelationId {
        /// Where that is looked for.
        alert_key: Vec<String>,
    },
    /// No activity with its key is held.
    NoActivityWithKey {
        /// The key.
        correlation_id: String,
    },
    /// The window holds activities whose keys differ from its own in case only.
    KeyInOtherCase {
        /// The keys.
        keys: Vec<KeyCount>,
        /// What to set in `[correlation]`.
        setting: String,
        /// To what.
        value: String,
    },
    /// Activities with its key lie outside the window.
    NearMiss {
        /// Before it, nearest first.
        before: Vec<Miss>,
        /// Behind it, nearest first.
        after: Vec<Miss>,
    },
    /// Part of the window, or all of it, is forgotten.
    Retention {
        /// Activities before this are forgotten.
        retained_from: Time,
        /// Activities that the answer had.
        counted: u64,
        /// Those that are held still.
        held: u64,
        /// Whether `held` is where counting stopped.
        at_least: bool,
    },
    /// The answer is not known to be complete.
    Incomplete {
        /// Why.
        complete_because: String,
    },
    /// Activities came after the answer.
    LateActivities {
        /// How many.
        late_count: u64,
    },
    /// How often it has changed.
    Versions {
        /// Versions that counted when they came.
        versions: u32,
        /// Revisions of the answer.
        revision: u32,
        /// `TimeGenerated` of the version that counts.
        time_generated: Time,
    },
    /// Records of the sources went to the dead letters.
    RejectedRecords {
        /// Of which.
        sources: Vec<SourceRejects>,
    },
    /// The input holds the key in another place of the record.
    KeyUnderOtherPath {
        /// Where.
        paths: Vec<OtherPath>,
    },
    /// The input holds the alert, although the state does not.
    InInput {
        /// Where: the last ones.
        records: Vec<InputRecord>,
    },
    /// The messages of the input that were read do not hold the alert.
    NotInInput {
        /// How many were read.
        messages: u64,
        /// Whether those were all there are.
        is_whole: bool,
    },
    /// The dead letters hold records of this alert or key.
    InDeadLetters {
        /// Which.
        records: Vec<DeadRecord>,
    },
}

/// A source partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Source {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: u32,
}

/// A key and how many activities have it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeyCount {
    /// The key.
    pub correlation_id: String,
    /// Activities in the window.
    pub activities: u64,
}

/// An activity outside the window.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Miss {
    /// Its time.
    pub activity_time: Time,
    /// How far it lies from the bound.
    pub distance_seconds: f64,
    /// What to set in `[correlation]` to take it in; `null` when no allowed value does.
    pub setting: Option<String>,
    /// To what.
    pub value: Option<String>,
}

/// Records of a source partition that went to the dead letters.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SourceRejects {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: u32,
    /// How many.
    pub rejected: u64,
}

/// A place in records, other than those configured, that holds the key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OtherPath {
    /// The path, as `correlation.activity_key` would have it.
    pub path: String,
    /// Activities that hold it there.
    pub activities: u64,
    /// The first one's topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: i64,
}

/// A version of an alert in the input.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InputRecord {
    /// The topic of its message.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: i64,
    /// Its place in the message.
    pub index: usize,
    /// The event time it covers.
    pub window: Bounds,
    /// Whether the processor has read past it; `null` before anything is known of the partition.
    pub is_read: Option<bool>,
}

/// A dead letter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeadRecord {
    /// Its reason.
    pub reason: String,
    /// The topic of the record.
    pub topic: String,
    /// Its partition.
    pub partition: String,
    /// Its offset.
    pub offset: String,
    /// Its place in the batch.
    pub index: String,
}
