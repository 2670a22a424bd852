use super::*;
use crate::config::Config;
use crate::record::ActivityId;
use crate::time::TICKS_PER_SECOND;

fn at(seconds: i64) -> EventTime {
    EventTime::from_ticks(1_000_000_000 * TICKS_PER_SECOND + seconds * TICKS_PER_SECOND)
}

fn config(text: &str) -> Config {
    Config::from_text("test", text, std::iter::empty()).unwrap()
}

/// Returns the tally of alerts of one key, given the seconds of their starts and ends, and the seconds of its
/// activities.
fn tally(config: &Config, alerts: &[(i64, i64)], activities: &[i64]) -> Tally {
    let widening = config.decode.widening;
    let mut tally = Tally::new(widening);
    let windows: Vec<Window> = alerts
        .iter()
        .map(|(start, end)| Window::for_alert(at(*start), at(*end), widening))
        .collect();
    windows.iter().for_each(|_| tally.alert(b"k"));
    tally.activities(activities.len() as u64, activities.len() as u64);
    tally.meet(&windows, activities, |seconds| at(*seconds));
    if tally.is_poor() {
        tally.look(&windows, activities, |seconds| at(*seconds));
    }
    tally
}

fn texts(config: &Config, alerts: &[(i64, i64)], activities: &[i64]) -> Vec<String> {
    let hints = tally(config, alerts, activities).hints(config, None);
    hints.into_iter().map(|hint| hint.text).collect()
}

#[test]
fn activities_just_outside_are_counted_with_the_setting_that_includes_them() {
    let config = config("");
    let alerts = [(0, 60), (420, 480), (900, 960), (2_400, 2_460)];
    assert_eq!(
        texts(&config, &alerts, &[155, 600, 1_115, 2_630]),
        [
            "4 of 4 alerts have activities with the same key after the end of the window and none inside: the median is 2m outside, the \
          furthest 2m 50s; correlation.after = \"5m\" adds 4 pairs in all"
        ]
    );
    assert_eq!(
        texts(&config, &[(7_200, 7_260)], &[4_000, 4_100]),
        [
            "1 of 1 alert has activities with the same key before the start of the window and none inside: the median is 51m 40s outside, \
          the furthest 53m 20s; correlation.before = \"1h\" adds 2 pairs in all"
        ]
    );
}

/// Alerts that match already, and alerts with a nearer activity on the other side, gain pairs too.
#[test]
fn the_pairs_of_all_alerts_are_counted() {
    let alerts = [(0, 60), (1_000, 1_060), (2_000, 2_060), (3_000, 3_060)];
    let hints = texts(&config(""), &alerts, &[90, 95, 100, 1_090, 1_995, 2_070, 3_010, 3_100, 3_110]);
    assert_eq!(
        hints[0],
        "2 of 4 alerts have activities with the same key after the end of the window and none inside: the median is 30s outside, the \
          furthest 40s; correlation.after = \"1m\" adds 7 pairs in all, 4 of them for these alerts"
    );
}

/// Tries the value that a hint suggests: it must give as many pairs as the hint promises.
#[test]
fn the_suggested_setting_includes_the_counted_activities() {
    for (setting, alerts, activities) in [
        ("after", vec![(0, 60), (500, 560)], vec![120, 130, 620, 860]),
        ("before", vec![(1_000, 1_060), (9_000, 9_060)], vec![400, 940, 8_999]),
        ("after", vec![(0, 60)], vec![361]),
        (
            "after",
            vec![(0, 60), (1_000, 1_060), (2_000, 2_060)],
            vec![90, 1_090, 2_010, 2_070, 2_090, 3_000],
        ),
        ("after", vec![(0, 60), (500, 500), (700, 600)], vec![90, 500, 510, 650, 720]),
        ("before", vec![(100, 160), (1_000, 1_060)], vec![90, 95, 990, 1_010, 1_040]),
    ] {
        let hints = texts(&config(""), &alerts, &activities);
        let hint = hints.iter().find(|hint| hint.contains(" adds ")).unwrap();
        let value = hint.split('"').nth(1).unwrap();
        let pairs: usize = hint
            .split("adds ")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let before = |(start, end): &(i64, i64)| Window::for_alert(at(*start), at(*end), config("").decode.widening);
        let count = |windows: &[Window]| -> usize {
            let within = |window: &Window| activities.iter().filter(|time| window.contains(at(**time))).count();
            windows.iter().map(within).sum()
        };
        let set = config(&format!("correlation.{setting} = \"{value}\""));
        let window = |(start, end): &(i64, i64)| Window::for_alert(at(*start), at(*end), set.decode.widening);
        let windows: Vec<Window> = alerts.iter().map(window).collect();
        let narrower: Vec<Window> = alerts.iter().map(before).collect();
        assert_eq!(count(&windows) - count(&narrower), pairs, "{hint}");
        assert!(hint.contains(&format!("correlation.{setting} = ")), "{hint}");
        assert!(tally(&set, &alerts, &activities).hints(&set, None).is_empty(), "{hint}");
    }
}

