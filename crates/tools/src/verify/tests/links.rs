//! Tests rows by links, each of which has its own keys, window and retention.

use super::*;
use crate::decode::{KeyEntry, Link, Path};

const MINUTE: i64 = 600_000_000;

fn at(hour: i64, minute: i64) -> EventTime {
    EventTime::from_date(2026, 3, 1, (hour * 60 + minute) * MINUTE).unwrap()
}

fn link(name: &str, retention: Option<Duration>) -> Link {
    let entry = |path: &str| vec![KeyEntry::from(Path::parse(path).unwrap())];
    Link {
        name: name.to_owned(),
        key: entry("Users[]"),
        activity_key: entry("User"),
        alert_where: Vec::new(),
        activity_where: Vec::new(),
        ignore_case: false,
        widening: Widening::default(),
        retention,
    }
}

fn settings() -> Settings {
    Settings {
        links: vec![link("user", None)],
        ..Settings::default()
    }
}

fn test_case() -> TestCase {
    TestCase {
        settings: settings(),
        ..TestCase::default()
    }
}

/// Returns a version of an alert with these users.
fn of_users(users: &str, generated: &str) -> String {
    alert("A", "p", "11:00:00", generated).replacen('{', &format!("{{\"Users\":{users},"), 1)
}

fn by_user(user: &str, cid: &str, time: &str) -> String {
    activity(cid, time, "one").replacen('{', &format!("{{\"User\":\"{user}\","), 1)
}

/// Returns an alert with two users, one activity that belongs to it by both links, and others by one link each.
fn input() -> Vec<String> {
    vec![
        of_users("[\"ann\",\"ben\"]", "12:00:00"),
        by_user("ann", "p", "10:10:00"),
        by_user("", "p", "10:11:00"),
        by_user("ann", "", "10:12:00"),
        by_user("ben", "", "10:13:00"),
    ]
}

fn rows(input: &[String]) -> Vec<String> {
    output(input, &[input.len()], &settings())
}

/// Returns the index of the row by this link at this time.
fn row_index(rows: &[String], link: &str, time: &str) -> usize {
    let is_match = |row: &String| row.contains(&format!("\"link\":\"{link}\"")) && row.contains(&format!("T{time}.0000000Z"));
    rows.iter()
        .position(is_match)
        .unwrap_or_else(|| panic!("{link} {time} {rows:#?}"))
}

#[test]
fn rows_by_all_links_are_compared() {
    let rows = rows(&input());
    assert_eq!(rows.len(), 5, "{rows:#?}");
    let report = test_case().run(&input(), &rows);
    assert!(report.is_exact(), "{report:?}");
    assert_eq!((report.expected, report.found), (5, 5));
    for (link, time) in [
        ("query", "10:10:00"),
        ("query", "10:11:00"),
        ("user", "10:10:00"),
        ("user", "10:12:00"),
        ("user", "10:13:00"),
    ] {
        let mut fewer = rows.clone();
        fewer.remove(row_index(&rows, link, time));
        assert_eq!(
            test_case().findings(&input(), &fewer),
            [(Kind::Missing, Cause::Lost, 1)],
            "{link} {time}"
        );
    }
    // Rows by one link do not show that another link has closed.
    let of_query: Vec<String> = rows
        .iter()
        .filter(|row| row.contains("\"link\":\"query\""))
        .cloned()
        .collect();
    assert_eq!(
        test_case().findings(&input(), &of_query),
        [(Kind::Missing, Cause::NotAnswered, 3)]
    );
}

#[test]
fn another_key_or_link_in_a_row_is_found() {
    let rows = rows(&input());
    let changed = |from: &str, to: &str| {
        let mut rows = rows.clone();
        let row = row_index(&rows, "user", "10:12:00");
        assert!(rows[row].contains(from), "{}", rows[row]);
        rows[row] = rows[row].replacen(from, to, 1);
        test_case().findings(&input(), &rows)
    };
    let fields = [(Kind::Changed, Cause::OtherFields, 1)];
    assert_eq!(changed("\"correlation_id\":\"ann\"", "\"correlation_id\":\"ben\""), fields);
    assert_eq!(changed("\"link\":\"user\"", "\"link\":\"query\""), fields);
    assert_eq!(changed("\"link\":\"user\"", "\"link\":\"device\""), fields);
    // The row of another pair, but not with the id of that pair.
    let mut more = rows.clone();
    let of_ann = &rows[row_index(&rows, "user", "10:12:00")];
    let id = of_ann.split("\"id\":\"").nth(1).unwrap()[..32].to_owned();
    more.push(of_ann.replace(&id, "00000000000000000000000000000001").replacen(
        "\"correlation_id\":\"ann\"",
        "\"correlation_id\":\"ben\"",
        1,
    ));
    assert_eq!(test_case().findings(&input(), &more), [(Kind::Extra, Cause::WrongId, 1)]);
}

