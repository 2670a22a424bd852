mod links;
mod undecided;

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::decode::{Decoder, Identity, Settings};
use crate::emit::{Emitted, Emitter, Links};
use crate::join::{Joiner, Limit, Outbox};
use crate::repartition::RepartitionRecord;
use crate::route::{self, Arrival, Routed, Router};
use crate::store::{Backend as _, Memory};
use crate::time::{EventTime, WallTime, Widening};

const ARRIVAL: Arrival = Arrival {
    now: WallTime(i64::MAX),
    timestamp: None,
};

fn activity(cid: &str, time: &str, note: &str) -> String {
    format!(
        r#"{{"Type":"CloudAppEvents","Note":"{note}","RawEventData":{{"CreationTime":"2026-03-01T{time}Z","Data":"{{\"cid\":\"{cid}\"}}"}}}}"#
    )
}

fn alert(id: &str, cid: &str, end: &str, generated: &str) -> String {
    format!(
        r#"{{"SystemAlertId":"{id}","AlertType":"{cid}","StartTime":"2026-03-01T10:00:00Z","EndTime":"2026-03-01T{end}Z","TimeGenerated":"2026-03-01T{generated}Z"}}"#
    )
}

/// Returns two alerts with three activities each.
fn input() -> Vec<String> {
    let mut input = vec![
        alert("A", "p", "11:00:00", "12:00:00"),
        alert("B", "q", "11:00:00", "12:00:00"),
    ];
    for cid in ["p", "q"] {
        for minute in 10..13 {
            input.push(activity(cid, &format!("10:{minute}:00"), "one"));
        }
    }
    input
}

fn router(settings: &Settings) -> Router {
    let routing = route::Settings {
        partitions: 1,
        max_wait: Duration::from_secs(3_600),
        max_future_skew: Duration::from_secs(600),
        max_window_ahead: None,
        tenants: false,
    };
    Router::new(Decoder::new(settings.clone()), routing)
}

fn emitter(limit: Option<usize>, settings: &Settings) -> Emitter {
    Emitter {
        format: crate::emit::Format::Native,
        links: Links::new(settings),
        summaries: false,
        unmatched: false,
        limit,
    }
}

/// Returns the output for this input when windows close after each of `closes`, which are numbers of messages.
fn output(input: &[String], closes: &[usize], settings: &Settings) -> Vec<String> {
    let mut backend = Memory::default();
    let mut joiner = Joiner::open(&backend, None).unwrap();
    let mut rows = Vec::new();
    let mut offset = 0;
    let mut router = router(settings);
    let mut apply = |record: RepartitionRecord<'_>| {
        let mut outbox = Outbox::new(Limit::default());
        let changes = joiner.apply(&backend, [(offset, record)], &mut outbox).unwrap();
        assert!(!joiner.has_work());
        backend.write(changes).unwrap();
        for (_, output) in outbox.drain() {
            let mut value = Vec::new();
            if let Emitted::Record(_) = emitter(None, settings).emit(&output, offset, &mut value) {
                rows.push(String::from_utf8(value).unwrap());
            }
        }
        offset += 1;
    };
    for (number, message) in input.iter().enumerate() {
        router.route(Some(message.as_bytes()), ARRIVAL, &mut |routed| {
            if let Routed::Record { record, .. } = routed {
                apply(record);
            }
        });
        if closes.contains(&(number + 1)) {
            apply(RepartitionRecord::EndOfInput);
        }
    }
    rows
}

struct TestCase {
    settings: Settings,
    limit: Option<usize>,
    shorter: Vec<Duration>,
    span: Span,
    reach: Reach,
}

impl Default for TestCase {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            limit: None,
            shorter: Vec::new(),
            span: Span {
                from: EventTime::MIN,
                to: EventTime::MAX,
            },
            reach: Reach::default(),
        }
    }
}

