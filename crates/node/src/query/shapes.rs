//! The types of API responses. `docs/api.md` describes their fields.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use super::links::{LinkItem, LinkList};
use crate::record::LinkId;
use crate::time::{EventTime, WallTime, Window};

/// A time in UTC, with seven fractional digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-03-01T10:00:00.0000000Z")]
#[serde(transparent)]
pub struct Time(String);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<EventTime> for Time {
    fn from(time: EventTime) -> Self {
        Self(time.to_string())
    }
}

impl From<WallTime> for Time {
    fn from(time: WallTime) -> Self {
        Self(time.to_event().to_string())
    }
}

/// The status of an alert.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not closed yet.
    Open,
    /// Closed with activities.
    Matched,
    /// Closed without activities.
    Unmatched,
    /// No alert with this id is stored.
    Unknown,
}

impl Status {
    /// Returns the status as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Matched => "matched",
            Self::Unmatched => "unmatched",
            Self::Unknown => "unknown",
        }
    }
}

/// The bounds of a window, with the configured margins.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Bounds {
    /// `StartTime` minus `correlation.before`.
    pub start: Time,
    /// `EndTime` plus `correlation.after`.
    pub end: Time,
}

impl Bounds {
    pub(super) fn new(window: Window, link: LinkId, settings: &super::Settings) -> Self {
        let (start, end) = super::emit::bounds(window, settings.links.widening(link));
        Self {
            start: start.into(),
            end: end.into(),
        }
    }
}

/// An alert in a list.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AlertItem {
    /// `SystemAlertId`.
    pub system_alert_id: String,
    /// The Entra tenant id, if tenants are configured.
    pub tenant_id: Option<String>,
    /// The link of this result.
    pub link: String,
    /// The key that activities must have to match.
    pub correlation_id: String,
    /// Its status.
    pub status: Status,
    /// `AlertName`, or `DisplayName` if that is missing.
    pub alert_name: Option<String>,
    /// `AlertSeverity`.
    pub severity: Option<String>,
    /// `ProviderName`.
    pub provider_name: Option<String>,
    /// `ProductName`.
    pub product_name: Option<String>,
    /// `Status` of the row.
    pub alert_status: Option<String>,
    /// `TimeGenerated` of the latest version.
    pub time_generated: Time,
    /// The window, with the configured margins.
    pub window: Bounds,
    /// Number of activities in the result; 0 while open.
    pub activity_count: u64,
    /// Number of these activities that arrived after the close.
    pub late_count: u64,
    /// Time of the earliest activity.
    pub first_activity_time: Option<Time>,
    /// Time of the latest activity.
    pub last_activity_time: Option<Time>,
    /// Number of the last revision; 0 while open.
    pub revision: u32,
    /// What closed the window: `watermark`, `clock`, `max_wait` or `end_of_input`.
    pub closed_by: Option<String>,
    /// Wall-clock time of the close, by ROUTE's clock.
    pub closed_at: Option<Time>,
    /// Whether the result is known to be complete.
    pub complete: Option<bool>,
    /// The partition of the repartition topic that its key belongs to.
    pub partition: u32,
    /// A `cursor` that continues the list after this alert.
    pub cursor: String,
}

/// A page of the list of alerts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AlertList {
    /// The alerts, the latest first.
    pub alerts: Vec<AlertItem>,
    /// The `cursor` of the next page; `null` at the end.
    pub next_cursor: Option<String>,
    /// Number of entries that were read for this page.
    pub examined: u64,
    /// Partitions of the repartition topic for which no instance responded.
    pub unanswered_partitions: Vec<u32>,
}

/// One alert.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AlertDetail {
    /// The fields of the list.
    #[serde(flatten)]
    pub item: AlertItem,
    /// The reason why the result is known to be complete, or is not.
    pub complete_because: Option<String>,
    /// The watermark at the close.
    pub watermark_at_close: Option<Time>,
    /// The current watermark of the partition.
    pub watermark: Option<Time>,
    /// Activities before this time have been deleted; `null` if none have.
    pub retained_from: Option<Time>,
    /// Number of versions that counted when they arrived.
    pub versions: u32,
    /// The SHA-256 of the canonical form of the latest version.
    pub version_hash: String,
    /// Wall-clock time at which the alert is emitted, whatever the watermark is.
    pub deadline: Time,
    /// The `id` of its summary.
    pub summary_id: String,
    /// Its results by every link and key.
    pub links: Vec<LinkItem>,
    /// The SecurityAlert row.
    #[schema(value_type = Object)]
    pub alert: Box<RawValue>,
}

/// An activity of an alert.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActivityItem {
    /// The `id` of the output row of this alert and activity.
    pub id: String,
    /// The dedup key of the activity, the same in the rows of all alerts and links.
    pub activity_id: String,
    /// Its time.
    pub activity_time: Time,
    /// Whether it arrived after the close of the alert.
    pub late: bool,
    /// The CloudAppEvents row.
    #[schema(value_type = Object)]
    pub activity: Box<RawValue>,
}

/// A page of an alert's activities.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActivityList {
    /// `SystemAlertId`.
    pub system_alert_id: String,
    /// The Entra tenant id, if tenants are configured.
    pub tenant_id: Option<String>,
    /// The link by which the activities belong to the alert.
    pub link: String,
    /// The key that the alert and the activities share.
    pub correlation_id: String,
    /// The status of the alert by this link and key.
    pub status: Status,
    /// The window, with the configured margins.
    pub window: Bounds,
    /// Number of activities in the result; 0 while open.
    pub activity_count: u64,
    /// The activities, in order of time.
    pub activities: Vec<ActivityItem>,
    /// The `cursor` of the next page; `null` at the end.
    pub next_cursor: Option<String>,
}

