//! All metrics with their names, help texts and labels, in a separate registry; nothing is global. The core returns
//! counts, and the pipeline adds them here.

mod hints;
mod input;
mod latency;
mod make;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use dashmap::DashMap;
use prometheus::{Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder};

use crate::check::sample::many_empty_windows;
use crate::emit::{Headers, Links};
use crate::join::{Joiner, Op};
use crate::record::LinkId;
use crate::repartition::SourceWatermark;
use crate::store::Backend;
use hints::Hints;
use latency::Latencies;
pub use latency::{JoinLatency, RouteLatency};
use make::{counter, counters, gauge, gauges};

/// The metrics of one processor.
pub struct Metrics {
    registry: Registry,
    messages: IntCounter,
    message_bytes: IntCounter,
    tombstones: IntCounter,
    records: IntCounterVec,
    other_tables: IntCounterVec,
    /// The counters of the tables seen so far, which are needed for every skipped record.
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
    latencies: Latencies,
    source_watermark: IntGaugeVec,
    source_idle: IntGaugeVec,
    watermark: IntGaugeVec,
    join_offset: IntGaugeVec,
    assigned_count: IntGauge,
    state_bytes: IntGaugeVec,
    replaying: IntGaugeVec,
    has_worked: AtomicBool,
    /// The partitions of the repartition topic for which gauges exist.
    joined_here: Mutex<BTreeSet<i32>>,
}

/// A duplicate or invalid metric name.
pub type Error = prometheus::Error;

/// The maximum number of tables with separate counters. Further tables are counted together, because the number of
/// labels must stay bounded whatever the input contains.
const MAX_TABLES: usize = 64;
/// The maximum length of a table's name. A longer name is counted as `other`.
const MAX_TABLE_LENGTH: usize = 64;

