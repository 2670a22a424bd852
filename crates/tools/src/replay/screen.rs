//! Progress of a replay: a line on a terminal, nothing in a pipe.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::schedule::Lag;
use super::{counted, duration, eprint_line, format_rate, is_standard};
use crate::clock;

/// Interval between updates of the line.
const UPDATE_INTERVAL: Duration = Duration::from_millis(100);
/// The time over which the rate is measured.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// The counts of a replay.
#[derive(Clone, Debug, Default)]
pub(super) struct ReplayTotals {
    pub(super) messages: u64,
    pub(super) records: u64,
    /// The bytes of values.
    pub(super) bytes: u64,
    /// Times that were shifted.
    pub(super) shifted: u64,
    /// Files that end in the middle of a record.
    pub(super) unfinished: Vec<String>,
    /// The time when the last message was due, measured from the first one. `None` without a schedule.
    pub(super) due: Option<Duration>,
    pub(super) lag: Lag,
    /// The time from the first message until everything was acknowledged.
    pub(super) took: Duration,
    /// The longest time between the moment when a message was due and its acknowledgement.
    pub(super) unacknowledged: Duration,
    /// Whether the schedule was missed.
    pub(super) is_late: bool,
    pub(super) waited_for_broker: Duration,
    pub(super) waited_for_input: Duration,
}

pub(super) struct Screen {
    bar: ProgressBar,
    drawn: Instant,
    /// The time when the rate was last measured, and the number of records at that time.
    sampled: (Instant, u64),
    rate: Option<f64>,
}

impl Screen {
    pub(super) fn new(inputs: &[PathBuf], laps: u64) -> Self {
        let size = |path: &PathBuf| {
            let found = std::fs::metadata(path).ok().filter(|_| !is_standard(path));
            found.filter(|found| found.is_file()).map(|found| found.len())
        };
        let size: Option<u64> = inputs.iter().map(size).sum();
        let (bar, template) = match size.filter(|_| laps > 0) {
            Some(size) => (ProgressBar::new(size.saturating_mul(laps)), "{bar:30} {percent}% {msg}"),
            None => (ProgressBar::no_length(), "{spinner} {msg}"),
        };
        let now = clock::start();
        Self {
            bar: bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())),
            drawn: now,
            sampled: (now, 0),
            rate: None,
        }
    }

    pub(super) fn bar(&self) -> &ProgressBar {
        &self.bar
    }

    /// Updates the line if it is due.
    pub(super) fn draw(&mut self, totals: &ReplayTotals, status: &str) {
        let now = clock::start();
        if now.duration_since(self.drawn) < UPDATE_INTERVAL || self.bar.is_hidden() {
            return;
        }
        self.drawn = now;
        let (since, records) = self.sampled;
        let passed = now.duration_since(since);
        if passed >= SAMPLE_INTERVAL {
            self.rate = Some(totals.records.saturating_sub(records) as f64 / passed.as_secs_f64());
            self.sampled = (now, totals.records);
        }
        let mut line = counted(totals.records, "record");
        if let Some(rate) = self.rate {
            line += &format!(", {}/s", format_rate(rate));
        }
        if totals.due.is_some() {
            line += &format!(", {} behind", duration(totals.lag.last));
        }
        self.bar.set_message(line + status);
        self.bar.tick();
    }

    /// Prints a line that stays.
    pub(super) fn print_line(&self, line: &str) {
        self.bar.suspend(|| eprint_line(line));
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
