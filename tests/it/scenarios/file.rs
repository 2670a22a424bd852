//! The format of a scenario file.

use alerttrail::time::EventTime;
use serde::Deserialize;

/// The day of all scenarios: a time of day is on this day.
const DAY: &str = "2026-03-01";

/// One rule of the join.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Scenario {
    /// The rule, in a sentence.
    pub(super) rule: String,
    /// The settings, as in a configuration file.
    #[serde(default)]
    pub(super) config: toml::Table,
    /// The number of partitions of the input topic.
    #[serde(default = "one")]
    pub(super) sources: u32,
    /// The time of the clock at the start. The default is so late that no time is in the future, and no alert ever
    /// exceeds its maximum wait.
    #[serde(default = "next_day")]
    pub(super) clock: String,
    /// The maximum size of a record in bytes that the broker accepts.
    pub(super) limit: Option<usize>,
    /// The result of the batch run, which has all the input at once and keeps everything.
    #[serde(default)]
    pub(super) batch: Batch,
    pub(super) step: Vec<Step>,
}

#[derive(Deserialize, Default, PartialEq, Eq, Debug)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Batch {
    /// The same in the end.
    #[default]
    Same,
    /// Different, because retention has removed something here, or the broker does not accept it.
    Differs,
}

/// One event, and the output that it causes.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// An activity is read.
    pub(super) activity: Option<Activity>,
    /// A version of an alert is read.
    pub(super) alert: Option<Alert>,
    /// This message is read; an empty one is a tombstone.
    pub(super) message: Option<String>,
    /// A message of these bytes, in hexadecimal digits, is read.
    pub(super) bytes: Option<String>,
    /// An activity without a key moves the watermark of a source partition, or of all if none is named, to this time.
    pub(super) watermark: Option<String>,
    /// A watermark update goes to every partition of the repartition topic.
    pub(super) watermark_update: Option<bool>,
    /// The clock moves to this time, and a watermark update goes to every partition.
    pub(super) clock: Option<String>,
    /// This many records of the source partition have not been read yet.
    pub(super) unread: Option<i64>,
    /// Everything stops and starts again.
    pub(super) restart: Option<bool>,
    /// There is no more input.
    pub(super) end: Option<bool>,

    /// The source partition; 0 by default.
    pub(super) partition: Option<u32>,
    /// The timestamp of the message.
    pub(super) arrived: Option<String>,
    /// The expected output, one line for each record.
    #[serde(default)]
    pub(super) expect: Vec<String>,
    /// Texts that the output contains.
    #[serde(default)]
    pub(super) contains: Vec<String>,
}

/// A CloudAppEvents record.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Activity {
    /// Its `ReportId`, which names it in the expected output.
    id: String,
    /// `CreationTime`.
    at: String,
    /// `Data.cid`.
    #[serde(default = "policy")]
    key: toml::Value,
    /// The text of `Data`, used instead of `key`.
    data: Option<String>,
    #[serde(default)]
    form: Form,
    /// `time` of the envelope, `TimeGenerated` of the row.
    #[serde(default = "sent")]
    sent: String,
    /// `tenantId` of the envelope, `TenantId` of the row.
    #[serde(default = "tenant")]
    tenant: String,
    /// More columns.
    #[serde(default)]
    more: toml::Table,
    /// More fields of `RawEventData`.
    #[serde(default)]
    raw: toml::Table,
}

/// The wrapper around a row.
#[derive(Deserialize, Clone, Copy, Default, Debug)]
#[serde(rename_all = "kebab-case")]
enum Form {
    /// The envelope of the streaming API.
    #[default]
    Streaming,
    /// The same in a batch of one.
    Batch,
    /// No wrapper: the row with the columns that Log Analytics adds.
    LogAnalytics,
}

/// A SecurityAlert record.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Alert {
    /// `SystemAlertId`.
    id: String,
    start: String,
    end: String,
    /// `TimeGenerated`.
    #[serde(default = "generated")]
    generated: String,
    /// `AlertType`.
    #[serde(default = "policy")]
    key: toml::Value,
    #[serde(default = "log_analytics")]
    form: Form,
    #[serde(default = "sent")]
    sent: String,
    /// `TenantId`, or that of the envelope.
    #[serde(default = "workspace")]
    tenant: String,
    /// More columns.
    #[serde(default)]
    more: toml::Table,
}

fn one() -> u32 {
    1
}

fn next_day() -> String {
    "2026-03-02T00:00:00Z".into()
}

fn policy() -> toml::Value {
    "policy".into()
}

fn sent() -> String {
    "23:00".into()
}

fn generated() -> String {
    "12:00".into()
}

fn tenant() -> String {
    "entra".into()
}

fn workspace() -> String {
    "workspace".into()
}

