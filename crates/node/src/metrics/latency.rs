//! How long messages, repartition records and rows take, as histograms.
//!
//! Each thread observes into local histograms and publishes them once per batch. A delay begins at the timestamp of a
//! Kafka record, which another machine's clock may have made; one that would be negative counts as 0.

use std::collections::VecDeque;

use prometheus::local::LocalHistogram;
use prometheus::{Histogram, Registry};

use super::make::{histogram, histograms};
use super::{Error, Metrics};
use crate::emit;
use crate::join::Reason;
use crate::time::WallTime;

/// The upper bounds of the buckets, in seconds. They are narrow around the targets, and high enough to distinguish a
/// backlog from a delay.
const BUCKETS: [f64; 15] = [
    0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0,
];

/// All reasons of rows, in the order of the histograms.
const REASONS: [Reason; 4] = [
    Reason::WindowClosed,
    Reason::LateActivity,
    Reason::LateAlert,
    Reason::AlertUpdated,
];

/// The histograms.
pub(super) struct Latencies {
    input: Histogram,
    log: Histogram,
    /// By reason. Each series exists from the start, because an alarm does not see the first value of a new series.
    rows: [(Reason, Histogram); 4],
}

impl Latencies {
    pub(super) fn new(r: &Registry) -> Result<Self, Error> {
        let rows = histograms(
            r,
            "row_latency_seconds",
            "From the timestamp of the repartition record that caused a row (for window_closed, the watermark update that closed the window) to the row's acknowledgement by the broker, by reason.",
            &["reason"],
            &BUCKETS,
        )?;
        Ok(Self {
            input: histogram(
                r,
                "input_latency_seconds",
                "From the timestamp of an input message to the moment ROUTE took it.",
                &BUCKETS,
            )?,
            log: histogram(
                r,
                "log_latency_seconds",
                "From the timestamp of a record of the repartition log to the moment JOIN applied it.",
                &BUCKETS,
            )?,
            rows: REASONS.map(|reason| (reason, rows.with_label_values(&[emit::reason(reason)]))),
        })
    }
}

impl Metrics {
    /// Returns the measurement for ROUTE.
    pub fn route_latency(&self) -> RouteLatency {
        RouteLatency(self.latencies.input.local())
    }

    /// Returns the measurement for JOIN.
    pub fn join_latency(&self) -> JoinLatency {
        JoinLatency {
            log: self.latencies.log.local(),
            rows: self.latencies.rows.each_ref().map(|(reason, rows)| (*reason, rows.local())),
            causes: VecDeque::new(),
            sent: Vec::new(),
        }
    }
}

/// Measures how old messages are when ROUTE takes them.
pub struct RouteLatency(LocalHistogram);

impl RouteLatency {
    /// Measures a message with this timestamp.
    pub fn taken(&self, timestamp: Option<WallTime>, now: WallTime) {
        if let Some(timestamp) = timestamp {
            self.0.observe(seconds(timestamp, now));
        }
    }

    /// Publishes what was measured since the last call.
    pub fn publish(&self) {
        self.0.flush();
    }
}

/// Measures how old repartition records are when JOIN applies them, and how old those that caused rows are when the
/// broker has acknowledged the rows.
pub struct JoinLatency {
    log: LocalHistogram,
    rows: [(Reason, LocalHistogram); 4],
    /// The repartition records of the batch whose rows may still be sent: offset and timestamp, in the order of
    /// offsets.
    causes: VecDeque<(i64, WallTime)>,
    /// Rows that were sent and are not acknowledged yet: reason, timestamp of the cause, and the number of consecutive
    /// rows.
    sent: Vec<(Reason, WallTime, u64)>,
}

impl JoinLatency {
    /// Begins a batch of a partition's log. `earlier` is the repartition record whose rows an earlier batch has not
    /// finished.
    pub fn begin(&mut self, earlier: Option<(i64, WallTime)>) {
        self.causes.clear();
        self.causes.extend(earlier);
        self.sent.clear();
    }

    /// Measures the repartition record at `offset`, which is applied now and may cause rows. It must not be called for
    /// records that are only applied again, because their rows are not sent.
    pub fn applied(&mut self, offset: i64, timestamp: WallTime, now: WallTime) {
        self.log.observe(seconds(timestamp, now));
        self.causes.push_back((offset, timestamp));
    }

    /// Records that a row was sent that the repartition record at `offset` has caused. Rows must be recorded in the
    /// order of their causes.
    pub fn sent(&mut self, reason: Reason, offset: i64) {
        while self.causes.front().is_some_and(|(cause, _)| *cause < offset) {
            self.causes.pop_front();
        }
        let Some((_, timestamp)) = self.causes.front().filter(|(cause, _)| *cause == offset) else {
            return;
        };
        match self.sent.last_mut() {
            Some((known, since, count)) if *known == reason && since == timestamp => *count += 1,
            _ => self.sent.push((reason, *timestamp, 1)),
        }
    }

