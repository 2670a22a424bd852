use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::scan::{backslash, string_end};

/// Writes `text`, which is WTF-8, as a string literal with the fewest escapes: quotes, backslashes, control characters
/// (in their short form if there is one) and lone surrogates, with hex digits in lower case. The literal is valid JSON
/// in valid UTF-8.
pub fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut written = 0;
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let (code, width) = match byte {
            ..0x20 | b'"' | b'\\' => (Some(u16::from(byte)), 1),
            0xed => (lone_surrogate(text, at), 3),
            _ => (None, 1),
        };
        let Some(code) = code else {
            at += 1;
            continue;
        };
        out.extend_from_slice(&text[written..at]);
        write_escape(code, out);
        at += width;
        written = at;
    }
    out.extend_from_slice(&text[written..]);
    out.push(b'"');
}

/// Returns the lone surrogate at `at`, where the lead byte is 0xed. These are the only sequences that WTF-8 adds to
/// UTF-8.
fn lone_surrogate(text: &[u8], at: usize) -> Option<u16> {
    match *text.get(at + 1..at + 3)? {
        [high @ 0xa0..=0xbf, low] => Some(0xd000 | u16::from(high & 0x3f) << 6 | u16::from(low & 0x3f)),
        _ => None,
    }
}

fn write_escape(code: u16, out: &mut Vec<u8>) {
    let short: &[u8] = match code {
        0x08 => b"\\b",
        0x09 => b"\\t",
        0x0a => b"\\n",
        0x0c => b"\\f",
        0x0d => b"\\r",
        0x22 => b"\\\"",
        0x5c => b"\\\\",
        _ => return out.extend_from_slice(format!("\\u{code:04x}").as_bytes()),
    };
    out.extend_from_slice(short);
}

/// Returns the unescaped string literal, in WTF-8, or `None` if `literal` is invalid.
pub fn unescape(literal: &[u8]) -> Option<Cow<'_, [u8]>> {
    let inner = literal.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr(b'\\', inner).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    let mut text = Vec::new();
    unescape_into(literal, &mut text).then_some(Cow::Owned(text))
}

/// Appends the unescaped string literal, in WTF-8. Returns whether `literal` is valid; if it is not, the appended bytes
/// have no meaning.
pub fn unescape_into(literal: &[u8], out: &mut Vec<u8>) -> bool {
    let inner = literal.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let Some(mut rest) = inner else { return false };
    out.reserve(rest.len());
    loop {
        // In strings that contain JSON, an escape follows every few bytes: testing eight at a time is faster than
        // calling a function that is optimised for long runs.
        let at = match rest.first_chunk() {
            Some(chunk) => {
                out.extend_from_slice(chunk);
                let Some(place) = backslash(u64::from_le_bytes(*chunk)) else {
                    rest = &rest[chunk.len()..];
                    continue;
                };
                out.truncate(out.len() - (chunk.len() - place));
                place
            }
            None => match memchr(b'\\', rest) {
                Some(place) => {
                    out.extend_from_slice(&rest[..place]);
                    place
                }
                None => break,
            },
        };
        let Some(&escape) = rest.get(at + 1) else { return false };
        rest = &rest[at + 2..];
        match escape {
            b'"' | b'\\' | b'/' => out.push(escape),
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => match code_point(rest) {
                Some((code, behind)) => {
                    push_code_point(code, out);
                    rest = behind;
                }
                None => return false,
            },
            _ => return false,
        }
    }
    out.extend_from_slice(rest);
    true
}

/// Returns whether a literal has the form that [`write_string`] writes, as far as that is known without unescaping it:
/// for `\\u` it returns false.
pub(super) fn has_fewest_escapes(literal: &[u8]) -> bool {
    let mut rest = literal;
    loop {
        let at = match rest.first_chunk() {
            Some(chunk) => match backslash(u64::from_le_bytes(*chunk)) {
                Some(place) => place,
                None => {
                    rest = &rest[chunk.len()..];
                    continue;
                }
            },
            None => match memchr(b'\\', rest) {
                Some(place) => place,
                None => return true,
            },
        };
        if !matches!(rest.get(at + 1), Some(b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't')) {
            return false;
        }
        rest = &rest[at + 2..];
    }
}

/// Returns the code point of the hex digits after `\u`, combined with a low surrogate that follows a high one, and the
/// rest of the text.
fn code_point(digits: &[u8]) -> Option<(u32, &[u8])> {
    let (code, rest) = code_unit(digits)?;
    if (0xd800..0xdc00).contains(&code)
        && let Some((low @ 0xdc00..0xe000, behind)) = rest.strip_prefix(b"\\u").and_then(code_unit)
    {
        return Some((0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00), behind));
    }
    Some((code, rest))
}

fn code_unit(digits: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = digits.split_at_checked(4)?;
    let value = |sum: u32, digit: &u8| Some(sum * 16 + char::from(*digit).to_digit(16)?);
    Some((digits.iter().try_fold(0, value)?, rest))
}

/// Appends the UTF-8 encoding of a code point, generalised to lone surrogates.
fn push_code_point(code: u32, out: &mut Vec<u8>) {
    match char::from_u32(code) {
        Some(char) => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        None => {
            let [.., high, low] = code.to_be_bytes();
            out.extend_from_slice(&[0xe0 | high >> 4, 0x80 | (high & 0x0f) << 2 | low >> 6, 0x80 | low & 0x3f]);
        }
    }
}

