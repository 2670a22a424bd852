use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::{Path, timestamp};
use crate::json;
use crate::time::EventTime;

/// What KQL's `tostring` makes of a value: a string as it is, a number or a boolean as its JSON text, an array or object as its JSON text
/// without white space; of `null` nothing.
pub(super) fn text(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    match value.first()? {
        b'"' => json::unescape(value),
        b'{' | b'[' => Some(json::compact(value)),
        b'n' => None,
        _ => Some(Cow::Borrowed(value)),
    }
}

/// The text of a value as far as it is Unicode; `None` when there is none, or it is empty.
pub(super) fn unicode(value: &[u8]) -> Option<Cow<'_, str>> {
    text(value).map(lossy).filter(|text| !text.is_empty())
}

/// What a string says, as far as it is Unicode; `None` for other values.
pub(super) fn string(value: &[u8]) -> Option<Cow<'_, str>> {
    json::unescape(value).map(lossy)
}

fn lossy(text: Cow<'_, [u8]>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => String::from_utf8_lossy(text),
        Cow::Owned(text) => Cow::Owned(String::from_utf8_lossy(&text).into_owned()),
    }
}

/// The time that a string says.
pub(super) fn time(value: &[u8]) -> Option<EventTime> {
    if value.first() != Some(&b'"') {
        return None;
    }
    timestamp::parse(std::str::from_utf8(&json::unescape(value)?).ok()?)
}

/// The object that a value is, or that the string it is holds, however often it was put into a string.
fn object(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut opened = Cow::Borrowed(value);
    loop {
        let json = opened.trim_ascii();
        match json.first()? {
            b'{' => return Some(opened),
            b'"' if may_hold_json(json) => {
                let inner = json::unescape(json)?.into_owned();
                serde_json::from_slice::<IgnoredAny>(&inner).ok()?;
                opened = Cow::Owned(inner);
            }
            _ => return None,
        }
    }
}

/// Whether opening a string may be worth the while: an object with members has quotes, so its literal has escapes, and it begins with a
/// brace, white space, or an escape.
fn may_hold_json(literal: &[u8]) -> bool {
    matches!(literal.get(1), Some(b'{' | b' ' | b'\\')) && memchr::memchr(b'\\', literal).is_some()
}

/// Paths to look for in a row, all in one go: a tree of the keys they begin with. `W` says which path has been found.
pub(super) struct Paths<W> {
    wanted: Vec<W>,
    keys: Vec<(String, Paths<W>)>,
}

impl<W> Paths<W> {
    pub(super) fn new<'p>(paths: impl IntoIterator<Item = (&'p Path, W)>) -> Self {
        let mut tree = Self::empty();
        for (path, wanted) in paths {
            tree.at(path.keys()).wanted.push(wanted);
        }
        tree
    }

    fn empty() -> Self {
        Self {
            wanted: Vec::new(),
            keys: Vec::new(),
        }
    }

    fn at(&mut self, keys: &[String]) -> &mut Self {
        let mut node = self;
        for key in keys {
            let known = node.keys.iter().position(|(name, _)| name == key);
            let place = known.unwrap_or_else(|| {
                node.keys.push((key.clone(), Self::empty()));
                node.keys.len() - 1
            });
            node = &mut node.keys[place].1;
        }
        node
    }

    /// Calls `found` with every value that a path leads to, in no order that means anything. Of a repeated key the last counts; a string
    /// that holds an object is opened on the way, and whatever else is no object leads nowhere.
    pub(super) fn read(&self, value: &[u8], found: &mut dyn FnMut(&W, &[u8])) {
        for wanted in &self.wanted {
            found(wanted, value);
        }
        if self.keys.is_empty() {
            return;
        }
        let Some(object) = object(value) else { return };
        let mut last = vec![None; self.keys.len()];
        for member in json::members(&object) {
            let name = member.name();
            let named = self.keys.iter().zip(&mut last).find(|((key, _), _)| key.as_bytes() == &*name);
            if let Some((_, last)) = named {
                *last = Some(member.value);
            }
        }
        for ((_, below), value) in self.keys.iter().zip(last) {
            if let Some(value) = value {
                below.read(value, found);
            }
        }
    }
}

/// The first of several fallbacks that leads to something, in whatever order they are offered.
pub(super) struct First<T>(Option<(usize, T)>);

impl<T> First<T> {
    pub(super) fn new() -> Self {
        Self(None)
    }

    /// `find` is only called when the fallback at `place` would count.
    pub(super) fn offer(&mut self, place: usize, find: impl FnOnce() -> Option<T>) {
        let counts = self.0.as_ref().is_none_or(|(best, _)| place < *best);
        if let Some(found) = counts.then(find).flatten() {
            self.0 = Some((place, found));
        }
    }

    pub(super) fn found(self) -> Option<T> {
        self.0.map(|(_, found)| found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str, row: &str) -> Option<String> {
        let path = Path::new(path.split('.'));
        let mut found = None;
        Paths::new([(&path, ())]).read(row.as_bytes(), &mut |(), value| {
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
        assert_eq!(at("A.B.", row).as_deref(), Some("3"));
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
        // The last value of a path is what it is, and not opened.
        assert_eq!(at("R.Data", &format!("{{\"R\":{data}}}")), Some(string(inner)));
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
        Paths::new([(&Path::new(["D", "cid"]), ())]).read(row, &mut |(), value| found = text(value).unwrap().into_owned());
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
        Paths::new(paths.iter().zip(0..)).read(br#"{"A":{"c":1,"b":2}}"#, &mut |which, value| {
            found.push((*which, value.to_vec()))
        });
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
}
