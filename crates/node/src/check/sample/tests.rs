use super::super::Level;
use super::*;

fn config(text: &str) -> Config {
    Config::from_text("test", text, std::iter::empty()).unwrap()
}

fn activity(key: &str, policy: &str, time: &str) -> String {
    format!(
        r#"{{"ActionType":"x","RawEventData":{{"CreationTime":"2026-03-01T{time}","PolicyId":"{policy}","Data":"{{\"cid\":\"{key}\"}}"}}}}"#
    )
}

fn alert(id: &str, key: &str, end: &str) -> String {
    format!(
        r#"{{"SystemAlertId":"{id}","AlertType":"{key}","StartTime":"2026-03-01T10:00:00Z","EndTime":"2026-03-01T{end}Z","TimeGenerated":"2026-03-01T12:00:00Z"}}"#
    )
}

/// 2026-03-01T13:00:00Z.
const NOW: WallTime = WallTime(1_772_370_000_000);

fn findings_of(config: &Config, messages: &[String]) -> Vec<(Level, String)> {
    findings_in(config, messages, NOW)
}

/// Returns the findings for messages with this timestamp.
fn findings_in(config: &Config, messages: &[String], timestamp: WallTime) -> Vec<(Level, String)> {
    let mut sample = Sample::new(config, NOW);
    for message in messages {
        sample.message("in", 0, Some(message.as_bytes()), Some(timestamp));
    }
    let findings = sample.findings();
    findings.iter().map(|finding| (finding.level, finding.text.clone())).collect()
}

fn has(found: &[(Level, String)], level: Level, part: &str) {
    let is_it = |(found_level, text): &(Level, String)| *found_level == level && text.contains(part);
    assert!(found.iter().any(is_it), "{level:?} {part:?} is missing in {found:#?}");
}

#[test]
fn records_are_counted_by_type() {
    let messages = [
        activity("p", "q", "10:00:01"),
        activity("", "q", "10:00:02"),
        alert("A", "p", "11:00:00"),
        r#"{"category":"AdvancedHunting-EmailEvents","time":"x","properties":{}}"#.to_owned(),
        "{broken".to_owned(),
        String::new(),
    ];
    let found = findings_of(&config(""), &messages);
    has(
        &found,
        Level::Ok,
        "in the newest 6 messages of in: 2 activities, 1 alert version, 1 of other tables (EmailEvents), 1 without a value",
    );
    has(
        &found,
        Level::Warning,
        "1 record of in would become a dead letter (20.0 % of all): invalid_json 1; once the cause is fixed, `alerttrail redrive` sends it",
    );
    has(
        &found,
        Level::Ok,
        "50.0 % of 2 activities have a correlation id at RawEventData.Data.cid: 1 distinct id",
    );
    has(&found, Level::Ok, "RawEventData.Data.cid 50.0 %, RawEventData.PolicyId 100 %");
    has(&found, Level::Ok, "100 % of these occur in activities of the sample");
    assert_eq!(found.iter().filter(|(level, _)| *level > Level::Note).count(), 1);
}

