//! Tests of [`Index`], and of the [`Cursor`] that uses it.

use proptest::prelude::*;
use serde::de::IgnoredAny;

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
