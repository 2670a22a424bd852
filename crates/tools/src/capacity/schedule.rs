//! Determines when each message is due.
//!
//! The schedule is an open model: a message is due at its time whether or not earlier ones have been processed. A
//! message that is sent late is late, and its latency counts from the time when it was due. Otherwise, exactly the
//! messages that had to wait would be left out (coordinated omission).

use std::time::Duration;

/// The course of the load.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Shape {
    /// A constant rate. A long one is a soak test.
    Constant,
    /// A linear increase from a tenth of the rate up to it.
    Ramp,
    /// The rate, then this multiple of it for a sixth of the hold, and then the rate again.
    Spike(f64),
}

/// A linear change from one rate to another, in messages per second.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Piece {
    /// Its duration.
    pub lasts: Duration,
    /// The rate at its beginning.
    pub from: f64,
    /// The rate at its end.
    pub to: f64,
}

/// The times at which messages are due, measured from the beginning.
#[derive(Clone, PartialEq, Debug)]
pub struct LoadSchedule {
    spans: Vec<LoadSpan>,
    lasts: f64,
    total: f64,
}

/// A piece with its position in the schedule.
#[derive(Clone, Copy, PartialEq, Debug)]
struct LoadSpan {
    /// Seconds before it.
    at: f64,
    /// Messages before it.
    before: f64,
    lasts: f64,
    from: f64,
    to: f64,
}

impl LoadSpan {
    /// Returns the change of the rate per second.
    fn slope(&self) -> f64 {
        (self.to - self.from) / self.lasts
    }

    /// Returns the number of messages in its first `seconds`.
    fn count(&self, seconds: f64) -> f64 {
        seconds * (self.from + self.slope() * seconds / 2.0)
    }

    /// Returns the number of seconds after which `count` messages are due.
    fn seconds(&self, count: f64) -> f64 {
        let slope = self.slope();
        if slope.abs() < 1e-9 {
            return count / self.from;
        }
        // This form of the root of count(seconds) = count is stable for slopes near zero and of either sign.
        let root = (self.from * self.from + 2.0 * slope * count).max(0.0).sqrt();
        2.0 * count / (self.from + root)
    }
}

impl LoadSchedule {
    /// Creates a schedule of these pieces, one after another. Pieces without duration or messages are ignored.
    pub fn new(pieces: &[Piece]) -> Self {
        let mut spans = Vec::new();
        let (mut at, mut total) = (0.0, 0.0);
        for piece in pieces {
            let lasts = piece.lasts.as_secs_f64();
            let span = LoadSpan {
                at,
                before: total,
                lasts,
                from: piece.from.max(0.0),
                to: piece.to.max(0.0),
            };
            if lasts > 0.0 && span.from + span.to > 0.0 {
                total += span.count(lasts);
                spans.push(span);
            }
            at += lasts;
        }
        Self { spans, lasts: at, total }
    }

    /// Creates a schedule of `rate` with the course of `shape`: a warm-up, followed by the hold, which counts.
    pub fn with_shape(shape: Shape, rate: f64, warm_up: Duration, hold: Duration) -> Self {
        let even = |lasts, rate| Piece {
            lasts,
            from: rate,
            to: rate,
        };
        match shape {
            Shape::Constant => Self::new(&[even(warm_up + hold, rate)]),
            Shape::Ramp => Self::new(&[
                even(warm_up, rate / 10.0),
                Piece {
                    lasts: hold,
                    from: rate / 10.0,
                    to: rate,
                },
            ]),
            Shape::Spike(factor) => Self::new(&[
                even(warm_up + hold / 3, rate),
                even(hold / 6, rate * factor),
                even(hold / 2, rate),
            ]),
        }
    }

    /// Returns its duration.
    pub fn lasts(&self) -> Duration {
        Duration::from_secs_f64(self.lasts)
    }

    /// Returns the number of messages.
    pub fn total(&self) -> u64 {
        // A message that is due less than a thousandth of a message before the end is not included.
        (self.total - 1e-3).ceil().max(0.0) as u64
    }