    /// Measures the rows that were sent, all of which are acknowledged now, and publishes everything that was measured.
    pub fn acknowledged(&mut self, now: WallTime) {
        for (reason, since, count) in self.sent.drain(..) {
            let seconds = seconds(since, now);
            if let Some((_, rows)) = self.rows.iter().find(|(known, _)| *known == reason) {
                (0..count).for_each(|_| rows.observe(seconds));
            }
        }
        self.log.flush();
        for (_, rows) in &self.rows {
            rows.flush();
        }
    }
}

fn seconds(from: WallTime, to: WallTime) -> f64 {
    to.since(from).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::Links;

    fn values(metrics: &Metrics, begin: &str) -> Vec<String> {
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        let lines = text.lines().filter(|line| line.starts_with(begin));
        lines.map(str::to_owned).collect()
    }

    fn value(metrics: &Metrics, series: &str) -> f64 {
        let found = values(metrics, &format!("{series} "));
        assert_eq!(found.len(), 1, "{series}: {found:?}");
        found[0].rsplit_once(' ').unwrap().1.parse().unwrap()
    }

    #[test]
    fn every_row_is_in_the_bucket_of_its_own_delay_once_it_is_acknowledged() {
        let metrics = Metrics::new(Links::query(Default::default())).unwrap();
        let mut latency = metrics.join_latency();
        // An earlier batch began the record at 7; the record at 8 causes no row.
        latency.begin(Some((7, WallTime(1_000))));
        for (offset, timestamp) in [(8, 1_400), (9, 1_950), (10, 2_005)] {
            latency.applied(offset, WallTime(timestamp), WallTime(2_000));
        }
        for (reason, offset) in [
            (Reason::WindowClosed, 7),
            (Reason::WindowClosed, 7),
            (Reason::WindowClosed, 9),
            (Reason::LateActivity, 9),
            (Reason::WindowClosed, 10),
        ] {
            latency.sent(reason, offset);
        }
        let rows = |end: &str| value(&metrics, &format!("alerttrail_row_latency_seconds{end}"));
        assert_eq!(
            rows("_count{reason=\"window_closed\"}"),
            0.0,
            "no row counts before its acknowledgement"
        );
        latency.acknowledged(WallTime(2_000));
        // 1 s, 1 s, 50 ms, and one row whose cause has a timestamp in the future.
        assert_eq!(rows("_count{reason=\"window_closed\"}"), 4.0);
        assert_eq!(rows("_sum{reason=\"window_closed\"}"), 2.05);
        let buckets = [
            ("0.005", 1.0),
            ("0.02", 1.0),
            ("0.05", 2.0),
            ("0.5", 2.0),
            ("1", 4.0),
            ("+Inf", 4.0),
        ];
        for (bound, count) in buckets {
            assert_eq!(
                rows(&format!("_bucket{{reason=\"window_closed\",le=\"{bound}\"}}")),
                count,
                "{bound}"
            );
        }
        assert_eq!(rows("_count{reason=\"late_activity\"}"), 1.0);
        let log = |end: &str| value(&metrics, &format!("alerttrail_log_latency_seconds{end}"));
        assert_eq!((log("_count"), log("_sum")), (3.0, 0.65));
        latency.acknowledged(WallTime(9_000));
        assert_eq!(rows("_count{reason=\"window_closed\"}"), 4.0, "each counts once");
    }

    #[test]
    fn rows_of_an_abandoned_batch_do_not_count() {
        let metrics = Metrics::new(Links::query(Default::default())).unwrap();
        let mut latency = metrics.join_latency();
        latency.begin(None);
        latency.applied(3, WallTime(0), WallTime(1));
        latency.sent(Reason::LateAlert, 3);
        latency.begin(None);
        latency.acknowledged(WallTime(5));
        assert_eq!(
            value(&metrics, "alerttrail_row_latency_seconds_count{reason=\"late_alert\"}"),
            0.0
        );
    }

    #[test]
    fn an_alarm_finds_every_reason_from_the_start() {
        let metrics = Metrics::new(Links::query(Default::default())).unwrap();
        let counts = values(&metrics, "alerttrail_row_latency_seconds_count");
        assert_eq!(counts.len(), REASONS.len(), "{counts:?}");
        let input_counts = values(&metrics, "alerttrail_input_latency_seconds_count");
        assert_eq!(input_counts, ["alerttrail_input_latency_seconds_count 0"]);
    }

    #[test]
    fn messages_are_measured_by_their_timestamps_where_they_have_one() {
        let metrics = Metrics::new(Links::query(Default::default())).unwrap();
        let latency = metrics.route_latency();
        latency.taken(Some(WallTime(1_000)), WallTime(1_250));
        latency.taken(None, WallTime(1_250));
        latency.publish();
        assert_eq!(value(&metrics, "alerttrail_input_latency_seconds_count"), 1.0);
        assert_eq!(value(&metrics, "alerttrail_input_latency_seconds_sum"), 0.25);
    }
}
