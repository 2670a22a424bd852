use std::borrow::Cow;
use std::ops::Range;

use memchr::memchr;

use super::text::has_fewest_escapes;
use super::{Cursor, MAX_DEPTH, unescape, write_string};

/// Arrays and objects are nested deeper than [`MAX_DEPTH`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("arrays and objects are nested more than {MAX_DEPTH} deep")]
pub struct TooDeep;

/// A writer of canonical forms, which reuses its buffers.
#[derive(Default)]
pub struct Canonical {
    form: Vec<u8>,
    nodes: Nodes,
}

impl Canonical {
    /// Returns the canonical form of the value at `cursor`: no white space, keys sorted bytewise after unescaping,
    /// strings with the fewest escapes, and numbers as spelled. If a key is repeated, only the last member is kept. For
    /// an object at the top level, the columns that `skip` accepts (in WTF-8) are left out.
    ///
    /// Two texts have the same canonical form exactly if they are the same JSON with the same numbers.
    pub fn form(&mut self, cursor: Cursor<'_, '_>, skip: &dyn Fn(&[u8]) -> bool) -> Result<&[u8], TooDeep> {
        self.form.clear();
        self.nodes.write(cursor, skip, &mut self.form)?;
        Ok(&self.form)
    }
}

/// Parsed values. The values of one array or object are adjacent and in order. The text is parsed once, so the time is
/// linear even if everything is at the bottom of many levels.
#[derive(Default)]
struct Nodes {
    done: Vec<Node>,
    /// The elements and members read so far of the arrays and objects that have not ended, the innermost last.
    open: Vec<Node>,
    /// The members of the object that ends, by rank and position.
    order: Vec<Ordinal>,
}

/// A value, with its key if it is a member. Spans are positions in the text.
#[derive(Clone)]
struct Node {
    key: Range<usize>,
    /// The first eight bytes of the key, which almost always determine its order.
    rank: u64,
    /// Whether the key is spelled with escapes.
    escaped: bool,
    value: Value,
}

#[derive(Clone)]
enum Value {
    String(Range<usize>),
    /// A number, `true`, `false` or `null`.
    Other(Range<usize>),
    /// The positions of its elements in `done`.
    Array(Range<usize>),
    /// The positions of its members.
    Object(Range<usize>),
}

/// The rank of a member in the upper half, and its position in the lower half: one number, because numbers are sorted
/// many times faster than nodes.
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

impl Nodes {
    fn write(&mut self, mut cursor: Cursor<'_, '_>, skip: &dyn Fn(&[u8]) -> bool, out: &mut Vec<u8>) -> Result<(), TooDeep> {
        self.done.clear();
        self.open.clear();
        let value = self.read(&mut cursor, MAX_DEPTH)?;
        let text = cursor.text();
        match value {
            Value::Object(members) => self.write_members(text, members, &|member| !skip(&member.name(text)), out),
            value => self.write_value(text, &value, out),
        }
        Ok(())
    }

    /// Reads the value at `cursor`, which may be nested up to `levels` deep.
    fn read(&mut self, cursor: &mut Cursor<'_, '_>, levels: usize) -> Result<Value, TooDeep> {
        let nested = || levels.checked_sub(1).ok_or(TooDeep);
        let begin = self.open.len();
        if cursor.enter(b'{') {
            let levels = nested()?;
            while let Some(key) = cursor.key_span() {
                let value = self.read(cursor, levels)?;
                self.open.push(Node::member(cursor.text(), key, value));
            }
            return Ok(Value::Object(self.close_object(cursor.text(), begin)));
        }
        if cursor.enter(b'[') {
            let levels = nested()?;
            while cursor.has_element() {
                let value = self.read(cursor, levels)?;
                self.open.push(Node::element(value));
            }
            let first = self.done.len();
            self.done.extend(self.open.drain(begin..));
            return Ok(Value::Array(first..self.done.len()));
        }
        Ok(match cursor.peek() {
            Some(b'"') => Value::String(cursor.value_span()),
            _ => Value::Other(cursor.value_span()),
        })
    }

    /// Moves the members from `begin` on into sorted order, keeping the last of equal names.
    fn close_object(&mut self, text: &[u8], begin: usize) -> Range<usize> {
        let first = self.done.len();
        let members = &self.open[begin..];
        let name = |ordinal: &Ordinal| members[ordinal.place()].name(text);
        self.order.clear();
        let ranks = members.iter().map(|member| member.rank);
        self.order
            .extend((0..).zip(ranks).map(|(place, rank)| Ordinal::new(rank, place)));
        self.order.sort_unstable();
        for alike in self.order.chunk_by_mut(|one, other| one.rank() == other.rank()) {
            if alike.len() > 1 {
                alike.sort_by(|one, other| name(one).cmp(&name(other)));
            }
            for same in alike.chunk_by(|one, other| name(one) == name(other)) {
                self.done.extend(same.last().map(|last| members[last.place()].clone()));
            }
        }
        self.open.truncate(begin);
        first..self.done.len()
    }

    fn write_value(&self, text: &[u8], value: &Value, out: &mut Vec<u8>) {
        match value {
            Value::String(literal) => write_literal(&text[literal.clone()], out),
            Value::Other(scalar) => out.extend_from_slice(&text[scalar.clone()]),
            Value::Array(elements) => {
                out.push(b'[');
                for (place, element) in self.done[elements.clone()].iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    self.write_value(text, &element.value, out);
                }
                out.push(b']');
            }
            Value::Object(members) => self.write_members(text, members.clone(), &|_| true, out),
        }
    }

    fn write_members(&self, text: &[u8], members: Range<usize>, wanted: &dyn Fn(&Node) -> bool, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut is_first = true;
        for member in self.done[members].iter().filter(|member| wanted(member)) {
            if !is_first {
                out.push(b',');
            }
            is_first = false;
            write_literal(&text[member.key.clone()], out);
            out.push(b':');
            self.write_value(text, &member.value, out);
        }
        out.push(b'}');
    }
}

impl Node {
    fn element(value: Value) -> Self {
        Self {
            key: 0..0,
            rank: 0,
            escaped: false,
            value,
        }
    }

    fn member(text: &[u8], key: Range<usize>, value: Value) -> Self {
        let mut member = Self {
            escaped: memchr(b'\\', &text[key.clone()]).is_some(),
            key,
            rank: 0,
            value,
        };
        let name = member.name(text);
        let mut first = [0; 8];
        let known = name.len().min(first.len());
        first[..known].copy_from_slice(&name[..known]);
        member.rank = u64::from_be_bytes(first);
        member
    }

    /// Returns the unescaped key, in WTF-8.
    fn name<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let literal = &text[self.key.clone()];
        match self.escaped {
            true => unescape(literal).unwrap_or_default(),
            false => Cow::Borrowed(literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default()),
        }
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

    use super::super::{arbitrary, compact};
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
