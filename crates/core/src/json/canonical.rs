use std::borrow::Cow;
use std::ops::Range;

use super::scan::has_backslash;
use super::text::has_fewest_escapes;
use super::{Cursor, MAX_DEPTH, unescape, write_string};

/// Arrays and objects are nested deeper than [`MAX_DEPTH`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("arrays and objects are nested more than {MAX_DEPTH} deep")]
pub struct TooDeep;

/// A writer of canonical forms, which reuses its buffers.
#[derive(Default)]
pub struct Canonical {
    /// The form as far as it is written. The members of an object are in the order of the text until it ends.
    form: Vec<u8>,
    /// The members read so far of the objects that have not ended, the innermost last.
    open: Vec<MemberSpan>,
    /// The members of the object that ends, by rank and position.
    order: Vec<Ordinal>,
    /// The members of the object that ends, in their final order.
    sorted: Vec<u8>,
}

/// A member of an object that has not ended.
struct MemberSpan {
    /// The span of the key in the text.
    key: Range<usize>,
    /// The first eight bytes of the key, which almost always determine its order.
    rank: u64,
    /// Whether the key is spelled with escapes.
    escaped: bool,
    /// The span of the member in the form: key, colon and value.
    written: Range<usize>,
}

/// The rank of a member in the upper half, and its position in the lower half: one number, because numbers are sorted
/// many times faster than members.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Ordinal(u128);

impl Ordinal {
    fn new(rank: u64, place: u64) -> Self {
        Self(u128::from(rank) << u64::BITS | u128::from(place))
    }

    fn rank(self) -> u128 {
        self.0 >> u64::BITS
    }

    fn place(self) -> usize {
        // The lower half.
        self.0 as usize
    }
}

impl Canonical {
    /// Returns the canonical form of the value at `cursor`: no white space, keys sorted bytewise after unescaping,
    /// strings with the fewest escapes, and numbers as spelled. If a key is repeated, only the last member is kept. For
    /// an object at the top level, the columns that `skip` accepts (in WTF-8) are left out.
    ///
    /// Two texts have the same canonical form exactly if they are the same JSON with the same numbers.
    pub fn form(&mut self, mut cursor: Cursor<'_, '_>, skip: &dyn Fn(&[u8]) -> bool) -> Result<&[u8], TooDeep> {
        self.form.clear();
        self.open.clear();
        self.write(&mut cursor, MAX_DEPTH, skip)?;
        Ok(&self.form)
    }

    /// Writes the value at `cursor`, which may be nested up to `levels` deep. If it is an object, the members that
    /// `skip` accepts are left out. The text is read once, and its form is copied once for each level of objects around
    /// it, of which there are at most [`MAX_DEPTH`].
    fn write(&mut self, cursor: &mut Cursor<'_, '_>, levels: usize, skip: &dyn Fn(&[u8]) -> bool) -> Result<(), TooDeep> {
        let nested = || levels.checked_sub(1).ok_or(TooDeep);
        if cursor.enter(b'{') {
            let (levels, first, text) = (nested()?, self.open.len(), cursor.text());
            self.form.push(b'{');
            let begin = self.form.len();
            while let Some(key) = cursor.key_span() {
                let start = self.form.len();
                let literal = &text[key.clone()];
                let escaped = has_backslash(literal);
                match escaped {
                    false => self.form.extend_from_slice(literal),
                    true => write_literal(literal, &mut self.form),
                }
                self.form.push(b':');
                self.write(cursor, levels, &|_| false)?;
                let mut member = MemberSpan {
                    key,
                    rank: 0,
                    escaped,
                    written: start..self.form.len(),
                };
                let name = member.name(text);
                if skip(&name) {
                    self.form.truncate(start);
                } else {
                    member.rank = rank(&name);
                    self.open.push(member);
                }
            }
            self.close_object(text, first, begin);
            self.form.push(b'}');
            return Ok(());
        }
        if cursor.enter(b'[') {
            let levels = nested()?;
            self.form.push(b'[');
            let begin = self.form.len();
            while cursor.has_element() {
                if self.form.len() > begin {
                    self.form.push(b',');
                }
                self.write(cursor, levels, &|_| false)?;
            }
            self.form.push(b']');
            return Ok(());
        }
        let value = cursor.value();
        match value.first() {
            Some(b'"') if cursor.has_spare_escapes() => write_literal(value, &mut self.form),
            _ => self.form.extend_from_slice(value),
        }
        Ok(())
    }

