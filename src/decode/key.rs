use std::borrow::Cow;

use super::value::text;
use super::{KeyPath, Path};
use crate::record::Text;

/// Where a correlation id may be, and how it is read from there.
pub(super) struct KeyReader {
    /// What is taken off the beginning at each place.
    prefixes: Vec<Option<String>>,
    ignore_case: bool,
}

impl KeyReader {
    pub(super) fn new(paths: &[KeyPath], ignore_case: bool) -> Self {
        Self {
            prefixes: paths.iter().map(|key| key.strip_prefix.clone()).collect(),
            ignore_case,
        }
    }

    /// The correlation id that the value found at the path of this place says; `None` when that is empty.
    pub(super) fn read(&self, place: usize, value: &[u8]) -> Option<Text> {
        let text = text(value)?;
        let prefix = self.prefixes.get(place).and_then(Option::as_deref).unwrap_or_default();
        let text = match text.strip_prefix(prefix.as_bytes()) {
            Some(rest) => Cow::Borrowed(rest),
            None => text,
        };
        if text.is_empty() {
            return None;
        }
        Some(Text::from(if self.ignore_case { lower(&text) } else { text.into_owned() }))
    }
}

/// Each path of `keys` with its place.
pub(super) fn places(keys: &[KeyPath]) -> impl Iterator<Item = (&Path, usize)> {
    keys.iter().map(|key| &key.path).zip(0..)
}

/// Returns the word for nothing that a correlation id is instead of an id, as tools print a missing value: all records
/// with it would join with one another.
pub fn null_word(id: &[u8]) -> Option<&'static str> {
    const WORDS: [&str; 12] = [
        "-",
        "--",
        "(null)",
        "<null>",
        "n/a",
        "nan",
        "nil",
        "none",
        "null",
        "undefined",
        "unknown",
        "00000000-0000-0000-0000-000000000000",
    ];
    WORDS.into_iter().find(|word| word.as_bytes().eq_ignore_ascii_case(id))
}

fn lower(text: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(text) {
        Ok(text) => text.to_lowercase().into_bytes(),
        Err(_) => text.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(strip_prefix: &str, ignore_case: bool, value: &str) -> Option<String> {
        let path = KeyPath {
            path: Path::new(["x"]),
            strip_prefix: Some(strip_prefix.to_owned()),
        };
        KeyReader::new(&[path], ignore_case)
            .read(0, value.as_bytes())
            .map(|id| id.to_string())
    }

    #[test]
    fn a_prefix_is_taken_off_when_it_is_there() {
        assert_eq!(read("dl", false, r#""dlABC""#).as_deref(), Some("ABC"));
        assert_eq!(read("dl", false, r#""dldlABC""#).as_deref(), Some("dlABC"));
        assert_eq!(read("dl", false, r#""DLABC""#).as_deref(), Some("DLABC"));
        assert_eq!(read("dl", false, r#""ABC""#).as_deref(), Some("ABC"));
        assert_eq!(read("dl", false, r#""dl""#), None);
        assert_eq!(read("", false, r#""""#), None);
        assert_eq!(read("1", false, "12").as_deref(), Some("2"));
        assert_eq!(read("", false, "null"), None);
    }

    #[test]
    fn words_for_nothing_are_told_from_ids() {
        for word in [
            "None",
            "null",
            "NULL",
            "N/A",
            "undefined",
            "-",
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert!(null_word(word.as_bytes()).is_some(), "{word}");
        }
        for id in ["", "none-of-them", "NA", "0", "47b17f11-8bcf-59b6-9caa-b42324e60048"] {
            assert_eq!(null_word(id.as_bytes()), None, "{id}");
        }
    }

    #[test]
    fn case_counts_unless_it_is_ignored() {
        assert_eq!(read("", false, r#"" AbÉ ""#).as_deref(), Some(" AbÉ "));
        assert_eq!(read("dl", true, r#""dlAbÉ""#).as_deref(), Some("abé"));
        let keys = KeyReader::new(&[], true);
        assert_eq!(keys.read(0, br#""\ud800AbC""#).unwrap().as_bytes(), b"\xed\xa0\x80abc");
    }
}
