//! Every metric: name, help, labels. Built from a registry of its own; nothing is global. The core returns what happened, the edge counts
//! it here.

mod hints;
mod input;
mod make;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use dashmap::DashMap;
use prometheus::{Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};

use crate::check::sample::many_empty_windows;
use crate::emit::{Headers, Links};
use crate::join::{Joiner, Op};
use crate::log::Mark;
use crate::record::LinkId;
use crate::store::Base;
use hints::Hints;
use make::{counter, counters, gauge, gauges};

/// The metrics of one processor.
pub struct Metrics {
    registry: Registry,
    messages: IntCounter,
    message_bytes: IntCounter,
    tombstones: IntCounter,
    records: IntCounterVec,
    other_tables: IntCounterVec,
    /// The counters of the tables met so far: this is asked for every record that is skipped.
    tables: DashMap<String, IntCounter>,
    future: IntCounter,
    unreadable: IntCounter,
    ignored: IntCounter,
    second_tenant: IntCounter,
    lost: IntCounter,
    dead_letters: IntCounterVec,
    joined: IntCounterVec,
    emitted: IntCounterVec,
    closed: IntCounterVec,
    links: Links,
    empty_windows: IntCounter,
    warned_of_empty_windows: AtomicBool,
    hints: Hints,
    source_watermark: IntGaugeVec,
    source_idle: IntGaugeVec,
    watermark: IntGaugeVec,
    log_position: IntGaugeVec,
    owned: IntGauge,
    state_bytes: IntGaugeVec,
    replaying: IntGaugeVec,
    has_worked: AtomicBool,
    /// The partitions of the log that gauges speak of.
    joined_here: Mutex<BTreeSet<i32>>,
}

/// A name that is taken twice, or is none.
pub type Error = prometheus::Error;

/// Tables beyond this many are counted together: a label must stay bounded whatever comes in.
const MOST_TABLES: usize = 64;
/// A name that is longer is none of a table's.
const LONGEST_TABLE: usize = 64;

impl Metrics {
    /// Returns all metrics, at zero. `links` are those that labels name.
    pub fn new(links: Links) -> Result<Self, Error> {
        let registry = Registry::new();
        let r = &registry;
        Ok(Self {
            messages: counter(r, "messages_received_total", "Messages read from the input topics.")?,
            message_bytes: counter(r, "message_bytes_received_total", "Bytes of the values of messages read.")?,
            tombstones: counter(r, "tombstones_total", "Messages without a value, skipped.")?,
            records: counters(r, "records_received_total", "Records read, by kind.", &["kind"])?,
            other_tables: counters(r, "records_skipped_total", "Records of other tables, by table.", &["table"])?,
            tables: DashMap::new(),
            future: counter(
                r,
                "activities_future_total",
                "Activities whose time was too far ahead of their arrival to move the watermark.",
            )?,
            unreadable: counter(
                r,
                "activities_unreadable_total",
                "Activities whose RawEventData holds no JSON object.",
            )?,
            ignored: counter(r, "records_ignored_total", "Records that input.ignore names, skipped.")?,
            second_tenant: counter(
                r,
                "records_second_tenant_total",
                "Records of a second tenant while tenants are not told apart.",
            )?,
            lost: counter(
                r,
                "records_lost_total",
                "Records that were removed from an input topic before they were read.",
            )?,
            dead_letters: counters(
                r,
                "dead_letters_total",
                "Records sent to the dead letters, by reason.",
                &["reason"],
            )?,
            joined: counters(
                r,
                "join_records_total",
                "What JOIN made of log records, by outcome and link.",
                &["outcome", "link"],
            )?,
            emitted: counters(
                r,
                "output_records_total",
                "Output records, by kind, operation and link.",
                &["kind", "op", "link"],
            )?,
            closed: counters(
                r,
                "windows_closed_total",
                "Alert windows closed, by link, once for each key.",
                &["link"],
            )?,
            empty_windows: counter(
                r,
                "windows_empty_total",
                "Alert versions whose window is empty and can match nothing.",
            )?,
            warned_of_empty_windows: AtomicBool::new(false),
            hints: Hints::new(r)?,
            source_watermark: gauges(
                r,
                "source_watermark_timestamp_seconds",
                "Watermark of a source partition, in seconds since 1970.",
                &["topic", "partition"],
            )?,
            source_idle: gauges(
                r,
                "source_idle",
                "1 while a source partition is idle and does not hold the watermark back.",
                &["topic", "partition"],
            )?,
            watermark: gauges(
                r,
                "watermark_timestamp_seconds",
                "Watermark of a repartition partition, in seconds since 1970.",
                &["partition"],
            )?,
            log_position: gauges(
                r,
                "log_position",
                "The next offset of a repartition partition to apply.",
                &["partition"],
            )?,
            owned: gauge(r, "partitions_owned", "Repartition partitions that this instance joins.")?,
            state_bytes: gauges(r, "state_bytes", "Bytes of state on disk.", &["partition"])?,
            replaying: gauges(
                r,
                "join_replay_records",
                "Log records left to apply of those that were there when the partition was taken over.",
                &["partition"],
            )?,
            links,
            has_worked: AtomicBool::new(false),
            joined_here: Mutex::default(),
            registry,
        })
    }

