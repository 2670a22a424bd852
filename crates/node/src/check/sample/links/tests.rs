use super::super::super::Level;
use super::super::Sample;
use super::estimate::{about, copies};
use super::*;
use crate::time::WallTime;

const NOW: WallTime = WallTime(1_772_370_000_000);

const USER: &str = "[[link]]\nname = \"user\"\nkey = [\"Users[]\"]\nactivity_key = [\"User\"]\nretention = \"7d\"\n";

fn config(text: &str) -> Config {
    Config::from_text("test", text, std::iter::empty()).unwrap()
}

/// Returns the time that is this number of minutes after the beginning of the day. It may be on another day.
fn at(minutes: i64) -> String {
    EventTime::from_date(2026, 3, 1, minutes * 600_000_000).unwrap().to_string()
}

fn activity(user: &str, minute: i64) -> String {
    format!(
        r#"{{"ActionType":"x","User":"{user}","RawEventData":{{"CreationTime":"{}"}}}}"#,
        at(minute)
    )
}

/// Returns an alert with a window of an hour, which is generated when the window ends.
fn alert(id: &str, users: &str, start: i64) -> String {
    let (start, end) = (at(start), at(start + 60));
    format!(
        r#"{{"SystemAlertId":"{id}","AlertType":"p","Users":{users},"StartTime":"{start}","EndTime":"{end}","TimeGenerated":"{end}"}}"#
    )
}

fn link_findings(config: &Config, messages: &[String]) -> Vec<(Level, String)> {
    let mut sample = Sample::new(config, NOW).with_links();
    for message in messages {
        sample.message("in", 0, Some(message.as_bytes()), None);
    }
    let findings = sample.findings();
    let of_links = findings.iter().filter(|finding| finding.section == "links");
    of_links.map(|finding| (finding.level, finding.text.clone())).collect()
}

fn has(found: &[(Level, String)], level: Level, part: &str) {
    let is_it = |(found_level, text): &(Level, String)| *found_level == level && text.contains(part);
    assert!(found.iter().any(is_it), "{level:?} {part:?} is missing in {found:#?}");
}

#[test]
fn the_query_alone_changes_nothing() {
    let messages = [activity("ann", 10), alert("A", "[\"ann\"]", 0)];
    assert_eq!(link_findings(&config(""), &messages), []);
    assert_eq!(link_findings(&config(USER), &[]), [], "an empty sample has no findings");
}

#[test]
fn each_link_reports_keys_and_matches() {
    let messages = [
        activity("ann", 10),
        activity("ann", 70),
        activity("ben", 20),
        activity("", 30),
        alert("A", "[\"ann\",\"zoe\"]", 0),
        alert("B", "[\"ben\"]", 30),
        alert("C", "[]", 0),
        // Only the latest version of an alert counts.
        alert("D", "[\"ann\"]", 0),
        alert("D", "[\"cat\"]", 1),
    ];
    let found = link_findings(&config(USER), &messages);
    has(
        &found,
        Level::Ok,
        "user: 75.0 % of 4 activities and 75.0 % of 4 alerts have a key; 1 alert has an activity in its window",
    );
    has(
        &found,
        Level::Ok,
        "query: none of 4 activities and 100 % of 4 alerts have a key; 0 alerts have an activity in their window",
    );
    has(
        &found,
        Level::Ok,
        "all links: 75.0 % of 4 activities have a key and are stored; the sample is too small to estimate a day",
    );
    assert_eq!(found.len(), 3, "{found:#?}");
}

#[test]
fn a_link_without_a_key_on_one_side_is_found() {
    let activities: Vec<String> = (0..20).map(|minute| activity("", minute)).collect();
    let few = [activities.clone(), vec![alert("A", "[]", 0)]].concat();
    let found = link_findings(
        &config(&format!("{USER}from_where = {{ A = [\"x\"], \"B.C\" = [\"y\"] }}")),
        &few,
    );
    has(
        &found,
        Level::Warning,
        "user: no activity of the sample has a key at User, so this link finds nothing: set activity_key to a place that holds one",
    );
    has(
        &found,
        Level::Note,
        "user: no alert of the sample has a key at Users[], or none meets its from_where (A, B.C), so this link finds nothing: set \
         key to a place that holds one, or correct from_where",
    );
    let no_type = few[20].replace("\"AlertType\":\"p\"", "\"AlertType\":\"\"");
    has(
        &link_findings(&config(USER), &[no_type]),
        Level::Note,
        "query: no alert of the sample has a key at AlertType, so this link finds nothing: set correlation.alert_key",
    );
    assert!(
        !link_findings(&config(USER), &activities)
            .iter()
            .any(|(_, text)| text.contains("no alert of"))
    );
}

#[test]
fn a_hot_key_and_records_with_too_many_keys_are_found() {
    let mut messages: Vec<String> = (0..1_000)
        .map(|number| {
            let user = if number < 101 {
                "bot".to_owned()
            } else {
                format!("user-{number}")
            };
            activity(&user, number)
        })
        .collect();
    has(
        &link_findings(&config(USER), &messages),
        Level::Note,
        "user: one key has 10.1 % of the activities with a key: its partition does that much of the link's work",
    );
    messages[100] = activity("other", 100);
    assert!(
        !link_findings(&config(USER), &messages)
            .iter()
            .any(|(_, text)| text.contains("one key"))
    );
    messages[100] = activity("bot", 100);
    assert!(
        !link_findings(&config(USER), &messages[..999])
            .iter()
            .any(|(_, text)| text.contains("one key"))
    );
    let users: Vec<String> = (0..65).map(|number| format!("\"u{number}\"")).collect();
    let found = link_findings(&config(USER), &[alert("A", &format!("[{}]", users.join(",")), 0)]);
    has(&found, Level::Warning, "1 record has more than 64 keys for a link");
}

