//! Tests `[[link]]` and `correlation.presets`.

use std::time::Duration;

use super::*;
use crate::config::StateSettings;
use crate::decode::Link;
use crate::time::Bounds;

const LINK: &str = "key = [\"A\"]\nactivity_key = [\"B\"]\n";

/// Returns a file with one link, which is called `user` and has these settings in addition to its keys.
fn with(more: &str) -> String {
    format!("[[link]]\nname = \"user\"\n{LINK}{more}")
}

fn links(file: &str) -> Vec<Link> {
    config(file).decode.links
}

fn fingerprint(file: &str) -> StateSettings {
    config(file).state_fingerprint()
}

#[test]
fn a_link_needs_a_name_of_its_own() {
    const REMEDY: &str = "write 1 to 32 of a-z, 0-9 and -, such as name = \"user\"";
    for (name, problem) in [
        ("", "link 1 has none".to_owned()),
        ("name = 5", "link 1 has one that is no string".to_owned()),
        ("name = \"\"", "link 1 has \"\"".to_owned()),
        ("name = \"User\"", "link 1 has \"User\"".to_owned()),
        ("name = \"a.b\"", "link 1 has \"a.b\"".to_owned()),
        (
            &format!("name = \"{}\"", "x".repeat(33)),
            format!("link 1 has \"{}\"", "x".repeat(33)),
        ),
    ] {
        assert_eq!(
            error(&format!("[[link]]\n{name}\n{LINK}")),
            format!("link.name: {problem}; {REMEDY}"),
            "{name}"
        );
    }
    let longest = "x".repeat(32);
    assert_eq!(links(&format!("[[link]]\nname = \"{longest}\"\n{LINK}"))[0].name, longest);
    // The links of a preset are not counted.
    let second = format!("correlation.presets = [\"users\"]\n{}[[link]]\nkey = [\"A\"]", with(""));
    assert_eq!(
        errors(&second),
        [
            format!("link.name: link 2 has none; {REMEDY}"),
            "link 2.activity_key: is missing; write a list such as [\"AccountObjectId\"]".to_owned(),
        ]
    );
    assert_eq!(
        error(&[with(""), with("")].concat()),
        "link.name: is the name of two links: \"user\"; give each link a name of its own"
    );
    let users = with("").replace("\"user\"", "\"users\"");
    assert!(error(&format!("correlation.presets = [\"users\"]\n{users}")).contains("is the name of two links: \"users\""));
    assert_eq!(
        error(&with("").replace("\"user\"", "\"query\"")),
        "link.name: is \"query\", the name of the link that [correlation] configures; give each link a name of its own"
    );
}

#[test]
fn a_link_has_the_settings_that_there_are() {
    assert_eq!(
        error(&with("ignore_cases = true")),
        "link.user.ignore_cases: there is no such setting; the nearest is ignore_case"
    );
    assert_eq!(
        errors("[[link]]\nname = \"user\"\nkeys = [\"A\"]"),
        [
            "link.user.keys: there is no such setting; the nearest is key",
            "link.user.key: is missing; write a list such as [\"Entities[].AadUserId\"]",
            "link.user.activity_key: is missing; write a list such as [\"AccountObjectId\"]",
        ]
    );
    assert!(error(&with("colour = true")).starts_with("link.user.colour: there is no such setting; use name, "));
    for name in ["from", "around"] {
        for wrong in ["\"activity\"", "5"] {
            let error = error(&with(&format!("{name} = {wrong}")));
            assert!(error.starts_with(&format!("link.user.{name}: is not \"alert\": ")), "{error}");
            assert!(error.ends_with("; write \"alert\", or leave it out"), "{error}");
        }
    }
    for (more, expected) in [
        (
            "ignore_case = \"yes\"",
            "link.user.ignore_case: is no boolean; write true or false",
        ),
        (
            "bounds = \"Inclusive\"",
            "link.user.bounds: is \"Inclusive\"; use \"exclusive\" or \"inclusive\"",
        ),
        (
            "before = 5",
            "link.user.before: is no duration of at most a hundred years; write a number with a unit, such as \"1h\" or \"7d\"",
        ),
        (
            "after = \"101y\"",
            "link.user.after: is no duration of at most a hundred years; write a number with a unit, such as \"1h\" or \"7d\"",
        ),
        (
            "retention = \"long\"",
            "link.user.retention: is no duration of at most a hundred years; write a number with a unit, such as \"1h\" or \"7d\"",
        ),
    ] {
        assert_eq!(error(&with(more)), expected);
    }
    for wrong in ["[link]\nname = \"user\"", "link = 5", "link = [5]"] {
        let error = errors(wrong).remove(0);
        assert!(error.starts_with("link: is a"), "{error}");
        assert!(
            error.ends_with("; write [[link]] on a line of its own for each, and its keys below"),
            "{error}"
        );
    }
}

