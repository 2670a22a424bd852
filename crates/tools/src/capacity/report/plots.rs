//! The plots of the page.

use super::plot::{Axis, Ink, Mark, Plot, Series};
use crate::capacity::latency::Latency;
use crate::capacity::result::{Report, Sample, Step};

const HALF: (u32, u32) = (530, 300);
const THIRD: (u32, u32) = (370, 220);

/// Formats a number on an axis: `12k` for 12000.
pub(super) fn short(value: &f64) -> String {
    let magnitude = value.abs();
    let (scaled, unit) = match magnitude {
        m if m >= 1e9 => (value / 1e9, "G"),
        m if m >= 1e6 => (value / 1e6, "M"),
        m if m >= 1e3 => (value / 1e3, "k"),
        _ => (*value, ""),
    };
    let digits = match scaled.abs() {
        s if s >= 100.0 || s.fract() < 0.005 => 0,
        s if s >= 1.0 => 1,
        _ => 2,
    };
    format!("{scaled:.digits$}{unit}")
}

const RATE: fn(&'static str) -> Axis = |label| Axis { label, show: short };
const SECONDS: Axis = Axis {
    label: "seconds",
    show: short,
};
const MILLIS: Axis = Axis {
    label: "milliseconds",
    show: short,
};

/// Formats a share on the axis of percentiles, which has a step for each nine.
fn nines(value: &f64) -> String {
    match value.round() as i64 {
        // A position between two steps has no label.
        whole if (value - whole as f64).abs() > 0.01 => String::new(),
        0 => "0 %".to_owned(),
        1 => "90 %".to_owned(),
        2 => "99 %".to_owned(),
        nines => format!("99.{} %", "9".repeat(usize::try_from(nines - 2).unwrap_or(0))),
    }
}

fn series(name: &str, ink: Ink, mark: Mark, points: Vec<(f64, f64)>) -> Series {
    Series {
        name: name.to_owned(),
        ink,
        mark,
        points,
    }
}

/// Returns the plots of the achieved rate and the latency by the offered rate, or none for a single trial.
pub(super) fn saturation(report: &Report) -> Vec<Plot> {
    if report.steps.len() < 2 {
        return Vec::new();
    }
    let points = |sustained: bool, y: fn(&Step) -> f64| -> Vec<(f64, f64)> {
        let steps = report.steps.iter().filter(|step| step.is_sustained() == sustained);
        let mut points: Vec<(f64, f64)> = steps
            .map(|step| (step.offered, y(step)))
            .filter(|point| point.1 > 0.0)
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let offered = report.steps.iter().map(|step| step.offered);
    let (low, high) = offered.fold((f64::MAX, 0.0_f64), |(low, high), rate| (low.min(rate), high.max(rate)));
    let achieved: fn(&Step) -> f64 = |step| step.achieved;
    let p99: fn(&Step) -> f64 = |step| step.close.p99;
    let limit = report.settings.limits.p99_ms;
    vec![
        Plot {
            title: "Saturation: achieved rate by offered rate".to_owned(),
            x: RATE("offered, records/s"),
            y: RATE("achieved, records/s"),
            logarithmic: false,
            hold: None,
            series: vec![
                series("ideal", Ink::Axis, Mark::Dashes, vec![(low, low), (high, high)]),
                series("sustained", Ink::First, Mark::Dots, points(true, achieved)),
                series("not sustained", Ink::Bad, Mark::Rings, points(false, achieved)),
            ],
            size: HALF,
        },
        Plot {
            title: "Close latency, 99th percentile, by offered rate".to_owned(),
            x: RATE("offered, records/s"),
            y: MILLIS,
            logarithmic: true,
            hold: None,
            series: vec![
                series("limit", Ink::Axis, Mark::Dashes, vec![(low, limit), (high, limit)]),
                series("sustained", Ink::First, Mark::Dots, points(true, p99)),
                series("not sustained", Ink::Bad, Mark::Rings, points(false, p99)),
            ],
            size: HALF,
        },
    ]
}

/// Returns the plot of both latencies of a trial by percentile.
pub(super) fn percentiles(step: &Step) -> Option<Plot> {
    /// Beyond this many nines, there is at most one measurement.
    const MAX_RATIO: f64 = 5.0;
    let curve = |latency: &Latency| -> Vec<(f64, f64)> {
        let nines = |share: f64| -(1.0 - share).max(1e-9).log10();
        let points = latency.curve.iter().map(|(share, millis)| (nines(*share), *millis));
        let known = -(1.0 / latency.count.max(1) as f64).log10();
        points.filter(|(at, _)| *at <= known.min(MAX_RATIO)).collect()
    };
    let (close, ingest) = (curve(&step.close), curve(&step.ingest));
    (!close.is_empty() || !ingest.is_empty()).then(|| Plot {
        title: "Latency by percentile".to_owned(),
        x: Axis {
            label: "percentile",
            show: nines,
        },
        y: MILLIS,
        logarithmic: true,
        hold: None,
        series: vec![
            series("close", Ink::First, Mark::Line, close),
            series("ingest", Ink::Second, Mark::Line, ingest),
        ],
        size: HALF,
    })
}

/// Returns the plot of a trial's close latency over time.
pub(super) fn latency_over_time(step: &Step, limit: f64, size: Option<(u32, u32)>) -> Option<Plot> {
    let median = points(step, |sample| sample.close_p50_ms);
    let maximum = points(step, |sample| sample.close_max_ms);
    let ends = (step.hold_from, step.hold_to);
    (!median.is_empty()).then(|| Plot {
        title: "Close latency over time".to_owned(),
        x: SECONDS,
        y: MILLIS,
        logarithmic: false,
        hold: Some(ends),
        series: vec![
            series(
                "limit of the p99",
                Ink::Axis,
                Mark::Dashes,
                vec![(ends.0, limit), (ends.1, limit)],
            ),
            series("median", Ink::First, Mark::Line, median),
            series("maximum", Ink::Second, Mark::Line, maximum),
        ],
        size: size.unwrap_or(THIRD),
    })
}

/// Returns the plots of a trial's rate, lag and memory over time, and of its latency if there is one.
pub(super) fn over_time(step: &Step, limit: f64) -> Vec<Plot> {
    let plot = |title: &str, y, series| Plot {
        title: format!("{title} of trial {} over time", step.number),
        x: SECONDS,
        y,
        logarithmic: false,
        hold: Some((step.hold_from, step.hold_to)),
        series,
        size: THIRD,
    };
    let mut plots = vec![
        plot(
            "Rate",
            RATE("records/s"),
            vec![
                series(
                    "offered",
                    Ink::Axis,
                    Mark::Dashes,
                    points(step, |sample| Some(sample.offered)),
                ),
                series("read", Ink::First, Mark::Line, points(step, |sample| Some(sample.achieved))),
            ],
        ),
        plot(
            "Lag",
            RATE("records"),
            vec![
                series("input", Ink::First, Mark::Line, points(step, |sample| Some(sample.route_lag))),
                series(
                    "repartition topic",
                    Ink::Second,
                    Mark::Line,
                    points(step, |sample| Some(sample.join_lag)),
                ),
                series(
                    "not sent in time",
                    Ink::Bad,
                    Mark::Line,
                    points(step, |sample| Some(sample.unsent)),
                ),
            ],
        ),
        plot(
            "Memory",
            Axis {
                label: "bytes",
                show: short,
            },
            vec![series(
                "all processors",
                Ink::Third,
                Mark::Line,
                points(step, |sample| sample.memory.map(|bytes| bytes as f64)),
            )],
        ),
        plot(
            "CPU",
            RATE("cores"),
            vec![series(
                "all processors",
                Ink::Third,
                Mark::Line,
                points(step, |sample| sample.cores),
            )],
        ),
    ];
    plots.extend(latency_over_time(step, limit, None));
    plots.retain(|plot| plot.series.iter().any(|series| !series.points.is_empty()));
    plots
}

/// Maximum number of points in a plot of this width.
const MAX_POINTS: usize = 600;

fn points(step: &Step, y: fn(&Sample) -> Option<f64>) -> Vec<(f64, f64)> {
    let points: Vec<(f64, f64)> = step
        .samples
        .iter()
        .filter_map(|sample| Some((sample.at, y(sample)?)))
        .collect();
    let chunk = points.len().div_ceil(MAX_POINTS).max(1);
    // The greatest of several points is kept, so that no peak disappears.
    let greatest = |some: &[(f64, f64)]| some.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    points.chunks(chunk).filter_map(greatest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axis_labels_are_distinct() {
        for (value, expected) in [
            (0.0, "0"),
            (0.05, "0.05"),
            (0.1, "0.10"),
            (1.5, "1.5"),
            (2.0, "2"),
            (12_000.0, "12k"),
            (1.5e6, "1.5M"),
            (150.4, "150"),
        ] {
            assert_eq!(short(&value), expected);
        }
        for (value, expected) in [
            (0.0, "0 %"),
            (0.5, ""),
            (1.0, "90 %"),
            (1.5, ""),
            (2.0, "99 %"),
            (4.0, "99.99 %"),
        ] {
            assert_eq!(nines(&value), expected);
        }
    }
}
