//! What is seen while it runs: one line that moves on a terminal, one line a trial in a pipe.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::super::{counted, grouped, say};
use crate::capacity::result::{Sample, Step};
use crate::capacity::verdict;

/// Tells how far the test is.
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

    /// A trial begins.
    pub(super) fn begins(&self, number: usize, what: &str, rate: f64) {
        self.bar.set_position(0);
        self.bar
            .set_message(format!("trial {number} ({what}): {}/s, starting", number_of(rate)));
    }

    /// A trial goes on.
    pub(super) fn sample(&mut self, step: &Step, sample: &Sample, lasts: Duration) {
        let share = sample.at / lasts.as_secs_f64().max(1e-3);
        self.bar.set_position((share * 1_000.0) as u64);
        let close = sample
            .close_p50_ms
            .map_or_else(String::new, |millis| format!(", closes in {millis:.0} ms"));
        self.bar.set_message(format!(
            "trial {} ({}): {}/s, read {}/s, lag {}{close}",
            step.number,
            verdict::name(step.purpose),
            number_of(step.rate),
            number_of(sample.achieved),
            number_of(sample.lag())
        ));
    }

    /// A trial is over.
    pub(super) fn ended(&self, step: &Step) {
        let verdict = match step.is_sustained() {
            true => "sustained".to_owned(),
            false => format!("not sustained: {}", step.failures.join("; ")),
        };
        let answer = match step.answer.exact {
            Some(true) => format!("answer exact ({})", counted(step.answer.pairs, "pair")),
            Some(false) => "ANSWER WRONG".to_owned(),
            None => "answer not judged".to_owned(),
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
        self.bar.suspend(|| say(&line));
    }

    pub(super) fn done(&self) {
        self.bar.finish_and_clear();
    }
}

fn number_of(number: f64) -> String {
    grouped(number.max(0.0).round() as u64)
}