#[test]
fn keys_of_a_link_lead_somewhere() {
    let wrong = |list: &str| error(&format!("[[link]]\nname = \"user\"\nactivity_key = [\"B\"]\nkey = {list}"));
    for (list, expected) in [
        ("\"A\"", "is no list; write a list such as [\"Entities[].AadUserId\"]"),
        ("[]", "is an empty list; name one path at least"),
        (
            "[5]",
            "has an entry that is neither a path nor a table; write \"Entities[].AadUserId\"",
        ),
        (
            "[\"A[\"]",
            "\"A[\" is no path: it has a bracket that is not closed, or not followed by a dot or the end; write names with dots \
             between, such as \"RawEventData.Data.cid\" or \"Entities[].AadUserId\"",
        ),
        (
            "[{ match = \"(a)\" }]",
            "an entry has no path; write { path = \"VendorOriginalId\", strip_prefix = \"dl\" }",
        ),
        (
            "[{ path = \"A\", mach = \"(a)\" }]",
            "an entry has \"mach\", which there is not; the nearest is \"match\"",
        ),
        (
            "[{ path = \"A\", lower = true }]",
            "an entry has \"lower\", which there is not; use path, match, strip_prefix, decode",
        ),
        (
            "[{ path = \"A\", match = \"(a\" }]",
            "match is no regular expression: unclosed group; write one such as match = \"^([^@]+)@\"",
        ),
        (
            "[{ path = \"A\", match = \"a\" }]",
            "match has no group: put what is the key into (parentheses); write one such as match = \"^([^@]+)@\"",
        ),
        (
            "[{ path = \"A\", match = \"(a)(b)\" }]",
            "match has 2 groups instead of one; write (?:…) for the others; write one such as match = \"^([^@]+)@\"",
        ),
        (
            "[{ path = \"A\", match = 5 }]",
            "match is no string; write it in quotation marks",
        ),
        (
            "[{ path = \"A\", strip_prefix = [5] }]",
            "strip_prefix is no string; write it in quotation marks",
        ),
        (
            "[{ path = \"A\", decode = \"hex\" }]",
            "decode is not \"url\"; write decode = \"url\", or leave it out",
        ),
        (
            "[{ parts = [] }]",
            "an entry has no parts; write { parts = [\"AlertType\", \"Entities[].AadUserId\"] }",
        ),
        (
            "[{ parts = [\"A\"], match = \"(a)\" }]",
            "an entry has \"match\" beside parts; write it inside a part: { parts = [{ path = \"…\", match = \"…\" }, …] }",
        ),
    ] {
        assert_eq!(wrong(list), format!("link.user.key: {expected}"), "{list}");
    }
}

#[test]
fn conditions_have_values() {
    const EXAMPLE: &str = "write { ActionType = [\"FileDownloaded\"] }";
    for name in ["from_where", "where"] {
        for (wrong, expected) in [
            ("\"x\"", format!("is no table; {EXAMPLE}")),
            ("{ A = [] }", format!("A has no list of values; {EXAMPLE}")),
            ("{ A = [1.5] }", format!("A has no list of values; {EXAMPLE}")),
            (
                "{ A.B = [\"x\"] }",
                "A is followed by a dot outside of quotation marks; write { \"RawEventData.Operation\" = [\"FileDownloaded\"] }"
                    .to_owned(),
            ),
        ] {
            assert_eq!(
                error(&with(&format!("{name} = {wrong}"))),
                format!("link.user.{name}: {expected}")
            );
        }
    }
    let link = &links(&with("where = { \"A.B\" = [\"x\", 5, true], C = \"y\" }"))[0];
    let conditions: Vec<(String, &[String])> = link
        .activity_where
        .iter()
        .map(|condition| (condition.path.to_string(), condition.values.as_slice()))
        .collect();
    let values = ["x", "5", "true", "y"].map(str::to_owned);
    assert_eq!(conditions, [("A.B".to_owned(), &values[..3]), ("C".to_owned(), &values[3..])]);
}

#[test]
fn the_retention_of_a_link_lies_between_its_reach_and_that_of_the_state() {
    assert_eq!(
        error(&with("retention = \"31d\"")),
        "link.user.retention: 31d is longer than state.retention, 30d; make it shorter, or state.retention longer"
    );
    for name in ["before", "after"] {
        assert_eq!(
            error(&with(&format!("{name} = \"2h\"\nretention = \"2h\""))),
            format!(
                "link.user.retention: 2h is not longer than link.user.{name}, 2h; make it longer, or link.user.{name} shorter"
            )
        );
        assert_eq!(
            error(&with(&format!("{name} = \"30d\""))),
            format!("state.retention: 30d is not longer than link.user.{name}, 30d; make it longer, or link.user.{name} shorter")
        );
        assert_eq!(errors(&with(&format!("{name} = \"2h\"\nretention = \"x\""))).len(), 1);
    }
    assert_eq!(
        error(&with("retention = \"5m\"")),
        "link.user.retention: 5m is not longer than watermark.out_of_orderness, 5m; make it longer, or watermark.out_of_orderness shorter"
    );
    // A problem that exists without any link is reported once.
    assert_eq!(errors(&format!("state.retention = \"5m\"\n{}", with(""))).len(), 1);
    let kept = |more: &str| links(&with(more))[0].retention;
    assert_eq!(kept(""), None);
    assert_eq!(
        kept("after = \"2h\"\nretention = \"121m\""),
        Some(Duration::from_secs(121 * 60))
    );
    assert_eq!(kept("retention = \"30d\""), Some(Duration::from_secs(30 * 86_400)));
}