#[test]
fn a_configured_margin_is_taken_into_account() {
    let config = config("correlation.after = \"4m\"");
    let hints = texts(&config, &[(0, 60)], &[310]);
    assert!(
        hints[0].contains("none inside: 10s outside; correlation.after = \"5m\" adds 1 pair"),
        "{hints:?}"
    );
}

#[test]
fn activities_more_than_a_day_away_make_no_hint() {
    let config = config("");
    assert!(texts(&config, &[(0, 60)], &[60 + 86_401]).is_empty());
    assert_eq!(texts(&config, &[(0, 60)], &[60 + 86_400]).len(), 1);
    // A window that ends before it begins has no outside.
    assert!(texts(&config, &[(60, 0)], &[30, 70]).is_empty());
}

#[test]
fn activities_at_the_bounds_are_counted_separately() {
    let exclusive = config("");
    assert_eq!(
        texts(&exclusive, &[(10, 10), (20, 30)], &[10, 30]),
        [
            "2 of 2 alerts have activities exactly at StartTime or EndTime and none between (the windows of 1 have no length): \
             correlation.bounds = \"inclusive\" includes them"
        ]
    );
    let inclusive = config("correlation.bounds = \"inclusive\"");
    assert!(texts(&inclusive, &[(10, 10), (20, 30)], &[10, 30]).is_empty());
}

#[test]
fn keys_that_never_match_come_first() {
    let config = config("");
    let mut tally = tally(&config, &[(0, 60)], &[90]);
    for _ in 0..5 {
        tally.alert(b"other");
    }
    tally.strangers(5);
    tally.other_case(2);
    let places = Places {
        activity_key: "\"RawEventData.AlertId\"".into(),
        alert_key: "\"VendorOriginalId\"".into(),
        matched: 4,
        alerts: 7,
    };
    let hints = tally.hints(&config, Some(&places));
    let texts: Vec<&str> = hints.iter().map(|hint| hint.text.as_str()).collect();
    assert_eq!(
        texts[0],
        "5 of 6 alerts have a key at \"AlertType\" that no activity has at \"RawEventData.Data.cid\": with correlation.activity_key = \
         [\"RawEventData.AlertId\"] and alert_key = [\"VendorOriginalId\"], 4 of 7 alert versions in a sample would match the key of an activity"
    );
    assert!(texts[1].starts_with("2 of 6 alerts have a key that occurs in activities in another case"));
    assert!(texts[2].starts_with("1 of 6 alerts has activities with the same key after"));
    assert_eq!(texts.len(), 3);
}

#[test]
fn one_activity_without_a_key_is_no_number_of_activities() {
    let config = config("");
    for (activities, expected) in [
        (1, "the only activity has no key at \"RawEventData.Data.cid\""),
        (2, "none of 2 activities has a key at \"RawEventData.Data.cid\""),
    ] {
        let mut tally = Tally::new(config.decode.widening);
        tally.activities(activities, 0);
        tally.alert(b"k");
        tally.strangers(1);
        assert_eq!(tally.hints(&config, None)[0].text, expected);
    }
}

#[test]
fn there_is_no_hint_if_most_alerts_have_activities() {
    let config = config("");
    let mut tally = tally(&config, &[(0, 60); 8], &[30]);
    tally.alert(b"other");
    tally.strangers(1);
    assert!(!tally.is_poor() && tally.hints(&config, None).is_empty());
}

#[test]
fn null_words_and_two_forms_are_always_reported() {
    let config = config("");
    let mut tally = tally(&config, &[(0, 60); 8], &[30]);
    tally.alert(b"None");
    tally.alert(b"N/A");
    tally.alert(b"Nonesuch");
    tally.two_forms(3);
    let hints = tally.hints(&config, None);
    assert!(hints.iter().all(|hint| hint.kind == Kind::Doubt));
    assert!(
        hints[0]
            .text
            .starts_with("2 of 11 alerts have a placeholder word as key (\"n/a\", \"none\")"),
        "{hints:?}"
    );
    assert!(hints[1].text.starts_with("3 activities occurred in two forms"), "{hints:?}");
}

#[test]
fn an_activity_in_two_forms_is_counted_once() {
    let id = |number| ActivityId([number; 32]);
    let mut forms = Forms::default();
    for (by_report, by_content) in [(1, 10), (1, 10), (1, 11), (1, 12), (2, 20), (3, 3), (3, 3)] {
        forms.note(id(by_report), id(by_content));
    }
    assert_eq!(forms.two(), 1);
}

#[test]
fn of_many_activities_the_nearest_are_measured_and_all_are_counted() {
    let config = config("");
    let activities: Vec<i64> = (61..5_000).collect();
    let hints = texts(&config, &[(0, 60)], &activities);
    assert!(
        hints[0].contains("the median is 30s outside, the furthest 59s; correlation.after = \"1m\" adds 59 pairs in all"),
        "{hints:?}"
    );
}
