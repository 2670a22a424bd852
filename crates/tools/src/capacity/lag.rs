//! Decides whether the lag grew: fits a line to its samples, and estimates how reliable it is.

/// A line through samples by least squares.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Line {
    /// The rise for each unit of x.
    pub slope: f64,
    /// The standard deviation of the samples around it.
    pub noise: f64,
}

impl Line {
    /// Returns the line that fits the samples (x, y) best. For fewer than three samples, returns a level line.
    pub fn through(samples: &[(f64, f64)]) -> Self {
        let count = samples.len() as f64;
        if samples.len() < 3 {
            return Self::default();
        }
        let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
        let (x_mean, y_mean) = (mean(|sample| sample.0), mean(|sample| sample.1));
        let sum = |of: &dyn Fn(f64, f64) -> f64| samples.iter().map(|(x, y)| of(x - x_mean, y - y_mean)).sum::<f64>();
        let spread = sum(&|x, _| x * x);
        if spread <= 0.0 {
            return Self::default();
        }
        let slope = sum(&|x, y| x * y) / spread;
        let noise = (sum(&|x, y| (y - slope * x).powi(2)) / (count - 2.0)).sqrt();
        Self { slope, noise }
    }
}

/// The change of the lag during a hold.
#[derive(Clone, Copy, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Trend {
    /// The growth of the lag in records per second, by least squares.
    pub slope: f64,
    /// The greatest slope that counts as none.
    pub tolerance: f64,
}

/// Twice the noise: a line through level samples may rise by this from end to end by chance.
const NOISE: f64 = 2.0;
/// The share of the offered rate by which the lag may grow. A hold of finite length cannot distinguish a smaller growth
/// from none.
const SHARE: f64 = 0.005;

impl Trend {
    /// Returns the trend of samples (seconds, records) while `rate` records per second were offered.
    ///
    /// The lag counts as growing if it grows by more than the noise around the line over the whole hold, and by more
    /// than half a percent of the rate: a single high sample near the end is not a trend, while every hold detects a
    /// processor that is 1 % too slow.
    pub fn new(samples: &[(f64, f64)], rate: f64) -> Self {
        let line = Line::through(samples);
        let lasts = match (samples.first(), samples.last()) {
            (Some(first), Some(last)) if last.0 > first.0 => last.0 - first.0,
            _ => return Self::default(),
        };
        Self {
            slope: line.slope,
            tolerance: (NOISE * line.noise / lasts).max(SHARE * rate),
        }
    }

    /// Returns whether the lag grew.
    pub fn grows(&self) -> bool {
        self.slope > self.tolerance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns noise that is the same in every run.
    fn noise(number: u32) -> f64 {
        f64::from(number.wrapping_mul(2_654_435_761) >> 16) / 32_768.0 - 1.0
    }

    fn samples(growth: f64, amplitude: f64) -> Vec<(f64, f64)> {
        let sample = |number: u32| {
            let second = f64::from(number) / 4.0;
            (second, 3_000.0 + growth * second + amplitude * noise(number))
        };
        (0..80).map(sample).collect()
    }

    #[test]
    fn a_trend_is_found_in_noise() {
        let line = Line::through(&samples(120.0, 500.0));
        assert!((line.slope - 120.0).abs() < 20.0, "{line:?}");
        assert!((200.0..400.0).contains(&line.noise), "{line:?}");
        assert_eq!(Line::through(&[(1.0, 5.0), (2.0, 9.0)]), Line::default());
        assert_eq!(Line::through(&[(1.0, 5.0); 9]), Line::default());
    }

    #[test]
    fn noise_is_no_trend_but_a_processor_that_is_one_percent_too_slow_is() {
        for amplitude in [0.0, 100.0, 2_000.0] {
            let trend = Trend::new(&samples(0.0, amplitude), 50_000.0);
            assert!(!trend.grows(), "{amplitude}: {trend:?}");
            let trend = Trend::new(&samples(500.0, amplitude), 50_000.0);
            assert!(trend.grows(), "{amplitude}: {trend:?}");
        }
    }

    #[test]
    fn a_shrinking_lag_does_not_grow() {
        assert!(!Trend::new(&samples(-400.0, 300.0), 50_000.0).grows());
    }

    #[test]
    fn a_sawtooth_is_noise() {
        let tooth = |number: u32| (f64::from(number) / 4.0, f64::from(number % 20) * 500.0);
        let trend = Trend::new(&(0..80).map(tooth).collect::<Vec<_>>(), 50_000.0);
        assert!(!trend.grows(), "{trend:?}");
    }
}
