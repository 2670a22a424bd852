//! JSON texts for property tests.
#![allow(clippy::unwrap_used, reason = "a test")]

use proptest::prelude::*;

/// Generates JSON texts with everything that the grammar allows and most writers avoid: white space, escapes, lone
/// surrogates, repeated keys.
pub fn json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
        string(),
    ];
    nested(scalar, string())
}

/// Generates the same texts without what serde_json cannot represent: numbers beyond 64 bits or with fractions, and
/// lone surrogates.
pub fn tame_json() -> impl Strategy<Value = String> {
    let string = any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap());
    let scalar = prop_oneof![
        Just("false".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        string.clone(),
    ];
    nested(scalar, prop_oneof!["\"[ab]?\"", string])
}

fn string() -> impl Strategy<Value = String> + Clone {
    let piece = prop_oneof![
        "[abc_ ,:{}\\[\\]é😀\u{7f}]",
        "\\\\(b|t|n|f|r|/|\"|\\\\)",
        "\\\\u(00[0-7][0-9a-fA-F]|[dD][89a-fA-F][0-9a-f]{2}|20ac)",
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn nested(
    scalar: impl Strategy<Value = String> + 'static,
    key: impl Strategy<Value = String> + Clone + 'static,
) -> impl Strategy<Value = String> {
    let space = "[ \n\r\t]{0,2}";
    scalar.prop_recursive(5, 40, 5, move |inner| {
        let element = (space, inner, space).prop_map(|(before, value, after)| before + &value + &after);
        let member = (space, key.clone(), space, element.clone())
            .prop_map(|(before, key, between, value)| format!("{before}{key}{between}:{value}"));
        prop_oneof![
            prop::collection::vec(element, 1..5).prop_map(|values| format!("[{}]", values.join(","))),
            prop::collection::vec(member, 1..5).prop_map(|members| format!("{{{}}}", members.join(","))),
            Just("{ }".to_owned()),
            Just("[\n]".to_owned()),
        ]
    })
}
