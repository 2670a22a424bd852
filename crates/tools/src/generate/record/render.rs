//! Renders the templates of records.

use std::fmt;

use askama::Template;
use askama::filters::Escaper;

use crate::generate::random::Random;
use crate::json::write_string;

/// Writes texts into the strings of a template.
#[derive(Clone, Copy, Debug)]
pub(super) struct JsonString;

impl Escaper for JsonString {
    fn write_escaped_str<W: fmt::Write>(&self, mut to: W, text: &str) -> fmt::Result {
        if !text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
            return to.write_str(text);
        }
        let mut literal = Vec::with_capacity(text.len() * 5 / 4);
        write_string(text.as_bytes(), &mut literal);
        let inner = std::str::from_utf8(&literal[1..literal.len() - 1]);
        to.write_str(inner.map_err(|_| fmt::Error)?)
    }
}

/// The filters of the templates.
#[expect(unreachable_pub, reason = "the attribute makes a function of each filter that is public")]
pub(super) mod filters {
    use super::Letters;

    /// Returns JSON on one line.
    #[askama::filter_fn]
    pub(crate) fn joined(json: impl std::fmt::Display, _: &dyn askama::Values) -> askama::Result<String> {
        Ok(Letters::All.joined(&json.to_string()))
    }
}

/// The characters that a producer writes as they are. Producers differ, and a record means the same with all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Letters {
    All,
    Ascii,
}

impl Letters {
    /// Draws what the producer of a record writes.
    pub(super) fn draw(random: &Random) -> Self {
        if random.one_in(3) { Self::Ascii } else { Self::All }
    }

    /// Renders a template on one line.
    pub(super) fn render(self, template: &impl Template) -> String {
        let mut text = String::with_capacity(8_000);
        // Only writing to the string could fail.
        drop(template.render_into(&mut text));
        self.joined(&text)
    }

    /// Returns the text without the ends of its lines and without their indentation. In a template, this is the only
    /// white space between the parts of the JSON. No value contains a line end, because JSON escapes it.
    fn joined(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', text.as_bytes()) {
            self.write(&text[from..end], &mut out);
            let indented = text[end + 1..].bytes().take_while(|&byte| byte == b' ').count();
            from = end + 1 + indented;
        }
        self.write(&text[from..], &mut out);
        out
    }

    fn write(self, line: &str, out: &mut String) {
        if self == Self::All || line.is_ascii() {
            return out.push_str(line);
        }
        for character in line.chars() {
            if character.is_ascii() {
                out.push(character);
                continue;
            }
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Template)]
    #[template(
        source = r#"{
            "text":"{{ text }}",
            "list":[{{ number }},null],
            "inner":"{% filter joined %}
                {"text":"{{ text }}"}
            {% endfilter %}"
        }"#,
        ext = "json"
    )]
    struct Nested<'a> {
        text: &'a str,
        number: u64,
    }

    #[test]
    fn strings_keep_their_content() {
        let text = "a \"quoted\" path C:\\x,\r\n\u{1}, é, \u{200b} and 🦀";
        for letters in [Letters::All, Letters::Ascii] {
            let rendered = letters.render(&Nested { text, number: 120 });
            assert_eq!(rendered.is_ascii(), letters == Letters::Ascii);
            assert!(rendered.starts_with(r#"{"text":"a \"quoted"#), "{rendered}");
            let outer: serde_json::Value = serde_json::from_str(&rendered).unwrap();
            assert_eq!(
                (&outer["text"], &outer["list"]),
                (&text.into(), &serde_json::json!([120, null]))
            );
            let inner = outer["inner"].as_str().unwrap();
            assert!(inner.starts_with("{\"text\":"), "{inner}");
            let inner: serde_json::Value = serde_json::from_str(inner).unwrap();
            assert_eq!(inner["text"], text);
        }
    }
}
