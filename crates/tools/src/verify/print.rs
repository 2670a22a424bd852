//! The result, as text or as JSON.

use super::{Verified, grouped};
use crate::term::{out, print_line};
use crate::verify::{Judgement, Kind, Report, Verdict};
use crate::words::counted;

const KINDS: [(Kind, &str); 3] = [
    (Kind::Missing, "missing"),
    (Kind::Extra, "too many"),
    (Kind::Changed, "changed"),
];

pub(super) fn print(verified: &Verified) {
    for line in lines(verified) {
        print_line(&line);
    }
}

/// Prints one object: the [`Report`], with its conclusions.
pub(super) fn print_json(report: &Report) {
    #[derive(serde::Serialize)]
    struct Whole<'r> {
        exact: bool,
        verdict: Verdict,
        faults: u64,
        undecided: u64,
        #[serde(flatten)]
        report: &'r Report,
    }
    let whole = Whole {
        exact: report.is_exact(),
        verdict: report.verdict(),
        faults: report.judged(Judgement::Fault),
        undecided: report.judged(Judgement::Undecided),
        report,
    };
    // Everything in it can be written as JSON.
    out::document(&serde_json::to_string(&whole).unwrap_or_default());
}

/// Returns a sentence about the faults.
pub(super) fn faults(report: &Report) -> String {
    let mut parts = Vec::new();
    for (kind, label) in KINDS {
        let causes = report.findings.get(&kind).into_iter().flatten();
        let causes = causes.filter(|(cause, _)| cause.judgement() == Judgement::Fault);
        let count: u64 = causes.map(|(_, count)| *count).sum();
        if count > 0 {
            parts.push(format!("{} {label}", grouped(count)));
        }
    }
    if report.unreadable > 0 {
        parts.push(format!("{} unreadable", grouped(report.unreadable)));
    }
    format!("the output differs from the recomputed result: {}", parts.join(", "))
}

/// Returns a sentence about what could not be judged, and why.
pub(super) fn undecided(report: &Report) -> String {
    let causes = report.causes(Judgement::Undecided).into_iter();
    let causes: Vec<String> = causes
        .map(|(cause, count)| format!("{} {}", grouped(count), cause.sentence()))
        .collect();
    let rows = counted(report.judged(Judgement::Undecided), "row");
    format!("no fault was found; {rows} could not be judged: {}", causes.join("; "))
}

fn plural(number: u64) -> &'static str {
    if number == 1 { "" } else { "s" }
}

