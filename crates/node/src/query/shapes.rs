//! The types of API responses. `docs/api.md` describes their fields.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::causes::Cause;
pub use super::links::{LinkItem, LinkList};
use crate::record::LinkId;
use crate::time::{EventTime, WallTime, Window};

/// A time: UTC, seven digits behind the second.
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

/// Where an alert stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Not answered yet.
    Open,
    /// Answered, with activities.
    Matched,
    /// Answered, without any.
    Unmatched,
    /// No alert of this id is held.
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

/// The bounds of a window, as the query would be written with the configured margins.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Bounds {
    /// `StartTime`, less `correlation.before`.
    pub start: Time,
    /// `EndTime`, plus `correlation.after`.
    pub end: Time,
}

impl Bounds {
    pub(super) fn of(window: Window, link: LinkId, settings: &super::Settings) -> Self {
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
    /// The Entra tenant id, where tenants are told apart.
    pub tenant_id: Option<String>,
    /// The link that this is about.
    pub link: String,
    /// What activities meet it on.
    pub correlation_id: String,
    /// Where it stands.
    pub status: Status,
    /// `AlertName`, else `DisplayName`.
    pub alert_name: Option<String>,
    /// `AlertSeverity`.
    pub severity: Option<String>,
    /// `ProviderName`.
    pub provider_name: Option<String>,
    /// `ProductName`.
    pub product_name: Option<String>,
    /// `Status` of the row.
    pub alert_status: Option<String>,
    /// `TimeGenerated` of the version that counts.
    pub time_generated: Time,
    /// The event time it covers.
    pub window: Bounds,
    /// Activities of the answer; 0 while open.
    pub activity_count: u64,
    /// Those of them that came after it.
    pub late_count: u64,
    /// Time of the earliest.
    pub first_activity_time: Option<Time>,
    /// Time of the latest.
    pub last_activity_time: Option<Time>,
    /// The number of the last revision; 0 while open.
    pub revision: u32,
    /// `watermark`, `clock`, `max_wait` or `end_of_input`.
    pub closed_by: Option<String>,
    /// The routers' clock at the close.
    pub closed_at: Option<Time>,
    /// Whether the answer is known to be complete.
    pub complete: Option<bool>,
    /// The partition of the repartition topic that owns its key.
    pub partition: u32,
    /// As `cursor`: the list behind this alert.
    pub cursor: String,
}

/// A page of the list of alerts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AlertList {
    /// The alerts, the latest first.
    pub alerts: Vec<AlertItem>,
    /// Where to go on; `null` at the end.
    pub next_cursor: Option<String>,
    /// Entries that were looked at for this page.
    pub examined: u64,
    /// Partitions of the repartition topic that nobody answered for.
    pub unanswered_partitions: Vec<u32>,
}

/// One alert.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AlertDetail {
    /// What the list says of it.
    #[serde(flatten)]
    pub item: AlertItem,
    /// Why the answer is known to be complete, or is not.
    pub complete_because: Option<String>,
    /// Where the watermark stood at the close.
    pub watermark_at_close: Option<Time>,
    /// Where it stands now.
    pub watermark: Option<Time>,
    /// Activities before this are forgotten.
    pub retained_from: Option<Time>,
    /// Versions that counted when they came.
    pub versions: u32,
    /// The SHA-256 of the canonical form of the one that counts.
    pub version_hash: String,
    /// By the clock: when it is answered whatever the watermark says.
    pub deadline: Time,
    /// The `id` of its summary.
    pub summary_id: String,
    /// Its answers by every link and key.
    pub links: Vec<LinkItem>,
    /// The SecurityAlert row.
    #[schema(value_type = Object)]
    pub alert: Box<RawValue>,
}

/// An activity of an alert.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ActivityItem {
    /// The `id` of the pair's row.
    pub id: String,
    /// The identity of the activity, the same in the rows of all alerts and links.
    pub activity_id: String,
    /// Its time.
    pub activity_time: Time,
    /// Whether it came when the alert had been answered.
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
    /// The Entra tenant id, where tenants are told apart.
    pub tenant_id: Option<String>,
    /// The link by which they belong to it.
    pub link: String,
    /// The key on which they met.
    pub correlation_id: String,
    /// Where the alert stands by this link and key.
    pub status: Status,
    /// The event time it covers.
    pub window: Bounds,
    /// Activities of the answer; 0 while open.
    pub activity_count: u64,
    /// The activities, in order of time.
    pub activities: Vec<ActivityItem>,
    /// Where to go on; `null` at the end.
    pub next_cursor: Option<String>,
}

