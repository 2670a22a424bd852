//! Compares two tests and takes their noise into account.

use bytesize::ByteSize;

use super::result::{Report, Step};
use super::search::median;

/// One figure of both tests.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// Its name.
    pub name: &'static str,
    /// The value in the first test.
    pub a: String,
    /// The value in the second test.
    pub b: String,
    /// The difference of the second from the first, in percent. `None` if one of them has no value.
    pub change: Option<f64>,
    /// Half of the range of the figure in these tests, in percent. `None` if it was measured once.
    pub noise: Option<f64>,
    /// The conclusion.
    pub word: &'static str,
}

/// A figure over the trials that count.
#[derive(Clone, Copy, Debug)]
struct Figure {
    middle: f64,
    low: f64,
    high: f64,
    count: usize,
}

/// The direction that is better.
#[derive(Clone, Copy)]
enum Better {
    More,
    Less,
}

/// Reads a figure of a trial.
type Read = fn(&Step) -> Option<f64>;
/// Formats a figure.
type Show = fn(f64) -> String;

/// Smaller changes count as none regardless of the noise, because the noise may come from one run only. In percent.
const MIN_CHANGE: f64 = 2.0;

/// Returns the figures of both tests, side by side.
pub fn compare(a: &Report, b: &Report) -> Vec<Line> {
    let ms: Show = |value| format!("{value:.1} ms");
    let bytes: Show = |value| ByteSize(value as u64).display().si().to_string();
    let rate: Show = |value| format!("{value:.0}/s");
    let seconds: Show = |value| format!("{value:.2} s");
    let steps: [(&str, Read, Better, Show); 9] = [
        ("achieved rate", |step| Some(step.achieved), Better::More, rate),
        ("close latency p50", |step| Some(step.close.p50), Better::Less, ms),
        ("close latency p99", |step| Some(step.close.p99), Better::Less, ms),
        ("ingest latency p50", |step| Some(step.ingest.p50), Better::Less, ms),
        ("ingest latency p99", |step| Some(step.ingest.p99), Better::Less, ms),
        ("CPU per million", |step| step.cpu_seconds_per_million, Better::Less, seconds),
        (
            "memory peak",
            |step| step.memory_peak.map(|bytes| bytes as f64),
            Better::Less,
            bytes,
        ),
        ("state per message", per_message, Better::Less, |value| {
            format!("{value:.0} B")
        }),
        ("catch-up", |step| step.catch_up, Better::Less, seconds),
    ];
    let mut lines = Vec::new();
    let found = |report: &Report| {
        report.found.map(|found| Figure {
            middle: found.rate,
            low: found.low,
            high: found.high,
            count: found.runs,
        })
    };
    if a.found.is_some() || b.found.is_some() {
        lines.push(line("sustained rate", found(a), found(b), Better::More, rate));
    }
    for (name, read, better, show) in steps {
        let (a, b) = (figure(a, read), figure(b, read));
        if a.is_some() || b.is_some() {
            lines.push(line(name, a, b, better, show));
        }
    }
    lines
}

/// Returns the reasons why two tests are hard to compare, a sentence each.
pub fn differences(a: &Report, b: &Report) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut differ = |what: &str, a: &str, b: &str| {
        if a != b {
            reasons.push(format!("{what} differs: {a} and {b}"));
        }
    };
    let (s, t) = (&a.settings, &b.settings);
    differ("the version", &a.version, &b.version);
    differ("the processor", &a.machine.cpu, &b.machine.cpu);
    differ(
        "the number of cores",
        &a.machine.cores.to_string(),
        &b.machine.cores.to_string(),
    );
    differ("the shape", &s.shape, &t.shape);
    differ("the broker", &s.broker, &t.broker);
    differ("the number of instances", &s.instances.to_string(), &t.instances.to_string());
    differ("delivery", &s.delivery, &t.delivery);
    differ(
        "the record size",
        &format!("{:.0}", s.record_size),
        &format!("{:.0}", t.record_size),
    );
    differ("the keyed share", &s.keyed_share.to_string(), &t.keyed_share.to_string());
    differ(
        "alerts per second",
        &s.alerts_per_second.to_string(),
        &t.alerts_per_second.to_string(),
    );
    differ(
        "the number of partitions",
        &s.partitions.to_string(),
        &t.partitions.to_string(),
    );
    differ("the hold", &format!("{} s", s.hold), &format!("{} s", t.hold));
    for (name, report) in [("first", a), ("second", b)] {
        if report.interrupted {
            reasons.push(format!("the {name} test was interrupted"));
        }
        if report.answer.exact != Some(true) {
            reasons.push(format!("the output of the {name} test was not verified to be exact"));
        }
    }
    reasons
}

fn per_message(step: &Step) -> Option<f64> {
    (step.messages > 0).then(|| step.state_bytes as f64 / step.messages as f64)
}

