use super::super::value::{First, Paths, text, time};
use super::super::*;

fn at(path: &str, row: &str) -> Option<String> {
    at_path(&Path::parse(path).unwrap(), row)
}

fn at_path(path: &Path, row: &str) -> Option<String> {
    let mut found = None;
    Paths::new([(path, ())]).read(Cursor::new(row.as_bytes()), &mut Room::default(), &mut |(), value| {
        assert!(found.is_none());
        found = Some(String::from_utf8(value.to_vec()).unwrap());
    });
    found
}

fn string(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

#[test]
fn text_is_what_tostring_makes_of_it() {
    for (value, expected) in [
        (r#""a \"b\"\u0000""#, Some("a \"b\"\0")),
        (r#""""#, Some("")),
        (r#"" ""#, Some(" ")),
        ("1.50", Some("1.50")),
        ("-0", Some("-0")),
        ("1E+2", Some("1E+2")),
        ("12345678901234567890123", Some("12345678901234567890123")),
        ("true", Some("true")),
        ("false", Some("false")),
        ("null", None),
        ("[ 1, \"a b\" ]", Some("[1,\"a b\"]")),
        ("{ \"b\": 1, \"a\": { } }", Some("{\"b\":1,\"a\":{}}")),
    ] {
        assert_eq!(text(value.as_bytes()).as_deref(), expected.map(str::as_bytes), "{value}");
    }
    assert_eq!(*text(br#""\ud800""#).unwrap(), *b"\xed\xa0\x80");
}

#[test]
fn times_are_strings() {
    assert!(time(br#""2026-03-01T10:00:00Z""#).is_some());
    assert!(time(br#""2026-03-01\u005410:00:00Z""#).is_some());
    for value in [r#""""#, "null", "20260301", "[\"2026-03-01T10:00:00Z\"]", r#""\ud800""#] {
        assert_eq!(time(value.as_bytes()), None, "{value}");
    }
}

#[test]
fn paths_lead_through_objects() {
    let row = r#"{"A":{"B":{"c":1,"\u0064":[2],"":3}},"B":{"c":4},"A.B":5}"#;
    assert_eq!(at("A.B.c", row).as_deref(), Some("1"));
    assert_eq!(at("A.B.d", row).as_deref(), Some("[2]"));
    assert_eq!(at_path(&Path::new(["A", "B", ""]), row).as_deref(), Some("3"));
    assert_eq!(at("B", row).as_deref(), Some("{\"c\":4}"));
    for nowhere in ["C", "a.B.c", "A.c", "A.B.c.x", "A.B.d.0"] {
        assert_eq!(at(nowhere, row), None, "{nowhere}");
    }
}

#[test]
fn paths_lead_through_strings_that_hold_objects() {
    let inner = " {\"cid\":\"x\",\"n\":{\"m\":1}}\n";
    let data = format!("{{\"Data\":{}}}", string(inner));
    for row in [
        format!("{{\"R\":{data}}}"),
        format!("{{\"R\":{}}}", string(&data)),
        format!("{{\"R\":{}}}", string(&string(&string(&data)))),
        format!("{{\"R\":{}}}", string(&data).replace('{', "\\u007b")),
    ] {
        assert_eq!(at("R.Data.cid", &row).as_deref(), Some("\"x\""), "{row}");
        assert_eq!(at("R.Data.n.m", &row).as_deref(), Some("1"), "{row}");
        assert_eq!(at("R.Data.n", &row).as_deref(), Some("{\"m\":1}"), "{row}");
    }
    // The value at the end of a path is not opened.
    assert_eq!(at("R.Data", &format!("{{\"R\":{data}}}")), Some(string(inner)));
}

fn all(path: &str, row: &str) -> Vec<String> {
    let path = Path::parse(path).unwrap();
    let mut found = Vec::new();
    Paths::new([(&path, ())]).read(Cursor::new(row.as_bytes()), &mut Room::default(), &mut |(), value| {
        found.push(String::from_utf8(value.to_vec()).unwrap());
    });
    found
}

#[test]
fn paths_lead_through_the_elements_of_lists() {
    let list = r#"[{"Type":"account","Name":"a"},{"Type":"ip","Name":"b","Name":"c"},7,[{"Name":"d"}],{"Type":3}]"#;
    for row in [format!("{{\"E\":{list}}}"), format!("{{\"E\":{}}}", string(list))] {
        assert_eq!(all("E[].Name", &row), [r#""a""#, r#""c""#], "{row}");
        assert_eq!(all("E[Type=ip].Name", &row), [r#""c""#]);
        assert_eq!(all("E[Type=3].Type", &row), ["3"]);
        assert_eq!(all("E[Type=none].Name", &row), [""; 0]);
        assert_eq!(all("E[]", &row).len(), 5);
        assert_eq!(all("E.Name", &row), [""; 0]);
    }
    let one = r#"{"E":{"Type":"ip","Name":"b"}}"#;
    assert_eq!(all("E[].Name", one), [r#""b""#]);
    assert_eq!(all("E[Type=ip].Name", one), [r#""b""#]);
    assert_eq!(all("E[Type=x].Name", one), [""; 0]);
    assert_eq!(all("E[]", r#"{"E":"[ 7, true]"}"#), ["7", "true"]);
    for none in [r#"{"E":"b"}"#, r#"{"E":null}"#, r#"{"E":[]}"#, r#"{"E":"[]"}"#, "{}"] {
        assert_eq!(all("E[]", none), [""; 0], "{none}");
    }
    let nested = r#"{"P":[{"R":[{"I":1},{"I":2}]},{"R":"[{\"I\":3}]"},{"R":{"I":4}}]}"#;
    assert_eq!(all("P[].R[].I", nested), ["1", "2", "3", "4"]);
}

#[test]
fn strings_that_hold_no_object_lead_nowhere() {
    for text in [
        "",
        "{",
        "cid",
        "{}",
        "{\"cid\":\"x\"",
        "{\"cid\":\"x\"} x",
        "[{\"cid\":\"x\"}]",
        "null",
        "\"\\\"cid\\\"\"",
        "{'cid':'x'}",
        "\\",
    ] {
        assert_eq!(at("D.cid", &format!("{{\"D\":{}}}", string(text))), None, "{text}");
    }
    let deep = format!("{{\"cid\":{}1{}}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert_eq!(
        at("D.cid", &format!("{{\"D\":{}}}", string(&deep))).map(|found| found.len()),
        Some(2_000_001)
    );
}

#[test]
fn an_opened_string_may_have_lone_surrogates() {
    let row = br#"{"D":"{\"x\":\"\ud800\",\"cid\":\"\\udfffy\"}"}"#;
    let mut found = Vec::new();
    Paths::new([(&Path::new(["D", "cid"]), ())]).read(Cursor::new(row), &mut Room::default(), &mut |(), value| {
        found = text(value).unwrap().into_owned()
    });
    assert_eq!(found, b"\xed\xbf\xbfy");
}

#[test]
fn of_a_repeated_key_the_last_counts_at_every_level() {
    assert_eq!(at("A.b", r#"{"A":{"b":1},"A":{"b":2,"b":3}}"#).as_deref(), Some("3"));
    assert_eq!(at("A.b", r#"{"A":{"b":1},"A":null}"#), None);
    assert_eq!(at("A.b", r#"{"A":{"b":1},"\u0041":"{\"b\":2}"}"#).as_deref(), Some("2"));
}

#[test]
fn several_paths_are_read_at_once() {
    let paths = ["A", "A.b", "A.c", "D", "A.b"].map(|path| Path::new(path.split('.')));
    let mut found = Vec::new();
    Paths::new(paths.iter().zip(0..)).read(
        Cursor::new(br#"{"A":{"c":1,"b":2}}"#),
        &mut Room::default(),
        &mut |which: &i32, value| found.push((*which, value.to_vec())),
    );
    found.sort();
    let expected: [(i32, &[u8]); 4] = [(0, b"{\"c\":1,\"b\":2}"), (1, b"2"), (2, b"1"), (4, b"2")];
    assert_eq!(found, expected.map(|(which, value)| (which, value.to_vec())));
}

#[test]
fn the_first_fallback_that_finds_something_counts() {
    let mut first = First::new();
    first.offer(2, || Some("two"));
    first.offer(0, || None);
    first.offer(1, || Some("one"));
    first.offer(3, || unreachable!());
    assert_eq!(first.found(), Some("one"));
    assert_eq!(First::<u8>::new().found(), None);
}
