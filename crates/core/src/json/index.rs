//! Finds the strings, arrays and objects of a JSON text in one pass, which also validates the text.
//!
//! The grammar is that of RFC 8259, with no limit of depth. The pass has two parts: [`blocks`](super::blocks) finds
//! quotes and brackets 64 bytes at a time, without a branch for each byte; this module checks the few bytes between
//! them against the grammar. It allocates nothing once its lists have grown.

use fearless_simd::{Level, Simd, dispatch};

use super::blocks::{self, Strings};

/// The text is not valid JSON, or larger than 4 GiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotJson;

/// The structure of one JSON text at a time.
#[derive(Default, Debug)]
pub struct Index {
    /// Positions of the quotes around strings and of the brackets outside of them. Only the first `structural_count`
    /// entries are valid.
    structurals: Vec<u32>,
    structural_count: usize,
    /// For an opening bracket the index of its closing one, otherwise 0.
    closings: Vec<u32>,
    open: Vec<u32>,
    /// Whether a string may have more escapes than it needs: whether there is a `\/` or a `\u`.
    has_spare_escapes: bool,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expect {
    /// A value: at the beginning, after a colon, after a comma in an array.
    Value,
    /// A value or the end, after `[`.
    ValueOrEnd,
    /// A key or the end, after `{`.
    KeyOrEnd,
    /// A key, after a comma in an object.
    Key,
    /// The colon after a key.
    Colon,
    /// A comma or the end, after a value.
    Rest,
}

impl Index {
    /// Finds the structure of `text`. Does not check whether its strings are UTF-8.
    pub fn read(&mut self, text: &[u8]) -> Result<(), NotJson> {
        if u32::try_from(text.len()).is_err() {
            return Err(NotJson);
        }
        self.find_structurals(text)?;
        self.match_grammar(text)
    }

    /// Returns whether strings of the text may have more escapes than they need.
    pub(super) fn has_spare_escapes(&self) -> bool {
        self.has_spare_escapes
    }

    /// Returns the position in the text of a structural character.
    #[inline]
    pub(super) fn place(&self, nth: usize) -> Option<usize> {
        Some(*self.structurals.get(..self.structural_count)?.get(nth)? as usize)
    }

    /// Returns the position after the string that begins with this structural character, and the index of the next one.
    #[inline]
    pub(super) fn behind_string(&self, nth: usize) -> Option<(usize, usize)> {
        Some((self.place(nth + 1)? + 1, nth + 2))
    }

    /// Returns the position after the array or object that begins with this structural character, and the index of the
    /// next one.
    #[inline]
    pub(super) fn behind_nested(&self, nth: usize) -> Option<(usize, usize)> {
        let last = *self.closings.get(nth)? as usize;
        Some((self.place(last)? + 1, last + 1))
    }

    fn find_structurals(&mut self, text: &[u8]) -> Result<(), NotJson> {
        dispatch!(Level::new(), simd => self.find_with(simd, text))
    }

    /// Finds the structural characters with the instructions of one level. What it calls for each block is compiled into
    /// it, because code of another level cannot be.
    #[inline(always)]
    fn find_with<S: Simd>(&mut self, simd: S, text: &[u8]) -> Result<(), NotJson> {
        self.structural_count = 0;
        let mut strings = Strings::default();
        let (chunks, rest) = text.as_chunks::<{ blocks::SIZE }>();
        let mut base = 0;
        for chunk in chunks {
            let found = strings.block(simd, chunk, text, base)?;
            self.take_in(base, found);
            base += blocks::SIZE;
        }
        if !rest.is_empty() {
            let mut last = [b' '; blocks::SIZE];
            last[..rest.len()].copy_from_slice(rest);
            let found = strings.block(simd, &last, text, base)?;
            self.take_in(base, found);
        }
        self.has_spare_escapes = strings.has_spare_escapes;
        if strings.inside == 0 { Ok(()) } else { Err(NotJson) }
    }