/// Returns a figure over the trials at the sustained rate, or over all trials if no rate was searched for. The figures
/// of an overloaded trial mean nothing.
fn figure(report: &Report, read: Read) -> Option<Figure> {
    let at = report.found.map(|found| found.rate);
    // Trials of one rate are within a thousandth of it.
    let counts = |step: &&Step| at.is_none_or(|rate| step.is_sustained() && (step.rate / rate - 1.0).abs() < 1e-3);
    let mut values: Vec<f64> = report.steps.iter().filter(counts).filter_map(read).collect();
    values.sort_by(f64::total_cmp);
    Some(Figure {
        middle: median(&values)?,
        low: *values.first()?,
        high: *values.last()?,
        count: values.len(),
    })
}

fn line(name: &'static str, a: Option<Figure>, b: Option<Figure>, better: Better, show: Show) -> Line {
    let text = |figure: Option<Figure>| figure.map_or_else(|| "-".to_owned(), |figure| show(figure.middle));
    let change = match (a, b) {
        (Some(a), Some(b)) if a.middle != 0.0 => Some((b.middle / a.middle - 1.0) * 100.0),
        _ => None,
    };
    let measured = [a, b]
        .into_iter()
        .flatten()
        .filter(|figure| figure.count > 1 && figure.middle != 0.0);
    let half_spread = |figure: Figure| (figure.high - figure.low) / 2.0 / figure.middle * 100.0;
    let noise = measured.map(half_spread).reduce(f64::max);
    Line {
        name,
        a: text(a),
        b: text(b),
        change,
        noise,
        word: change.map_or("", |change| word(change, noise, better)),
    }
}

fn word(change: f64, noise: Option<f64>, better: Better) -> &'static str {
    // Two medians may differ by chance, by as much as each of them varies.
    if change.abs() <= (2.0 * noise.unwrap_or(0.0)).max(MIN_CHANGE) {
        return "within noise";
    }
    match (better, change > 0.0, noise) {
        (Better::More, true, Some(_)) | (Better::Less, false, Some(_)) => "better",
        (Better::More, false, Some(_)) | (Better::Less, true, Some(_)) => "worse",
        (Better::More, true, None) | (Better::Less, false, None) => "better, if it repeats",
        (Better::More, false, None) | (Better::Less, true, None) => "worse, if it repeats",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capacity::latency::Latency;
    use crate::capacity::report::tests::report;

    fn with(rate: f64, p99s: &[f64]) -> Report {
        let mut report = report();
        report.steps.clear();
        if let Some(found) = &mut report.found {
            (found.rate, found.low, found.high) = (rate, rate * 0.97, rate * 1.01);
        }
        for p99 in p99s {
            report.steps.push(Step {
                rate,
                achieved: rate,
                close: Latency {
                    p99: *p99,
                    ..Latency::default()
                },
                ..Step::default()
            });
        }
        // An overloaded trial must not count.
        report.steps.push(Step {
            rate: rate * 2.0,
            failures: vec!["too much".into()],
            ..Step::default()
        });
        report
    }

    fn named<'l>(lines: &'l [Line], name: &str) -> &'l Line {
        lines.iter().find(|line| line.name == name).unwrap()
    }

    #[test]
    fn a_change_beyond_the_noise_has_a_direction() {
        let lines = compare(
            &with(40_000.0, &[200.0, 204.0, 202.0]),
            &with(48_000.0, &[240.0, 236.0, 238.0]),
        );
        let rate = named(&lines, "sustained rate");
        assert_eq!(
            (rate.a.as_str(), rate.b.as_str(), rate.word),
            ("40000/s", "48000/s", "better")
        );
        assert!((rate.change.unwrap() - 20.0).abs() < 1e-9 && (rate.noise.unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(named(&lines, "close latency p99").word, "worse");
        assert!(lines.iter().all(|line| line.name != "catch-up"), "neither has one");
    }

    #[test]
    fn a_change_within_the_noise_has_no_direction() {
        let lines = compare(
            &with(40_000.0, &[180.0, 200.0, 220.0]),
            &with(41_000.0, &[190.0, 215.0, 216.0]),
        );
        assert_eq!(named(&lines, "close latency p99").word, "within noise");
        assert_eq!(named(&lines, "sustained rate").word, "within noise");
    }

    #[test]
    fn single_measurements_are_labelled() {
        let lines = compare(&with(40_000.0, &[200.0]), &with(40_000.0, &[150.0]));
        assert_eq!(named(&lines, "close latency p99").word, "better, if it repeats");
        assert_eq!(named(&lines, "close latency p99").noise, None);
    }

    #[test]
    fn differences_between_the_setups_are_reported() {
        let (a, mut b) = (report(), report());
        assert_eq!(differences(&a, &b), Vec::<String>::new());
        b.settings.record_size = 900.0;
        b.machine.cpu = "another".into();
        b.interrupted = true;
        let reasons = differences(&a, &b).join("\n");
        for part in [
            "the record size differs",
            "the processor differs",
            "the second test was interrupted",
        ] {
            assert!(reasons.contains(part), "{reasons}");
        }
    }
}
