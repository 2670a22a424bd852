//! One test for each cause.

use super::*;

#[test]
fn an_open_alert_waits_for_the_partition_that_holds_the_watermark_back() {
    let mut fixture = Fixture::new();
    fixture.alert("A", "p", 10.0, 11.0);
    fixture.watermark_update(10.5, &[(Some(12.0), false), (Some(10.25), false)], 0);
    assert_eq!(
        fixture.causes("A"),
        ["waiting_for_watermark", "no_activity_with_key", "versions"]
    );
    let details = fixture.details("A", "waiting_for_watermark");
    assert_eq!(
        (details["topic"].as_str(), details["partition"].as_u64()),
        (Some("a"), Some(1))
    );
    assert_eq!(details["since"], "2026-03-01T10:30:00.0000000Z");
    assert_eq!(details["remaining_seconds"], 2_700.0);
    assert_eq!(
        details["expected"], "2026-03-01T11:05:00.0000000Z",
        "the end and the out-of-orderness"
    );
    assert_eq!(details["at_latest"], "2026-03-01T12:00:00.0000000Z");
}

#[test]
fn a_source_partition_that_has_not_reported_is_named() {
    let mut fixture = Fixture::new();
    fixture.alert("A", "p", 10.0, 11.0);
    fixture.activity("p", 10.5);
    fixture.watermark_update(10.5, &[(Some(12.0), false)], 0);
    assert_eq!(fixture.causes("A"), ["no_watermark", "versions"]);
    assert_eq!(
        fixture.details("A", "no_watermark")["silent"],
        serde_json::json!([{"topic": "a", "partition": 1}])
    );
}

#[test]
fn if_all_source_partitions_are_idle_the_alert_waits_for_the_clock() {
    let mut fixture = Fixture::new();
    fixture.alert("A", "p", 10.0, 11.0);
    fixture.watermark_update(10.5, &[(Some(12.0), true), (Some(10.25), true)], 0);
    let details = fixture.details("A", "waiting_for_watermark");
    assert_eq!(details["topic"], serde_json::Value::Null);
    assert!(fixture.explain("A").verdict.contains("the clock moves the watermark"));
}

#[test]
fn the_first_finding_of_a_matched_alert_is_its_result() {
    let mut fixture = Fixture::new();
    fixture.alert("A", "p", 10.0, 11.0);
    fixture.activity("p", 10.5);
    fixture.pass(11.0);
    fixture.activity("p", 10.6);
    assert_eq!(fixture.causes("A"), ["answered", "late_activities", "versions"]);
    assert_eq!(fixture.details("A", "answered")["activity_count"], 2);
    assert_eq!(fixture.details("A", "late_activities")["late_count"], 1);
}

#[test]
fn activities_outside_the_window_are_reported_with_the_setting_that_includes_them() {
    let mut fixture = Fixture::new();
    for hours in [8.0, 9.0, 9.5, 9.99, 11.0, 11.25] {
        fixture.activity("p", hours);
    }
    fixture.alert("A", "p", 10.0, 11.0);
    fixture.pass(12.0);
    assert_eq!(fixture.causes("A"), ["near_miss", "answered", "versions"]);
    let details = fixture.details("A", "near_miss");
    let misses_on = |side: &str| -> Vec<(f64, String, String)> {
        let misses = details[side].as_array().unwrap().iter();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        misses
            .map(|miss| {
                (
                    miss["distance_seconds"].as_f64().unwrap(),
                    text(&miss["setting"]),
                    text(&miss["value"]),
                )
            })
            .collect()
    };
    let tuple = |seconds: f64, setting: &str, value: &str| (seconds, setting.to_owned(), value.to_owned());
    assert_eq!(
        misses_on("before"),
        [
            tuple(36.0, "before", "37s"),
            tuple(1_800.0, "before", "30m 1s"),
            tuple(3_600.0, "before", "1h 1s")
        ]
    );
    assert_eq!(
        misses_on("after"),
        [tuple(0.0, "bounds", "inclusive"), tuple(900.0, "after", "15m 1s")]
    );
}

#[test]
fn the_proposed_setting_includes_the_activity() {
    for (bounds, value) in [(Bounds::Exclusive, 901), (Bounds::Inclusive, 900)] {
        let mut fixture = Fixture::new();
        fixture.widen(|widening| widening.bounds = bounds);
        fixture.activity("p", 11.25);
        fixture.alert("A", "p", 10.0, 11.0);
        let proposed = fixture.details("A", "near_miss")["after"][0]["value"]
            .as_str()
            .unwrap()
            .to_owned();
        fixture.widen(|widening| widening.after = humantime::parse_duration(&proposed).unwrap());
        assert_eq!(fixture.widening().after, Duration::from_secs(value));
        assert!(Window::for_alert(at(10.0), at(11.0), fixture.widening()).contains(at(11.25)));
    }
}