#[test]
fn records_of_a_second_tenant_are_reported() {
    let of = |tenant: &str| {
        let row = activity("p", "q", "10:00:01");
        format!(r#"{{"category":"AdvancedHunting-CloudAppEvents","tenantId":"{tenant}","time":"x","properties":{row}}}"#)
    };
    let warning = "1 record of the sample belongs to a second tenant, but there is no [tenants] table";
    has(
        &findings_of(&config(""), &[of("T"), of("t"), of("U")]),
        Level::Warning,
        warning,
    );
    let two = findings_of(&config(""), &[of("T"), of("U"), of("V")]);
    has(&two, Level::Warning, "2 records of the sample belong to a second tenant");
    let one = findings_of(&config(""), &[of("T"), of("t"), activity("p", "q", "10:00:01")]);
    assert!(one.iter().all(|(level, _)| *level < Level::Warning), "{one:#?}");
    let listed = config("[tenants]\nT = \"W\"\nU = \"X\"");
    let found = findings_of(&listed, &[of("T"), of("U")]);
    assert!(found.iter().all(|(_, text)| !text.contains("second tenant")), "{found:#?}");
}

#[test]
fn a_topic_with_other_tables_is_reported() {
    let other = r#"{"category":"AdvancedHunting-EmailEvents","time":"x","properties":{}}"#.to_owned();
    has(
        &findings_of(&config(""), &[other]),
        Level::Warning,
        "the sample of in contains no record of CloudAppEvents or SecurityAlert",
    );
}

#[test]
fn keys_in_another_column_are_found() {
    let mut messages: Vec<String> = (0..30)
        .map(|number| activity("", &format!("p{number}"), "10:10:00"))
        .collect();
    messages.extend((0..30).map(|number| alert(&format!("A{number}"), &format!("p{number}"), "11:00:00")));
    let found = findings_of(&config(""), &messages);
    has(
        &found,
        Level::Warning,
        "no activity has a correlation id at RawEventData.Data.cid",
    );
    has(
        &found,
        Level::Warning,
        "with correlation.activity_key = [\"RawEventData.PolicyId\"] and alert_key = [\"AlertType\"]",
    );
    let set = config("[correlation]\nactivity_key = [\"RawEventData.PolicyId\"]");
    assert!(findings_of(&set, &messages).iter().all(|(level, _)| *level == Level::Ok));
}

#[test]
fn keys_that_differ_in_case_are_found() {
    let messages = [activity("ab-cd", "", "10:10:00"), alert("A", "AB-CD", "11:00:00")];
    has(
        &findings_of(&config(""), &messages),
        Level::Warning,
        "correlation.ignore_case = true",
    );
    let folded = config("correlation.ignore_case = true");
    assert!(findings_of(&folded, &messages).iter().all(|(level, _)| *level == Level::Ok));
}

#[test]
fn a_hot_key_is_found() {
    let messages: Vec<String> = (0..40)
        .map(|number| activity(if number < 30 { "hot" } else { "cold" }, "", "10:00:00"))
        .collect();
    has(
        &findings_of(&config(""), &messages),
        Level::Note,
        "75.0 % of the activities with a correlation id share the same one",
    );
}

#[test]
fn empty_windows_are_found() {
    let point = |number: u32| alert(&format!("A{number}"), "p", "10:00:00");
    let found = findings_of(&config(""), &(0..20).map(point).collect::<Vec<_>>());
    has(&found, Level::Warning, "20 of 20 alert versions have EndTime <= StartTime");
    has(
        &findings_of(&config(""), &[point(1)]),
        Level::Note,
        "the window is empty under exclusive bounds in 1 of 1 alert version",
    );
    let found = findings_of(
        &config("correlation.bounds = \"inclusive\""),
        &(0..20).map(point).collect::<Vec<_>>(),
    );
    assert!(found.iter().all(|(level, _)| *level == Level::Ok), "{found:?}");
}

#[test]
fn disorder_is_compared_with_out_of_orderness() {
    let messages = [
        activity("p", "", "10:10:00"),
        activity("p", "", "10:04:00"),
        activity("p", "", "10:11:00"),
    ];
    has(
        &findings_of(&config(""), &messages),
        Level::Note,
        "33.3 % of the activities are further behind the latest of their partition than watermark.out_of_orderness (5m), the furthest by 6m",
    );
    let tolerant = config("watermark.out_of_orderness = \"6m\"");
    has(
        &findings_of(&tolerant, &messages),
        Level::Ok,
        "activities are at most 6m behind the latest of their partition; watermark.out_of_orderness is 6m",
    );
}

#[test]
fn activities_just_outside_windows_are_found() {
    let near: Vec<String> = (0..4)
        .flat_map(|number| {
            let key = format!("p{number}");
            [activity(&key, "", "11:02:00"), alert(&format!("A{number}"), &key, "11:00:00")]
        })
        .collect();
    let text = "4 of 4 alerts have activities with the same key after the end of the window and none inside";
    has(&findings_of(&config(""), &near), Level::Warning, text);
    let wide = config("correlation.after = \"5m\"");
    assert!(findings_of(&wide, &near).iter().all(|(level, _)| *level == Level::Ok));
    // A few records among many are reported as a note.
    let mut many = near[..2].to_vec();
    for number in 0..3 {
        many.push(alert(&format!("B{number}"), "other", "11:00:00"));
    }
    let one = "1 of 4 alerts has activities with the same key after the end of the window";
    has(&findings_of(&config(""), &many), Level::Note, one);
}

/// An older version of an alert does not count against the settings.
#[test]
fn the_newest_version_of_an_alert_counts() {
    let newer = alert("A", "p", "11:05:00").replace("12:00:00Z", "13:00:00Z");
    let messages = [newer, activity("p", "", "11:02:00"), alert("A", "p", "11:00:00")];
    assert!(
        findings_of(&config(""), &messages)
            .iter()
            .all(|(level, _)| *level == Level::Ok)
    );
}

#[test]
fn activities_in_two_forms_and_null_words_cause_warnings() {
    let streamed = activity("none", "q", "10:10:00").replacen('{', "{\"ReportId\":\"r\",", 1);
    let exported = streamed.replacen('{', "{\"DeviceType\":null,", 1);
    let found = findings_of(&config(""), &[streamed, exported, alert("A", "none", "11:00:00")]);
    has(&found, Level::Warning, "1 activity occurred in two forms");
    has(
        &found,
        Level::Warning,
        "1 of 1 alert has a placeholder word as key (\"none\")",
    );
}

#[test]
fn records_with_timestamps_before_their_activities_are_found() {
    let messages: Vec<String> = (0..20).map(|_| activity("p", "", "10:10:00.0000001")).collect();
    // 09:59:59.999 and 10:00:00.001.
    let (early, allowed) = (WallTime(1_772_359_199_999), WallTime(1_772_359_200_001));
    has(
        &findings_in(&config(""), &messages, early),
        Level::Warning,
        "20 of 20 activities of in are further ahead of their Kafka record's timestamp than watermark.max_future_skew",
    );
    for found in [
        findings_in(&config(""), &messages, allowed),
        findings_of(&config(""), &messages),
    ] {
        assert!(found.iter().all(|(level, _)| *level == Level::Ok), "{found:?}");
    }
    // The clock does not allow this time either, so a wrong clock caused it, not a wrong timestamp.
    let ahead: Vec<String> = (0..20).map(|_| activity("p", "", "23:00:00")).collect();
    let found = findings_in(&config(""), &ahead, early);
    assert!(found.iter().all(|(level, _)| *level == Level::Ok), "{found:?}");
}

#[test]
fn a_window_that_ends_far_ahead_is_found() {
    let alert = alert("A", "p", "11:00:00").replace("2026-03-01T11", "2056-03-01T11");
    has(
        &findings_of(&config(""), &[alert]),
        Level::Warning,
        "1 alert version has an EndTime more than a day and watermark.max_future_skew ahead",
    );
}
