//! Decides whether a trial counts as sustained, and derives figures from its samples.

use bytesize::ByteSize;

use super::lag::{Line, Trend};
use super::result::{Limits, Sample, Step};
use super::search::Purpose;
use crate::words::{counted, grouped};

/// Disturbances of a trial in addition to its load, which exempt it from some limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stress {
    /// None: all limits apply.
    None,
    /// Its processors are killed, or the load changes: latency and lag are expected to rise.
    Expected,
}

/// Completes a trial with the trend of its lag, and the reasons why it is not sustained.
pub fn judge(step: &mut Step, limits: Limits, stress: Stress) {
    let held: Vec<Sample> = in_hold(step).copied().collect();
    let lag: Vec<(f64, f64)> = held.iter().map(|sample| (sample.at, sample.lag())).collect();
    step.lag = Trend::new(&lag, step.offered);
    step.lag_max = lag.iter().fold(0.0, |max, (_, lag)| lag.max(max));
    let memory = held.iter().filter_map(|sample| Some((sample.at, sample.memory? as f64)));
    let memory: Vec<(f64, f64)> = memory.collect();
    step.memory_slope = (memory.len() > 2).then(|| Line::through(&memory).slope);
    let mut failures = std::mem::take(&mut step.failures);
    if stress == Stress::None {
        let found = too_slow(step, &held, limits);
        failures.extend(found);
        if failures.is_empty() && step.close.count == 0 {
            failures.push(
                "no window closed during the hold, so there is no latency to measure: raise --alerts-per-second or --hold"
                    .to_owned(),
            );
        }
    }
    if step.refused > 0 {
        failures.push(format!("the broker refused {}", counted(step.refused, "message")));
    }
    if let Some(peak) = step.memory_peak.filter(|peak| *peak > limits.memory) {
        failures.push(format!(
            "a processor used {} of memory, the limit is {}",
            ByteSize(peak).display().si(),
            ByteSize(limits.memory).display().si()
        ));
    }
    if step.answer.exact == Some(false) {
        let answer = step.answer;
        failures.push(format!(
            "the output is wrong: {} missing, {} unexpected, {} repeated",
            counted(answer.missing, "pair"),
            grouped(answer.unexpected),
            grouped(answer.repeated)
        ));
    }
    step.failures = failures;
}

fn too_slow(step: &Step, held: &[Sample], limits: Limits) -> Vec<String> {
    let mut failures = Vec::new();
    if step.lag.grows() {
        failures.push(format!("the lag grew by {:.0} records/s", step.lag.slope));
        // The lag counts from the schedule, and the processor is not responsible for messages that were not sent.
        let unsent: Vec<(f64, f64)> = held.iter().map(|sample| (sample.at, sample.unsent)).collect();
        if Trend::new(&unsent, step.offered).grows() {
            failures
                .push("the driver or the broker could not keep to the schedule: this is not the processor's limit".to_owned());
        }
    }
    if step.close.p99 > limits.p99_ms {
        failures.push(format!(
            "the 99th percentile of the close latency is {:.0} ms, the limit is {:.0} ms",
            step.close.p99, limits.p99_ms
        ));
    }
    failures
}

/// Returns the samples of the hold.
pub fn in_hold(step: &Step) -> impl Iterator<Item = &Sample> {
    let (from, to) = (step.hold_from, step.hold_to);
    step.samples.iter().filter(move |sample| sample.at >= from && sample.at <= to)
}

/// Returns whether a running trial can be abandoned: its backlog is longer than `max_seconds` of the offered load.
pub fn is_hopeless(sample: &Sample, max_seconds: f64) -> bool {
    sample.offered > 0.0 && sample.lag() > max_seconds * sample.offered
}

/// Returns the samples under load. After the last message, the offered load is zero and any lag would exceed it.
fn loaded(samples: &[Sample]) -> impl Iterator<Item = &Sample> {
    samples.iter().filter(|sample| sample.offered > 0.0)
}

/// The lag in seconds of the load up to which the processor counts as caught up. Watermark updates report positions
/// only every fifth of a second.
const CAUGHT_UP: f64 = 0.5;

/// Returns how long after `from` the lag finally dropped below half a second of load, or `None` if it did not.
pub fn catch_up(samples: &[Sample], from: f64) -> Option<f64> {
    let behind = |sample: &Sample| sample.lag() > CAUGHT_UP * sample.offered;
    let after: Vec<&Sample> = loaded(samples).filter(|sample| sample.at >= from).collect();
    match after.iter().rposition(|sample| behind(sample)) {
        None => after.first().map(|_| 0.0),
        Some(last) => after.get(last + 1).map(|sample| sample.at - from),
    }
}

/// Returns the offered rate at which the lag finally rose above a second of load, or `None` if it did not.
pub fn fell_behind_at(samples: &[Sample]) -> Option<f64> {
    let behind = |sample: &&Sample| sample.lag() > sample.offered;
    let samples: Vec<&Sample> = loaded(samples).collect();
    let count = samples.iter().rev().take_while(|sample| behind(sample)).count();
    samples
        .get(samples.len() - count)
        .filter(|_| count > 0)
        .map(|sample| sample.offered)
}

