//! Prints each closed alert as a time line on standard output. The data is read back from the output topics.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message as _;
use serde_json::Value;

use crate::clock;
use crate::config::Config;
use crate::kafka::clients::{self, Logged};
use crate::kafka::{Error, reading};
use crate::shutdown::Shutdown;
use crate::store;
use crate::term::{mask, out};
use crate::words::counted;

/// Reads the output topics and prints.
pub(super) struct Screen {
    consumer: BaseConsumer<Logged>,
    colors: bool,
    /// The rows that count, for each result, by time and id.
    rows: BTreeMap<Subject, BTreeMap<(String, String), ShownRow>>,
    /// Summaries whose rows have not all been read yet, because the two topics are read side by side.
    waiting: Vec<Value>,
    /// The alerts that were closed by at least one link.
    alerts: BTreeSet<String>,
    pairs: u64,
}

/// The subject of a summary: an alert, a link, and the key by which the link found the activities.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    alert: String,
    link: String,
    key: String,
}

impl Subject {
    fn new(record: &Value) -> Self {
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        Self {
            alert: text("system_alert_id"),
            link: text("link"),
            key: text("correlation_id"),
        }
    }
}

struct ShownRow {
    line: String,
    reason: String,
    shown: bool,
}

impl Screen {
    pub(super) fn open(config: &Config) -> Result<Self, Error> {
        let consumer: BaseConsumer<Logged> = clients::consumer(config, "screen", None, Logged)?;
        let topics = config.output.summary_topic.iter().chain([&config.output.topic]);
        let begins = reading::offsets(topics.map(|topic| (topic.as_str(), 0, Offset::Beginning)));
        begins
            .and_then(|begins| consumer.assign(&begins))
            .map_err(|cause| Error::read(&config.output.topic, cause))?;
        Ok(Self {
            consumer,
            colors: std::io::stdout().is_terminal(),
            rows: BTreeMap::new(),
            waiting: Vec::new(),
            alerts: BTreeSet::new(),
            pairs: 0,
        })
    }

    /// Prints until a shutdown is requested, until `time` is over, or until standard output is closed.
    pub(super) fn run(&mut self, time: Option<Duration>, shutdown: &Shutdown) -> Result<(), Error> {
        let began = clock::start();
        while !shutdown.is_requested() && !out::is_over() && time.is_none_or(|time| began.elapsed() < time) {
            match self.consumer.poll(Duration::from_millis(50)) {
                None => {}
                Some(Ok(message)) => {
                    let value = serde_json::from_slice(message.payload().unwrap_or_default());
                    self.record(value.unwrap_or_default());
                }
                Some(Err(error)) => tracing::warn!(%error, "cannot read the output; trying again"),
            }
            self.show_complete();
        }
        Ok(())
    }

    /// Returns the numbers of what was shown.
    pub(super) fn totals(&self) -> String {
        let next = match store::ON_DISK {
            true => "Next: alerttrail run --config config/local.toml, with a broker of your own.",
            false => {
                "This build is for the demo: it keeps state in memory and has no TLS.\n\
                 Next: scripts/setup && cargo build --release --locked builds the whole program, in 15 to 25 minutes on two cores."
            }
        };
        format!(
            "{} answered, {}. {next}",
            counted(self.alerts.len() as u64, "alert"),
            counted(self.pairs, "alert-to-activity row")
        )
    }

    fn record(&mut self, record: Value) {
        let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        if record["kind"] == "alert" {
            if record["op"] == "upsert" {
                self.waiting.push(record);
            }
            return;
        }
        let rows = self.rows.entry(Subject::new(&record)).or_default();
        let key = (text("activity_time"), text("id"));
        if record["op"] == "delete" {
            rows.remove(&key);
            return;
        }
        self.pairs += 1;
        let activity = &record["activity"];
        let raw = &activity["RawEventData"];
        let file = [&activity["ObjectName"], &raw["SourceFileName"], &raw["ItemName"]];
        let file = file.iter().find_map(|value| value.as_str()).unwrap_or("");
        let line = format!(
            "{}  {:<28} {:<22} {}",
            clock_of(&text("activity_time")),
            activity["AccountDisplayName"].as_str().unwrap_or("?"),
            activity["ActionType"].as_str().unwrap_or("?"),
            file
        );
        let row = ShownRow {
            line,
            reason: text("reason"),
            shown: false,
        };
        rows.insert(key, row);
    }