#[test]
fn activities_at_both_bounds_are_reported_in_one_sentence_with_the_setting() {
    let mut fixture = Fixture::new();
    fixture.activity("p", 10.0);
    fixture.activity("p", 11.0);
    fixture.alert("A", "p", 10.0, 11.0);
    fixture.pass(12.0);
    assert_eq!(
        fixture.explain("A").verdict,
        "The nearest activities with its correlation id outside the window lie exactly at its start and exactly at its end \
         (correlation.bounds = \"inclusive\" takes them in)."
    );
}

#[test]
fn no_value_is_proposed_that_the_configuration_refuses() {
    const DAY: f64 = 24.0;
    let mut fixture = Fixture::new();
    fixture.activity("p", 11.0 + 36_524.0 * DAY);
    fixture.activity("p", 11.0 + 36_525.0 * DAY);
    fixture.activity("p", 11.0 + 7_971.0 * 365.25 * DAY);
    fixture.alert("A", "p", 10.0, 11.0);
    fixture.pass(12.0);
    let details = fixture.details("A", "near_miss");
    let proposed = |at: usize| (details["after"][at]["setting"].clone(), details["after"][at]["value"].clone());
    assert_eq!(proposed(0), ("after".into(), "36524d 1s".into()));
    assert_eq!(
        proposed(1),
        (serde_json::Value::Null, serde_json::Value::Null),
        "more than a hundred years"
    );
    assert_eq!(proposed(2), (serde_json::Value::Null, serde_json::Value::Null));
    fixture.alert("B", "p", 13.0, 14.0);
    let verdict = fixture.explain("B").findings.into_iter().map(|finding| finding.sentence);
    let verdict: String = verdict.collect();
    assert!(verdict.contains("99 years after its end (correlation.after = "), "{verdict}");
}

#[test]
fn an_activity_inside_a_window_that_ends_before_it_begins_has_no_proposal() {
    let mut fixture = Fixture::new();
    for hours in [9.5, 10.5, 11.5] {
        fixture.activity("p", hours);
    }
    fixture.alert("A", "p", 11.0, 10.0);
    fixture.pass(12.0);
    let details = fixture.details("A", "near_miss");
    let settings = |side: &str| -> Vec<serde_json::Value> {
        let misses = details[side].as_array().unwrap();
        misses.iter().map(|miss| miss["setting"].clone()).collect()
    };
    assert_eq!(settings("before"), [serde_json::Value::Null, "before".into()]);
    assert_eq!(settings("after"), ["after"]);
    for (hours, widen) in [(9.5, 0), (11.5, 1)] {
        let miss = &details[if widen == 0 { "before" } else { "after" }][1 - widen];
        let margin = humantime::parse_duration(miss["value"].as_str().unwrap()).unwrap();
        let mut widening = fixture.widening();
        match widen {
            0 => widening.before = margin,
            _ => widening.after = margin,
        }
        assert!(Window::for_alert(at(11.0), at(10.0), widening).contains(at(hours)));
    }
}

#[test]
fn a_long_correlation_id_is_cut_in_the_sentence() {
    let mut fixture = Fixture::new();
    fixture.alert("A", &"k".repeat(100_000), 10.0, 11.0);
    fixture.pass(12.0);
    let explanation = fixture.explain("A");
    assert!(explanation.verdict.len() < 300, "{}", explanation.verdict.len());
    assert_eq!(explanation.correlation_id.unwrap().len(), 100_000);
}

#[test]
fn a_window_of_no_length_is_the_cause() {
    let mut fixture = Fixture::new();
    fixture.activity("p", 10.0);
    fixture.alert("A", "p", 10.0, 10.0);
    fixture.pass(12.0);
    assert_eq!(fixture.causes("A")[..2], ["empty_window", "near_miss"]);
    let details = fixture.details("A", "empty_window");
    assert_eq!(
        (details["at_the_bounds"].as_u64(), details["bounds"].as_str()),
        (Some(1), Some("exclusive"))
    );
    assert!(
        fixture.explain("A").verdict.contains("inclusive"),
        "{}",
        fixture.explain("A").verdict
    );
}

#[test]
fn an_alert_without_a_key_matches_nothing() {
    let mut fixture = Fixture::new();
    fixture.activity("p", 10.5);
    fixture.alert("A", "", 10.0, 11.0);
    fixture.pass(12.0);
    assert_eq!(fixture.causes("A"), ["no_correlation_id", "answered", "versions"]);
}

#[test]
fn a_key_in_another_case_is_found() {
    let mut fixture = Fixture::new();
    fixture.activity("Policy", 10.5);
    fixture.activity("Policy", 10.6);
    fixture.activity("POLICY", 10.7);
    fixture.activity("polish", 10.8);
    fixture.activity("Policy", 12.5);
    fixture.alert("A", "policy", 10.0, 11.0);
    fixture.pass(12.0);
    assert_eq!(fixture.causes("A")[0], "key_in_other_case");
    let details = fixture.details("A", "key_in_other_case");
    assert_eq!(
        details["keys"],
        serde_json::json!([{"correlation_id": "POLICY", "activities": 1}, {"correlation_id": "Policy", "activities": 2}])
    );
    fixture.settings.keys[0].ignore_case = true;
    assert_eq!(fixture.causes("A")[0], "no_activity_with_key");
}

