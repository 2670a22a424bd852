//! Latencies in HdrHistograms: every measurement counts, and percentiles are exact to three digits.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Significant digits of a measurement.
const DIGITS: u8 = 3;
/// Points of the percentile curve for each halving of the distance to 100 %.
const POINTS: u32 = 4;

/// Measurements of one kind.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// The measurements in microseconds. It resizes automatically; `None` only if this many digits were not supported.
    histogram: Option<Histogram<u64>>,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            histogram: Histogram::new(DIGITS).ok(),
        }
    }
}

/// Summary of measurements. All times are in milliseconds.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Latency {
    /// The number of measurements.
    pub count: u64,
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// The whole distribution: (share from 0 to 1, milliseconds within which that share lies).
    pub curve: Vec<(f64, f64)>,
}

impl Latencies {
    /// Adds a measurement.
    pub fn record(&mut self, took: Duration) {
        if let Some(histogram) = &mut self.histogram {
            // The histogram resizes, and it can represent every duration.
            histogram.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)).ok();
        }
    }

    /// Adds all measurements of another.
    pub fn add(&mut self, other: &Self) {
        if let (Some(histogram), Some(other)) = (&mut self.histogram, &other.histogram) {
            // Two histograms that resize are always compatible.
            histogram.add(other).ok();
        }
    }

    /// Returns the time within which this share of the measurements lies, in milliseconds, or `None` without
    /// measurements.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let histogram = self.histogram.as_ref().filter(|histogram| !histogram.is_empty())?;
        Some(millis(histogram.value_at_quantile(share)))
    }

    /// Returns a summary.
    pub fn summary(&self) -> Latency {
        let Some(histogram) = self.histogram.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return Latency::default();
        };
        let at = |share| millis(histogram.value_at_quantile(share));
        let curve = histogram.iter_quantiles(POINTS);
        let curve = curve.map(|point| (point.quantile_iterated_to().min(1.0), millis(point.value_iterated_to())));
        Latency {
            count: histogram.len(),
            mean: (histogram.mean() / 10.0).round() / 100.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: millis(histogram.max()),
            curve: curve.collect(),
        }
    }
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_match_the_measurements() {
        let mut latencies = Latencies::default();
        for number in 1..=10_000 {
            latencies.record(Duration::from_micros(number * 100));
        }
        let summary = latencies.summary();
        assert_eq!(summary.count, 10_000);
        for (found, right) in [
            (summary.p50, 500.0),
            (summary.p90, 900.0),
            (summary.p99, 990.0),
            (summary.p999, 999.0),
            (summary.max, 1_000.0),
            (summary.mean, 500.05),
        ] {
            assert!((found / right - 1.0).abs() < 0.002, "{found} is not {right}");
        }
        assert!(
            summary
                .curve
                .windows(2)
                .all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1)
        );
        assert_eq!(summary.curve.last().map(|point| point.0), Some(1.0));
    }

    #[test]
    fn without_measurements_there_is_no_summary() {
        assert_eq!(Latencies::default().summary(), Latency::default());
        assert_eq!(Latencies::default().percentile(0.5), None);
    }

    #[test]
    fn measurements_of_several_trials_are_merged() {
        let (mut one, mut other) = (Latencies::default(), Latencies::default());
        one.record(Duration::from_millis(1));
        other.record(Duration::from_secs(90));
        one.add(&other);
        assert_eq!(one.summary().count, 2);
        assert!((one.summary().max / 90_000.0 - 1.0).abs() < 0.001);
    }
}
