//! The result, for people and for programs.

use super::{Names, grouped};
use crate::verify::{Kind, Report};

const KINDS: [(Kind, &str); 3] = [
    (Kind::Missing, "missing"),
    (Kind::Extra, "too many"),
    (Kind::Changed, "changed"),
];

#[expect(clippy::print_stdout, reason = "this is the command's answer")]
pub(super) fn print(report: &Report, names: &Names) {
    for line in lines(report, names) {
        println!("{line}");
    }
}

/// One object: what [`Report`] has, and whether it is exact.
#[expect(clippy::print_stdout, reason = "this is the command's answer")]
pub(super) fn print_json(report: &Report) {
    #[derive(serde::Serialize)]
    struct Whole<'r> {
        exact: bool,
        #[serde(flatten)]
        report: &'r Report,
    }
    let whole = Whole {
        exact: report.is_exact(),
        report,
    };
    // Nothing in it has a form that JSON lacks.
    println!("{}", serde_json::to_string(&whole).unwrap_or_default());
}

/// What is wrong, in a sentence.
pub(super) fn verdict(report: &Report) -> String {
    let mut words = Vec::new();
    for (kind, word) in KINDS {
        let causes = report.findings.get(&kind).into_iter().flatten();
        let count: u64 = causes.filter(|(cause, _)| !cause.is_allowed()).map(|(_, count)| *count).sum();
        if count > 0 {
            words.push(format!("{} {word}", grouped(count)));
        }
    }
    if report.unreadable > 0 {
        words.push(format!("{} unreadable", grouped(report.unreadable)));
    }
    format!("the output is not the answer: {}", words.join(", "))
}

fn lines(report: &Report, names: &Names) -> Vec<String> {
    let mut lines = vec![
        format!(
            "expected   {:>13} rows, recomputed from {}",
            grouped(report.expected),
            names.input
        ),
        format!(
            "found      {:>13} rows in the fold of {} ({} records{})",
            grouped(report.found),
            names.output,
            grouped(report.records),
            match report.repeated {
                0 => String::new(),
                repeated => format!(", {} of them sent again", grouped(repeated)),
            }
        ),
        format!(
            "same       {:>13}",
            grouped(report.matched.saturating_sub(report.count(Kind::Changed)))
        ),
    ];
    for (kind, word) in KINDS {
        lines.push(format!("{word:<11}{:>13}", grouped(report.count(kind))));
        let width = "                        ";
        for (cause, count) in report.findings.get(&kind).into_iter().flatten() {
            let allowed = if cause.is_allowed() { " (as promised)" } else { "" };
            lines.push(format!("{width}{}: {}{allowed}", grouped(*count), cause.sentence()));
            let examples = report.examples.iter();
            for example in examples.filter(|example| example.kind == kind && example.cause == *cause) {
                let seq = example.seq.map_or_else(String::new, |seq| format!(", seq {seq}"));
                lines.push(format!(
                    "{width}  row {}, alert {}, activity {}{seq}",
                    example.id, example.system_alert_id, example.activity_time
                ));
            }
        }
    }
    if report.unreadable > 0 {
        let count = grouped(report.unreadable);
        lines.push(format!(
            "unreadable {count:>13} records that are no record of the format alerttrail/1"
        ));
    }
    let dead: u64 = report.dead_letters.values().sum();
    if dead > 0 {
        let reasons: Vec<String> = report
            .dead_letters
            .iter()
            .map(|(reason, count)| format!("{reason} {}", grouped(*count)))
            .collect();
        lines.push(format!(
            "not usable {:>13} records of the input, which are dead letters ({})",
            grouped(dead),
            reasons.join(", ")
        ));
    }
    lines.push(match report.is_exact() {
        true => "The output is exact.".to_owned(),
        false => "The output is NOT exact.".to_owned(),
    });
    lines
}