impl TestCase {
    fn run(&self, input: &[String], output: &[String]) -> Report {
        let folder = tempfile::tempdir().unwrap();
        let mut comparison = Comparison::new(folder.path(), self.span, Links::new(&self.settings), 3)
            .unwrap()
            .with_shorter(self.shorter.clone());
        output.iter().for_each(|row| comparison.add_output(row.as_bytes()).unwrap());
        let mut recomputation =
            Recomputation::new(router(&self.settings), Memory::default(), emitter(self.limit, &self.settings)).unwrap();
        let messages = input.iter().map(|message| (Some(message.as_bytes()), ARRIVAL));
        recomputation.messages(messages, &mut comparison).unwrap();
        assert!(recomputation.end(&mut comparison, &mut |_| true).unwrap());
        comparison.finish(self.reach, &mut |_| true).unwrap().unwrap()
    }

    fn findings(&self, input: &[String], output: &[String]) -> Vec<(Kind, Cause, u64)> {
        let report = self.run(input, output);
        let flat = |(kind, causes): (&Kind, &BTreeMap<Cause, u64>)| -> Vec<_> {
            causes.iter().map(|(cause, count)| (*kind, *cause, *count)).collect()
        };
        report.findings.iter().flat_map(flat).collect()
    }
}

fn findings(input: &[String], output: &[String]) -> Vec<(Kind, Cause, u64)> {
    TestCase::default().findings(input, output)
}

fn plain(input: &[String]) -> Vec<String> {
    output(input, &[input.len()], &Settings::default())
}

#[test]
fn an_untouched_output_is_exact() {
    let rows = plain(&input());
    assert_eq!(rows.len(), 6);
    let report = TestCase::default().run(&input(), &rows);
    assert!(report.is_exact());
    assert_eq!(
        (report.expected, report.found, report.matched, report.records, report.repeated),
        (6, 6, 6, 6, 0)
    );
    let twice = [rows.clone(), rows].concat();
    let report = TestCase::default().run(&input(), &twice);
    assert!(report.is_exact(), "a record that is sent again is the same record");
    assert_eq!((report.found, report.records, report.repeated), (6, 12, 6));
}

#[test]
fn a_row_that_was_removed_is_missing() {
    let mut rows = plain(&input());
    let removed = rows.remove(1);
    assert_eq!(findings(&input(), &rows), [(Kind::Missing, Cause::Lost, 1)]);
    let report = TestCase::default().run(&input(), &rows);
    assert!(!report.is_exact());
    let [example] = report.examples.as_slice() else {
        panic!("{report:?}")
    };
    assert!(removed.contains(&format!("\"id\":\"{}\"", example.id)));
    assert_eq!(example.system_alert_id, "A");
    assert_eq!(example.activity_time, "2026-03-01T10:11:00.0000000Z");
}

#[test]
fn an_alert_without_rows_is_missing_or_still_open() {
    let rows: Vec<String> = plain(&input()).into_iter().filter(|row| !row.contains("\"A\"")).collect();
    assert_eq!(findings(&input(), &rows), [(Kind::Missing, Cause::NotAnswered, 3)]);
    let open = |end| TestCase {
        reach: Reach {
            watermark: EventTime::from_date(2026, 3, 1, end).unwrap(),
            ..Reach::default()
        },
        ..TestCase::default()
    };
    const ELEVEN: i64 = 11 * 36_000_000_000;
    assert_eq!(
        open(ELEVEN).findings(&input(), &rows),
        [(Kind::Missing, Cause::NotAnswered, 3)]
    );
    let report = open(ELEVEN - 1).run(&input(), &rows);
    assert!(report.is_exact(), "a row that is not due yet is not a fault: {report:?}");
    assert_eq!(report.count(Kind::Missing), 3);
    // Once an alert is closed, all its rows must be there.
    let partly = plain(&input()).split_off(1);
    assert_eq!(
        open(ELEVEN - 1).findings(&input(), &partly),
        [(Kind::Missing, Cause::Lost, 1)]
    );
}

#[test]
fn a_retracted_pair_is_missing() {
    let mut rows = plain(&input());
    let delete = rows[0]
        .replace("\"op\":\"upsert\"", "\"op\":\"delete\"")
        .replace("\"seq\":", "\"seq\":9");
    rows.push(delete);
    assert_eq!(findings(&input(), &rows), [(Kind::Missing, Cause::Withdrawn, 1)]);
}

