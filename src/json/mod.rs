//! Small tools over the text of JSON.
//!
//! Rows travel as the bytes they were, so questions about them are questions about their text: where a member begins and ends, what a
//! string says, what two rows have in common when white space and the order of keys do not count. [`Index::read`] is the only check that a
//! text is JSON; [`prefix`] says how far one is that is not. Everything else takes text that [`Index`] has accepted: other text gives some
//! answer, never a panic and never an endless loop. Nothing here decides what a field means, or recurses as deep as its input; [`Canonical`]
//! alone recurses, to [`MAX_DEPTH`].

mod blocks;
mod canonical;
mod index;
pub mod prefix;
mod scan;
mod text;

pub use canonical::{Canonical, TooDeep};
pub use index::{Index, NotJson};
pub use scan::{Cursor, MAX_DEPTH, Member, Members, depth, members, says, string_values};
pub use text::{compact, one_line, unescape, unescape_into, write_string};

/// JSON to test with.
#[cfg(test)]
pub(crate) mod arbitrary {
    use proptest::prelude::*;

    /// Texts of JSON with all that the grammar allows and most writers avoid: white space, escapes, lone surrogates, repeated keys.
    pub(crate) fn json() -> impl Strategy<Value = String> {
        let scalar = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
            string(),
        ];
        nested(scalar, string())
    }

    /// The same without what serde_json cannot hold: numbers beyond 64 bits or with fractions, and lone surrogates.
    pub(crate) fn tame_json() -> impl Strategy<Value = String> {
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
}
