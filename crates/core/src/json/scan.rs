use std::borrow::Cow;
use std::iter::FusedIterator;
use std::ops::Range;

use memchr::memchr;

use super::{Index, unescape};

/// Maximum nesting of arrays and objects in a row. Deeper rows are refused, because readers of the output have limits
/// too.
pub const MAX_DEPTH: usize = 128;

/// Returns how deep arrays and objects are nested: 0 for a scalar, 1 for `[]`. The time is linear in the length of the
/// text, whatever its depth.
pub fn depth(json: &[u8]) -> usize {
    let mut cursor = Cursor::new(json);
    match cursor.peek() {
        Some(b'{' | b'[') => cursor.skip_nested(),
        _ => 0,
    }
}

/// Returns the members of an object in order, including repeated keys. Returns no members if `json` is not an object.
pub fn members(json: &[u8]) -> Members<'_, '_> {
    let mut cursor = Cursor::new(json);
    if !cursor.enter(b'{') {
        cursor.at = json.len();
    }
    Members(cursor)
}

/// Returns the positions of string values in `json`, as literals with their quotes, in order and at any depth. Keys are
/// not included.
pub fn string_values(json: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + memchr(b'"', json.get(at..)?)?;
            at = string_end(json, start);
            let behind = json.get(at..).unwrap_or_default();
            if behind.trim_ascii_start().first() != Some(&b':') {
                return Some(start..at);
            }
        }
    })
}

/// A member of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member<'a> {
    /// The key, a string literal.
    pub key: &'a [u8],
    /// The text of the value, without surrounding white space.
    pub value: &'a [u8],
}

impl<'a> Member<'a> {
    /// Returns the unescaped key, in WTF-8.
    pub fn name(&self) -> Cow<'a, [u8]> {
        unescape(self.key).unwrap_or_default()
    }
}

/// Returns whether the string literal `key` equals `name` after unescaping.
#[inline]
pub fn key_is(key: &[u8], name: &[u8]) -> bool {
    match (key.get(1), name.first()) {
        // Most keys differ in the first byte.
        (Some(byte), Some(wanted)) if byte != wanted && *byte != b'\\' => false,
        _ => key_is_escaped(key, name),
    }
}

fn key_is_escaped(key: &[u8], name: &[u8]) -> bool {
    let Some(inner) = key.get(1..key.len().saturating_sub(1)) else {
        return false;
    };
    // Up to the first escape, equal strings have equal bytes.
    let differs = |(byte, wanted): (&u8, &u8)| byte != wanted || *byte == b'\\';
    match inner.iter().zip(name).position(differs) {
        Some(at) => inner[at] == b'\\' && unescape(key).is_some_and(|unescaped| *unescaped == *name),
        None => inner.len() == name.len(),
    }
}

/// The iterator of [`members`].
#[derive(Clone, Debug)]
pub struct Members<'i, 'a>(Cursor<'i, 'a>);

impl<'a> Iterator for Members<'_, 'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.member()
    }
}

impl FusedIterator for Members<'_, '_> {}

/// A position in JSON text, for reading it once from beginning to end.
#[derive(Clone, Debug)]
pub struct Cursor<'i, 'a> {
    text: &'a [u8],
    at: usize,
    /// The structure of the text, if known, so that ends need not be searched.
    index: Option<&'i Index>,
    /// With an index: the index of the next structural character.
    next_structural: usize,
}

