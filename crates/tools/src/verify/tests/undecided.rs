//! Tests that a difference is neither a fault nor exact if retention may have removed its records from the input or
//! output, and that every other difference is judged as usual.

use super::*;

const MINUTE: i64 = 600_000_000;

fn at(hour: i64, minute: i64) -> EventTime {
    EventTime::from_date(2026, 3, 1, (hour * 60 + minute) * MINUTE).unwrap()
}

fn test_case(reach: Reach) -> TestCase {
    TestCase {
        reach,
        ..TestCase::default()
    }
}

/// Compares with an output that no longer has the records that were sent before this time.
fn output_from(time: EventTime) -> TestCase {
    test_case(Reach {
        output_from: time,
        ..Reach::default()
    })
}

/// Compares with an input that no longer has the records that arrived before this time.
fn input_from(time: EventTime) -> TestCase {
    test_case(Reach {
        input_from: time,
        ..Reach::default()
    })
}

fn after_latest() -> TestCase {
    test_case(Reach {
        start: StartPosition::Latest,
        ..Reach::default()
    })
}

fn of_alert<'r>(rows: &'r [String], alert: &str) -> impl Iterator<Item = &'r String> {
    rows.iter()
        .filter(move |row| row.contains(&format!("\"system_alert_id\":\"{alert}\"")))
}

#[test]
fn a_complete_output_is_exact_even_if_records_are_gone() {
    let rows = plain(&input());
    for test_case in [output_from(EventTime::MAX), input_from(EventTime::MAX), after_latest()] {
        assert_eq!(test_case.run(&input(), &rows).verdict(), Verdict::Exact);
    }
}

#[test]
fn a_missing_row_may_have_been_before_the_first_record_of_the_output() {
    let rows = plain(&input());
    // Without the row at 10:10 of each alert and without all rows of alert A.
    let cut: Vec<String> = of_alert(&rows, "B")
        .filter(|row| !row.contains("10:10:00.0"))
        .cloned()
        .collect();
    assert_eq!(cut.len(), 2);
    assert_eq!(
        findings(&input(), &cut),
        [(Kind::Missing, Cause::NotAnswered, 3), (Kind::Missing, Cause::Lost, 1)]
    );
    let report = output_from(at(10, 13)).run(&input(), &cut);
    assert_eq!(report.verdict(), Verdict::Undecided);
    assert_eq!(
        report.causes(Judgement::Undecided),
        BTreeMap::from([(Cause::BeforeOutput, 4)])
    );
    assert_eq!((report.judged(Judgement::Undecided), report.judged(Judgement::Fault)), (4, 0));
    assert!(!report.is_exact());
    // No row is sent before its activity happens, so no row from 10:12 on was removed.
    let test_case = output_from(at(10, 12));
    assert_eq!(
        test_case.findings(&input(), &cut),
        [
            (Kind::Missing, Cause::BeforeOutput, 3),
            (Kind::Missing, Cause::NotAnswered, 1)
        ]
    );
    assert_eq!(test_case.run(&input(), &cut).verdict(), Verdict::NotExact);
}

#[test]
fn rows_in_a_cut_output_are_judged_as_usual() {
    let test_case = output_from(EventTime::MAX);
    let rows = plain(&input());
    let with = |row: String| [rows.clone(), vec![row]].concat();
    let withdrawn = rows[0]
        .replace("\"op\":\"upsert\"", "\"op\":\"delete\"")
        .replace("\"seq\":", "\"seq\":9");
    assert_eq!(
        test_case.findings(&input(), &with(withdrawn)),
        [(Kind::Missing, Cause::Withdrawn, 1)]
    );
    let changed = rows[0].replace("\"Note\":\"one\"", "\"Note\":\"two\"");
    let changed = [vec![changed], rows[1..].to_vec()].concat();
    assert_eq!(
        test_case.findings(&input(), &changed),
        [(Kind::Changed, Cause::OtherActivity, 1)]
    );
    let id = &rows[0].split("\"id\":\"").nth(1).unwrap()[..32];
    let of_nobody = rows[0].replace(id, "00000000000000000000000000000001").replacen(
        "\"system_alert_id\":\"A\"",
        "\"system_alert_id\":\"Z\"",
        1,
    );
    assert_eq!(
        test_case.findings(&input(), &with(of_nobody)),
        [(Kind::Extra, Cause::UnknownAlert, 1)]
    );
    let mut newer = input();
    newer.push(alert("A", "p", "10:12:00", "13:00:00"));
    assert_eq!(test_case.findings(&newer, &rows), [(Kind::Extra, Cause::NotAPair, 1)]);
}

