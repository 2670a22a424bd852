//! Progress output: one line that is updated on a terminal, or one line per trial in a pipe.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::capacity::result::{Sample, Step};
use crate::capacity::verdict;
use crate::term::eprint_line;
use crate::words::{counted, grouped};

/// Shows the progress of the test.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::new(1_000),
            false => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template("{bar:20} {wide_msg}") {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// Shows that a trial begins.
    pub(super) fn begins(&self, number: usize, what: &str, rate: f64) {
        self.bar.set_position(0);
        self.bar
            .set_message(format!("trial {number} ({what}): {}/s, starting", number_of(rate)));
    }

    /// Shows a sample of a trial.
    pub(super) fn sample(&mut self, step: &Step, sample: &Sample, lasts: Duration) {
        let share = sample.at / lasts.as_secs_f64().max(1e-3);
        self.bar.set_position((share * 1_000.0) as u64);
        let close = sample
            .close_p50_ms
            .map_or_else(String::new, |millis| format!(", close latency {millis:.0} ms"));
        self.bar.set_message(format!(
            "trial {} ({}): {}/s, read {}/s, lag {}{close}",
            step.number,
            verdict::name(step.purpose),
            number_of(step.rate),
            number_of(sample.achieved),
            number_of(sample.lag())
        ));
    }

    /// Shows the result of a trial.
    pub(super) fn ended(&self, step: &Step) {
        let verdict = match step.is_sustained() {
            true => "sustained".to_owned(),
            false => format!("not sustained: {}", step.failures.join("; ")),
        };
        let answer = match step.answer.exact {
            Some(true) => format!("output exact ({})", counted(step.answer.pairs, "pair")),
            Some(false) => "OUTPUT WRONG".to_owned(),
            None => "output not judged".to_owned(),
        };
        let mut line = format!(
            "trial {:>2} {:<7} {:>9}/s  read {:>9}/s  close p99 {:>6.0} ms  {answer}  {verdict}",
            step.number,
            verdict::name(step.purpose),
            number_of(step.offered),
            number_of(step.achieved),
            step.close.p99,
        );
        if let Some(catch_up) = step.catch_up {
            line.push_str(&format!(", caught up after {catch_up:.1} s"));
        }
        if step.kills > 0 {
            line.push_str(&format!(
                ", {}, {} repeated",
                counted(step.kills, "kill"),
                counted(step.answer.repeated, "row")
            ));
        }
        self.bar.suspend(|| eprint_line(&line));
    }

    pub(super) fn done(&self) {
        self.bar.finish_and_clear();
    }
}

fn number_of(number: f64) -> String {
    grouped(number.max(0.0).round() as u64)
}