impl<'i, 'a> Cursor<'i, 'a> {
    /// Creates a cursor at the beginning of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            at: 0,
            index: None,
            next_structural: 0,
        }
    }

    /// Creates a cursor at the beginning of `text`, which must be the text that `index` has read last.
    pub fn indexed(text: &'a [u8], index: &'i Index) -> Self {
        Self {
            index: Some(index),
            ..Self::new(text)
        }
    }

    /// Returns the first byte of the next token without consuming it, or `None` at the end.
    ///
    /// The text is known to be valid, so commas and colons between tokens can be skipped like white space.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.text.get(self.at) {
            if !is_separator(byte) {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Moves past `bracket` if that is the next token. Returns whether it was.
    pub fn enter(&mut self, bracket: u8) -> bool {
        let is_next = self.peek() == Some(bracket);
        self.at += usize::from(is_next);
        self.next_structural += usize::from(is_next);
        is_next
    }

    /// Returns the next member of the entered object. At the end of the object, returns `None` and moves past it.
    pub fn member(&mut self) -> Option<Member<'a>> {
        let key = self.key()?;
        let value = self.value();
        Some(Member { key, value })
    }

    /// Returns the key of the next member and moves to its value. At the end of the object, returns `None` and moves
    /// past it.
    pub fn key(&mut self) -> Option<&'a [u8]> {
        if self.peek() == Some(b'"') {
            return Some(self.string());
        }
        self.enter(b'}');
        None
    }

    /// Returns whether the entered array has another element, which is then next. At the end of the array, moves past
    /// it.
    pub fn has_element(&mut self) -> bool {
        !self.enter(b']') && !matches!(self.peek(), None | Some(b'}'))
    }

    /// Returns whether strings of the text may have more escapes than they need.
    pub(super) fn has_spare_escapes(&self) -> bool {
        self.index.is_none_or(Index::has_spare_escapes)
    }

    /// Returns the whole text.
    pub(super) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Returns the span of [`Cursor::key`] in the text.
    pub(super) fn key_span(&mut self) -> Option<Range<usize>> {
        let key = self.key()?;
        Some(self.at - key.len()..self.at)
    }

    /// Returns the text that `walk` moves over, from the next token on.
    pub fn across(&mut self, walk: impl FnOnce(&mut Self)) -> &'a [u8] {
        self.peek();
        let start = self.at;
        walk(self);
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Returns the text of the next value, without surrounding white space.
    pub fn value(&mut self) -> &'a [u8] {
        let first = self.peek();
        let start = self.at;
        match (first, self.index) {
            (Some(b'"'), _) => return self.string(),
            (Some(b'{' | b'['), Some(index)) => self.move_to(index.behind_nested(self.next_structural)),
            (Some(b'{' | b'['), None) => {
                self.skip_nested();
            }
            _ => self.skip_scalar(),
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Skips the value of the member whose key was read.
    #[inline]
    pub fn skip(&mut self) {
        let first = self.peek();
        match (first, self.index) {
            (Some(b'"'), _) => {
                self.string();
            }
            (Some(b'{' | b'['), _) | (_, None) => {
                self.value();
            }
            // After a scalar comes the quote of a key, or the bracket that closes the object.
            (_, Some(index)) => self.at = index.place(self.next_structural).unwrap_or(self.text.len()),
        }
    }

    /// Returns the literal of the string that begins here.
    #[inline]
    fn string(&mut self) -> &'a [u8] {
        let start = self.at;
        match self.index {
            Some(index) => self.move_to(index.behind_string(self.next_structural)),
            None => self.at = string_end(self.text, start),
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Moves to a position and its index, or to the end if the index has none.
    #[inline]
    fn move_to(&mut self, behind: Option<(usize, usize)>) {
        (self.at, self.next_structural) = behind.unwrap_or((self.text.len(), self.next_structural));
    }

    /// Skips the array or object that begins here. Returns its depth.
    fn skip_nested(&mut self) -> usize {
        let (mut open, mut deepest) = (0_usize, 0);
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'"' => {
                    self.at = string_end(self.text, self.at);
                    continue;
                }
                b'{' | b'[' => {
                    open += 1;
                    deepest = deepest.max(open);
                }
                b'}' | b']' => open = open.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                break;
            }
        }
        deepest
    }

    fn skip_scalar(&mut self) {
        while let Some(&byte) = self.text.get(self.at) {
            if KINDS[usize::from(byte)] != OTHER {
                break;
            }
            self.at += 1;
        }
    }
}

const OTHER: u8 = 0;
const SEPARATOR: u8 = 1;
const CLOSING: u8 = 2;

/// The kind of each byte outside of strings: one table look-up is faster than several comparisons.
const KINDS: [u8; 256] = {
    let mut kinds = [OTHER; 256];
    let mut byte = 0;
    while byte < kinds.len() {
        kinds[byte] = match byte as u8 {
            b' ' | b'\n' | b'\r' | b'\t' | b',' | b':' => SEPARATOR,
            b']' | b'}' => CLOSING,
            _ => OTHER,
        };
        byte += 1;
    }
    kinds
};