#[test]
fn no_more_links_than_a_record_can_number() {
    let many = |count: usize| -> String {
        let link = |number: usize| with("").replace("\"user\"", &format!("\"user-{number}\""));
        (0..count).map(link).collect()
    };
    assert_eq!(links(&many(31)).len(), 31);
    assert_eq!(error(&many(32)), "link: there are 32 links; use at most 31 beside the query");
    let with_preset = format!("correlation.presets = [\"users\"]\n{}", many(31));
    assert!(error(&with_preset).starts_with("link: there are 32 links"));
}

#[test]
fn presets_come_before_other_links() {
    let config = config(&format!("correlation.presets = [\"dlp\", \"users\"]\n{}", with("")));
    let names: Vec<&str> = config.decode.links.iter().map(|link| link.name.as_str()).collect();
    assert_eq!(names, ["dlp-audit", "dlp-matches", "users", "user"]);
    assert_eq!(config.presets, ["dlp", "users"]);
    let users = &config.decode.links[2];
    assert!(users.ignore_case && users.widening.bounds == Bounds::Inclusive);
    assert_eq!(users.key[0].paths()[0].path.to_string(), "Entities[].AadUserId");
    assert_eq!(users.activity_key[1].paths().len(), 2);
    // A copy of a preset gives the same links.
    for name in ["users", "dlp"] {
        let copied = crate::config::link_preset(name).unwrap();
        assert_eq!(links(copied), links(&format!("correlation.presets = [{name:?}]")));
    }
    assert_eq!(
        error("correlation.presets = [\"user\"]"),
        "correlation.presets: has \"user\", which is no preset; use \"users\" or \"dlp\""
    );
    assert!(error("correlation.presets = [\"users\", \"users\"]").contains("is the name of two links: \"users\""));
}

#[test]
fn links_may_come_from_the_environment() {
    let variable = "[{ name = \"user\", key = [\"A\"], activity_key = [\"B\"] }]";
    let config = load("", &[("ALERTTRAIL_LINK", variable)]).unwrap();
    assert_eq!(config.decode.links, links(&with("")));
    let presets = [("ALERTTRAIL_CORRELATION__PRESETS", "[\"users\"]")];
    assert_eq!(load("", &presets).unwrap().decode.links[0].name, "users");
}

#[test]
fn the_state_depends_on_every_setting_of_a_link() {
    let plain = fingerprint(&with(""));
    let line: Vec<(&str, &str)> = plain.iter().filter(|(key, _)| key.starts_with("link.")).collect();
    const SPELLED: &str =
        "{ key = [\"A\"], activity_key = [\"B\"], ignore_case = false, bounds = \"exclusive\", before = \"0s\", after = \"0s\" }";
    assert_eq!(line, [("link.1.user", SPELLED)], "the spelling stays as it is");
    assert_eq!(
        fingerprint("").difference(&plain),
        [format!("link.1.user is not set here and {SPELLED} in the state")]
    );
    // Explicit defaults and the order of conditions make no difference.
    for same in [
        "from = \"alert\"\naround = \"alert\"",
        "ignore_case = false\nbounds = \"exclusive\"\nafter = \"0h\"",
    ] {
        assert_eq!(fingerprint(&with(same)), plain);
    }
    assert_eq!(
        fingerprint(&with("where = { A = \"x\", B = \"y\" }")),
        fingerprint(&with("where = { B = [\"y\"], A = [\"x\"] }"))
    );
    let others = [
        with("ignore_case = true"),
        with("bounds = \"inclusive\""),
        with("before = \"1h\""),
        with("after = \"1h\""),
        with("retention = \"7d\""),
        with("where = { A = [\"x\"] }"),
        with("where = { A = [\"y\"] }"),
        with("from_where = { A = [\"x\"] }"),
        with("").replace("\"user\"", "\"users\""),
        with("").replace("\"A\"", "\"A[]\""),
        with("").replace("\"A\"", "\"A[Type=b]\""),
        with("").replace("\"A\"", "\"A\", \"C\""),
        with("").replace("\"A\"", "{ parts = [\"A\"] }"),
        with("").replace("\"A\"", "{ path = \"A\", match = \"(a)\" }"),
        with("").replace("\"A\"", "{ path = \"A\", strip_prefix = \"a\" }"),
        with("").replace("\"A\"", "{ path = \"A\", strip_prefix = [\"a\", \"b\"] }"),
        with("").replace("\"A\"", "{ path = \"A\", decode = \"url\" }"),
        with("").replace("\"B\"", "\"C\""),
        [with(""), with("").replace("\"user\"", "\"users\"")].concat(),
        [with("").replace("\"user\"", "\"users\""), with("")].concat(),
        "correlation.presets = [\"users\"]".to_owned(),
    ];
    let mut seen = vec![plain];
    for other in &others {
        let other_settings = fingerprint(other);
        assert!(!seen.contains(&other_settings), "{other}");
        seen.push(other_settings);
    }
}