    /// Returns the rate at a time, in messages per second; 0 after the end.
    pub fn rate_at(&self, time: Duration) -> f64 {
        let seconds = time.as_secs_f64();
        let span = self
            .spans
            .iter()
            .find(|span| seconds < span.at + span.lasts && seconds >= span.at);
        span.map_or(0.0, |span| span.from + span.slope() * (seconds - span.at))
    }

    /// Returns how many messages are due by a time, as a number that rises continuously.
    pub fn due_at(&self, time: Duration) -> f64 {
        let seconds = time.as_secs_f64();
        let begun = self.spans.iter().rev().find(|span| span.at <= seconds);
        begun.map_or(0.0, |span| span.before + span.count((seconds - span.at).min(span.lasts)))
    }

    /// Returns when the message with this number, from 0, is due, or `None` after the last.
    pub fn time_of(&self, number: u64) -> Option<Duration> {
        if number >= self.total() {
            return None;
        }
        let count = number as f64;
        let begun = self.spans.partition_point(|span| span.before <= count);
        let span = self.spans.get(begun.checked_sub(1)?)?;
        Some(Duration::from_secs_f64(span.at + span.seconds(count - span.before)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_constant_rate_is_even() {
        let schedule = LoadSchedule::with_shape(Shape::Constant, 1_000.0, SECOND, 2 * SECOND);
        assert_eq!(schedule.total(), 3_000);
        assert_eq!(schedule.time_of(0), Some(Duration::ZERO));
        assert_eq!(schedule.time_of(1_500), Some(Duration::from_millis(1_500)));
        assert_eq!(schedule.time_of(3_000), None);
        assert_eq!(schedule.rate_at(SECOND), 1_000.0);
        assert_eq!(schedule.rate_at(3 * SECOND), 0.0);
        assert_eq!(schedule.due_at(9 * SECOND), 3_000.0);
    }

    #[test]
    fn times_never_go_back_and_agree_with_what_is_due_in_every_shape() {
        for shape in [Shape::Constant, Shape::Ramp, Shape::Spike(3.0)] {
            let schedule = LoadSchedule::with_shape(shape, 2_000.0, SECOND, 6 * SECOND);
            let mut last = Duration::ZERO;
            for number in 0..schedule.total() {
                let time = schedule.time_of(number).unwrap();
                assert!(time >= last && time < schedule.lasts(), "{shape:?}: {number} at {time:?}");
                let due = schedule.due_at(time);
                assert!(
                    (due - number as f64).abs() < 0.01,
                    "{shape:?}: {number} at {time:?}, {due} due"
                );
                last = time;
            }
        }
    }

    #[test]
    fn a_ramp_reaches_its_rate_and_a_spike_falls_back() {
        let ramp = LoadSchedule::with_shape(Shape::Ramp, 1_000.0, Duration::ZERO, 10 * SECOND);
        assert!((ramp.rate_at(Duration::ZERO) - 100.0).abs() < 1e-6);
        assert!((ramp.rate_at(5 * SECOND) - 550.0).abs() < 1e-6);
        assert_eq!(ramp.total(), 5_500);
        let spike = LoadSchedule::with_shape(Shape::Spike(3.0), 1_000.0, Duration::ZERO, 6 * SECOND);
        let rates: Vec<f64> = (0..6).map(|second| spike.rate_at(SECOND * second)).collect();
        assert_eq!(rates, [1_000.0, 1_000.0, 3_000.0, 1_000.0, 1_000.0, 1_000.0]);
    }

    #[test]
    fn nothing_is_due_in_an_empty_schedule() {
        let schedule = LoadSchedule::new(&[Piece {
            lasts: SECOND,
            from: 0.0,
            to: 0.0,
        }]);
        assert_eq!((schedule.total(), schedule.time_of(0)), (0, None));
        assert_eq!(schedule.lasts(), SECOND);
    }
}