    /// Sorts the members from `first` on, which begin at `begin` in the form, and keeps the last of equal names.
    fn close_object(&mut self, text: &[u8], first: usize, begin: usize) {
        let members = &self.open[first..];
        if members.len() <= 1 {
            self.open.truncate(first);
            return;
        }
        let name = |ordinal: &Ordinal| members[ordinal.place()].name(text);
        self.order.clear();
        let ranks = members.iter().map(|member| member.rank);
        self.order
            .extend((0..).zip(ranks).map(|(place, rank)| Ordinal::new(rank, place)));
        self.order.sort_unstable();
        self.sorted.clear();
        for alike in self.order.chunk_by_mut(|one, other| one.rank() == other.rank()) {
            if alike.len() > 1 {
                alike.sort_by(|one, other| name(one).cmp(&name(other)));
            }
            for same in alike.chunk_by(|one, other| name(one) == name(other)) {
                if let Some(last) = same.last() {
                    if !self.sorted.is_empty() {
                        self.sorted.push(b',');
                    }
                    self.sorted
                        .extend_from_slice(&self.form[members[last.place()].written.clone()]);
                }
            }
        }
        self.form.truncate(begin);
        self.form.extend_from_slice(&self.sorted);
        self.open.truncate(first);
    }
}

impl MemberSpan {
    /// Returns the unescaped key, in WTF-8.
    fn name<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let literal = &text[self.key.clone()];
        match self.escaped {
            true => unescape(literal).unwrap_or_default(),
            false => Cow::Borrowed(literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default()),
        }
    }
}

/// Returns the first eight bytes of a key as a number, with zeros after a shorter one.
fn rank(name: &[u8]) -> u64 {
    match name.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => name
            .iter()
            .zip(1..)
            .fold(0, |rank, (byte, nth)| rank | u64::from(*byte) << (64 - 8 * nth)),
    }
}

