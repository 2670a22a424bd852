//! Writes JSON objects member by member to the end of a buffer.

use std::fmt::Display;
use std::io::Write as _;

use crate::json;

/// An object that is not closed yet.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_empty: bool,
}

impl<'a> Object<'a> {
    /// Writes an object, whose members `fill` writes, to the end of `out`.
    pub(super) fn write(out: &'a mut Vec<u8>, fill: impl FnOnce(&mut Object<'_>)) {
        out.push(b'{');
        let mut object = Object { out, is_empty: true };
        fill(&mut object);
        object.out.push(b'}');
    }

    /// Begins a member. The caller must write its value to the end of the returned buffer.
    pub(super) fn member(&mut self, name: &[u8]) -> &mut Vec<u8> {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        json::write_string(name, self.out);
        self.out.push(b':');
        self.out
    }

    /// Writes a member whose value is already JSON text.
    pub(super) fn json(&mut self, name: &str, value: &[u8]) {
        self.member(name.as_bytes()).extend_from_slice(value);
    }

    /// Writes a member whose value is already JSON text, if there is a value.
    pub(super) fn json_if(&mut self, name: &str, value: Option<impl AsRef<[u8]>>) {
        if let Some(value) = value {
            self.json(name, value.as_ref());
        }
    }

    /// Writes a string with these bytes, which are WTF-8.
    pub(super) fn text(&mut self, name: &str, value: impl AsRef<[u8]>) {
        json::write_string(value.as_ref(), self.member(name.as_bytes()));
    }

    /// Writes a number or a boolean.
    pub(super) fn plain(&mut self, name: &str, value: impl Display) {
        // A write into memory cannot fail.
        write!(self.member(name.as_bytes()), "{value}").ok();
    }

    /// Writes an object, unless `fill` writes nothing into it.
    pub(super) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        let (start, was_empty) = (self.out.len(), self.is_empty);
        let out = self.member(name.as_bytes());
        out.push(b'{');
        let mut inner = Object { out, is_empty: true };
        fill(&mut inner);
        if inner.is_empty {
            self.out.truncate(start);
            self.is_empty = was_empty;
        } else {
            self.out.push(b'}');
        }
    }

    /// Writes a list of objects, one for each of `items`, unless there are no items.
    pub(super) fn list<T>(&mut self, name: &str, items: impl IntoIterator<Item = T>, fill: impl Fn(T, &mut Object<'_>)) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_none() {
            return;
        }
        let out = self.member(name.as_bytes());
        let mut before = b'[';
        for item in items {
            out.push(before);
            Object::write(out, |object| fill(item, object));
            before = b',';
        }
        out.push(b']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_left_out() {
        let mut out = Vec::new();
        Object::write(&mut out, |object| {
            object.object("none", |inner| inner.object("deeper", |_| {}));
            object.list("no", std::iter::empty::<()>(), |(), _| {});
            object.object("some", |inner| inner.plain("n", 1));
            object.object("gone", |_| {});
            object.json_if("nor", None::<&[u8]>);
            object.list("list", [1, 2], |item, inner| inner.plain("i", item));
            object.text("text", "a\"b");
        });
        let output = String::from_utf8(out).unwrap();
        assert_eq!(output, r#"{"some":{"n":1},"list":[{"i":1},{"i":2}],"text":"a\"b"}"#);
    }
}
