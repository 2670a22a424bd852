//! Every metric: name, help, labels. Built from a registry of its own; nothing is global. The core returns what happened, the edge counts
//! it here.

use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use prometheus::{Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::emit::Headers;
use crate::join::{Joiner, Op};
use crate::log::Marks;
use crate::route::Seen;

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
    second_tenant: IntCounter,
    lost: IntCounter,
    dead_letters: IntCounterVec,
    joined: IntCounterVec,
    emitted: IntCounterVec,
    closed: IntCounter,
    empty_windows: IntCounter,
    warned_of_empty_windows: AtomicBool,
    source_watermark: IntGaugeVec,
    source_idle: IntGaugeVec,
    watermark: IntGaugeVec,
    log_position: IntGaugeVec,
    owned: IntGauge,
    state_bytes: IntGaugeVec,
    replaying: IntGaugeVec,
}

/// A name that is taken twice, or is none.
pub type Error = prometheus::Error;

/// Tables beyond this many are counted together: a label must stay bounded whatever comes in.
const MOST_TABLES: usize = 64;
/// A name that is longer is none of a table's.
const LONGEST_TABLE: usize = 64;

impl Metrics {
    /// All metrics, at zero.
    pub fn new() -> Result<Self, Error> {
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
                "What JOIN made of log records, by outcome.",
                &["outcome"],
            )?,
            emitted: counters(
                r,
                "output_records_total",
                "Output records, by kind and operation.",
                &["kind", "op"],
            )?,
            closed: counter(r, "windows_closed_total", "Alert windows closed.")?,
            empty_windows: counter(
                r,
                "windows_empty_total",
                "Alert versions whose window is empty and can match nothing.",
            )?,
            warned_of_empty_windows: AtomicBool::new(false),
            source_watermark: gauges(
                r,
                "source_watermark_seconds",
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
                "watermark_seconds",
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
            registry,
        })
    }

    /// All of them in Prometheus' text format.
    pub fn text(&self) -> Result<Vec<u8>, Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// So many messages were routed, of so many bytes together.
    pub fn routed(&self, messages: u64, bytes: u64, seen: &Seen) {
        self.messages.inc_by(messages);
        self.message_bytes.inc_by(bytes);
        self.tombstones.inc_by(seen.tombstones);
        self.future.inc_by(seen.future);
        for (kind, count) in [
            ("activity_keyed", seen.keyed),
            (
                "activity_unkeyed",
                (seen.activities + seen.timeless).saturating_sub(seen.keyed),
            ),
            ("alert", seen.alerts),
        ] {
            if count > 0 {
                self.records.with_label_values(&[kind]).inc_by(count);
            }
        }
    }

    /// A record of another table was skipped.
    pub fn other_table(&self, table: &str) {
        if let Some(counter) = self.tables.get(table) {
            return counter.inc();
        }
        // The name comes from the input, where anything may stand.
        let is_name = table.len() <= LONGEST_TABLE && table.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let label = match is_name && self.tables.len() < MOST_TABLES {
            true => table,
            false => "other",
        };
        let counter = self.other_tables.with_label_values(&[label]);
        counter.inc();
        self.tables.insert(label.to_owned(), counter);
    }

    /// A record of a second tenant was met while tenants are not told apart.
    pub fn second_tenant(&self) {
        if self.second_tenant.get() == 0 {
            tracing::error!(
                "records of a second tenant came in, but there is no [tenants] table: alerts of one tenant may be joined with activities of another; list the tenants, or give each its own topics and application.id"
            );
        }
        self.second_tenant.inc();
    }

    /// Records were removed from an input topic before they were read, and reading went on.
    pub fn lost(&self, records: u64) {
        self.lost.inc_by(records);
    }

    /// A dead letter was sent.
    pub fn dead_letter(&self, reason: &'static str) {
        self.dead_letters.with_label_values(&[reason]).inc();
    }

    /// Marks were sent.
    pub fn marked(&self, marks: &Marks) {
        for mark in &marks.sources {
            let partition = mark.partition.to_string();
            let labels = [mark.topic.as_str(), &partition];
            if let Some(time) = mark.time {
                self.source_watermark.with_label_values(&labels).set(time.to_wall().0 / 1000);
            }
            self.source_idle.with_label_values(&labels).set(i64::from(mark.idle));
        }
    }

    /// This many partitions of the log are joined here now.
    pub fn assigned(&self, partitions: usize) {
        self.owned.set(i64::try_from(partitions).unwrap_or(i64::MAX));
    }

    /// This many records of a partition's log are to be applied again before it is where it was.
    pub fn replaying(&self, partition: i32, left: i64) {
        self.replaying.with_label_values(&[&partition.to_string()]).set(left.max(0));
    }

    /// Whether any partition is read or joined here.
    pub fn has_worked(&self) -> bool {
        use prometheus::core::Collector as _;
        let reads = self
            .source_idle
            .collect()
            .first()
            .is_some_and(|family| !family.get_metric().is_empty());
        reads || self.owned.get() > 0
    }

    /// A batch of a partition was joined.
    pub fn joined<B: DiskBytes>(&self, partition: i32, joiner: &mut Joiner, state: &B) {
        let counts = joiner.take_counts();
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
                self.joined.with_label_values(&[outcome]).inc_by(count);
            }
        }
        self.closed.inc_by(counts.closed);
        self.count_empty_windows(counts.empty_windows);
        let partition = partition.to_string();
        self.log_position.with_label_values(&[&partition]).set(joiner.next_offset());
        if let Some(watermark) = joiner.watermark() {
            self.watermark
                .with_label_values(&[&partition])
                .set(watermark.to_wall().0 / 1000);
        }
        if let Some(bytes) = state.disk_bytes() {
            self.state_bytes
                .with_label_values(&[&partition])
                .set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }

    /// Alerts whose window is empty are valid, but when there are many, the settings do not fit the tenant.
    fn count_empty_windows(&self, new: u64) {
        /// Fewer alerts than this say nothing about a tenant.
        const ENOUGH: u64 = 20;
        self.empty_windows.inc_by(new);
        let (empty, all) = (
            self.empty_windows.get(),
            self.joined.with_label_values(&["alert_version"]).get(),
        );
        if new > 0 && all >= ENOUGH && empty * 2 >= all && !self.warned_of_empty_windows.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "{empty} of {all} alert versions have EndTime <= StartTime, which matches nothing under these bounds; [correlation] bounds = \"inclusive\", or before and after, take in what lies at or around them"
            );
        }
    }

    /// An output record was sent.
    pub fn emitted(&self, headers: &Headers) {
        let op = match headers.op {
            Op::Upsert => "upsert",
            Op::Delete => "delete",
        };
        self.emitted.with_label_values(&[headers.kind.as_str(), op]).inc();
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
                .map(|op| self.emitted.with_label_values(&[kind, op]).get())
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

/// State that knows how much disk it takes.
pub trait DiskBytes {
    /// Bytes on disk; `None` when it is not on disk.
    fn disk_bytes(&self) -> Option<u64>;
}

impl DiskBytes for crate::store::Memory {
    fn disk_bytes(&self) -> Option<u64> {
        None
    }
}

#[cfg(feature = "rocksdb")]
impl DiskBytes for crate::store::Rocks {
    fn disk_bytes(&self) -> Option<u64> {
        Some(self.disk_bytes())
    }
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("alerttrail")
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, Error> {
    let metric = IntCounter::with_opts(options(name, help))?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, Error> {
    let metric = IntCounterVec::new(options(name, help), labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, Error> {
    let metric = IntGauge::with_opts(options(name, help))?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, Error> {
    let metric = IntGaugeVec::new(options(name, help), labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_table_names_makes_a_few_labels_and_none_of_them_strange() {
        let metrics = Metrics::new().unwrap();
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
