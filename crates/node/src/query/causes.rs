//! The explanation of an alert's status, and the causes of its findings in a form for programs.

use serde::{Deserialize, Serialize};

use super::shapes::{Bounds, Status, Time};

/// The reasons for the status of an alert and for its activities.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Explanation {
    /// `SystemAlertId`.
    pub system_alert_id: String,
    /// The Entra tenant id, if tenants are configured.
    pub tenant_id: Option<String>,
    /// The status of the alert.
    pub status: Status,
    /// The link of the explained result.
    pub link: Option<String>,
    /// The main cause, in a sentence.
    pub verdict: String,
    /// The key that activities must have to match.
    pub correlation_id: Option<String>,
    /// The window, with the configured margins.
    pub window: Option<Bounds>,
    /// The current watermark.
    pub watermark: Option<Time>,
    /// Activities before this time have been deleted; `null` if none have.
    pub retained_from: Option<Time>,
    /// The partition of the repartition topic that its key belongs to.
    pub partition: Option<u32>,
    /// The findings, the most important first.
    pub findings: Vec<Finding>,
    /// How much of the input was read; `null` without `scan=true`.
    pub scan: Option<Scan>,
}

/// A fact that affects the status of an alert or its activities.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Finding {
    /// The fact, in a sentence.
    pub sentence: String,
    /// The fact, for programs.
    #[serde(flatten)]
    pub cause: Cause,
}

/// How much of the input was read for an explanation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Scan {
    /// Number of messages of the input topics.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Number of dead-letter records.
    pub dead_letters: u64,
    /// Whether these were all messages and dead-letter records.
    pub is_whole: bool,
    /// The duration of the scan in seconds.
    pub seconds: f64,
}

/// The cause of a finding: its name in `cause`, and its details in `details`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "cause", content = "details", rename_all = "snake_case")]
pub enum Cause {
    /// No alert with this id is stored.
    UnknownAlert {
        /// Activities, and alerts that end, before this time have been deleted.
        retained_from: Option<Time>,
        /// Number of records that became dead letters.
        rejected: u64,
    },
    /// The alert is open: a source partition has not reached the end of its window.
    WaitingForWatermark {
        /// Topic of the source partition that holds the watermark back; `null` if all are idle and the clock moves it.
        topic: Option<String>,
        /// The number of this source partition.
        partition: Option<u32>,
        /// Its own watermark.
        source_watermark: Option<Time>,
        /// The time since which this source partition has held the watermark back.
        since: Option<Time>,
        /// Event time from the watermark to the end of the window; `null` before there is a watermark.
        remaining_seconds: Option<f64>,
        /// Expected wall-clock time of the close, if activities arrive as they happen; `null` if it has passed.
        expected: Option<Time>,
        /// Wall-clock time at which the alert is emitted, whatever the watermark is.
        at_latest: Time,
    },
    /// The alert is open: a source partition has not reported yet.
    NoWatermark {
        /// The source partitions that have not reported.
        silent: Vec<Source>,
        /// Wall-clock time at which the alert is emitted, whatever the watermark is.
        at_latest: Time,
    },
    /// The alert is open: its window has closed, and its first rows are being sent.
    BeingAnswered {
        /// The offset of the repartition record that is being processed.
        offset: i64,
    },
    /// The alert is closed.
    Answered {
        /// What closed the window: `watermark`, `clock`, `max_wait` or `end_of_input`.
        closed_by: String,
        /// Wall-clock time of the close, by ROUTE's clock.
        closed_at: Option<Time>,
        /// The watermark at the close.
        watermark_at_close: Option<Time>,
        /// Number of activities in the result.
        activity_count: u64,
        /// Number of these activities that arrived after the close.
        late_count: u64,
    },
    /// The window is empty, so no activity can be in it.
    EmptyWindow {
        /// `StartTime` minus the margin.
        start: Time,
        /// `EndTime` plus the margin.
        end: Time,
        /// `exclusive` or `inclusive`.
        bounds: String,
        /// Number of activities that inclusive bounds would include.
        at_the_bounds: u64,
    },
    /// The alert has no key by the link, or not the requested key.
    NoCorrelationId {
        /// The configured paths of the key.
        alert_key: Vec<String>,
    },
    /// No activity with the key is stored.
    NoActivityWithKey {
        /// The key.
        correlation_id: String,
    },
    /// The window contains activities whose keys differ from the key of the alert only in case.
    KeyInOtherCase {
        /// The keys.
        keys: Vec<KeyCount>,
        /// The setting in `[correlation]` or `[[link]]` that would match them.
        setting: String,
        /// Its value.
        value: String,
    },
    /// Activities with the key are outside the window.
    NearMiss {
        /// Activities before the window, nearest first.
        before: Vec<Miss>,
        /// Activities after the window, nearest first.
        after: Vec<Miss>,
    },
    /// Activities of part of the window, or of all of it, have been deleted.
    Retention {
        /// Activities before this time have been deleted.
        retained_from: Time,
        /// Number of activities in the result.
        counted: u64,
        /// Number of these activities that are still stored.
        held: u64,
        /// Whether counting stopped at `held`, so that more may be stored.
        at_least: bool,
    },
    /// The result is not known to be complete.
    Incomplete {
        /// The reason.
        complete_because: String,
    },
    /// Activities arrived after the close.
    LateActivities {
        /// Number of these activities.
        late_count: u64,
    },
    /// Versions of the alert and revisions of its result.
    Versions {
        /// Number of versions that counted when they arrived.
        versions: u32,
        /// Number of revisions of the result.
        revision: u32,
        /// `TimeGenerated` of the version that counts.
        time_generated: Time,
    },
    /// Records of the sources became dead letters.
    RejectedRecords {
        /// The source partitions of these records.
        sources: Vec<SourceRejects>,
    },
    /// Records of the input contain the key at other paths.
    KeyUnderOtherPath {
        /// The paths.
        paths: Vec<OtherPath>,
    },
    /// The input contains the alert, although it is not stored.
    InInput {
        /// The last versions in the input.
        records: Vec<InputRecord>,
    },
    /// The messages of the input that were read do not contain the alert.
    NotInInput {
        /// Number of messages that were read.
        messages: u64,
        /// Whether these were all messages.
        is_whole: bool,
    },
    /// The dead-letter topic contains records with this id or key.
    InDeadLetters {
        /// These records.
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

/// A key, and the number of activities that have it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct KeyCount {
    /// The key.
    pub correlation_id: String,
    /// Number of activities in the window.
    pub activities: u64,
}

/// An activity outside the window.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Miss {
    /// Its time.
    pub activity_time: Time,
    /// Its distance from the bound of the window.
    pub distance_seconds: f64,
    /// The setting in `[correlation]` or `[[link]]` that would include it; `null` if no allowed value does.
    pub setting: Option<String>,
    /// The value of the setting.
    pub value: Option<String>,
}

/// Records of a source partition that became dead letters.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SourceRejects {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: u32,
    /// Number of these records.
    pub rejected: u64,
}

/// A path in records, other than the configured ones, at which the key is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OtherPath {
    /// The path, in the notation of `correlation.activity_key`.
    pub path: String,
    /// Number of activities with the key at this path.
    pub activities: u64,
    /// The topic of the first of these activities.
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
    /// Its index in the message.
    pub index: usize,
    /// Its window, with the configured margins.
    pub window: Bounds,
    /// Whether the processor has read past it; `null` if the partition has not reported yet.
    pub is_read: Option<bool>,
}

/// A dead-letter record.
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
    /// Its index in the batch.
    pub index: String,
}