#[test]
fn a_missing_key_is_reported() {
    let mut fixture = Fixture::new();
    fixture.activity("q", 10.5);
    fixture.alert("A", "p", 10.0, 11.0);
    fixture.pass(12.0);
    assert_eq!(fixture.causes("A"), ["no_activity_with_key", "answered", "versions"]);
}

#[test]
fn deleted_activities_are_reported() {
    let mut fixture = Fixture::new();
    fixture.retention = Some(Duration::from_secs(2 * 3_600));
    fixture.activity("p", 10.1);
    fixture.activity("p", 10.9);
    fixture.alert("A", "p", 10.0, 11.0);
    fixture.pass(11.0);
    fixture.pass(12.5);
    assert_eq!(fixture.causes("A"), ["answered", "retention", "versions"]);
    let details = fixture.details("A", "retention");
    assert_eq!((details["counted"].as_u64(), details["held"].as_u64()), (Some(2), Some(1)));
    // This alert is closed after part of its window has expired.
    fixture.alert("B", "p", 10.2, 10.6);
    assert_eq!(fixture.causes("B")[..2], ["retention", "near_miss"]);
    assert_eq!(fixture.details("B", "incomplete")["complete_because"], "retention");
}

#[test]
fn a_result_closed_by_max_wait_is_not_complete() {
    let mut fixture = Fixture::new();
    fixture.alert("A", "p", 10.0, 11.0);
    fixture.activity("p", 10.5);
    fixture.watermark_update(12.0, &[(Some(10.6), false), (Some(10.25), false)], 0);
    assert_eq!(fixture.causes("A"), ["answered", "incomplete", "versions"]);
    assert_eq!(fixture.details("A", "incomplete")["complete_because"], "closed_by_max_wait");
}

#[test]
fn dead_letters_of_the_sources_are_reported() {
    let mut fixture = Fixture::new();
    fixture.alert("A", "p", 10.0, 11.0);
    fixture.activity("p", 10.5);
    fixture.watermark_update(12.0, &[(Some(12.0), false), (Some(12.0), false)], 2);
    assert_eq!(fixture.causes("A"), ["answered", "rejected_records", "versions"]);
    assert_eq!(fixture.details("A", "rejected_records")["sources"][1]["rejected"], 2);
    assert_eq!(fixture.causes("B"), ["unknown_alert", "rejected_records"]);
    assert_eq!(fixture.details("B", "unknown_alert")["rejected"], 4);
}

#[test]
fn versions_and_revisions_are_counted() {
    let mut fixture = Fixture::new();
    fixture.alert("A", "p", 10.0, 11.0);
    fixture.activity("p", 10.5);
    fixture.pass(11.0);
    fixture.version("A", "p", 10.0, 12.0, 13.0, "");
    let details = fixture.details("A", "versions");
    assert_eq!(
        (details["versions"].as_u64(), details["revision"].as_u64()),
        (Some(2), Some(2))
    );
    assert_eq!(
        fixture.details("A", "incomplete")["complete_because"],
        "not_passed_by_activities"
    );
}

#[test]
fn the_position_of_an_alert_in_the_input_is_reported_with_its_outcome() {
    let mut fixture = Fixture::new();
    let version = |offset: i64, end: f64| Came {
        topic: "a".into(),
        partition: 1,
        offset,
        index: 0,
        version: Version {
            time_generated: at(end),
            hash: [0; 32],
        },
        window: Window::for_alert(at(end - 1.0), at(end), Widening::default()),
    };
    let finding = |fixture: &Fixture, versions: &[Came]| in_input(&fixture.partitions(), &fixture.settings, versions).unwrap();
    assert_eq!(in_input(&fixture.partitions(), &fixture.settings, &[]), None);
    let unreported = finding(&fixture, &[version(6, 11.0)]).sentence;
    assert!(
        unreported.contains("Nothing has been heard yet of that partition"),
        "{unreported}"
    );
    fixture.retention = Some(Duration::from_secs(2 * 3_600));
    fixture.pass(10.0);
    fixture.pass(14.0);
    let unread = finding(&fixture, &[version(3, 13.0), version(7, 13.0)]);
    assert_eq!(
        unread.sentence,
        "It came 2 times: its last version is in a, partition 1, offset 7. The processor has not read it yet: it is at offset 7 \
         of that partition."
    );
    let json = serde_json::to_value(&unread).unwrap();
    assert_eq!(json["cause"], "in_input");
    let is_read: Vec<_> = json["details"]["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| &record["is_read"])
        .collect();
    assert_eq!(is_read, [true, false]);
    let expired = finding(&fixture, &[version(6, 11.0)]).sentence;
    assert!(
        expired.contains("Its window ended at 2026-03-01T11:00:00.0000000Z"),
        "{expired}"
    );
    let past = finding(&fixture, &[version(6, 13.0)]).sentence;
    assert!(past.contains("has read past it"), "{past}");
}