/// Writes a string literal with the fewest escapes.
fn write_literal(literal: &[u8], out: &mut Vec<u8>) {
    match has_fewest_escapes(literal) {
        true => out.extend_from_slice(literal),
        false => write_string(&unescape(literal).unwrap_or_default(), out),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::{Index, arbitrary, compact};
    use super::*;

    fn form(json: &str) -> String {
        let mut canonical = Canonical::default();
        String::from_utf8(canonical.form(Cursor::new(json.as_bytes()), &|_| false).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn order_space_and_escapes_do_not_count() {
        assert_eq!(
            form(" { \"b\" : [ 1 , { } ] ,\n\"a\":\"\\u0041\\/\\u00e9\" } "),
            r#"{"a":"A/é","b":[1,{}]}"#
        );
        assert_eq!(form(r#"{"\u0063id":1,"b":2}"#), r#"{"b":2,"cid":1}"#);
        assert_eq!(
            form(r#"{"x":"\ud800","y":"\uD83D\uDE00\u001F\u007f"}"#),
            "{\"x\":\"\\ud800\",\"y\":\"😀\\u001f\u{7f}\"}"
        );
        for scalar in ["null", "true", "\"\"", "-0.0"] {
            assert_eq!(form(scalar), scalar);
        }
    }

    #[test]
    fn numbers_stay_as_they_are_spelled() {
        let numbers = "[1.0,1,1e2,1E+2,100,-0,123456789012345678901234567890,0.10]";
        assert_eq!(form(numbers), numbers);
    }

    #[test]
    fn the_last_of_repeated_keys_counts() {
        assert_eq!(
            form(r#"{"a":1,"b":{"x":1,"x":2},"a":2,"\u0061":{"c":[]}}"#),
            r#"{"a":{"c":[]},"b":{"x":2}}"#
        );
    }

    #[test]
    fn names_with_a_common_prefix_are_distinguished() {
        let names = [
            "Applications",
            "Application",
            "Applicat",
            "App",
            "Applicat\\u0000",
            "Application",
            "Applicatio\\u006e",
        ];
        let members: Vec<String> = (0..).zip(names).map(|(place, name)| format!("\"{name}\":{place}")).collect();
        assert_eq!(
            form(&format!("{{{}}}", members.join(","))),
            r#"{"App":3,"Applicat":2,"Applicat\u0000":4,"Application":6,"Applications":0}"#
        );
    }

    #[test]
    fn keys_are_sorted_by_their_unescaped_bytes() {
        // In UTF-16 order, the surrogates of U+10000 would come before U+E000.
        let sorted = form("{\"\u{e000}\":1,\"\u{10000}\":2,\"\\ud800\":3,\"Z\":4,\"a\":5,\"\":6,\"aa\":7}");
        assert_eq!(
            sorted,
            "{\"\":6,\"Z\":4,\"a\":5,\"aa\":7,\"\\ud800\":3,\"\u{e000}\":1,\"\u{10000}\":2}"
        );
    }

    #[test]
    fn columns_are_left_out_only_at_the_top_level() {
        let mut canonical = Canonical::default();
        let form = canonical.form(Cursor::new(br#"{"_a":1,"\u005fb":2,"c":{"_d":3},"T":4}"#), &|name| {
            name.starts_with(b"_") || name == b"T"
        });
        assert_eq!(form, Ok(&br#"{"c":{"_d":3}}"#[..]));
    }

    #[test]
    fn depth_is_limited() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(form(&nested(MAX_DEPTH)), nested(MAX_DEPTH));
        for too_deep in [
            nested(MAX_DEPTH + 1),
            nested(10_000_000),
            "{\"a\":".repeat(200) + "1" + &"}".repeat(200),
        ] {
            let mut canonical = Canonical::default();
            assert_eq!(canonical.form(Cursor::new(too_deep.as_bytes()), &|_| false), Err(TooDeep));
            // An unfinished value does not affect the next one.
            assert_eq!(
                canonical.form(Cursor::new(b"{\"b\":[1],\"a\":2}"), &|_| false),
                Ok(&b"{\"a\":2,\"b\":[1]}"[..])
            );
        }
    }

    proptest! {
        #[test]
        fn the_form_is_the_same_with_an_index(json in arbitrary::json()) {
            let mut index = Index::default();
            index.read(json.as_bytes()).unwrap();
            let mut canonical = Canonical::default();
            let indexed = canonical.form(Cursor::indexed(json.as_bytes(), &index), &|_| false).unwrap();
            prop_assert_eq!(String::from_utf8(indexed.to_vec()).unwrap(), form(&json));
        }

        #[test]
        fn the_form_of_a_form_is_itself(json in arbitrary::json()) {
            prop_assert_eq!(form(&form(&json)), form(&json));
        }

        #[test]
        fn compact_has_the_same_form(json in arbitrary::json()) {
            let compacted = compact(json.as_bytes());
            prop_assert_eq!(form(std::str::from_utf8(&compacted).unwrap()), form(&json));
        }

        #[test]
        fn the_form_is_what_serde_json_prints(json in arbitrary::tame_json()) {
            let value: Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(form(&json), value.to_string());
        }

        #[test]
        fn invalid_json_does_not_panic(text in "[\\[\\]{}\",:\\\\ a1]{0,40}") {
            let mut canonical = Canonical::default();
            // Open brackets are treated as closed, and an incomplete string as empty.
            let length = canonical.form(Cursor::new(text.as_bytes()), &|_| false).map_or(0, <[u8]>::len);
            prop_assert!(length <= 3 * text.len());
        }
    }
}