impl Metrics {
    /// Creates all metrics, at zero. `links` are the links in labels.
    pub fn new(links: Links) -> Result<Self, Error> {
        let registry = Registry::new();
        let r = &registry;
        Ok(Self {
            messages: counter(r, "messages_received_total", "Messages read from the input topics.")?,
            message_bytes: counter(
                r,
                "message_bytes_received_total",
                "Bytes of the values of messages read from the input topics.",
            )?,
            tombstones: counter(r, "tombstones_total", "Skipped messages without a value.")?,
            records: counters(r, "records_received_total", "Records read, by kind.", &["kind"])?,
            other_tables: counters(
                r,
                "records_skipped_total",
                "Skipped records of other tables, by table.",
                &["table"],
            )?,
            tables: DashMap::new(),
            future: counter(
                r,
                "activities_future_total",
                "Activities whose time was too far ahead of their arrival to move the watermark.",
            )?,
            unreadable: counter(
                r,
                "activities_unreadable_total",
                "Activities whose RawEventData contains no JSON object.",
            )?,
            ignored: counter(r, "records_ignored_total", "Skipped records that match input.ignore.")?,
            second_tenant: counter(
                r,
                "records_second_tenant_total",
                "Records of a second tenant while no [tenants] table is configured.",
            )?,
            lost: counter(
                r,
                "records_lost_total",
                "Records that were removed from an input topic before they were read.",
            )?,
            dead_letters: counters(
                r,
                "dead_letters_total",
                "Records sent to the dead-letter topic, by reason.",
                &["reason"],
            )?,
            joined: counters(
                r,
                "join_records_total",
                "Repartition-topic records processed by JOIN, by outcome and link.",
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
                "Closed alert windows, one for each key, by link.",
                &["link"],
            )?,
            empty_windows: counter(
                r,
                "windows_empty_total",
                "Alert versions whose window is empty and cannot match any activity.",
            )?,
            warned_of_empty_windows: AtomicBool::new(false),
            hints: Hints::new(r)?,
            latencies: Latencies::new(r)?,
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
                "Watermark of a partition of the repartition topic, in seconds since 1970.",
                &["partition"],
            )?,
            join_offset: gauges(
                r,
                "join_offset",
                "The next offset to apply of a partition of the repartition topic.",
                &["partition"],
            )?,
            assigned_count: gauge(
                r,
                "partitions_owned",
                "Partitions of the repartition topic that are assigned to this instance.",
            )?,
            state_bytes: gauges(r, "state_bytes", "Bytes of state on disk.", &["partition"])?,
            replaying: gauges(
                r,
                "join_replay_records",
                "Repartition-topic records still to be applied of those that existed when the partition was assigned.",
                &["partition"],
            )?,
            links,
            has_worked: AtomicBool::new(false),
            joined_here: Mutex::default(),
            registry,
        })
    }

    /// Returns all metrics in Prometheus' text format.
    pub fn text(&self) -> Result<Vec<u8>, Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// Counts records that were removed from an input topic before they were read, so that reading continued after
    /// them.
    pub fn lost(&self, records: u64) {
        self.lost.inc_by(records);
    }

    /// Counts a dead-letter record.
    pub fn dead_letter(&self, reason: &'static str) {
        self.dead_letters.with_label_values(&[reason]).inc();
    }

    /// Sets the watermarks of the source partitions that are read here.
    pub fn marked(&self, sources: &[SourceWatermark]) {
        self.has_worked.fetch_or(!sources.is_empty(), Ordering::Relaxed);
        for source in sources {
            let partition = source.partition.to_string();
            let labels = [source.topic.as_str(), &partition];
            if let Some(time) = source.time {
                self.source_watermark.with_label_values(&labels).set(time.to_wall().0 / 1000);
            }
            self.source_idle.with_label_values(&labels).set(i64::from(source.idle));
        }
    }

    /// Removes the gauges of a source partition that another instance reads.
    pub fn revoked(&self, topic: &str, partition: i32) {
        for gauge in [&self.source_watermark, &self.source_idle] {
            // A gauge that was never set cannot be removed.
            drop(gauge.remove_label_values(&[topic, &partition.to_string()]));
        }
    }

    /// Removes the gauges of all source partitions.
    pub fn none_read(&self) {
        self.source_watermark.reset();
        self.source_idle.reset();
    }

    /// Sets the partitions of the repartition topic that are joined here, and removes the gauges of all others.
    pub fn assigned(&self, partitions: &[i32]) {
        self.assigned_count.set(i64::try_from(partitions.len()).unwrap_or(i64::MAX));
        self.has_worked.fetch_or(!partitions.is_empty(), Ordering::Relaxed);
        let mut joined_here = self.joined_here.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in joined_here.iter().filter(|known| !partitions.contains(known)) {
            for gauge in [&self.watermark, &self.join_offset, &self.state_bytes, &self.replaying] {
                // A gauge that was never set cannot be removed.
                drop(gauge.remove_label_values(&[&gone.to_string()]));
            }
        }
        *joined_here = partitions.iter().copied().collect();
    }

    /// Sets how many records of a partition are still to be applied before it has caught up.
    pub fn replaying(&self, partition: i32, left: i64) {
        self.replaying.with_label_values(&[&partition.to_string()]).set(left.max(0));
    }

    /// Returns how many records of all partitions are still to be applied before they have caught up.
    pub fn left_to_replay(&self) -> i64 {
        let joined_here = self.joined_here.lock().unwrap_or_else(PoisonError::into_inner);
        let left = |partition: &i32| self.replaying.with_label_values(&[&partition.to_string()]).get();
        joined_here.iter().map(left).sum()
    }

    /// Returns whether any partition has been read or joined here.
    pub fn has_worked(&self) -> bool {
        self.has_worked.load(Ordering::Relaxed)
    }

    /// Counts the outcomes of a batch of a partition, and sets the partition's gauges.
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
        self.join_offset.with_label_values(&[&partition]).set(joiner.next_offset());
        if let Some(watermark) = joiner.watermark() {
            self.watermark
                .with_label_values(&[&partition])
                .set(watermark.to_wall().0 / 1000);
        }
    }

    /// Sets the size of a partition's state. Call it rarely, because a store queries all its tables for it.
    pub fn holds(&self, partition: i32, state: &impl Backend) {
        if let Some(bytes) = state.disk_bytes() {
            self.state_bytes
                .with_label_values(&[&partition.to_string()])
                .set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }

    /// Warns once if many windows are empty.
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

    /// Counts an output record.
    pub fn emitted(&self, headers: &Headers) {
        let op = match headers.op {
            Op::Upsert => "upsert",
            Op::Delete => "delete",
        };
        let link = self.links.name(headers.link);
        self.emitted.with_label_values(&[headers.kind.as_str(), op, link]).inc();
    }
}