/// Returns the records of a tenant's day: 1,440 activities, one each minute, of 10 users in turn, and an alert for each
/// hour with two of these users.
fn day() -> Vec<String> {
    let activities = (0..1_440).map(|minute| activity(&format!("user-{}", minute % 10), minute));
    let alerts = (0..24).map(|hour| alert(&format!("A{hour}"), "[\"user-1\",\"user-2\"]", hour * 60));
    activities.chain(alerts).collect()
}

#[test]
fn a_day_is_estimated_from_the_rates_of_the_sample() {
    let found = link_findings(&config(USER), &day());
    has(
        &found,
        Level::Ok,
        "user: 100 % of 1,440 activities and 100 % of 24 alerts have a key; 24 alerts have an activity in their window; at this rate \
         about 1,400 activities a day have a key, and about 10,000 (",
    );
    // 24 alerts have two users each, who have 6 activities an hour.
    has(&found, Level::Ok, "are kept for 7 days; about 290 rows a day");
    has(
        &found,
        Level::Ok,
        "query: none of 1,440 activities and 100 % of 24 alerts have a key; 0 alerts have an activity in their window",
    );
    assert!(
        !found
            .iter()
            .any(|(_, text)| text.starts_with("query") && text.contains("a day")),
        "{found:#?}"
    );
    has(
        &found,
        Level::Ok,
        "all links: 100 % of 1,440 activities have a key, about 1,400 a day; the state holds about 10,000 of them",
    );
}

#[test]
fn a_clock_that_is_wrong_changes_no_estimate() {
    let mut messages = day();
    messages.push(activity("user-1", -60 * 24 * 365));
    messages.push(activity("user-1", 60 * 24 * 365));
    has(
        &link_findings(&config(USER), &messages),
        Level::Ok,
        "at this rate about 1,400 activities a day have a key",
    );
    has(&link_findings(&config(USER), &messages), Level::Ok, "about 290 rows a day");
}

#[test]
fn rows_of_partly_covered_windows_are_estimated_too() {
    // The activities of the first half of the day are missing, so windows in that half must not count.
    let half: Vec<String> = day().into_iter().skip(720).collect();
    has(&link_findings(&config(USER), &half), Level::Ok, "about 290 rows a day");
    // No window is within the time of the activities.
    let apart: Vec<String> = (0..1_440)
        .map(|minute| activity("user-1", 1_440 * 7 + minute))
        .chain(day().into_iter().skip(1_440))
        .collect();
    has(
        &link_findings(&config(USER), &apart),
        Level::Ok,
        "rows a day unknown, as the sample holds too few alerts, or none from the time of its activities",
    );
}

#[test]
fn rates_of_partitions_of_different_times_are_added() {
    let config = config(USER);
    let mut sample = Sample::new(&config, NOW).with_links();
    for (number, message) in day().iter().take(1_440).enumerate() {
        // Each of the two partitions covers twelve hours, one after the other.
        let partition = i32::from(number >= 720);
        sample.message("in", partition, Some(message.as_bytes()), None);
    }
    let findings = sample.findings();
    let is_it = |text: &str| text.contains("at this rate about 2,900 activities a day have a key");
    assert!(findings.iter().any(|finding| is_it(&finding.text)), "{findings:#?}");
}

#[test]
fn memory_is_bounded() {
    let mut links = LinkSample::new(&config(USER)).unwrap();
    links.stats.kept = Kept {
        keys: MAX_KEPT - 1,
        alert_keys: MAX_KEPT - 5,
        times: MAX_KEPT - 1,
        left_out: 0,
    };
    for number in 0..3 {
        links.message("in", 0, Some(activity(&format!("user-{number}"), number).as_bytes()));
        links.message("in", 0, Some(alert(&format!("A{number}"), "[\"ann\",\"ben\"]", 0).as_bytes()));
    }
    let stats = &links.stats;
    assert_eq!((stats.activities, stats.links[1].activities), (3, 3), "all are counted");
    assert_eq!((stats.links[1].key_times.len(), stats.alerts.len()), (1, 1));
    assert_eq!(stats.sources.values().map(|source| source.times.len()).sum::<usize>(), 1);
    let findings = links.findings();
    let is_reported = findings
        .iter()
        .any(|finding| finding.level == Level::Note && finding.text.starts_with("4 keys and alerts of the sample were left out"));
    assert!(is_reported, "{findings:#?}");
    // A newer version replaces the older one.
    let kept = links.stats.kept.alert_keys;
    links.message("in", 0, Some(alert("A0", "[\"ann\"]", 1).as_bytes()));
    assert_eq!(links.stats.kept.alert_keys, kept - 1);
}

#[test]
fn estimates_have_two_digits() {
    for (number, text) in [
        (0.0, "no"),
        (0.2, "less than 1"),
        (7.4, "about 7"),
        (99.4, "about 99"),
        (1_234.0, "about 1,200"),
        (1_250.0, "about 1,300"),
        (987_654_321.0, "about 990,000,000"),
    ] {
        assert_eq!(about(number), text);
    }
}

#[test]
fn keys_share_partitions() {
    assert!((copies(1, 8) - 1.0).abs() < 1e-9);
    assert!((copies(2, 8) - 1.875).abs() < 1e-9);
    assert!((copies(64, 1) - 1.0).abs() < 1e-9);
    assert!((copies(64, 8) - 8.0).abs() < 0.01);
}