fn lines(verified: &Verified) -> Vec<String> {
    let report = &verified.report;
    let mut lines = vec![
        format!(
            "expected   {:>13} row{}, recomputed from {}",
            grouped(report.expected),
            plural(report.expected),
            verified.input
        ),
        format!(
            "found      {:>13} row{} in the fold of {} ({}{})",
            grouped(report.found),
            plural(report.found),
            verified.output,
            counted(report.records, "record"),
            match report.repeated {
                0 => String::new(),
                repeated => format!(", {} of them repeated", grouped(repeated)),
            }
        ),
        format!(
            "same       {:>13}",
            grouped(report.matched.saturating_sub(report.count(Kind::Changed)))
        ),
    ];
    for (kind, label) in KINDS {
        lines.push(format!("{label:<11}{:>13}", grouped(report.count(kind))));
        let width = "                        ";
        for (cause, count) in report.findings.get(&kind).into_iter().flatten() {
            let judged = match cause.judgement() {
                Judgement::Promised => " (as promised)",
                Judgement::Undecided => " (not judged)",
                Judgement::Fault => "",
            };
            lines.push(format!("{width}{}: {}{judged}", grouped(*count), cause.sentence()));
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
        lines.push(format!(
            "unreadable {:>13} record{} that {} not of the format alerttrail/1",
            grouped(report.unreadable),
            plural(report.unreadable),
            if report.unreadable == 1 { "is" } else { "are" }
        ));
    }
    let dead: u64 = report.dead_letters.values().sum();
    if dead > 0 {
        let reasons = report.dead_letters.iter();
        let reasons: Vec<String> = reasons
            .map(|(reason, count)| format!("{reason} {}", grouped(*count)))
            .collect();
        lines.push(format!(
            "not usable {:>13} record{} of the input, which {} ({})",
            grouped(dead),
            plural(dead),
            if dead == 1 { "is a dead letter" } else { "are dead letters" },
            reasons.join(", ")
        ));
    }
    lines.push(match report.verdict() {
        Verdict::Exact => "The output is exact.".to_owned(),
        Verdict::NotExact => "The output is NOT exact.".to_owned(),
        Verdict::Undecided => sentence(&undecided(report)),
    });
    lines
}

/// Turns a text into a sentence: with a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).chain(['.']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Cause;

    fn verified(findings: &[(Kind, Cause, u64)]) -> Verified {
        let mut report = Report::default();
        (report.expected, report.found, report.records, report.matched) = (12_000, 1, 1, 1);
        for (kind, cause, count) in findings {
            report.findings.entry(*kind).or_default().insert(*cause, *count);
        }
        Verified {
            report,
            explanations: Vec::new(),
            input: "a, b".to_owned(),
            output: "rows".to_owned(),
        }
    }

    fn last(findings: &[(Kind, Cause, u64)]) -> String {
        lines(&verified(findings)).pop().unwrap()
    }

    #[test]
    fn the_last_line_is_the_verdict() {
        assert_eq!(last(&[(Kind::Missing, Cause::WindowOpen, 3)]), "The output is exact.");
        let undecided = [
            (Kind::Missing, Cause::Expired, 1_820),
            (Kind::Missing, Cause::BeforeOutput, 1),
            (Kind::Missing, Cause::TooLarge, 4),
            (Kind::Extra, Cause::Expired, 713),
        ];
        assert_eq!(
            last(&undecided),
            "No fault was found; 2,534 rows could not be judged: 2,533 may lie behind state.retention, or the retention of its link, where nothing is read any more; 1 may have been in records that the output topic no longer holds."
        );
        assert!(
            last(&[(Kind::Extra, Cause::BeforeInput, 1)])
                .starts_with("No fault was found; 1 row could not be judged: 1 may follow")
        );
        let mixed = [&undecided[..], &[(Kind::Extra, Cause::WrongId, 2)]].concat();
        assert_eq!(last(&mixed), "The output is NOT exact.");
        let report = verified(&mixed).report;
        assert_eq!(
            faults(&report),
            "the output differs from the recomputed result: 2 too many",
            "of faults only"
        );
    }

    #[test]
    fn dead_letters_of_the_input_are_counted() {
        for (count, expected) in [
            (
                1,
                "not usable             1 record of the input, which is a dead letter (too_deep 1)",
            ),
            (
                1_200,
                "not usable         1,200 records of the input, which are dead letters (too_deep 1,200)",
            ),
        ] {
            let mut verified = verified(&[]);
            verified.report.dead_letters.insert("too_deep", count);
            assert!(lines(&verified).iter().any(|line| line == expected), "{:?}", lines(&verified));
        }
    }

    #[test]
    fn every_cause_has_a_kind() {
        let lines = lines(&verified(&[
            (Kind::Missing, Cause::Expired, 1),
            (Kind::Missing, Cause::TooLarge, 2),
            (Kind::Missing, Cause::Lost, 3),
        ]));
        let ends = |suffix: &str| lines.iter().filter(|line| line.ends_with(suffix)).count();
        assert_eq!((ends(" (not judged)"), ends(" (as promised)")), (1, 1));
        assert!(
            lines[0].starts_with("expected          12,000 rows, recomputed from a, b"),
            "{lines:?}"
        );
        assert!(
            lines[1].starts_with("found                  1 row in the fold of rows (1 record)"),
            "{lines:?}"
        );
    }
}
