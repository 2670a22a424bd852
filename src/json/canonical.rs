use std::borrow::Cow;

use memchr::memchr;

use super::{Cursor, MAX_DEPTH, unescape, write_string};

/// Arrays and objects lie deeper in one another than [`MAX_DEPTH`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("more than {MAX_DEPTH} arrays and objects lie in one another")]
pub struct TooDeep;

/// Appends the canonical form of `json`: no white space, keys sorted bytewise by what they say, strings with the fewest escapes, numbers
/// as spelled, and of a repeated key the last. Of an object at the top, the columns that `skip` names (in WTF-8) are left out.
///
/// Two texts have the same canonical form exactly when they are the same JSON with the same numbers. Nothing is appended on failure.
pub fn canonical(json: &[u8], skip: &dyn Fn(&[u8]) -> bool, out: &mut Vec<u8>) -> Result<(), TooDeep> {
    canonical_at(Cursor::new(json), skip, out)
}

/// [`canonical`] of the value at `cursor`.
pub fn canonical_at(mut cursor: Cursor<'_, '_>, skip: &dyn Fn(&[u8]) -> bool, out: &mut Vec<u8>) -> Result<(), TooDeep> {
    let mut tree = Node::read(&mut cursor, MAX_DEPTH)?;
    if let Node::Object(members) = &mut tree {
        members.retain(|(name, _)| !skip(name));
    }
    tree.write(out);
    Ok(())
}

/// A value with its members in order. The text is taken apart once, so that the time is linear also where everything lies at the bottom
/// of many levels.
enum Node<'a> {
    String(&'a [u8]),
    /// A number, `true`, `false` or `null`.
    Other(&'a [u8]),
    Array(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, [u8]>, Node<'a>)>),
}

impl<'a> Node<'a> {
    /// The value at `cursor`, of at most `levels` levels.
    fn read(cursor: &mut Cursor<'_, 'a>, levels: usize) -> Result<Self, TooDeep> {
        let nested = || levels.checked_sub(1).ok_or(TooDeep);
        if cursor.enter(b'{') {
            let levels = nested()?;
            let mut members = Vec::new();
            while let Some(key) = cursor.key() {
                members.push((unescape(key).unwrap_or_default(), Self::read(cursor, levels)?));
            }
            return Ok(Self::Object(in_order(members)));
        }
        if cursor.enter(b'[') {
            let levels = nested()?;
            let mut elements = Vec::new();
            while cursor.has_element() {
                elements.push(Self::read(cursor, levels)?);
            }
            return Ok(Self::Array(elements));
        }
        match cursor.peek() {
            Some(b'"') => Ok(Self::String(cursor.value())),
            _ => Ok(Self::Other(cursor.value())),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            // Without a backslash, a literal escapes nothing.
            Self::String(literal) if memchr(b'\\', literal).is_none() => out.extend_from_slice(literal),
            Self::String(literal) => write_string(&unescape(literal).unwrap_or_default(), out),
            Self::Other(text) => out.extend_from_slice(text),
            Self::Array(elements) => {
                out.push(b'[');
                for (place, element) in elements.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    element.write(out);
                }
                out.push(b']');
            }
            Self::Object(members) => {
                out.push(b'{');
                for (place, (name, value)) in members.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    write_string(name, out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

/// Sorted by name, of equal names the last.
fn in_order<'a>(mut members: Vec<(Cow<'a, [u8]>, Node<'a>)>) -> Vec<(Cow<'a, [u8]>, Node<'a>)> {
    members.sort_by(|(one, _), (other, _)| one.cmp(other));
    members.dedup_by(|later, kept| {
        let repeated = later.0 == kept.0;
        if repeated {
            std::mem::swap(later, kept);
        }
        repeated
    });
    members
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::{arbitrary, compact};
    use super::*;

    fn form(json: &str) -> String {
        let mut out = Vec::new();
        canonical(json.as_bytes(), &|_| false, &mut out).unwrap();
        String::from_utf8(out).unwrap()
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
    fn of_a_repeated_key_the_last_counts() {
        assert_eq!(
            form(r#"{"a":1,"b":{"x":1,"x":2},"a":2,"\u0061":{"c":[]}}"#),
            r#"{"a":{"c":[]},"b":{"x":2}}"#
        );
    }

    #[test]
    fn keys_are_sorted_by_the_bytes_they_say() {
        // By UTF-16, the surrogates of U+10000 would come before U+E000.
        let sorted = form("{\"\u{e000}\":1,\"\u{10000}\":2,\"\\ud800\":3,\"Z\":4,\"a\":5,\"\":6,\"aa\":7}");
        assert_eq!(
            sorted,
            "{\"\":6,\"Z\":4,\"a\":5,\"aa\":7,\"\\ud800\":3,\"\u{e000}\":1,\"\u{10000}\":2}"
        );
    }

    #[test]
    fn columns_are_left_out_at_the_top_only() {
        let mut out = Vec::new();
        canonical(
            br#"{"_a":1,"\u005fb":2,"c":{"_d":3},"T":4}"#,
            &|name| name.starts_with(b"_") || name == b"T",
            &mut out,
        )
        .unwrap();
        assert_eq!(out, br#"{"c":{"_d":3}}"#);
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
            let mut out = Vec::new();
            assert_eq!(canonical(too_deep.as_bytes(), &|_| false, &mut out), Err(TooDeep));
            assert!(out.is_empty());
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
        fn text_that_is_no_json_does_no_harm(text in "[\\[\\]{}\",:\\\\ a1]{0,40}") {
            let mut out = Vec::new();
            prop_assert!(canonical(text.as_bytes(), &|_| false, &mut out).is_ok() || out.is_empty());
        }
    }
}
