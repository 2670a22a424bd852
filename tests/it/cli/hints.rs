//! The hints that `correlate` prints after its last line about alerts without activities.

use super::Program;

/// Returns an activity of a policy and an alert, at this time of day.
fn activity(policy: &str, alert: &str, time: &str) -> String {
    format!(
        "{{\"ReportId\":\"r-{time}\",\"RawEventData\":{{\"CreationTime\":\"2026-03-01T{time}\",\"AlertId\":\"{alert}\",\
         \"Data\":\"{{\\\"cid\\\":\\\"{policy}\\\"}}\"}}}}\n"
    )
}

/// Returns an alert of a policy with this window. Its `VendorOriginalId` is `dl` followed by its name.
fn alert(name: &str, policy: &str, start: &str, end: &str) -> String {
    format!(
        "{{\"SystemAlertId\":\"{name}\",\"AlertType\":\"{policy}\",\"VendorOriginalId\":\"dl{name}\",\
         \"TimeGenerated\":\"2026-03-01T23:00:00Z\",\"StartTime\":\"2026-03-01T{start}Z\",\"EndTime\":\"2026-03-01T{end}Z\"}}\n"
    )
}

/// Returns the hints and warnings that `correlate` prints for these records, and the number of rows.
fn hints_and_rows(input: &str, settings: &str) -> (Vec<String>, usize) {
    let program = Program::with(&[("in.jsonl", input), ("set.toml", settings)]);
    let plain = program
        .run(&["correlate", "--input", "in.jsonl", "--config", "set.toml"])
        .expect(0);
    let lines = |stderr: &str| -> Vec<String> {
        let lines = stderr
            .lines()
            .filter(|line| line.starts_with("hint: ") || line.starts_with("warning: "));
        lines.map(str::to_owned).collect()
    };
    // Standard input cannot be read again.
    let piped = program
        .run_with(input, &["correlate", "--input", "-", "--config", "set.toml"])
        .expect(0);
    assert_eq!(lines(&piped.stderr), lines(&plain.stderr));
    assert!(!plain.stdout.contains("hint: ") && plain.stdout == piped.stdout);
    (lines(&plain.stderr), plain.stdout.lines().count())
}

fn hints(input: &str, settings: &str) -> Vec<String> {
    hints_and_rows(input, settings).0
}

#[test]
fn cli_hints_name_the_margin_that_includes_activities_after_the_window() {
    let input = alert("A", "p", "08:00:00", "08:01:00")
        + &activity("p", "x", "08:02:35")
        + &alert("B", "p", "08:07:00", "08:08:00")
        + &activity("p", "x", "08:10:00");
    assert_eq!(
        hints_and_rows(&input, ""),
        (
            vec![
                "hint: 2 of 2 alerts have activities with the same key after the end of the window and none inside: the median is 1m 35s \
                 outside, the furthest 2m; correlation.after = \"5m\" adds 2 pairs in all"
                    .to_owned()
            ],
            0
        )
    );
    assert_eq!(hints_and_rows(&input, "correlation.after = \"5m\""), (vec![], 2));
}

#[test]
fn cli_hints_name_the_margin_before_the_window() {
    let input = activity("p", "x", "07:50:00") + &alert("A", "p", "08:00:00", "08:01:00");
    let hints = hints(&input, "");
    assert!(hints[0].contains("before the start of the window"), "{hints:?}");
    assert!(
        hints[0].ends_with("correlation.before = \"15m\" adds 1 pair in all"),
        "{hints:?}"
    );
}

#[test]
fn cli_hints_report_windows_without_length() {
    let input = activity("p", "x", "08:00:00") + &alert("A", "p", "08:00:00", "08:00:00");
    let (hints, rows) = hints_and_rows(&input, "");
    assert_eq!(rows, 0);
    let bounds = "hint: 1 of 1 alert has activities exactly at StartTime or EndTime and none between (their windows have no length): \
                  correlation.bounds = \"inclusive\" includes them";
    assert!(hints.iter().any(|hint| hint == bounds), "{hints:?}");
    assert_eq!(hints_and_rows(&input, "correlation.bounds = \"inclusive\""), (vec![], 1));
}