/// Returns the name of a purpose.
pub fn name(purpose: Option<Purpose>) -> &'static str {
    match purpose {
        Some(Purpose::Ramp) => "ramp",
        Some(Purpose::Search) => "search",
        Some(Purpose::Repeat) => "repeat",
        Some(Purpose::Load) | None => "load",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::latency::Latency;
    use crate::capacity::oracle::Judgement;

    const LIMITS: Limits = Limits {
        p99_ms: 250.0,
        memory: 1 << 30,
    };

    fn sample(at: f64, lag: f64, unsent: f64) -> Sample {
        Sample {
            at,
            offered: 1_000.0,
            route_lag: lag,
            unsent,
            memory: Some(100_000_000 + (at * 1_000.0) as u64),
            ..Sample::default()
        }
    }

    /// Returns a trial of 20 s whose lag grows by this much per second.
    fn step(growth: f64, unsent: f64) -> Step {
        Step {
            offered: 1_000.0,
            hold_from: 5.0,
            hold_to: 20.0,
            close: Latency {
                count: 500,
                p99: 210.0,
                ..Latency::default()
            },
            answer: Judgement {
                exact: Some(true),
                ..Judgement::default()
            },
            memory_peak: Some(200_000_000),
            samples: (0..80)
                .map(|quarter| f64::from(quarter) / 4.0)
                .map(|at| sample(at, 100.0 + growth * at, unsent * at))
                .collect(),
            ..Step::default()
        }
    }

    fn judged(mut step: Step, stress: Stress) -> Step {
        judge(&mut step, LIMITS, stress);
        step
    }

    #[test]
    fn a_trial_within_all_limits_is_sustained() {
        let step = judged(step(0.0, 0.0), Stress::None);
        assert!(step.is_sustained(), "{:?}", step.failures);
        assert_eq!(step.lag_max, 100.0);
        assert!((step.memory_slope.unwrap() - 1_000.0).abs() < 1.0);
    }

    #[test]
    fn exceeding_one_limit_fails_a_trial() {
        let base = || step(0.0, 0.0);
        let cases = [
            (step(40.0, 0.0), "the lag grew by 40 records/s"),
            (Step { refused: 2, ..base() }, "the broker refused 2 messages"),
            (
                Step {
                    close: Latency {
                        p99: 251.0,
                        ..base().close
                    },
                    ..base()
                },
                "the 99th percentile of the close latency is 251 ms, the limit is 250 ms",
            ),
            (
                Step {
                    close: Latency::default(),
                    ..base()
                },
                "no window closed during the hold",
            ),
            (
                Step {
                    memory_peak: Some(3 << 30),
                    ..base()
                },
                "a processor used 3.2 GB of memory, the limit is 1.1 GB",
            ),
            (
                Step {
                    answer: Judgement {
                        missing: 3,
                        exact: Some(false),
                        ..Judgement::default()
                    },
                    ..base()
                },
                "the output is wrong: 3 pairs missing",
            ),
        ];
        for (step, text) in cases {
            let failures = judged(step, Stress::None).failures;
            assert!(
                failures.len() == 1 && failures[0].starts_with(text),
                "{failures:?}, not {text}"
            );
        }
    }

    #[test]
    fn a_slow_driver_is_not_blamed_on_the_processor() {
        let failures = judged(step(40.0, 40.0), Stress::None).failures;
        assert!(
            failures.len() == 2 && failures[1].contains("not the processor's limit"),
            "{failures:?}"
        );
    }

    #[test]
    fn with_kills_only_the_output_and_the_memory_count() {
        let mut killed = step(40.0, 0.0);
        killed.close.p99 = 9_000.0;
        assert!(judged(killed.clone(), Stress::Expected).is_sustained());
        killed.answer.exact = Some(false);
        assert!(!judged(killed, Stress::Expected).is_sustained());
    }

    #[test]
    fn the_catch_up_time_ends_when_the_lag_stays_low() {
        let lag = |at: f64| match at {
            at if at < 10.0 => 0.0,
            at if at < 15.0 => (at - 10.0) * 1_000.0,
            at if at < 18.0 => 5_000.0 - (at - 15.0) * 1_600.0,
            _ => 100.0,
        };
        let samples: Vec<Sample> = (0..100)
            .map(|n| f64::from(n) / 4.0)
            .map(|at| sample(at, lag(at), 0.0))
            .collect();
        assert_eq!(catch_up(&samples, 15.0), Some(3.0));
        assert_eq!(catch_up(&samples[..70], 15.0), None);
        assert_eq!(catch_up(&samples, 20.0), Some(0.0));
        let behind_the_end = Sample {
            offered: 0.0,
            ..sample(25.0, 2.0, 0.0)
        };
        assert_eq!(catch_up(&[samples.as_slice(), &[behind_the_end]].concat(), 15.0), Some(3.0));
        assert_eq!(catch_up(&samples, 99.0), None);
    }

    #[test]
    fn a_ramp_shows_where_the_processor_fell_behind() {
        let ramp = |knee: f64| -> Vec<Sample> {
            let offered = |n: u32| f64::from(n) * 100.0;
            (1..100)
                .map(|n| Sample {
                    offered: offered(n),
                    route_lag: if offered(n) > knee { 3.0 * offered(n) } else { 10.0 },
                    ..Sample::default()
                })
                .collect()
        };
        assert_eq!(fell_behind_at(&ramp(5_000.0)), Some(5_100.0));
        assert_eq!(fell_behind_at(&ramp(50_000.0)), None);
        assert_eq!(fell_behind_at(&[]), None);
    }

    #[test]
    fn a_trial_with_a_backlog_of_seconds_is_abandoned() {
        assert!(is_hopeless(&sample(1.0, 5_001.0, 0.0), 5.0));
        assert!(!is_hopeless(&sample(1.0, 4_999.0, 0.0), 5.0));
    }
}