#[test]
fn rows_of_a_user_that_a_version_removed_are_extra() {
    let before = rows(&input());
    let mut newer = input();
    newer.push(of_users("[\"ann\"]", "13:00:00"));
    assert_eq!(test_case().findings(&newer, &before), [(Kind::Extra, Cause::NotAPair, 1)]);
    // The same if no user is left, so that the alert has no key by the link.
    let mut none = input();
    none.push(of_users("[]", "13:00:00"));
    assert_eq!(test_case().findings(&none, &before), [(Kind::Extra, Cause::NotAPair, 3)]);
    let report = test_case().run(&none, &output(&none, &[5, 6], &settings()));
    assert!(report.is_exact(), "{report:?}");
    // The window of the version that counts decides, whether the alert has keys or not.
    let expired = TestCase {
        reach: Reach {
            cutoff: at(11, 1),
            ..Reach::default()
        },
        ..test_case()
    };
    assert_eq!(expired.findings(&none, &before), [(Kind::Extra, Cause::Expired, 3)]);
    // A version that was generated after all removed records is the greatest.
    let cut = |hour| TestCase {
        reach: Reach {
            input_from: at(hour, 0),
            ..Reach::default()
        },
        ..test_case()
    };
    assert_eq!(cut(13).findings(&none, &before), [(Kind::Extra, Cause::NotAPair, 3)]);
    assert_eq!(cut(14).findings(&none, &before), [(Kind::Extra, Cause::BeforeInput, 3)]);
}

#[test]
fn rows_of_a_link_that_the_configuration_does_not_have_are_extra() {
    let rows = rows(&input());
    let without = |reach| TestCase {
        reach,
        ..TestCase::default()
    };
    let found = [(Kind::Extra, Cause::UnknownLink, 3)];
    assert_eq!(without(Reach::default()).findings(&input(), &rows), found);
    // Missing records do not change the result.
    let cut = Reach {
        input_from: EventTime::MAX,
        cutoff: EventTime::MAX,
        ..Reach::default()
    };
    assert_eq!(without(cut).findings(&input(), &rows), found);
    assert_eq!(without(cut).run(&input(), &rows).verdict(), Verdict::NotExact);
    let renamed = TestCase {
        settings: Settings {
            links: vec![link("users", None)],
            ..Settings::default()
        },
        ..TestCase::default()
    };
    assert_eq!(
        renamed.findings(&input(), &rows),
        [(Kind::Missing, Cause::NotAnswered, 3), (Kind::Extra, Cause::UnknownLink, 3)]
    );
}

#[test]
fn each_link_has_a_retention_cutoff_of_its_own() {
    let hour = Duration::from_secs(3_600);
    let short = Settings {
        links: vec![link("user", Some(hour)), link("again", None)],
        ..Settings::default()
    };
    let rows = output(&input(), &[5], &short);
    assert_eq!(rows.len(), 8);
    // The query's retention cut-off is 9:12, that of the short link 10:12.
    let test_case = TestCase {
        settings: short,
        shorter: vec![Duration::ZERO, hour, Duration::ZERO],
        reach: Reach {
            cutoff: at(9, 12),
            ..Reach::default()
        },
        ..TestCase::default()
    };
    let without = |link: &str, time: &str| {
        let mut fewer = rows.clone();
        fewer.remove(row_index(&rows, link, time));
        test_case.findings(&input(), &fewer)
    };
    assert_eq!(without("user", "10:10:00"), [(Kind::Missing, Cause::Expired, 1)]);
    for (link, time) in [
        ("user", "10:12:00"),
        ("user", "10:13:00"),
        ("query", "10:10:00"),
        ("again", "10:10:00"),
    ] {
        assert_eq!(without(link, time), [(Kind::Missing, Cause::Lost, 1)], "{link} {time}");
    }
    let mut fewer = rows.clone();
    fewer.remove(row_index(&rows, "user", "10:10:00"));
    assert_eq!(test_case.run(&input(), &fewer).verdict(), Verdict::Undecided);
    // An extra row by the short link may be before its retention cut-off, an extra row by another link is not.
    let mut newer = input();
    newer.push(of_users("[\"ben\"]", "13:00:00"));
    let kept: Vec<String> = rows
        .iter()
        .filter(|row| !row.contains("10:12:00.0000000Z"))
        .cloned()
        .collect();
    assert_eq!(
        test_case.findings(&newer, &kept),
        [(Kind::Extra, Cause::Expired, 1), (Kind::Extra, Cause::NotAPair, 1)]
    );
}