    fn show_complete(&mut self) {
        let rows_of = |summary: &Value, rows: &BTreeMap<Subject, BTreeMap<_, ShownRow>>| {
            rows.get(&Subject::new(summary)).map_or(0, BTreeMap::len) as u64
        };
        let (complete, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|summary| rows_of(summary, &self.rows) >= summary["activity_count"].as_u64().unwrap_or(0));
        self.waiting = waiting;
        for summary in complete {
            self.show(&summary);
        }
    }

    fn show(&mut self, summary: &Value) {
        let text = |name: &str| summary[name].as_str().unwrap_or_default();
        let revision = summary["revision"].as_u64().unwrap_or(0);
        let alert = &summary["alert"];
        let of_alert = |name: &str| alert[name].as_str().unwrap_or("?");
        let subject = Subject::new(summary);
        self.alerts.insert(subject.alert.clone());
        let activities = counted(summary["activity_count"].as_u64().unwrap_or(0), "activity");
        let what = match (revision, text("status")) {
            (1, "unmatched") => "no activity matches".to_owned(),
            (1, _) => activities,
            _ => format!("revision {revision}: {activities}"),
        };
        let what = format!("{what} by {}", subject.link);
        out::print_coloured_line(&format!(
            "{}  {}  {}  {}",
            clock_of(text("closed_at")),
            self.paint("1", of_alert("AlertName")),
            self.paint(severity_color(of_alert("AlertSeverity")), of_alert("AlertSeverity")),
            self.paint("1", &what)
        ));
        out::print_line(&format!(
            "          alert {}  {} {}",
            subject.alert,
            kind_of_key(&subject.link),
            mask::printable(&subject.key, mask::Lines::One)
        ));
        out::print_line(&format!(
            "          window {} to {}, closed by {}, status {}",
            clock_of(summary["window"]["start"].as_str().unwrap_or_default()),
            clock_of(summary["window"]["end"].as_str().unwrap_or_default()),
            text("closed_by").replace('_', " "),
            of_alert("Status")
        ));
        let mut lines = Vec::new();
        if let Some(rows) = self.rows.get_mut(&subject) {
            for row in rows.values_mut() {
                let new = match row.reason.as_str() {
                    _ if row.shown => "",
                    "late_activity" => "  <- late activity",
                    "alert_updated" => "  <- the alert was updated",
                    _ => "",
                };
                lines.push((format!("            {}", mask::printable(&row.line, mask::Lines::One)), new));
                row.shown = true;
            }
        }
        for (line, new) in lines {
            out::print_coloured_line(&format!("{line}{}", self.paint("32", new)));
        }
        out::print_line("");
    }

    fn paint(&self, color: &str, text: &str) -> String {
        let text = mask::printable(text, mask::Lines::One);
        match self.colors && !text.is_empty() {
            true => format!("\x1b[{color}m{text}\x1b[0m"),
            false => text.into_owned(),
        }
    }
}

/// Returns `10:00:00.123` for `2026-03-01T10:00:00.1234567Z`.
fn clock_of(time: &str) -> &str {
    time.get(11..23).unwrap_or(time)
}

/// Returns the kind of thing that the key of a link of the demo identifies.
fn kind_of_key(link: &str) -> &'static str {
    match link {
        "query" => "policy",
        "users" => "user",
        "file" => "file",
        _ => "key",
    }
}

fn severity_color(severity: &str) -> &'static str {
    match severity {
        "High" => "31",
        "Medium" => "33",
        _ => "36",
    }
}
