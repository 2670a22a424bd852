//! What the status of the processor is computed from: samples of the counters, and cached numbers of alerts.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::join::Counted;
use crate::metrics::ProcessCounts;
use crate::query::shapes::Throughput;
use crate::query::{self, Partition};
use crate::store::Snapshot;

/// Interval between samples of the counters.
pub(super) const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// Number of samples from which the rates are computed.
const MAX_SAMPLES: usize = 11;
/// How long a count of alerts is cached, because it iterates over all of them.
const CACHE_TIME: Duration = Duration::from_secs(15);
/// Maximum number of alerts to count in a partition.
const MAX_COUNTED: usize = 1_000_000;

/// The last samples of the counters, oldest first.
#[derive(Default)]
pub(super) struct Rates(Mutex<VecDeque<(Instant, ProcessCounts)>>);

impl Rates {
    /// Adds a sample of the counters, which are as of now.
    pub(super) fn sample(&self, counts: ProcessCounts) {
        let mut samples = lock(&self.0);
        samples.push_back((clock::start(), counts));
        if samples.len() > MAX_SAMPLES {
            samples.pop_front();
        }
    }

    /// Returns the rates over the samples.
    #[expect(clippy::cast_precision_loss, reason = "rates are for people")]
    pub(super) fn throughput(&self) -> Throughput {
        let samples = lock(&self.0);
        let (Some((begin, first)), Some((end, last))) = (samples.front(), samples.back()) else {
            return Throughput::default();
        };
        let seconds = end.duration_since(*begin).as_secs_f64();
        if seconds <= 0.0 {
            return Throughput::default();
        }
        let rate = |field: fn(&ProcessCounts) -> u64| (field(last) - field(first)) as f64 / seconds;
        Throughput {
            seconds,
            messages: rate(|counts| counts.messages),
            bytes: rate(|counts| counts.bytes),
            activities: rate(|counts| counts.activities),
            alerts: rate(|counts| counts.alerts),
            rows: rate(|counts| counts.rows),
            summaries: rate(|counts| counts.summaries),
            dead_letters: rate(|counts| counts.dead_letters),
        }
    }
}

/// The numbers of open and closed alerts of each partition, and the time when they were counted.
#[derive(Default)]
pub(super) struct AlertCounts(Mutex<BTreeMap<u32, (Instant, u64, u64)>>);

impl AlertCounts {
    /// Returns the numbers of open and closed alerts of a partition, which may be up to [`CACHE_TIME`] old.
    pub(super) fn count(&self, partition: &Partition<'_, Snapshot<'_>>) -> Result<(u64, u64), query::Error> {
        if let Some((at, open, closed)) = lock(&self.0).get(&partition.number)
            && at.elapsed() < CACHE_TIME
        {
            return Ok((*open, *closed));
        }
        let open = partition.view.count(Counted::Open, MAX_COUNTED)? as u64;
        let closed = partition.view.count(Counted::Closed, MAX_COUNTED)? as u64;
        lock(&self.0).insert(partition.number, (clock::start(), open, closed));
        Ok((open, closed))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
