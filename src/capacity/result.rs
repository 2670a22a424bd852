//! What is told of a test: the one JSON document, and what the page is made from. A field is never given a second meaning; another layout
//! would be another version of [`SCHEMA`].

use serde::{Deserialize, Serialize};

use super::lag::Trend;
use super::latency::Latency;
use super::oracle::Judgement;
use super::search::{Found, Purpose};

/// The name of the layout.
pub const SCHEMA: &str = "alerttrail.capacity/1";

/// A whole test. Rates are in messages of one record per second, times in seconds or (`_ms`) milliseconds, sizes in bytes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The program's version.
    pub version: String,
    /// When the test began, RFC 3339.
    pub started: String,
    /// How long it took.
    pub seconds: f64,
    /// Whether it was ended before its end.
    pub interrupted: bool,
    /// The machine that the driver and the processors ran on.
    pub machine: Machine,
    /// What was asked for.
    pub settings: Settings,
    /// The highest sustained rate, when it was searched for and there is one.
    pub found: Option<Found>,
    /// The answers of all trials.
    pub answer: Judgement,
    /// The trials, in their order.
    pub steps: Vec<Step>,
}

/// A machine.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Processors that can be used.
    pub cores: usize,
    /// What the processor calls itself.
    pub cpu: String,
    /// Main memory.
    pub memory: u64,
    /// The operating system.
    pub system: String,
    /// The load average of the last minute when the test began: what else ran there.
    pub load: Option<f64>,
}

/// What was asked for.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Settings {
    /// `search`, `constant`, `ramp`, `spike`, `outage` or `soak`.
    pub shape: String,
    /// The broker's addresses, or `embedded`.
    pub broker: String,
    /// Processors.
    pub instances: usize,
    /// `at_least_once` or `exactly_once`.
    pub delivery: String,
    /// What all choices of the traffic follow from.
    pub seed: u64,
    /// The bodies of the records: `generated`, or the recordings' names.
    pub records: String,
    /// Their mean size.
    pub record_size: f64,
    /// The share with a correlation id.
    pub keyed_share: f64,
    /// Correlation ids.
    pub policies: usize,
    /// Alerts per second.
    pub alerts_per_second: f64,
    /// The length of an alert's window.
    pub window: f64,
    /// Partitions of the topic of activities.
    pub partitions: u32,
    /// Partitions of the repartition topic.
    pub log_partitions: u32,
    /// `watermark.interval`.
    pub watermark_interval_ms: f64,
    /// `watermark.out_of_orderness`.
    pub out_of_orderness_ms: f64,
    /// How long each trial warms up.
    pub warm_up: f64,
    /// How long it then counts.
    pub hold: f64,
    /// The limits of a trial.
    pub limits: Limits,
    /// How near the rates that were and were not sustained must be, as a share.
    pub precision: f64,
    /// How often a processor is killed.
    pub kill_every: Option<f64>,
    /// How long the processors are away in an outage.
    pub outage: Option<f64>,
}

/// What a trial must keep to.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Limits {
    /// The 99th percentile of the close latency.
    pub p99_ms: f64,
    /// The resident memory of each processor.
    pub memory: u64,
}

/// One trial: processors and topics of its own, from nothing.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Step {
    /// From 1.
    pub number: usize,
    /// What it was for.
    pub purpose: Option<Purpose>,
    /// The rate that was asked for.
    pub rate: f64,
    /// Why it does not count as sustained; empty when it does.
    pub failures: Vec<String>,
    /// What else is to be known.
    pub notes: Vec<String>,
    /// Messages per second that were due in the hold.
    pub offered: f64,
    /// Messages per second that the processor read in the hold.
    pub achieved: f64,
    /// Messages sent in all.
    pub messages: u64,
    /// Messages that the broker refused.
    pub refused: u64,
    /// How the lag moved in the hold.
    pub lag: Trend,
    /// The greatest lag in the hold.
    pub lag_max: f64,
    /// From when an activity was due until it was in the repartition topic.
    pub ingest: Latency,
    /// From when the message was due that closes a window until each of its rows was there.
    pub close: Latency,
    /// CPU time of the processors in the hold; `None` where it cannot be measured.
    pub cpu_seconds: Option<f64>,
    /// The same for a million messages.
    pub cpu_seconds_per_million: Option<f64>,
    /// CPU time of the driver in the hold.
    pub driver_cpu_seconds: Option<f64>,
    /// The most resident memory of one processor.
    pub memory_peak: Option<u64>,
    /// By how much the resident memory of all processors grew, per second of the hold.
    pub memory_slope: Option<f64>,
    /// State on disk at the end of the hold.
    pub state_bytes: u64,
    /// Bytes sent to the input topics.
    pub sent_bytes: u64,
    /// Bytes in the repartition topic.
    pub log_bytes: u64,
    /// Bytes in the output topic.
    pub output_bytes: u64,
    /// Rows in the output topic.
    pub rows: u64,
    /// Processors that were killed.
    pub kills: u64,
    /// How long the backlog of an outage, or of a spike, took to be worked off, from when the processors were back or the spike was over;
    /// `None` when there was none, or it was not.
    pub catch_up: Option<f64>,
    /// The rate in a ramp at which the processor fell behind.
    pub fell_behind_at: Option<f64>,
    /// How long the rest of the answer took, behind the last message.
    pub drain: f64,
    /// Whether the answer was right.
    pub answer: Judgement,
    /// When the hold began, on the clock of the samples.
    pub hold_from: f64,
    /// When it ended.
    pub hold_to: f64,
    /// How it went.
    pub samples: Vec<Sample>,
}

impl Step {
    /// Whether the trial counts as sustained.
    pub fn is_sustained(&self) -> bool {
        self.failures.is_empty()
    }
}

/// A moment of a trial.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since the first message was due.
    pub at: f64,
    /// Messages per second that are due.
    pub offered: f64,
    /// Messages per second that the processor read since the sample before.
    pub achieved: f64,
    /// Messages that are due and that ROUTE has not read.
    pub route_lag: f64,
    /// Records of the repartition topic that JOIN has not applied.
    pub join_lag: f64,
    /// Messages that are due and that the driver has not handed over: it, or the broker, is slower than the schedule.
    pub unsent: f64,
    /// Resident memory of all processors.
    pub memory: Option<u64>,
    /// CPU time of all processors since the sample before, in cores.
    pub cores: Option<f64>,
    /// The median close latency since the sample before.
    pub close_p50_ms: Option<f64>,
    /// The greatest of them.
    pub close_max_ms: Option<f64>,
}

impl Sample {
    /// Everything that is due and not done.
    pub fn lag(&self) -> f64 {
        self.route_lag + self.join_lag
    }
}
