//! The places of keys in a row, and how a value there becomes a key.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use regex::bytes::Regex;

use super::path::{Elements, Path, Segment};

/// An entry of a list of fallbacks for keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyEntry {
    /// The values that a path leads to.
    Path(KeyPath),
    /// A composite key: one value of each part, in every combination. It yields nothing if a part has no value.
    Parts(Vec<KeyPath>),
}

/// A path to the values of keys, and the steps by which each value becomes a key, in the order of the fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPath {
    /// The path to the values.
    pub path: Path,
    /// An expression whose group is the part of a value that counts. A value that does not match yields nothing.
    pub pattern: Option<Pattern>,
    /// The prefixes that are removed from a value: the first one with which it begins. A value that begins with none of
    /// them is not changed.
    pub strip_prefix: Vec<String>,
    /// The encoding of the rest.
    pub coding: Coding,
}

/// The encoding of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Coding {
    /// Not encoded.
    #[default]
    Plain,
    /// Percent-encoded, as in URLs (RFC 3986, section 2.1).
    Url,
}

/// A regular expression with one group. A match takes time linear in the length of the value.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the expression: it is not a regular expression, is too large when compiled, or does
    /// not have exactly one group.
    pub fn new(expression: &str) -> Result<Self, String> {
        let regex = Regex::new(expression).map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => format!("takes more than {limit} bytes when compiled"),
            error => {
                let error = error.to_string();
                let what = error.lines().last().unwrap_or_default();
                format!("is no regular expression: {}", what.trim_start_matches("error: "))
            }
        })?;
        match regex.captures_len() {
            2 => Ok(Self(regex)),
            1 => Err("has no group: put what is the key into (parentheses)".to_owned()),
            groups => Err(format!(
                "has {} groups instead of one; write (?:…) for the others",
                groups - 1
            )),
        }
    }

    fn group<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        Some(self.0.captures(text)?.get(1)?.as_bytes())
    }

    /// Returns the text of the expression.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl From<Path> for KeyPath {
    fn from(path: Path) -> Self {
        Self {
            path,
            pattern: None,
            strip_prefix: Vec::new(),
            coding: Coding::Plain,
        }
    }
}

impl From<KeyPath> for KeyEntry {
    fn from(path: KeyPath) -> Self {
        Self::Path(path)
    }
}

impl From<Path> for KeyEntry {
    fn from(path: Path) -> Self {
        Self::Path(path.into())
    }
}

impl KeyEntry {
    /// Returns the paths of the entry: one, or one for each part.
    pub fn paths(&self) -> &[KeyPath] {
        match self {
            Self::Path(path) => std::slice::from_ref(path),
            Self::Parts(parts) => parts,
        }
    }
}

impl KeyEntry {
    /// Returns whether one record may have several keys by this entry.
    pub fn may_yield_several(&self) -> bool {
        let is_list = |segment: &Segment| segment.elements != Elements::Whole;
        self.paths().iter().any(|path| path.path.segments().iter().any(is_list))
    }
}

impl KeyPath {
    /// Returns the key that a value's text becomes, before its case is changed. Returns `None` if the key would be
    /// empty.
    pub(super) fn apply<'t>(&self, text: Cow<'t, [u8]>) -> Option<Cow<'t, [u8]>> {
        let text = match &self.pattern {
            Some(pattern) => match text {
                Cow::Borrowed(text) => Cow::Borrowed(pattern.group(text)?),
                Cow::Owned(text) => Cow::Owned(pattern.group(&text)?.to_vec()),
            },
            None => text,
        };
        let stripped = |prefix: &String| text.strip_prefix(prefix.as_bytes()).map(<[u8]>::len);
        let kept = self.strip_prefix.iter().find_map(stripped).unwrap_or(text.len());
        let skipped = text.len() - kept;
        let text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.get(skipped..).unwrap_or_default()),
            Cow::Owned(mut text) => {
                text.drain(..skipped);
                Cow::Owned(text)
            }
        };
        let text = match self.coding {
            Coding::Url if text.contains(&b'%') => Cow::Owned(url_decoded(&text)),
            Coding::Plain | Coding::Url => text,
        };
        (!text.is_empty()).then_some(text)
    }
}

/// Decodes the percent-encoded parts of a text. A sequence that is not UTF-8 is not decoded, because a key is text.
fn url_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(plain) = memchr::memchr(b'%', rest) {
        let (before, encoded) = rest.split_at(plain);
        decoded.extend_from_slice(before);
        let triplets = encoded.chunks_exact(3).take_while(|triplet| is_triplet(triplet)).count();
        let (run, behind) = encoded.split_at(3 * triplets);
        if triplets == 0 {
            decoded.push(b'%');
            rest = encoded.get(1..).unwrap_or_default();
            continue;
        }
        let bytes: Vec<u8> = percent_decode(run).collect();
        let mut place = 0;
        for chunk in bytes.utf8_chunks() {
            decoded.extend_from_slice(chunk.valid().as_bytes());
            place += chunk.valid().len();
            let broken = place..place + chunk.invalid().len();
            decoded.extend_from_slice(run.get(3 * broken.start..3 * broken.end).unwrap_or_default());
            place = broken.end;
        }
        rest = behind;
    }
    decoded.extend_from_slice(rest);
    decoded
}

fn is_triplet(bytes: &[u8]) -> bool {
    matches!(bytes, [b'%', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(path: &KeyPath, text: &str) -> Option<String> {
        let borrowed = path.apply(Cow::Borrowed(text.as_bytes()));
        let owned = path.apply(Cow::Owned(text.as_bytes().to_vec()));
        assert_eq!(borrowed, owned);
        borrowed.map(|text| String::from_utf8(text.into_owned()).unwrap())
    }

    fn path() -> KeyPath {
        KeyPath::from(Path::new(["a"]))
    }

    #[test]
    fn a_prefix_is_taken_off_where_it_is_there() {
        let strip_prefix = ["dl", "fa"].map(str::to_owned).to_vec();
        let path = KeyPath { strip_prefix, ..path() };
        assert_eq!(applied(&path, "dl1").as_deref(), Some("1"));
        assert_eq!(applied(&path, "fadl").as_deref(), Some("dl"));
        assert_eq!(applied(&path, "x").as_deref(), Some("x"));
        assert_eq!(applied(&path, "dl"), None);
        assert_eq!(applied(&path, ""), None);
    }

    #[test]
    fn a_pattern_keeps_its_group_before_anything_else() {
        let path = KeyPath {
            pattern: Some(Pattern::new("^(.+)@").unwrap()),
            strip_prefix: vec!["live.com#".to_owned()],
            ..path()
        };
        assert_eq!(applied(&path, "live.com#ann@example.com").as_deref(), Some("ann"));
        assert_eq!(applied(&path, "ann"), None);
        for (wrong, said) in [("a", "has no group"), ("(a)(b)", "has 2 groups"), ("(", "unclosed group")] {
            let error = Pattern::new(wrong).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn url_encoding_is_undone_where_it_is_whole() {
        let path = KeyPath {
            coding: Coding::Url,
            ..path()
        };
        for (text, expected) in [
            ("a%20b+c", "a b+c"),
            ("%C3%A9t%c3%a9", "été"),
            ("100%", "100%"),
            ("%zz%41", "%zzA"),
            ("%2", "%2"),
            ("%ff%41%C3", "%ffA%C3"),
            ("%%41", "%A"),
            ("plain", "plain"),
        ] {
            assert_eq!(applied(&path, text).as_deref(), Some(expected), "{text}");
        }
    }
}