fn log_analytics() -> Form {
    Form::LogAnalytics
}

/// Completes times of day such as `10:00` and `10:00:00.5`; any other text stays unchanged.
pub(super) fn full(time: &str) -> String {
    match time.as_bytes() {
        [b'0'..=b'9', b'0'..=b'9', b':', _, _] => format!("{DAY}T{time}:00Z"),
        [b'0'..=b'9', b'0'..=b'9', b':', _, _, b':', ..] => format!("{DAY}T{time}Z"),
        _ => time.to_owned(),
    }
}

pub(super) fn time(time: &str) -> EventTime {
    alerttrail::decode::parse_time(&full(time)).unwrap_or_else(|| panic!("{time:?} is no time"))
}

impl Step {
    /// Returns the message that is read in this step, if any.
    pub(super) fn message(&self) -> Option<Vec<u8>> {
        if let Some(activity) = &self.activity {
            return Some(activity.message().into_bytes());
        }
        if let Some(alert) = &self.alert {
            return Some(alert.message().into_bytes());
        }
        if let Some(bytes) = &self.bytes {
            return Some(hex::decode(bytes).unwrap());
        }
        self.message.as_ref().map(|message| message.clone().into_bytes())
    }
}

impl Activity {
    fn message(&self) -> String {
        let at = full(&self.at);
        let data = match &self.data {
            Some(data) => written_out(data),
            None => format!("{{\"cid\":{}}}", json(&self.key)),
        };
        let row = format!(
            "{{\"ReportId\":{},\"RawEventData\":{{\"CreationTime\":{},\"Data\":{}{}}}{}",
            quoted(&self.id),
            quoted(&at),
            quoted(&data),
            columns(&self.raw),
            columns(&self.more)
        );
        wrapped(&row, "CloudAppEvents", self.form, &full(&self.sent), &self.tenant)
    }
}

impl Alert {
    fn message(&self) -> String {
        let mut row = String::from("{");
        for (name, value) in [
            ("SystemAlertId", quoted(&self.id)),
            ("AlertType", json(&self.key)),
            ("StartTime", quoted(&full(&self.start))),
            ("EndTime", quoted(&full(&self.end))),
            ("TimeGenerated", quoted(&full(&self.generated))),
        ] {
            row += &format!("\"{name}\":{value},");
        }
        row.pop();
        row += &columns(&self.more);
        wrapped(&row, "SecurityAlert", self.form, &full(&self.sent), &self.tenant)
    }
}

/// Wraps `row`, whose object is still open.
fn wrapped(row: &str, table: &str, form: Form, sent: &str, tenant: &str) -> String {
    let (sent, tenant) = (quoted(sent), quoted(tenant));
    let streaming = || {
        format!(
            "{{\"time\":{sent},\"tenantId\":{tenant},\"operationName\":\"Publish\",\
             \"category\":\"AdvancedHunting-{table}\",\"properties\":{row}}}}}"
        )
    };
    match form {
        Form::Streaming => streaming(),
        Form::Batch => format!("{{\"records\": [ {} ]}}", streaming()),
        Form::LogAnalytics if table == "SecurityAlert" => format!("{row},\"TenantId\":{tenant},\"Type\":\"{table}\"}}"),
        Form::LogAnalytics => {
            format!("{row},\"TenantId\":{tenant},\"SourceSystem\":\"Azure\",\"TimeGenerated\":{sent},\"Type\":\"{table}\"}}")
        }
    }
}

fn columns(more: &toml::Table) -> String {
    more.iter()
        .map(|(name, value)| format!(",{}:{}", quoted(name), json(value)))
        .collect()
}

/// Returns the JSON text of a TOML value. A table `{ json = "…" }` is that text itself.
fn json(value: &toml::Value) -> String {
    match value.get("json").and_then(toml::Value::as_str) {
        Some(text) => written_out(text),
        None => match value.as_str() {
            Some(text) => quoted(&written_out(text)),
            None => serde_json::to_string(value).unwrap(),
        },
    }
}

/// Expands abbreviations for long values: `@127` is that many nested arrays, `@x900` is that many letters x, and
/// `@list100` is a list of that many strings, with `key-000` as the first.
fn written_out(text: &str) -> String {
    let number = |text: &str| text.parse::<usize>().ok();
    if let Some(count) = text.strip_prefix("@list").and_then(number) {
        let keys: Vec<String> = (0..count).map(|key| format!("\"key-{key:03}\"")).collect();
        return format!("[{}]", keys.join(","));
    }
    if let Some(times) = text.strip_prefix("@x").and_then(number) {
        return "x".repeat(times);
    }
    match text.strip_prefix('@').and_then(number) {
        Some(deep) => "[".repeat(deep) + &"]".repeat(deep),
        None => text.to_owned(),
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}
