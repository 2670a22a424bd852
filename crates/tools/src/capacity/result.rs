//! The result of a test: the JSON document, from which the page is generated. The meaning of a field never changes;
//! another layout would get another version of [`SCHEMA`].

use serde::{Deserialize, Serialize};

use super::lag::Trend;
use super::latency::Latency;
use super::oracle::Judgement;
use super::search::{Purpose, SearchResult};

/// The name of the layout.
pub const SCHEMA: &str = "alerttrail.capacity/1";

/// A whole test. Rates are in messages of one record per second, times in seconds or (`_ms`) milliseconds, and sizes in
/// bytes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The program's version.
    pub version: String,
    /// The time when the test began, in RFC 3339.
    pub started: String,
    /// The duration of the test.
    pub seconds: f64,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// The machine that the driver and the processors ran on.
    pub machine: Machine,
    /// The settings.
    pub settings: Settings,
    /// The highest sustained rate, if it was searched for and found.
    pub found: Option<SearchResult>,
    /// The judgement of the output of all trials.
    pub answer: Judgement,
    /// The trials, in order.
    pub steps: Vec<Step>,
}

/// A machine.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Machine {
    /// Available processor cores.
    pub cores: usize,
    /// The model name of the processor.
    pub cpu: String,
    /// Main memory.
    pub memory: u64,
    /// The operating system.
    pub system: String,
    /// The load average of the last minute when the test began, which shows whether other programs were running.
    pub load: Option<f64>,
}

/// The settings of a test.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Settings {
    /// `search`, `constant`, `ramp`, `spike`, `outage` or `soak`.
    pub shape: String,
    /// The broker's addresses, or `embedded`.
    pub broker: String,
    /// The number of processors.
    pub instances: usize,
    /// `at_least_once` or `exactly_once`.
    pub delivery: String,
    /// The seed of all random choices of the traffic.
    pub seed: u64,
    /// The bodies of the records: `generated`, or the names of the recordings.
    pub records: String,
    /// The mean size of a record.
    pub record_size: f64,
    /// The share of activities with a correlation id.
    pub keyed_share: f64,
    /// The number of correlation ids.
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
    /// The duration of the warm-up of each trial.
    pub warm_up: f64,
    /// The duration of the hold, the part of a trial that counts.
    pub hold: f64,
    /// The limits of a trial.
    pub limits: Limits,
    /// The required relative distance between the highest sustained and the lowest failed rate.
    pub precision: f64,
    /// The interval between kills of a processor.
    pub kill_every: Option<f64>,
    /// The time for which the processors are stopped in an outage.
    pub outage: Option<f64>,
}

/// The limits of a trial.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Limits {
    /// The 99th percentile of the close latency.
    pub p99_ms: f64,
    /// The resident memory of each processor.
    pub memory: u64,
}

/// One trial. It has its own processors and topics, and starts without state.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Step {
    /// The number of the trial, from 1.
    pub number: usize,
    /// Its purpose.
    pub purpose: Option<Purpose>,
    /// The requested rate.
    pub rate: f64,
    /// The reasons why the trial does not count as sustained; empty if it does.
    pub failures: Vec<String>,
    /// Other remarks.
    pub notes: Vec<String>,
    /// Messages per second that were due in the hold.
    pub offered: f64,
    /// Messages per second that the processor read in the hold.
    pub achieved: f64,
    /// The number of messages that were sent.
    pub messages: u64,
    /// Messages that the broker refused.
    pub refused: u64,
    /// The change of the lag in the hold.
    pub lag: Trend,
    /// The greatest lag in the hold.
    pub lag_max: f64,
    /// Time from the moment when an activity was due until it was in the repartition topic.
    pub ingest: Latency,
    /// Time from the moment when the message that closes a window was due until each of its rows was in the output
    /// topic.
    pub close: Latency,
    /// CPU time of the processors in the hold, or `None` if it cannot be measured.
    pub cpu_seconds: Option<f64>,
    /// CPU time of the processors per million messages.
    pub cpu_seconds_per_million: Option<f64>,
    /// CPU time of the driver in the hold.
    pub driver_cpu_seconds: Option<f64>,
    /// The maximum resident memory of one processor.
    pub memory_peak: Option<u64>,
    /// The growth of the resident memory of all processors, per second of the hold.
    pub memory_slope: Option<f64>,
    /// Bytes of state on disk at the end of the hold.
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
    /// Time from the end of an outage or a spike until its backlog was processed. `None` if there was none, or if the
    /// backlog was not processed.
    pub catch_up: Option<f64>,
    /// The rate at which the processor fell behind in a ramp.
    pub fell_behind_at: Option<f64>,
    /// The time from the last message until the rest of the output had arrived.
    pub drain: f64,
    /// The judgement of the output.
    pub answer: Judgement,
    /// The time when the hold began, on the clock of the samples.
    pub hold_from: f64,
    /// The time when the hold ended.
    pub hold_to: f64,
    /// The samples.
    pub samples: Vec<Sample>,
}

impl Step {
    /// Returns whether the trial counts as sustained.
    pub fn is_sustained(&self) -> bool {
        self.failures.is_empty()
    }
}

/// A sample of a trial.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since the first message was due.
    pub at: f64,
    /// Messages per second that are due.
    pub offered: f64,
    /// Messages per second that the processor read since the previous sample.
    pub achieved: f64,
    /// Messages that are due and that ROUTE has not read.
    pub route_lag: f64,
    /// Records of the repartition topic that JOIN has not applied.
    pub join_lag: f64,
    /// Messages that are due and that the driver has not sent: the driver or the broker is slower than the schedule.
    pub unsent: f64,
    /// Resident memory of all processors.
    pub memory: Option<u64>,
    /// CPU time of all processors since the previous sample, in cores.
    pub cores: Option<f64>,
    /// The median close latency since the previous sample.
    pub close_p50_ms: Option<f64>,
    /// The maximum close latency since the previous sample.
    pub close_max_ms: Option<f64>,
}

impl Sample {
    /// Returns the number of messages and records that are due and not processed.
    pub fn lag(&self) -> f64 {
        self.route_lag + self.join_lag
    }
}