#[test]
fn cli_hints_report_keys_that_never_match_and_columns_that_would() {
    let input = activity("p", "A", "08:30:00") + &alert("A", "q", "08:00:00", "09:00:00");
    let (hints, rows) = hints_and_rows(&input, "");
    assert_eq!((hints.len(), rows), (1, 0), "{hints:?}");
    assert_eq!(
        hints[0],
        "hint: 1 of 1 alert has a key at \"AlertType\" that no activity has at \"RawEventData.Data.cid\": with correlation.activity_key = \
         [\"RawEventData.AlertId\"] and alert_key = [{ path = \"VendorOriginalId\", strip_prefix = \"dl\" }], 1 of 1 alert version in a \
         sample would match the key of an activity"
    );
    let set = "[correlation]\nactivity_key = [\"RawEventData.AlertId\"]\n\
               alert_key = [{ path = \"VendorOriginalId\", strip_prefix = \"dl\" }]\n";
    assert_eq!(hints_and_rows(&input, set), (vec![], 1));
    // If no pair of columns would match, the hint names no columns.
    let unmatched = activity("p", "x", "08:30:00") + &alert("A", "q", "08:00:00", "09:00:00");
    assert_eq!(
        hints_and_rows(&unmatched, "").0,
        ["hint: 1 of 1 alert has a key at \"AlertType\" that no activity has at \"RawEventData.Data.cid\""]
    );
    let unkeyed = "{\"RawEventData\":{\"CreationTime\":\"2026-03-01T08:30:00\"}}\n".to_owned();
    let none = hints_and_rows(&(unkeyed + &alert("A", "q", "08:00:00", "09:00:00")), "").0;
    assert_eq!(none, ["hint: the only activity has no key at \"RawEventData.Data.cid\""]);
}

#[test]
fn cli_hints_report_keys_in_another_case() {
    let input = activity("ab-cd", "x", "08:30:00") + &alert("A", "AB-CD", "08:00:00", "09:00:00");
    let (hints, rows) = hints_and_rows(&input, "");
    assert_eq!(rows, 0);
    let case =
        "hint: 1 of 1 alert has a key that occurs in activities in another case: correlation.ignore_case = true matches them";
    assert!(hints.iter().any(|hint| hint == case), "{hints:?}");
    assert_eq!(hints_and_rows(&input, "correlation.ignore_case = true"), (vec![], 1));
}

#[test]
fn cli_hints_warn_of_keys_that_are_placeholders() {
    let input = activity("None", "x", "08:30:00") + &alert("A", "None", "08:00:00", "09:00:00");
    let (hints, rows) = hints_and_rows(&input, "");
    assert_eq!((hints.len(), rows), (1, 1), "{hints:?}");
    assert!(
        hints[0].starts_with("warning: 1 of 1 alert has a placeholder word as key (\"none\"), which matches"),
        "{hints:?}"
    );
}

#[test]
fn cli_hints_warn_of_one_activity_in_two_forms() {
    let streamed = activity("p", "x", "08:30:00");
    let exported = streamed.replacen('{', "{\"DeviceType\":null,", 1);
    let input = streamed.clone() + &exported + &alert("A", "p", "08:00:00", "09:00:00");
    let (hints, rows) = hints_and_rows(&input, "");
    assert_eq!((hints.len(), rows), (1, 2), "{hints:?}");
    assert!(
        hints[0].starts_with("warning: 1 activity occurred in two forms") && hints[0].contains("input.identity = \"report_id\""),
        "{hints:?}"
    );
    assert_eq!(hints_and_rows(&input, "input.identity = \"report_id\""), (vec![], 1));
    // An activity that is delivered again in the same form counts as the same activity.
    let again = streamed.clone() + &streamed + &alert("A", "p", "08:00:00", "09:00:00");
    assert_eq!(hints_and_rows(&again, ""), (vec![], 1));
}

#[test]
fn cli_hints_are_absent_if_alerts_have_activities() {
    let mut input = alert("other", "q", "08:00:00", "09:00:00") + &activity("p", "x", "08:30:00");
    for name in ["A", "B", "C"] {
        input += &alert(name, "p", "08:00:00", "09:00:00");
    }
    assert_eq!(hints_and_rows(&input, ""), (vec![], 3));
    // There are no hints either if there are no alerts, or no activities.
    assert!(hints(&activity("p", "x", "08:30:00"), "").is_empty());
    assert!(hints(&alert("A", "p", "08:00:00", "09:00:00"), "").is_empty());
}

/// If the memory does not hold all activities, the hints come from a sample.
#[test]
fn cli_hints_come_from_a_sample_where_there_are_too_many_activities() {
    let mut input = alert("A", "p", "08:00:00", "08:01:00") + &activity("p", "x", "08:02:35");
    for number in 0..20_000 {
        input += &activity("q", "x", &format!("10:{:02}:{:02}", number % 60, number / 60 % 60));
    }
    let (hints, rows) = hints_and_rows(&input, "state.memory = \"1MB\"");
    assert_eq!((hints.len(), rows), (1, 0), "{hints:?}");
    assert!(hints[0].contains("correlation.after = \"5m\" adds 1 pair"), "{hints:?}");
}