#[test]
fn one_fault_decides_even_if_other_rows_could_not_be_judged() {
    let mut rows = plain(&input());
    rows.remove(0);
    rows.push("{}".into());
    let report = output_from(EventTime::MAX).run(&input(), &rows);
    assert_eq!(report.judged(Judgement::Undecided), 1);
    assert_eq!(report.verdict(), Verdict::NotExact);
}

#[test]
fn an_alert_that_is_not_in_the_input_may_have_arrived_before_it() {
    let rows = plain(&input());
    let without: Vec<String> = input().into_iter().filter(|message| !message.contains("\"A\"")).collect();
    assert_eq!(findings(&without, &rows), [(Kind::Extra, Cause::UnknownAlert, 3)]);
    // This holds however late the activities are: alerts may arrive long before them.
    let test_case = input_from(at(1, 0));
    assert_eq!(test_case.findings(&without, &rows), [(Kind::Extra, Cause::BeforeInput, 3)]);
    assert_eq!(test_case.run(&without, &rows).verdict(), Verdict::Undecided);
}

#[test]
fn an_activity_that_is_not_in_the_input_may_have_arrived_before_it_or_not() {
    let rows = plain(&input());
    let without: Vec<String> = input().into_iter().filter(|message| !message.contains("10:11:00")).collect();
    assert_eq!(findings(&without, &rows), [(Kind::Extra, Cause::UnknownActivity, 2)]);
    // The alerts were generated at 12:00.
    assert_eq!(
        input_from(at(10, 12)).findings(&without, &rows),
        [(Kind::Extra, Cause::BeforeInput, 2)]
    );
    assert_eq!(
        input_from(at(10, 11)).findings(&without, &rows),
        [(Kind::Extra, Cause::UnknownActivity, 2)]
    );
}

#[test]
fn a_greater_version_may_have_arrived_before_the_input() {
    // The greater version arrived first and was removed. The lesser version arrived again later and is in the input.
    let greater = alert("A", "p", "10:12:00", "12:30:00");
    let mut whole = input();
    whole.insert(0, greater);
    let rows = output(&whole, &[whole.len()], &Settings::default());
    assert!(TestCase::default().run(&whole, &rows).is_exact());
    assert_eq!(
        findings(&input(), &rows),
        [(Kind::Missing, Cause::Lost, 1), (Kind::Changed, Cause::OtherAlert, 2)]
    );
    assert_eq!(
        input_from(at(12, 1)).findings(&input(), &rows),
        [(Kind::Missing, Cause::BeforeInput, 1), (Kind::Changed, Cause::BeforeInput, 2)]
    );
    // A version that was generated after all removed records is the greatest.
    assert_eq!(
        input_from(at(12, 0)).findings(&input(), &rows),
        [(Kind::Missing, Cause::Lost, 1), (Kind::Changed, Cause::BeforeInput, 2)]
    );
    // The same in reverse: the greater version has the longer window.
    let mut shorter = input();
    shorter[0] = alert("A", "p", "10:12:00", "12:00:00");
    let rows = plain(&input());
    assert_eq!(
        findings(&shorter, &rows),
        [(Kind::Extra, Cause::NotAPair, 1), (Kind::Changed, Cause::OtherAlert, 2)]
    );
    assert_eq!(
        input_from(at(12, 1)).findings(&shorter, &rows),
        [(Kind::Extra, Cause::BeforeInput, 1), (Kind::Changed, Cause::BeforeInput, 2)]
    );
}

#[test]
fn a_withdrawn_row_may_depend_on_a_version_that_is_gone() {
    let mut rows = plain(&input());
    let delete = rows[0]
        .replace("\"op\":\"upsert\"", "\"op\":\"delete\"")
        .replace("\"seq\":", "\"seq\":9");
    rows.push(delete);
    assert_eq!(
        input_from(at(12, 1)).findings(&input(), &rows),
        [(Kind::Missing, Cause::BeforeInput, 1)]
    );
    assert_eq!(
        input_from(at(12, 0)).findings(&input(), &rows),
        [(Kind::Missing, Cause::Withdrawn, 1)]
    );
}

