use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::json::{self, members};

/// The columns of a row by name. Of a repeated column, only the last counts.
pub(super) struct Columns<'a>(BTreeMap<Cow<'a, [u8]>, &'a [u8]>);

impl<'a> Columns<'a> {
    /// Returns the columns of `row`; none if it is not an object.
    pub(super) fn new(row: &'a [u8]) -> Self {
        Self(members(row).map(|column| (column.name(), column.value)).collect())
    }

    /// Returns the JSON text of a column.
    pub(super) fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.0.get(name.as_bytes()).copied()
    }

    /// Returns the JSON literal of a column that is a non-empty string. It is passed on unchanged, including its
    /// escapes.
    pub(super) fn literal(&self, name: &str) -> Option<&'a [u8]> {
        self.get(name).filter(|value| value.starts_with(b"\"") && value.len() > 2)
    }

    /// Returns a column as a string literal, if it is a string or a number.
    pub(super) fn id(&self, name: &str) -> Option<Cow<'a, [u8]>> {
        let value = self.get(name)?;
        match value.first()? {
            b'"' => self.literal(name).map(Cow::Borrowed),
            b'-' | b'0'..=b'9' => Some([b"\"", value, b"\""].concat().into()),
            _ => None,
        }
    }

    /// Returns the content of a string column, if it is Unicode.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let text = json::unescape(self.literal(name)?)?;
        String::from_utf8(text.into_owned()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_taken_as_they_are_written() {
        let columns = Columns::new(br#"{"a":"first","\u0061":"\u0041\/b","n":1.50,"e":"","o":{},"s":"\ud800"}"#);
        assert_eq!(columns.literal("a"), Some(&br#""\u0041\/b""#[..]));
        assert_eq!(columns.text("a").as_deref(), Some("A/b"));
        assert_eq!(columns.id("n").as_deref(), Some(&b"\"1.50\""[..]));
        assert_eq!(
            (columns.literal("n"), columns.literal("e"), columns.id("o")),
            (None, None, None)
        );
        assert_eq!(columns.text("s"), None);
    }
}