#[inline]
fn is_separator(byte: u8) -> bool {
    KINDS[usize::from(byte)] == SEPARATOR
}

/// Returns the position after the string literal whose opening quote is at `start`.
pub(super) fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    // Most strings are short: testing eight bytes at a time is twice as fast here as calling a function that is
    // optimised for long ones.
    while let Some(chunk) = text.get(at..).and_then(|rest| rest.first_chunk()) {
        match quote_or_backslash(u64::from_le_bytes(*chunk)) {
            None => at += 8,
            Some(place) if chunk.get(place) == Some(&b'"') => return at + place + 1,
            Some(place) => at += place + 2,
        }
    }
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// Returns the position of the first quote or backslash among eight bytes, the first of which is the lowest.
fn quote_or_backslash(bytes: u64) -> Option<usize> {
    lowest(zeros(bytes ^ u64::from_ne_bytes([b'"'; 8])) | zeros(bytes ^ u64::from_ne_bytes([b'\\'; 8])))
}

/// Returns the position of the first backslash among eight bytes, the first of which is the lowest.
pub(super) fn backslash(bytes: u64) -> Option<usize> {
    lowest(zeros(bytes ^ u64::from_ne_bytes([b'\\'; 8])))
}

/// Returns whether a text of few bytes contains a backslash.
#[inline]
pub(super) fn has_backslash(text: &[u8]) -> bool {
    let (chunks, rest) = text.as_chunks();
    let last = match text.last_chunk() {
        // The last eight bytes contain the rest.
        Some(last) => backslash(u64::from_le_bytes(*last)).is_some(),
        None => rest.contains(&b'\\'),
    };
    last || chunks.iter().any(|chunk| backslash(u64::from_le_bytes(*chunk)).is_some())
}

/// Returns the high bits of bytes that are zero. The lowest bit is that of the lowest zero byte; bits that a borrow
/// sets wrongly are above it.
fn zeros(bytes: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);
    bytes.wrapping_sub(ONES) & !bytes & HIGH_BITS
}