#[test]
fn every_change_in_a_row_is_found() {
    let rows = plain(&input());
    let with = |from: &str, to: &str| {
        let mut rows = rows.clone();
        assert!(rows[2].contains(from), "{}", rows[2]);
        rows[2] = rows[2].replacen(from, to, 1);
        rows
    };
    let changed = |cause| [(Kind::Changed, cause, 1)];
    assert_eq!(
        findings(&input(), &with("\"Note\":\"one\"", "\"Note\":\"two\"")),
        changed(Cause::OtherActivity)
    );
    assert_eq!(
        findings(&input(), &with("\"Note\":\"one\"", "\"Note\": \"one\"")),
        changed(Cause::OtherActivity),
        "byte for byte"
    );
    assert_eq!(
        findings(&input(), &with("\"AlertType\":\"p\"", "\"AlertType\":\"x\"")),
        changed(Cause::OtherAlert)
    );
    assert_eq!(
        findings(&input(), &with("\"correlation_id\":\"p\"", "\"correlation_id\":\"x\"")),
        changed(Cause::OtherFields)
    );
    assert_eq!(
        findings(&input(), &with("10:12:00.0000000Z", "10:12:00.0000001Z")),
        changed(Cause::OtherFields)
    );
    let mut both = with("\"Note\":\"one\"", "\"Note\":\"two\"");
    both.push(rows[2].clone());
    assert_eq!(findings(&input(), &both), changed(Cause::Ambiguous));
    let cut = with(
        "\"alert\":{",
        "\"truncated\":[\"alert\"],\"alert\":{\"SystemAlertId\":\"A\"},\"was\":{",
    );
    assert_eq!(findings(&input(), &cut), [], "an alert that was cut has nothing to compare");
}

#[test]
fn an_activity_of_another_row_is_a_changed_activity() {
    let mut rows = plain(&input());
    rows[0] = rows[0].replacen(
        "\"CreationTime\":\"2026-03-01T10:10:00Z\"",
        "\"CreationTime\":\"2026-03-01T10:11:00Z\"",
        1,
    );
    assert_eq!(findings(&input(), &rows), [(Kind::Changed, Cause::OtherActivity, 1)]);
}

#[test]
fn extra_rows_are_reported_by_cause() {
    let rows = plain(&input());
    let extra = |row: String| {
        let rows = [rows.clone(), vec![row]].concat();
        findings(&input(), &rows)
    };
    let id_of = |row: &str| row.split("\"id\":\"").nth(1).unwrap()[..32].to_owned();
    let other_id = rows[0].replace(&id_of(&rows[0]), "00000000000000000000000000000001");
    assert_eq!(extra(other_id.clone()), [(Kind::Extra, Cause::WrongId, 1)]);
    let unknown = other_id.replacen("\"Note\":\"one\"", "\"Note\":\"never\"", 1);
    assert_eq!(extra(unknown), [(Kind::Extra, Cause::UnknownActivity, 1)]);
    let of_nobody = other_id.replacen("\"system_alert_id\":\"A\"", "\"system_alert_id\":\"Z\"", 1);
    assert_eq!(extra(of_nobody), [(Kind::Extra, Cause::UnknownAlert, 1)]);
    // A row that is outside the window of a newer version and was not retracted.
    let mut newer = input();
    newer.push(alert("A", "p", "10:12:00", "13:00:00"));
    assert_eq!(findings(&newer, &rows), [(Kind::Extra, Cause::NotAPair, 1)]);
}

#[test]
fn corrections_and_older_versions_are_right() {
    // The alert closes, then a late activity arrives, then a version that loses one row and gains none.
    let mut input = input();
    let first = input.len();
    input.push(activity("p", "10:20:00", "late"));
    input.push(alert("A", "p", "10:15:00", "13:00:00"));
    let rows = output(&input, &[first], &Settings::default());
    assert!(rows.iter().any(|row| row.contains("\"op\":\"delete\"")), "{rows:?}");
    let report = TestCase::default().run(&input, &rows);
    assert!(report.is_exact(), "{report:?}");
    assert_eq!((report.expected, report.found), (6, 6));
    assert_eq!(report.other_versions, 3, "rows are not sent again for a newer version");
}