/// Why an alert has, or has not, been answered as it was.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Explanation {
    /// `SystemAlertId`.
    pub system_alert_id: String,
    /// The Entra tenant id, where tenants are told apart.
    pub tenant_id: Option<String>,
    /// Where the alert stands.
    pub status: Status,
    /// The link that this is about.
    pub link: Option<String>,
    /// The cause in a sentence.
    pub verdict: String,
    /// What activities meet it on.
    pub correlation_id: Option<String>,
    /// The event time it covers.
    pub window: Option<Bounds>,
    /// Where the watermark stands.
    pub watermark: Option<Time>,
    /// Activities before this are forgotten.
    pub retained_from: Option<Time>,
    /// The partition of the repartition topic that owns its key.
    pub partition: Option<u32>,
    /// What was found, in order of weight.
    pub findings: Vec<Finding>,
    /// How much of the input was read, where that was asked for.
    pub scan: Option<Scan>,
}

/// One thing that bears on an answer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Finding {
    /// What it is, in a sentence.
    pub sentence: String,
    /// What it is, for programs.
    #[serde(flatten)]
    pub cause: Cause,
}

/// How much of the input was read for an explanation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Scan {
    /// Messages of the input topics.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Whether that was all there is.
    pub is_whole: bool,
    /// How long it took.
    pub seconds: f64,
}

/// What a group of instances is doing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProcessorStatus {
    /// The program's version.
    pub version: String,
    /// `application.id`.
    pub application_id: String,
    /// The clock.
    pub now: Time,
    /// When the instance that was asked began.
    pub started_at: Time,
    /// The least watermark of all partitions.
    pub watermark: Option<Time>,
    /// How far it is behind the clock.
    pub watermark_lag_seconds: Option<f64>,
    /// What passes through in a second.
    pub throughput: Throughput,
    /// What has passed through since the start.
    pub totals: Totals,
    /// Alerts that are not answered yet.
    pub open_alerts: u64,
    /// Alerts that are held.
    pub alerts: u64,
    /// Bytes of state: on disk, and in memory on their way there.
    pub state_bytes: Option<u64>,
    /// Dead letters by reason, since the start.
    pub dead_letters: Vec<ReasonCount>,
    /// Records of other tables, since the start.
    pub skipped: Vec<TableCount>,
    /// The source partitions.
    pub sources: Vec<SourceStatus>,
    /// The partitions of the repartition topic.
    pub partitions: Vec<PartitionStatus>,
    /// The instances of the group.
    pub instances: Vec<InstanceStatus>,
    /// What is configured, as far as answers depend on it.
    pub settings: SettingsStatus,
    /// Partitions of the repartition topic that nobody answered for.
    pub unanswered_partitions: Vec<u32>,
}

/// What passes through in a second, over the last seconds.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Throughput {
    /// Over how many seconds.
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
    /// Dead letters sent.
    pub dead_letters: f64,
}

/// What has passed through since the start.
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
    /// Dead letters sent.
    pub dead_letters: u64,
}

/// Dead letters of one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ReasonCount {
    /// The reason.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// Records of one table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TableCount {
    /// The table.
    pub table: String,
    /// How many.
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
    /// Where it ended when that was last asked.
    pub end: Option<i64>,
    /// Records between the two.
    pub lag: Option<i64>,
    /// Its own watermark.
    pub watermark: Option<Time>,
    /// Whether it does not hold the watermark back, as no activity comes.
    pub idle: bool,
    /// Whether it has the least watermark of those that are not idle.
    pub holds_back: bool,
    /// Since when its watermark stands where it does.
    pub since: Time,
    /// When a router last spoke of it.
    pub heard_at: Time,
    /// Records of it that went to the dead letters.
    pub rejected: u64,
}

/// A partition of the repartition topic.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PartitionStatus {
    /// Its number.
    pub partition: u32,
    /// The instance that owns it.
    pub instance: String,
    /// Its watermark.
    pub watermark: Option<Time>,
    /// The next offset to apply.
    pub position: i64,
    /// Where it ended when that was last asked.
    pub end: Option<i64>,
    /// Records between the two.
    pub lag: Option<i64>,
    /// Alerts whose key belongs here.
    pub alerts: u64,
    /// Those of them that are not answered yet.
    pub open_alerts: u64,
    /// Activities before this are forgotten.
    pub retained_from: Option<Time>,
    /// Bytes of state: on disk, and in memory on their way there.
    pub state_bytes: Option<u64>,
}

/// An instance of the group.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct InstanceStatus {
    /// Its id.
    pub instance: String,
    /// Where its API is, if it has one.
    pub address: Option<String>,
    /// Whether it is the one that was asked.
    pub is_this: bool,
    /// Whether it answers.
    pub answers: bool,
    /// The partitions of the repartition topic that it owns.
    pub partitions: Vec<u32>,
    /// Why it does not answer.
    pub error: Option<String>,
}

/// What is configured, as far as answers depend on it.
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

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// A sentence.
    pub error: String,
}