fn lowest(high_bits: u64) -> Option<usize> {
    (high_bits != 0).then_some(high_bits.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::arbitrary;
    use super::*;

    fn elements(json: &[u8]) -> impl Iterator<Item = &[u8]> {
        let mut cursor = Cursor::new(json);
        let is_array = cursor.enter(b'[');
        std::iter::from_fn(move || (is_array && cursor.has_element()).then(|| cursor.value()))
    }

    fn names_and_values(json: &str) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        members(json.as_bytes())
            .map(|member| (text(&member.name()), text(member.value)))
            .collect()
    }

    #[test]
    fn members_are_found_with_any_space_between_them() {
        let found = names_and_values(" { \"a\" : 1 , \"\\u0062\":[1,{\"x\":\"]}\"}]\n,\"c\\\"\":\"\\\\\" ,\"a\":null}");
        let expected = [("a", "1"), ("b", "[1,{\"x\":\"]}\"}]"), ("c\"", "\"\\\\\""), ("a", "null")];
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(names_and_values("{}"), []);
        assert_eq!(names_and_values("[\"a\"]"), []);
    }

    #[test]
    fn elements_are_found_with_any_space_between_them() {
        let found: Vec<&[u8]> = elements(b" [ 1,\"a,]\" ,[ [] ],{ } , true ]").collect();
        assert_eq!(found, [&b"1"[..], b"\"a,]\"", b"[ [] ]", b"{ }", b"true"]);
        assert_eq!(elements(b"[ ]").count(), 0);
        assert_eq!(elements(b"{\"a\":[1]}").count(), 0);
    }

    #[test]
    fn string_values_but_no_keys_are_found_at_any_depth() {
        let text = " {\"a\" : \"1\",\"b\":[ \"\\\"2:\" ,{\"c\\\"\"\n:\"\"}, 3],\"d\":null , \"e\":{}}";
        let found: Vec<&str> = string_values(text.as_bytes()).map(|place| &text[place]).collect();
        assert_eq!(found, ["\"1\"", "\"\\\"2:\"", "\"\""]);
        assert_eq!(string_values(b" \"x\"").next(), Some(1..4));
        assert_eq!(string_values(b"{\"a\":1}").count(), 0);
    }

    #[test]
    fn a_cursor_leaves_what_it_entered() {
        let mut cursor = Cursor::new(b"[{\"a\":[1,[2]],\"b\":{}} , 3]");
        assert!(cursor.enter(b'[') && !cursor.enter(b'[') && cursor.has_element());
        let object = cursor.across(|cursor| {
            assert!(cursor.enter(b'{'));
            assert_eq!(cursor.key(), Some(&b"\"a\""[..]));
            assert!(cursor.enter(b'[') && cursor.has_element());
            assert_eq!(cursor.value(), b"1");
            assert!(cursor.has_element());
            assert_eq!(cursor.value(), b"[2]");
            assert!(!cursor.has_element());
            assert_eq!(cursor.member().map(|member| member.value), Some(&b"{}"[..]));
            assert_eq!(cursor.member(), None);
        });
        assert_eq!(object, b"{\"a\":[1,[2]],\"b\":{}}");
        assert!(cursor.has_element());
        assert_eq!(cursor.value(), b"3");
        assert!(!cursor.has_element());
        assert_eq!(cursor.peek(), None);
    }

    #[test]
    fn depth_counts_brackets_outside_strings() {
        for (json, expected) in [("1", 0), ("\"[[\"", 0), (" []", 1), ("{\"[\":[{}]}", 3), ("[[],[[]],[]]", 3)] {
            assert_eq!(depth(json.as_bytes()), expected, "{json}");
        }
        let deep = "[".repeat(10_000_000) + &"]".repeat(10_000_000);
        assert_eq!(depth(deep.as_bytes()), 10_000_000);
        assert_eq!(elements(deep.as_bytes()).map(depth).collect::<Vec<_>>(), [9_999_999]);
    }

    #[test]
    fn strings_end_at_the_first_quote_that_is_not_escaped() {
        for length in 0..20 {
            let plain = "x".repeat(length);
            for (inner, rest) in [
                (plain.clone(), ""),
                (plain.clone() + "\\\"", "\"\\"),
                (plain.clone() + "\\\\", "yyyyyyyyyyyyy\""),
                (plain + "\u{a3}é!#[]", "!"),
            ] {
                let text = format!("  \"{inner}\"{rest}");
                assert_eq!(string_end(text.as_bytes(), 2), text.len() - rest.len(), "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn bytes_are_found_at_every_position(bytes in prop::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), any::<u8>(), 0x20..0x24u8, 0x5a..0x5eu8], 8)) {
            let expected = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\'));
            prop_assert_eq!(quote_or_backslash(u64::from_le_bytes(bytes.try_into().unwrap())), expected);
        }

        #[test]
        fn the_parts_are_those_that_serde_json_finds(json in arbitrary::tame_json()) {
            match serde_json::from_str(&json).unwrap() {
                Value::Array(values) => {
                    let found: Vec<Value> = elements(json.as_bytes()).map(|text| serde_json::from_slice(text).unwrap()).collect();
                    prop_assert_eq!(found, values);
                }
                Value::Object(values) => {
                    let found: serde_json::Map<_, _> = names_and_values(&json)
                        .into_iter()
                        .map(|(name, value)| (name, serde_json::from_str(&value).unwrap()))
                        .collect();
                    prop_assert_eq!(found, values);
                }
                _ => prop_assert_eq!(depth(json.as_bytes()), 0),
            }
        }

        #[test]
        fn invalid_json_does_not_panic(text in "[\\[\\]{}\",:\\\\ a1]{0,40}") {
            members(text.as_bytes()).chain(members(&text.as_bytes()[text.len() / 2..])).for_each(drop);
            prop_assert!(elements(text.as_bytes()).count() <= text.len());
            prop_assert!(depth(text.as_bytes()) <= text.len());
            prop_assert!(string_values(text.as_bytes()).count() <= text.len());
        }
    }
}