/// The status of a group of instances.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProcessorStatus {
    /// The program's version.
    pub version: String,
    /// `application.id`.
    pub application_id: String,
    /// The current wall-clock time.
    pub now: Time,
    /// The start time of the instance that received the request.
    pub started_at: Time,
    /// The lowest watermark of all partitions.
    pub watermark: Option<Time>,
    /// The number of seconds by which it is behind the wall clock.
    pub watermark_lag_seconds: Option<f64>,
    /// The current rates.
    pub throughput: Throughput,
    /// The counts since the start.
    pub totals: Totals,
    /// Number of alerts that are not closed yet.
    pub open_alerts: u64,
    /// Number of stored alerts.
    pub alerts: u64,
    /// Bytes of state: on disk, and in memory before a flush.
    pub state_bytes: Option<u64>,
    /// Number of dead-letter records by reason, since the start.
    pub dead_letters: Vec<ReasonCount>,
    /// Number of records of other tables by table, since the start.
    pub skipped: Vec<TableCount>,
    /// The source partitions.
    pub sources: Vec<SourceStatus>,
    /// The partitions of the repartition topic.
    pub partitions: Vec<PartitionStatus>,
    /// The instances of the group.
    pub instances: Vec<InstanceStatus>,
    /// The settings that affect results.
    pub settings: SettingsStatus,
    /// Partitions of the repartition topic for which no instance responded.
    pub unanswered_partitions: Vec<u32>,
}

/// Rates per second over the last seconds.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Throughput {
    /// The number of seconds over which the rates were computed.
    pub seconds: f64,
    /// Messages read.
    pub messages: f64,
    /// Bytes read.
    pub bytes: f64,
    /// Activities read.
    pub activities: f64,
    /// Alert versions read.
    pub alerts: f64,
    /// Rows sent.
    pub rows: f64,
    /// Summaries sent.
    pub summaries: f64,
    /// Dead-letter records sent.
    pub dead_letters: f64,
}

/// Counts since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Totals {
    /// Messages read.
    pub messages: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Activities read.
    pub activities: u64,
    /// Alert versions read.
    pub alerts: u64,
    /// Rows sent.
    pub rows: u64,
    /// Summaries sent.
    pub summaries: u64,
    /// Dead-letter records sent.
    pub dead_letters: u64,
}

/// The number of dead-letter records with one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReasonCount {
    /// The reason.
    pub reason: String,
    /// The number of records.
    pub count: u64,
}

/// The number of records of one table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TableCount {
    /// The table.
    pub table: String,
    /// The number of records.
    pub count: u64,
}

/// A source partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SourceStatus {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: u32,
    /// The next offset to read.
    pub position: i64,
    /// The log-end offset when it was last requested.
    pub end: Option<i64>,
    /// Number of records from `position` to `end`.
    pub lag: Option<i64>,
    /// Its own watermark.
    pub watermark: Option<Time>,
    /// Whether it is idle: it has no new activities and does not hold the watermark back.
    pub idle: bool,
    /// Whether it has the lowest watermark of the source partitions that are not idle.
    pub holds_back: bool,
    /// The time since which its watermark has not moved.
    pub since: Time,
    /// ROUTE's clock in the last watermark update for it.
    pub heard_at: Time,
    /// Number of its records that became dead letters.
    pub rejected: u64,
}

/// A partition of the repartition topic.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PartitionStatus {
    /// Its number.
    pub partition: u32,
    /// The instance to which it is assigned.
    pub instance: String,
    /// Its watermark.
    pub watermark: Option<Time>,
    /// The next offset to apply.
    pub position: i64,
    /// The log-end offset when it was last requested.
    pub end: Option<i64>,
    /// Number of records from `position` to `end`.
    pub lag: Option<i64>,
    /// Number of stored alerts with a key in this partition.
    pub alerts: u64,
    /// Number of these alerts that are not closed yet.
    pub open_alerts: u64,
    /// Activities before this time have been deleted; `null` if none have.
    pub retained_from: Option<Time>,
    /// Bytes of state: on disk, and in memory before a flush.
    pub state_bytes: Option<u64>,
}

/// An instance of the group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InstanceStatus {
    /// Its id.
    pub instance: String,
    /// The address of its API, if it has one.
    pub address: Option<String>,
    /// Whether it is the instance that received the request.
    pub is_this: bool,
    /// Whether it responds.
    pub answers: bool,
    /// The partitions of the repartition topic that are assigned to it.
    pub partitions: Vec<u32>,
    /// The reason why it does not respond.
    pub error: Option<String>,
}

/// The settings that affect results.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SettingsStatus {
    /// The names of the links, `query` first.
    pub links: Vec<String>,
    /// `correlation.bounds`
    pub bounds: String,
    /// `correlation.before`
    pub before: String,
    /// `correlation.after`
    pub after: String,
    /// `correlation.ignore_case`
    pub ignore_case: bool,
    /// `watermark.out_of_orderness`
    pub out_of_orderness: String,
    /// `watermark.idle_timeout`
    pub idle_timeout: String,
    /// `watermark.max_wait`
    pub max_wait: String,
    /// `state.retention`
    pub retention: String,
    /// `output.delivery`
    pub delivery: String,
    /// `output.unmatched`
    pub unmatched: String,
    /// `input.topics`
    pub input_topics: Vec<String>,
    /// `output.topic`
    pub output_topic: String,
    /// `output.summary_topic`
    pub summary_topic: Option<String>,
    /// `output.dead_letter_topic`
    pub dead_letter_topic: String,
    /// `repartition.partitions`
    pub repartition_partitions: u32,
}

/// The body of an error response.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// The error, in a sentence.
    pub error: String,
}
