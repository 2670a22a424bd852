//! Finds the longest valid prefix of invalid JSON, for texts that are split around the error.
//!
//! The grammar is that of RFC 8259. Unlike [`Index`](super::Index), this module reads byte by byte and stops at the
//! first error, whose position it returns. It keeps one bit of state for each open array or object, and does not
//! recurse.

/// The place where a value becomes invalid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken {
    /// The first byte that cannot belong to the value, or the length of the text if the text ends too early.
    pub at: usize,
    /// The beginning of the last string before `at`, or of the value if there is none. A record that begins inside the
    /// broken value begins here or later, because everything before is valid JSON.
    pub resume: usize,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
}

/// Returns the position after the JSON value that begins at `start`, which may be preceded by white space.
///
/// # Errors
///
/// Returns [`Broken`] if the text from `start` on does not begin with a complete value. Does not check whether strings
/// are UTF-8.
pub fn value_end(text: &[u8], start: usize) -> Result<usize, Broken> {
    let (mut at, mut resume) = (start, start);
    // For each open array or object, whether it is an object.
    let mut open: Vec<bool> = Vec::new();
    let mut expect = Expect::Value;
    loop {
        at += space(&text[at.min(text.len())..]);
        let broken = |at| Broken { at, resume };
        let Some(&byte) = text.get(at) else {
            return Err(broken(text.len()));
        };
        let ends_value = match (byte, expect) {
            (b'"', Expect::Key | Expect::KeyOrEnd) => {
                resume = at;
                at = string_end(text, at).map_err(|at| Broken { at, resume })?;
                expect = Expect::Colon;
                false
            }
            (b'"', Expect::Value | Expect::ValueOrEnd) => {
                resume = at;
                at = string_end(text, at).map_err(|at| Broken { at, resume })?;
                true
            }
            (b':', Expect::Colon) => {
                (at, expect) = (at + 1, Expect::Value);
                false
            }
            (b',', Expect::CommaOrEnd) => {
                let in_object = open.last() == Some(&true);
                (at, expect) = (at + 1, if in_object { Expect::Key } else { Expect::Value });
                false
            }
            (b'{' | b'[', Expect::Value | Expect::ValueOrEnd) => {
                open.push(byte == b'{');
                (at, expect) = (at + 1, if byte == b'{' { Expect::KeyOrEnd } else { Expect::ValueOrEnd });
                false
            }
            (b'}', Expect::KeyOrEnd) | (b']', Expect::ValueOrEnd) => {
                open.pop();
                at += 1;
                true
            }
            (b'}' | b']', Expect::CommaOrEnd) if open.last() == Some(&(byte == b'}')) => {
                open.pop();
                at += 1;
                true
            }
            (_, Expect::Value | Expect::ValueOrEnd) => {
                at += super::index::scalar(&text[at..]).map_err(|_| broken(at))?;
                true
            }
            _ => return Err(broken(at)),
        };
        if ends_value {
            if open.is_empty() {
                return Ok(at);
            }
            expect = Expect::CommaOrEnd;
        }
    }
}

/// Returns the number of white-space bytes at the beginning of `text`.
pub fn space(text: &[u8]) -> usize {
    text.iter()
        .take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t'))
        .count()
}

/// Returns the position after the string whose quote is at `start`, or the position of the error in it.
fn string_end(text: &[u8], start: usize) -> Result<usize, usize> {
    let mut at = start + 1;
    loop {
        match text.get(at..).unwrap_or_default() {
            [] => return Err(text.len()),
            [b'"', ..] => return Ok(at + 1),
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => at += 2,
            [b'\\', b'u', digits @ ..] if digits.len() >= 4 && digits[..4].iter().all(u8::is_ascii_hexdigit) => at += 6,
            [b'\\' | 0..=0x1f, ..] => return Err(at),
            _ => at += 1,
        }
    }
}

/// Returns where the array or object at `start` ends, and how many bytes were read. Only brackets outside of strings
/// count, whatever else the text contains. The end is after the bracket that closes it, or before one that closes the
/// enclosing value; there is none if neither is among the first `most` bytes.
pub fn balanced_end(text: &[u8], start: usize, most: usize) -> (Option<usize>, usize) {
    let (mut at, mut in_string) = (start, false);
    let mut open: Vec<bool> = Vec::new();
    let text = &text[..text.len().min(start.saturating_add(most))];
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' if in_string => at += 1,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => open.push(byte == b'{'),
            b'}' | b']' if !in_string => {
                if open.pop() != Some(byte == b'}') {
                    return (Some(at), at - start);
                }
                if open.is_empty() {
                    return (Some(at + 1), at + 1 - start);
                }
            }
            _ => {}
        }
        at += 1;
    }
    (None, text.len().saturating_sub(start))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Index, arbitrary};
    use super::*;

    #[test]
    fn a_value_ends_where_the_next_text_begins() {
        for (text, rest) in [
            ("{\"a\":[1,{}],\"b\":\"}\\\"\"}{\"c\":1}", "{\"c\":1}"),
            (" [ ] , 2", " , 2"),
            ("\"a\"\"b\"", "\"b\""),
            ("{}\n{}", "\n{}"),
            ("true false", " false"),
        ] {
            let end = value_end(text.as_bytes(), 0).unwrap();
            assert_eq!(&text[end..], rest, "{text}");
        }
    }

    #[test]
    fn a_value_breaks_where_a_strict_parser_stops() {
        for (text, at, resume) in [
            ("{\"a\":nope}", "{\"a\":".len(), 1),
            ("{\"a\":\"b\"c\"}", "{\"a\":\"b\"".len(), "{\"a\":".len()),
            ("{\"a\":1,{\"b\":2}", "{\"a\":1,".len(), 1),
            ("[1,2", 4, 0),
            ("[\"ab", 4, 1),
            ("[\"a\nb\"]", 3, 1),
            ("[1}", 2, 0),
            ("", 0, 0),
        ] {
            assert_eq!(value_end(text.as_bytes(), 0), Err(Broken { at, resume }), "{text}");
        }
    }

    #[test]
    fn brackets_in_strings_do_not_count() {
        let text = b"{\"a\":oops,\"b\":\"}\\\"}\",\"c\":[{}]},{}";
        assert_eq!(balanced_end(text, 0, usize::MAX).0, Some(text.len() - 3));
        assert_eq!(balanced_end(text, 0, 10), (None, 10));
        assert_eq!(balanced_end(b"[[]", 0, usize::MAX), (None, 3));
        assert_eq!(
            balanced_end(b"{\"a\":1]", 0, usize::MAX),
            (Some(6), 6),
            "what is around it ends"
        );
    }

    proptest! {
        #[test]
        fn complete_values_are_those_that_the_index_accepts(text in arbitrary::json(), cut in any::<prop::sample::Index>()) {
            prop_assert_eq!(value_end(text.as_bytes(), 0), Ok(text.trim_end().len()));
            let cut = &text.as_bytes()[..cut.index(text.len())];
            let is_json = Index::default().read(cut).is_ok();
            prop_assert_eq!(value_end(cut, 0).is_ok_and(|end| end + space(&cut[end..]) == cut.len()), is_json);
        }

        #[test]
        fn any_bytes_end_or_break_without_panic(bytes in prop::collection::vec(prop::sample::select(b"{}[]\",:\\ u0an1\x00".to_vec()), 0..40)) {
            match value_end(&bytes, 0) {
                Ok(end) => prop_assert!(Index::default().read(&bytes[..end]).is_ok()),
                Err(broken) => prop_assert!(broken.resume <= broken.at && broken.at <= bytes.len()),
            }
        }
    }
}