/// Counts since the start of the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ProcessCounts {
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

impl Metrics {
    /// Returns the counts since the start of the process.
    pub fn counts(&self) -> ProcessCounts {
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
        ProcessCounts {
            messages: self.messages.get(),
            bytes: self.message_bytes.get(),
            activities: records("activity_keyed") + records("activity_unkeyed"),
            alerts: records("alert"),
            rows: emitted("activity"),
            summaries: emitted("alert"),
            dead_letters: self.dead_letters_by_reason().iter().map(|(_, count)| count).sum(),
        }
    }

    /// Returns the number of dead-letter records by reason.
    pub fn dead_letters_by_reason(&self) -> Vec<(String, u64)> {
        by_label(&self.dead_letters)
    }

    /// Returns the number of records of other tables by table.
    pub fn skipped_by_table(&self) -> Vec<(String, u64)> {
        by_label(&self.other_tables)
    }
}

/// Returns the values of a counter with one label.
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
    fn revoked_partitions_have_no_metrics() {
        let metrics = Metrics::new(Links::query(Default::default())).unwrap();
        let source = |topic: &str, partition| SourceWatermark {
            topic: topic.to_owned(),
            partition,
            position: 0,
            time: Some(EventTime::from_ticks(0)),
            idle: false,
            rejected: 0,
        };
        let labels = |metrics: &Metrics| {
            let text = String::from_utf8(metrics.text().unwrap()).unwrap();
            let labelled = text.lines().filter(|line| line.contains("partition=\""));
            labelled
                .map(|line| line.split_once(' ').unwrap().0.to_owned())
                .collect::<Vec<_>>()
        };
        assert!(!metrics.has_worked());
        metrics.marked(&[source("activities", 0), source("activities", 1), source("alerts", 0)]);
        metrics.assigned(&[0, 1]);
        metrics.replaying(0, 5);
        metrics.replaying(1, 7);
        assert_eq!(metrics.left_to_replay(), 12);
        assert_eq!(labels(&metrics).len(), 8);
        metrics.revoked("activities", 0);
        metrics.revoked("alerts", 0);
        metrics.assigned(&[1]);
        assert_eq!(
            labels(&metrics),
            [
                r#"alerttrail_join_replay_records{partition="1"}"#,
                r#"alerttrail_source_idle{partition="1",topic="activities"}"#,
                r#"alerttrail_source_watermark_timestamp_seconds{partition="1",topic="activities"}"#,
            ]
        );
        assert_eq!(metrics.left_to_replay(), 7);
        metrics.none_read();
        metrics.assigned(&[]);
        assert!(labels(&metrics).is_empty() && metrics.left_to_replay() == 0 && metrics.has_worked());
    }

    #[test]
    fn the_number_and_form_of_table_labels_is_limited() {
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
        assert_eq!(lines.len(), MAX_TABLES, "63 names, and the others in one");
        let other = format!("alerttrail_records_skipped_total{{table=\"other\"}} {}", 1_000_006 - 63);
        assert!(lines.contains(&other.as_str()), "{lines:?}");
        assert!(lines.contains(&"alerttrail_records_skipped_total{table=\"Table7_CL\"} 1"));
        assert!(text.len() < 20_000 && metrics.tables.len() <= MAX_TABLES);
    }
}