#[test]
fn another_delivery_or_version_may_have_arrived_before_the_input() {
    let rows = plain(&input());
    let with = |from: &str, to: &str| {
        let mut rows = rows.clone();
        rows[2] = rows[2].replacen(from, to, 1);
        rows
    };
    let version = with(
        "\"TimeGenerated\":\"2026-03-01T12:00:00Z\"",
        "\"TimeGenerated\":\"2026-03-01T11:30:00Z\"",
    );
    assert_eq!(findings(&input(), &version), [(Kind::Changed, Cause::OtherAlert, 1)]);
    assert_eq!(
        input_from(at(1, 0)).findings(&input(), &version),
        [(Kind::Changed, Cause::BeforeInput, 1)]
    );
    let delivery = with("\"Note\":\"one\"", "\"Note\":\"two\"");
    assert_eq!(
        input_from(at(10, 13)).findings(&input(), &delivery),
        [(Kind::Changed, Cause::BeforeInput, 1)]
    );
    assert_eq!(
        input_from(at(10, 12)).findings(&input(), &delivery),
        [(Kind::Changed, Cause::OtherActivity, 1)]
    );
    // A difference that the pair alone decides is a fault, even if records are gone.
    let fields = with("\"correlation_id\":\"p\"", "\"correlation_id\":\"x\"");
    assert_eq!(
        input_from(EventTime::MAX).findings(&input(), &fields),
        [(Kind::Changed, Cause::OtherFields, 1)]
    );
}

#[test]
fn rows_from_before_a_start_at_the_latest_record_may_be_missing() {
    let mut rows = plain(&input());
    rows.remove(0);
    let test_case = after_latest();
    assert_eq!(test_case.findings(&input(), &rows), [(Kind::Missing, Cause::BeforeStart, 1)]);
    assert_eq!(test_case.run(&input(), &rows).verdict(), Verdict::Undecided);
    let mut newer = input();
    newer.push(alert("A", "p", "10:12:00", "13:00:00"));
    assert_eq!(
        test_case.findings(&newer, &plain(&input())),
        [(Kind::Extra, Cause::BeforeStart, 1)]
    );
    let unknown: Vec<String> = input().into_iter().filter(|message| !message.contains("10:11:00")).collect();
    assert_eq!(
        test_case.findings(&unknown, &plain(&input())),
        [(Kind::Extra, Cause::UnknownActivity, 2)],
        "no processor can have read a record that is not in the input"
    );
}

#[test]
fn rows_of_an_open_window_are_promised_even_if_records_are_gone() {
    let rows: Vec<String> = of_alert(&plain(&input()), "B").cloned().collect();
    let test_case = test_case(Reach {
        watermark: at(10, 59),
        output_from: EventTime::MAX,
        input_from: EventTime::MAX,
        ..Reach::default()
    });
    let report = test_case.run(&input(), &rows);
    assert_eq!(report.verdict(), Verdict::Exact, "{report:?}");
    assert_eq!(report.judged(Judgement::Promised), 3);
}

#[test]
fn the_lead_of_activities_over_their_arrival_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let mut comparison = Comparison::new(folder.path(), TestCase::default().span, Links::query(Widening::default()), 0).unwrap();
    let mut recomputation = Recomputation::new(
        router(&Settings::default()),
        Memory::default(),
        emitter(None, &Settings::default()),
    )
    .unwrap();
    assert_eq!(recomputation.lead(), Duration::ZERO);
    let row = activity("p", "10:10:00", "one");
    let arrived = |time: EventTime| Arrival {
        now: WallTime(i64::MAX),
        timestamp: Some(time.to_wall()),
    };
    let mut at_once = |arrival| {
        let messages = [(Some(row.as_bytes()), arrival)];
        recomputation.messages(messages, &mut comparison).unwrap();
        recomputation.lead()
    };
    assert_eq!(at_once(arrived(at(10, 30))), Duration::ZERO);
    assert_eq!(at_once(arrived(at(10, 7))), Duration::from_secs(180));
    assert_eq!(at_once(arrived(at(10, 9))), Duration::from_secs(180));
}