#[test]
fn any_delivery_of_an_activity_is_right() {
    let settings = Settings {
        identity: Identity::ReportId,
        ..Settings::default()
    };
    let with = |note: &str| activity("p", "10:30:00", note).replacen('{', "{\"ReportId\":\"r\",", 1);
    let input = vec![alert("A", "p", "11:00:00", "12:00:00"), with("one"), with("two")];
    let other_order = vec![input[0].clone(), input[2].clone(), input[1].clone()];
    let rows = output(&other_order, &[3], &settings);
    let test_case = TestCase {
        settings,
        ..TestCase::default()
    };
    let report = test_case.run(&input, &rows);
    assert!(report.is_exact(), "{report:?}");
    assert_eq!(report.other_deliveries, 1);
    let changed = vec![rows[0].replacen("two", "three", 1)];
    assert_eq!(
        test_case.findings(&input, &changed),
        [(Kind::Changed, Cause::OtherActivity, 1)]
    );
}

#[test]
fn rows_before_the_retention_cutoff_may_be_missing_or_extra() {
    let mut rows = plain(&input());
    let test_case = TestCase {
        reach: Reach {
            cutoff: EventTime::from_date(2026, 3, 1, 10 * 36_000_000_000 + 11 * 600_000_000).unwrap(),
            ..Reach::default()
        },
        ..TestCase::default()
    };
    // One row before the retention cut-off, and one exactly at it.
    let (before, at) = (rows.remove(0), rows.remove(0));
    assert_eq!(
        test_case.findings(&input(), &rows),
        [(Kind::Missing, Cause::Expired, 1), (Kind::Missing, Cause::Lost, 1)]
    );
    rows.push(at);
    assert_eq!(test_case.run(&input(), &rows).verdict(), Verdict::Undecided);
    rows.push(before);
    let mut newer = input();
    newer.push(alert("A", "p", "10:05:00", "13:00:00"));
    assert_eq!(test_case.findings(&newer, &rows), [(Kind::Extra, Cause::Expired, 3)]);
}

#[test]
fn a_row_that_the_broker_does_not_accept_may_be_missing() {
    let mut input = input();
    input.push(activity("p", "10:50:00", &"x".repeat(100_000)));
    let mut rows = plain(&input);
    rows.retain(|row| row.len() < 100_000);
    assert_eq!(findings(&input, &rows), [(Kind::Missing, Cause::Lost, 1)]);
    let test_case = TestCase {
        limit: Some(100_000),
        ..TestCase::default()
    };
    let report = test_case.run(&input, &rows);
    assert!(report.is_exact());
    assert_eq!(report.count(Kind::Missing), 1);
}

#[test]
fn rows_outside_of_a_span_are_not_compared() {
    let rows = plain(&input());
    let minute = |minute: i64| EventTime::from_date(2026, 3, 1, 10 * 36_000_000_000 + minute * 600_000_000).unwrap();
    let test_case = TestCase {
        span: Span {
            from: minute(11),
            to: minute(12),
        },
        ..TestCase::default()
    };
    let report = test_case.run(&input(), &rows);
    assert_eq!((report.expected, report.found, report.records), (2, 2, 2));
    let without = |at: usize| {
        let mut rows = rows.clone();
        rows.remove(at);
        test_case.findings(&input(), &rows)
    };
    assert_eq!(without(0), []);
    assert_eq!(without(1), [(Kind::Missing, Cause::Lost, 1)]);
    assert_eq!(without(2), []);
}

#[test]
fn records_of_other_programs_are_counted_as_unreadable() {
    let mut rows = plain(&input());
    rows.push("{}".into());
    rows.push("no JSON".into());
    rows.push(rows[0].replace("alerttrail/1", "alerttrail/9"));
    let report = TestCase::default().run(&input(), &rows);
    assert_eq!(report.unreadable, 3);
    assert!(!report.is_exact());
    // A summary is not a row.
    let summary = rows[0].replace("\"kind\":\"activity\"", "\"kind\":\"alert\"");
    assert!(
        TestCase::default()
            .run(&input(), &[plain(&input()), vec![summary]].concat())
            .is_exact()
    );
}

#[test]
fn ids_may_contain_invalid_utf_8() {
    let input = vec![
        alert("\\ud800\\n", "p", "11:00:00", "12:00:00"),
        activity("p", "10:10:00", "one"),
    ];
    let rows = plain(&input);
    assert_eq!(rows.len(), 1);
    assert!(TestCase::default().run(&input, &rows).is_exact());
}