    /// Adds the structural characters of the block at `base`, which fits into 32 bits.
    #[inline(always)]
    fn take_in(&mut self, base: usize, mut found: u64) {
        const ROOM: usize = blocks::SIZE + AT_ONCE;
        const AT_ONCE: usize = 8;
        if self.structurals.len() < self.structural_count + ROOM {
            self.structurals.resize(2 * self.structural_count + ROOM, 0);
        }
        let count = found.count_ones() as usize;
        if let Some(room) = self.structurals[self.structural_count..].first_chunk_mut::<ROOM>() {
            // Writes a fixed number of entries, as many as most blocks have, because a branch at the actual count would
            // be mispredicted. Surplus entries are overwritten by the next block.
            for first in (0..count).step_by(AT_ONCE) {
                for position in &mut room[first..first + AT_ONCE] {
                    *position = (base as u32).wrapping_add(found.trailing_zeros());
                    found &= found.wrapping_sub(1);
                }
            }
        }
        self.structural_count += count;
    }
}

impl Index {
    fn match_grammar(&mut self, text: &[u8]) -> Result<(), NotJson> {
        let Self {
            structurals,
            structural_count,
            closings,
            open,
            ..
        } = self;
        let structurals = &structurals[..*structural_count];
        closings.clear();
        closings.resize(structurals.len(), 0);
        open.clear();
        let mut expect = Expect::Value;
        let (mut at, mut nth, mut in_object) = (0, 0, false);
        while let Some(&place) = structurals.get(nth) {
            let place = place as usize;
            if in_object && let Some(behind) = member(text, structurals, at, nth, expect)? {
                (at, nth, expect) = behind;
                continue;
            }
            expect = match (expect, &text[at..place]) {
                (Expect::Colon, b":") => Expect::Value,
                (Expect::Rest, b",") if !open.is_empty() => after_comma(in_object),
                (expect, []) => expect,
                (expect, gap) => between(expect, gap, in_object, open.is_empty())?,
            };
            at = place + 1;
            match (text[place], expect) {
                (b'"', Expect::Value | Expect::ValueOrEnd | Expect::KeyOrEnd | Expect::Key) => {
                    // Quotes come in pairs, because nothing inside a string is in the list.
                    nth += 1;
                    at = structurals.get(nth).map_or(text.len(), |end| *end as usize + 1);
                    expect = match expect {
                        Expect::Value | Expect::ValueOrEnd => Expect::Rest,
                        _ => Expect::Colon,
                    };
                }
                (opening @ (b'{' | b'['), Expect::Value | Expect::ValueOrEnd) => {
                    open.push(u32::try_from(nth).map_err(|_| NotJson)?);
                    in_object = opening == b'{';
                    expect = if in_object { Expect::KeyOrEnd } else { Expect::ValueOrEnd };
                }
                (b'}', Expect::Rest | Expect::KeyOrEnd) if in_object => {
                    in_object = close(text, structurals, closings, open, nth)?;
                    expect = Expect::Rest;
                }
                (b']', Expect::Rest | Expect::ValueOrEnd) if !in_object && !open.is_empty() => {
                    in_object = close(text, structurals, closings, open, nth)?;
                    expect = Expect::Rest;
                }
                _ => return Err(NotJson),
            }
            nth += 1;
        }
        let expect = between(expect, &text[at..], in_object, open.is_empty())?;
        if expect == Expect::Rest && open.is_empty() {
            Ok(())
        } else {
            Err(NotJson)
        }
    }
}

fn after_comma(in_object: bool) -> Expect {
    if in_object { Expect::Key } else { Expect::Value }
}

/// Records that the structural character at index `nth` closes the last open bracket. Returns whether the enclosing
/// value is an object.
#[inline]
fn close(text: &[u8], structurals: &[u32], closings: &mut [u32], open: &mut Vec<u32>, nth: usize) -> Result<bool, NotJson> {
    let opening = open.pop().ok_or(NotJson)? as usize;
    closings[opening] = u32::try_from(nth).map_err(|_| NotJson)?;
    Ok(open
        .last()
        .is_some_and(|around| text[structurals[*around as usize] as usize] == b'{'))
}

/// Skips a member without white space, as nearly every writer writes it, if one comes next in the object. Returns the
/// position and the index after it, and what is expected there. Does not enter a nested value.
#[inline]
fn member(
    text: &[u8],
    structurals: &[u32],
    at: usize,
    nth: usize,
    expect: Expect,
) -> Result<Option<(usize, usize, Expect)>, NotJson> {
    let key = match (expect, text.get(at)) {
        (Expect::Rest, Some(b',')) => at + 1,
        (Expect::KeyOrEnd, _) => at,
        _ => return Ok(None),
    };
    let Some([opening, closing, next]) = structurals.get(nth..).and_then(|structurals| structurals.first_chunk()) else {
        return Ok(None);
    };
    let (colon, next) = (*closing as usize + 1, *next as usize);
    if *opening as usize != key || text[key] != b'"' || text.get(colon) != Some(&b':') {
        return Ok(None);
    }
    let value = colon + 1;
    Ok(Some(match text.get(value) {
        Some(b'"') => {
            let closing = structurals.get(nth + 3).ok_or(NotJson)?;
            (*closing as usize + 1, nth + 4, Expect::Rest)
        }
        Some(b'{' | b'[' | b' ' | b'\n' | b'\r' | b'\t') => (value, nth + 2, Expect::Value),
        _ => (value + scalar(&text[value..next])?, nth + 2, Expect::Rest),
    }))
}

/// Checks the bytes between two structural characters: white space, commas, colons, and values that are neither strings
/// nor nested. Returns what is expected next.
fn between(mut expect: Expect, gap: &[u8], in_object: bool, at_top: bool) -> Result<Expect, NotJson> {
    let mut rest = gap;
    while let Some((&first, behind)) = rest.split_first() {
        match (first, expect) {
            (b' ' | b'\n' | b'\r' | b'\t', _) => rest = behind,
            (b':', Expect::Colon) => (expect, rest) = (Expect::Value, behind),
            (b',', Expect::Rest) if !at_top => (expect, rest) = (after_comma(in_object), behind),
            (_, Expect::Value | Expect::ValueOrEnd) => (expect, rest) = (Expect::Rest, &rest[scalar(rest)?..]),
            _ => return Err(NotJson),
        }
    }
    Ok(expect)
}

/// Returns the length of the number or literal at the beginning of `text`.
pub(super) fn scalar(text: &[u8]) -> Result<usize, NotJson> {
    let literal: Option<&[u8]> = match text.first() {
        Some(b't') => Some(b"true"),
        Some(b'f') => Some(b"false"),
        Some(b'n') => Some(b"null"),
        _ => None,
    };
    if let Some(literal) = literal {
        return text.starts_with(literal).then_some(literal.len()).ok_or(NotJson);
    }
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let some_digits = |from: usize| match digits(from) {
        0 => Err(NotJson),
        count => Ok(from + count),
    };
    let start = usize::from(text.first() == Some(&b'-'));
    let mut at = match text.get(start) {
        Some(b'0') => start + 1,
        _ => some_digits(start)?,
    };
    if text.get(at) == Some(&b'.') {
        at = some_digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at = some_digits(at + 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-'))))?;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::super::arbitrary;
    use super::super::{Cursor, depth, members};
    use super::*;

    fn is_json(text: &[u8]) -> bool {
        Index::default().read(text).is_ok()
    }

    fn serde_json_accepts(text: &str) -> bool {
        serde_json::from_str::<IgnoredAny>(text).is_ok()
    }

    #[test]
    fn the_grammar_is_that_of_rfc_8259() {
        let numbers = [
            "0", "-0", "01", "-", "+1", "1.", ".5", "1.5", "1e", "1e5", "1E+05", "1e-", "1.e1", "1.0e1.0", "0x1", "00", "1 2",
            "-1e+9", "1_0",
        ];
        let rest = [
            "",
            " ",
            "null",
            "nul",
            "nulll",
            "true",
            "True",
            "false ",
            "\u{feff}1",
            "[]",
            "[ ]",
            "[,]",
            "[1,]",
            "[1 2]",
            "[1,2]",
            "[[]",
            "[]]",
            "{}",
            "{ }",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1}",
            "{\"a\":1,}",
            "{\"a\" \"b\"}",
            "{\"a\":1 \"b\":2}",
            "{a:1}",
            "{1:1}",
            "{\"a\":1]",
            "[1}",
            "\"",
            "\"a",
            "\"a\"\"b\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u12ag\"",
            "\"\\u12aF\"",
            "\"\\ud800\"",
            "\"\t\"",
            "\"\\t\"",
            "\\",
            "[\\]",
            ":",
            "[:]",
            "[1:2]",
            "1,2",
            "{\"a\":\"b\",\"c\":[1,{\"d\":null}]}",
            "\"a\",",
            ",\"a\"",
            "[\"a\",\"b\"]",
            "[\"a\":\"b\"]",
            "[\"a\" \"b\"]",
            "[1,,2]",
            "{\"a\"::1}",
            "[true false]",
            "[truefalse]",
            "\u{1}",
            "[\u{c}]",
            "{}{}",
            "[] x",
        ];
        for text in numbers.into_iter().chain(rest) {
            assert_eq!(is_json(text.as_bytes()), serde_json_accepts(text), "{text:?}");
        }
    }

    #[test]
    fn depth_has_no_limit() {
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000);
        assert!(is_json(deep.as_bytes()));
        assert!(!is_json(&deep.as_bytes()[1..]) && !is_json(&deep.as_bytes()[..deep.len() - 1]));
    }

    /// Escapes and quotes at every position of a block and across its end.
    #[test]
    fn state_is_carried_across_blocks() {
        for before in 0..140 {
            for inner in ["\\\"", "\\\\", "\\\\\\\"", "\\u00e9", "{[", "", "é\\n\\\\"] {
                let text = format!("[\"{}{inner}\",{{\"a\":\"{inner}\"}}]", "x".repeat(before));
                assert!(is_json(text.as_bytes()) && serde_json_accepts(&text), "{text}");
                for end in 0..text.len() {
                    assert!(!is_json(&text.as_bytes()[..end]), "{}", &text[..end.min(text.len())]);
                }
            }
        }
    }

    fn pieces(mut cursor: Cursor<'_, '_>, found: &mut Vec<Vec<u8>>) {
        if cursor.enter(b'{') {
            while let Some(key) = cursor.key() {
                found.push(key.to_vec());
                let (below, mut skipped) = (cursor.clone(), cursor.clone());
                found.push(cursor.value().to_vec());
                // A value that is skipped and one that is read end before the same key.
                skipped.skip();
                assert_eq!(skipped.key(), cursor.clone().key());
                pieces(below, found);
            }
        } else if cursor.enter(b'[') {
            while cursor.has_element() {
                let below = cursor.clone();
                found.push(cursor.value().to_vec());
                pieces(below, found);
            }
        }
    }

    proptest! {
        #[test]
        fn valid_json_is_accepted_and_read_alike_with_and_without_an_index(text in arbitrary::json()) {
            let mut index = Index::default();
            prop_assert!(serde_json_accepts(&text));
            prop_assert_eq!(index.read(text.as_bytes()), Ok(()));
            let (mut with, mut without) = (Vec::new(), Vec::new());
            pieces(Cursor::indexed(text.as_bytes(), &index), &mut with);
            pieces(Cursor::new(text.as_bytes()), &mut without);
            prop_assert_eq!(with, without);
        }

        #[test]
        fn broken_json_is_refused(text in arbitrary::json(), at in any::<prop::sample::Index>(), with in "[\\[\\]{}\",:\\\\ eE.+\\-019tnu\n\t]{0,2}", cut in 0_usize..3) {
            let mut bytes: Vec<char> = text.chars().collect();
            let at = at.index(bytes.len().max(1)).min(bytes.len());
            let until = (at + cut).min(bytes.len());
            bytes.splice(at..until, with.chars());
            let text: String = bytes.into_iter().collect();
            prop_assert_eq!(is_json(text.as_bytes()), serde_json_accepts(&text), "{:?}", text);
        }

        #[test]
        fn random_text_is_judged_as_by_serde_json(text in "[\\[\\]{}\",:\\\\ e.\\-01n]{0,12}") {
            prop_assert_eq!(is_json(text.as_bytes()), serde_json_accepts(&text), "{:?}", text);
            let _ = (depth(text.as_bytes()), members(text.as_bytes()).count());
        }
    }
}