    /// All of them in Prometheus' text format.
    pub fn text(&self) -> Result<Vec<u8>, Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// Records were removed from an input topic before they were read, and reading went on.
    pub fn lost(&self, records: u64) {
        self.lost.inc_by(records);
    }

    /// A dead letter was sent.
    pub fn dead_letter(&self, reason: &'static str) {
        self.dead_letters.with_label_values(&[reason]).inc();
    }

    /// The source partitions that are read here stand so.
    pub fn marked(&self, sources: &[Mark]) {
        self.has_worked.fetch_or(!sources.is_empty(), Ordering::Relaxed);
        for mark in sources {
            let partition = mark.partition.to_string();
            let labels = [mark.topic.as_str(), &partition];
            if let Some(time) = mark.time {
                self.source_watermark.with_label_values(&labels).set(time.to_wall().0 / 1000);
            }
            self.source_idle.with_label_values(&labels).set(i64::from(mark.idle));
        }
    }

    /// A source partition is no longer this instance's to speak of.
    pub fn revoked(&self, topic: &str, partition: i32) {
        for gauge in [&self.source_watermark, &self.source_idle] {
            // Of one that never was set there is nothing to remove.
            drop(gauge.remove_label_values(&[topic, &partition.to_string()]));
        }
    }

    /// Reading begins with no source partition.
    pub fn none_read(&self) {
        self.source_watermark.reset();
        self.source_idle.reset();
    }

    /// These partitions of the log are joined here now. What was said of others is no longer this instance's to say.
    pub fn assigned(&self, partitions: &[i32]) {
        self.owned.set(i64::try_from(partitions.len()).unwrap_or(i64::MAX));
        self.has_worked.fetch_or(!partitions.is_empty(), Ordering::Relaxed);
        let mut joined_here = self.joined_here.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in joined_here.iter().filter(|known| !partitions.contains(known)) {
            for gauge in [&self.watermark, &self.log_position, &self.state_bytes, &self.replaying] {
                // Of one that never was set there is nothing to remove.
                drop(gauge.remove_label_values(&[&gone.to_string()]));
            }
        }
        *joined_here = partitions.iter().copied().collect();
    }

    /// This many records of a partition's log are to be applied again before it is where it was.
    pub fn replaying(&self, partition: i32, left: i64) {
        self.replaying.with_label_values(&[&partition.to_string()]).set(left.max(0));
    }

    /// How many records are to be applied again in all partitions before they are where they were.
    pub fn left_to_replay(&self) -> i64 {
        let joined_here = self.joined_here.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |partition: &i32| self.replaying.with_label_values(&[&partition.to_string()]).get();
        joined_here.iter().map(left).sum()
    }

    /// Whether any partition has been read or joined here.
    pub fn has_worked(&self) -> bool {
        self.has_worked.load(Ordering::Relaxed)
    }

    /// A batch of a partition was joined.
    pub fn joined(&self, partition: i32, joiner: &mut Joiner) {
        let counts = joiner.take_counts();
        for (link, counts) in counts.iter() {
            let name = self.links.name(link);
            for (outcome, count) in [
                ("activity_stored", counts.activities),
                ("activity_duplicate", counts.duplicate_activities),
                ("activity_late", counts.late_activities),
                ("activity_expired", counts.expired_activities),
                ("alert_version", counts.alerts),
                ("alert_stale", counts.stale_alerts),
                ("alert_expired", counts.expired_alerts),
            ] {
                if count > 0 {
                    self.joined.with_label_values(&[outcome, name]).inc_by(count);
                }
            }
            self.closed.with_label_values(&[name]).inc_by(counts.closed);
        }
        self.count_empty_windows(counts.query().empty_windows);
        let partition = partition.to_string();
        self.log_position.with_label_values(&[&partition]).set(joiner.next_offset());
        if let Some(watermark) = joiner.watermark() {
            self.watermark
                .with_label_values(&[&partition])
                .set(watermark.to_wall().0 / 1000);
        }
    }