/// Returns the same JSON without white space outside strings.
pub fn compact(json: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let mut written = 0;
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        match byte {
            b'"' => at = string_end(json, at),
            b' ' | b'\n' | b'\r' | b'\t' => {
                out.extend_from_slice(&json[written..at]);
                at += 1;
                written = at;
            }
            _ => at += 1,
        }
    }
    if written == 0 {
        return Cow::Borrowed(json);
    }
    out.extend_from_slice(&json[written..]);
    Cow::Owned(out)
}

/// Returns the same JSON on one line: unchanged, or [`compact`] if it has line breaks. (Strings cannot contain them.)
pub fn one_line(json: &[u8]) -> Cow<'_, [u8]> {
    match memchr2(b'\n', b'\r', json) {
        Some(_) => compact(json),
        None => Cow::Borrowed(json),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::super::arbitrary;
    use super::*;

    fn written(text: &[u8]) -> String {
        let mut out = Vec::new();
        write_string(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn unescaped(literal: &str) -> Vec<u8> {
        unescape(literal.as_bytes()).unwrap().into_owned()
    }

    #[test]
    fn as_few_escapes_as_possible_are_written() {
        assert_eq!(written(b""), r#""""#);
        assert_eq!(
            written(b"\"\\/\x08\t\n\x0c\r\x00\x1b\x1f\x7f"),
            "\"\\\"\\\\/\\b\\t\\n\\f\\r\\u0000\\u001b\\u001f\x7f\""
        );
        assert_eq!(
            written("é€😀\u{d7ff}\u{e000}\u{2028}".as_bytes()),
            "\"é€😀\u{d7ff}\u{e000}\u{2028}\""
        );
        assert_eq!(written(b"a\xed\xa0\x80b\xed\xbf\xbf"), r#""a\ud800b\udfff""#);
        assert_eq!(written(b"\xed\xae\xad\xed\xa0\xbd"), r#""\udbad\ud83d""#);
    }

    #[test]
    fn strings_are_read_to_wtf8() {
        assert_eq!(unescaped(r#""plain""#), b"plain");
        assert_eq!(unescaped(r#""\u0063id\/\n\"""#), b"cid/\n\"");
        assert_eq!(unescaped(r#""\ud83d\ude00""#), "😀".as_bytes());
        assert_eq!(unescaped(r#""\ud800""#), b"\xed\xa0\x80");
        assert_eq!(
            unescaped(r#""\ude00\ud83d\n\ud83dx\ud83d\ud83d\ude00""#),
            b"\xed\xb8\x80\xed\xa0\xbd\n\xed\xa0\xbdx\xed\xa0\xbd\xf0\x9f\x98\x80"
        );
        assert!(matches!(unescape(b"\"plain\""), Some(Cow::Borrowed(b"plain"))));
        for no_string in ["", "\"", "1", "{}", "\"\\x\"", "\"\\u12\""] {
            assert_eq!(unescape(no_string.as_bytes()), None, "{no_string}");
        }
    }

    #[test]
    fn white_space_is_removed_only_outside_strings() {
        assert_eq!(
            compact(b" { \"a b\\\" \" :\t[ 1 ,\r\n2 ] } "),
            Cow::<[u8]>::Owned(b"{\"a b\\\" \":[1,2]}".to_vec())
        );
        assert!(matches!(compact(b"{\"a b\":[1,2]}"), Cow::Borrowed(_)));
        assert!(matches!(one_line(b"{ \"a\\n\": 1 }"), Cow::Borrowed(_)));
        assert_eq!(*one_line(b"{ \"a\":\n 1 }"), *b"{\"a\":1}");
        assert_eq!(*one_line(b"{ \"a\":\r 1 }"), *b"{\"a\":1}");
    }

    proptest! {
        #[test]
        fn strings_are_read_as_by_serde_json(value in arbitrary::json()) {
            // When serde_json parses bytes rather than a string, it keeps lone surrogates, as WTF-8.
            if value.trim().starts_with('"') {
                let expected: serde_bytes::ByteBuf = serde_json::from_str(&value).unwrap();
                prop_assert_eq!(unescaped(value.trim()), expected.into_vec());
            }
        }

        #[test]
        fn compact_keeps_the_value(json in arbitrary::tame_json()) {
            let value: Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(serde_json::from_slice::<Value>(&compact(json.as_bytes())).unwrap(), value);
            let line = one_line(json.as_bytes());
            prop_assert_eq!(serde_json::from_slice::<Value>(&line).unwrap(), serde_json::from_str::<Value>(&json).unwrap());
            prop_assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
        }

        #[test]
        fn strings_are_written_as_by_serde_json(text in any::<String>()) {
            let literal = written(text.as_bytes());
            prop_assert_eq!(&literal, &serde_json::to_string(&text).unwrap());
            prop_assert_eq!(unescaped(&literal), text.as_bytes());
        }

        #[test]
        fn written_strings_are_read_back(units in prop::collection::vec(any::<u16>(), 0..8)) {
            let literal = format!("\"{}\"", units.iter().map(|unit| format!("\\u{unit:04X}")).collect::<String>());
            let text = unescaped(&literal);
            prop_assert_eq!(unescaped(&written(&text)), text);
        }

        #[test]
        fn invalid_utf_8_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            write_string(&bytes, &mut Vec::new());
            prop_assert!(compact(&bytes).len() <= bytes.len());
            let _ = unescape(&bytes);
        }
    }
}