    /// How large a partition's state is. To be told now and then: a store asks all its tables for it.
    pub fn holds(&self, partition: i32, state: &impl Base) {
        if let Some(bytes) = state.disk_bytes() {
            self.state_bytes
                .with_label_values(&[&partition.to_string()])
                .set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }

    /// Warns once of windows that match nothing, when they are many.
    fn count_empty_windows(&self, new: u64) {
        self.empty_windows.inc_by(new);
        let (empty, all) = (
            self.empty_windows.get(),
            self.joined
                .with_label_values(&["alert_version", self.links.name(LinkId::QUERY)])
                .get(),
        );
        if new > 0
            && let Some(sentence) = many_empty_windows(empty, all)
            && !self.warned_of_empty_windows.swap(true, Ordering::Relaxed)
        {
            tracing::warn!("{sentence}");
        }
    }

    /// An output record was sent.
    pub fn emitted(&self, headers: &Headers) {
        let op = match headers.op {
            Op::Upsert => "upsert",
            Op::Delete => "delete",
        };
        let link = self.links.name(headers.link);
        self.emitted.with_label_values(&[headers.kind.as_str(), op, link]).inc();
    }
}

/// What has passed through since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Passed {
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

impl Metrics {
    /// What has passed through since the start.
    pub fn passed(&self) -> Passed {
        let records = |kind| self.records.with_label_values(&[kind]).get();
        let emitted = |kind| {
            ["upsert", "delete"]
                .map(|op| {
                    let of_link = |link| self.emitted.with_label_values(&[kind, op, link]).get();
                    self.links.names().map(of_link).sum::<u64>()
                })
                .iter()
                .sum()
        };
        Passed {
            messages: self.messages.get(),
            bytes: self.message_bytes.get(),
            activities: records("activity_keyed") + records("activity_unkeyed"),
            alerts: records("alert"),
            rows: emitted("activity"),
            summaries: emitted("alert"),
            dead_letters: self.dead_letters_by_reason().iter().map(|(_, count)| count).sum(),
        }
    }

    /// Dead letters sent, by reason.
    pub fn dead_letters_by_reason(&self) -> Vec<(String, u64)> {
        by_label(&self.dead_letters)
    }

    /// Records of other tables, by table.
    pub fn skipped_by_table(&self) -> Vec<(String, u64)> {
        by_label(&self.other_tables)
    }
}

/// The values of a counter with one label.
fn by_label(counters: &IntCounterVec) -> Vec<(String, u64)> {
    use prometheus::core::Collector as _;
    let families = counters.collect();
    let metrics = families.iter().flat_map(|family| family.get_metric());
    let label = |metric: &prometheus::proto::Metric| metric.get_label().first().map(|label| label.value().to_owned());
    metrics
        .filter_map(|metric| {
            let label = label(metric)?;
            Some((label.clone(), counters.with_label_values(&[label.as_str()]).get()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::EventTime;

    #[test]
    fn nothing_is_said_of_partitions_that_others_have_now() {
        let metrics = Metrics::new(Links::query(Default::default())).unwrap();
        let mark = |topic: &str, partition| Mark {
            topic: topic.to_owned(),
            partition,
            position: 0,
            time: Some(EventTime::from_ticks(0)),
            idle: false,
            rejected: 0,
        };
        let said = |metrics: &Metrics| {
            let text = String::from_utf8(metrics.text().unwrap()).unwrap();
            let labelled = text.lines().filter(|line| line.contains("partition=\""));
            labelled
                .map(|line| line.split_once(' ').unwrap().0.to_owned())
                .collect::<Vec<_>>()
        };
        assert!(!metrics.has_worked());
        metrics.marked(&[mark("activities", 0), mark("activities", 1), mark("alerts", 0)]);
        metrics.assigned(&[0, 1]);
        metrics.replaying(0, 5);
        metrics.replaying(1, 7);
        assert_eq!(metrics.left_to_replay(), 12);
        assert_eq!(said(&metrics).len(), 8);
        metrics.revoked("activities", 0);
        metrics.revoked("alerts", 0);
        metrics.assigned(&[1]);
        assert_eq!(
            said(&metrics),
            [
                r#"alerttrail_join_replay_records{partition="1"}"#,
                r#"alerttrail_source_idle{partition="1",topic="activities"}"#,
                r#"alerttrail_source_watermark_timestamp_seconds{partition="1",topic="activities"}"#,
            ]
        );
        assert_eq!(metrics.left_to_replay(), 7);
        metrics.none_read();
        metrics.assigned(&[]);
        assert!(said(&metrics).is_empty() && metrics.left_to_replay() == 0 && metrics.has_worked());
    }

    #[test]
    fn a_flood_of_table_names_makes_a_few_labels_and_none_of_them_strange() {
        let metrics = Metrics::new(Links::query(Default::default())).unwrap();
        for strange in ["", "a\nb", "a\u{1b}[31m", "a\"} 1", "é", &"x".repeat(1_000_000)] {
            metrics.other_table(strange);
        }
        for number in 0..1_000_000 {
            metrics.other_table(&format!("Table{number}_CL"));
        }
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("alerttrail_records_skipped_total{"))
            .collect();
        assert_eq!(lines.len(), MOST_TABLES, "63 names, and the others in one");
        let other = format!("alerttrail_records_skipped_total{{table=\"other\"}} {}", 1_000_006 - 63);
        assert!(lines.contains(&other.as_str()), "{lines:?}");
        assert!(lines.contains(&"alerttrail_records_skipped_total{table=\"Table7_CL\"} 1"));
        assert!(text.len() < 20_000 && metrics.tables.len() <= MOST_TABLES);
    }
}
