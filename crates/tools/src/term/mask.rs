//! Masks texts right before they are printed: replaces secrets by stars, and escapes control characters.
//!
//! None of the program's own texts contains a secret. But librdkafka's messages are passed on, and with `debug` set
//! there are very many of them. librdkafka masks some secrets itself, but does not know which values are secret only in
//! this configuration.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::{OnceLock, PoisonError, RwLock};

/// The replacement of a secret.
const STARS: &str = "***";
/// Minimum length of a masked secret. A shorter one would occur in every text.
const MIN_SECRET_LENGTH: usize = 4;

/// All spellings of the secrets, longest first, because one may be part of another.
static SECRETS: OnceLock<RwLock<Vec<String>>> = OnceLock::new();

/// Masks these secrets from now on.
pub fn hide<'s>(secrets: impl Iterator<Item = &'s str>) {
    let mut hidden = SECRETS
        .get_or_init(RwLock::default)
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    for secret in secrets.filter(|secret| secret.len() >= MIN_SECRET_LENGTH) {
        // Each secret is masked as it is, and as `Debug` and JSON format it.
        let debug = format!("{secret:?}");
        let json = serde_json::to_string(secret).unwrap_or_default();
        for spelling in [secret, debug.trim_matches('"'), json.trim_matches('"')] {
            if !hidden.iter().any(|known| known == spelling) {
                hidden.push(spelling.to_owned());
            }
        }
    }
    hidden.sort_by_key(|spelling| std::cmp::Reverse(spelling.len()));
}

/// The control characters that a text may contain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lines {
    /// A line end at the end of its single line.
    One,
    /// A line end at the end of its single line, and colour escapes. Those of the content have been escaped before.
    Coloured,
    /// Line ends.
    Many,
}

/// Returns the text in a form that may be printed.
pub fn printable(text: &str, lines: Lines) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    if let Some(hidden) = SECRETS.get() {
        for secret in hidden.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), STARS));
            }
        }
    }
    let body = text.strip_suffix('\n').unwrap_or(&text);
    if !body.contains(|c| must_escape(c, lines)) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in body.chars() {
        if must_escape(c, lines) {
            // Writing into memory does not fail.
            write!(out, "{}", c.escape_default()).ok();
        } else {
            out.push(c);
        }
    }
    out.push_str(&text[body.len()..]);
    Cow::Owned(out)
}

/// Overwrites every secret with the same number of stars, so that lengths encoded in the bytes stay valid.
pub fn cover(bytes: &mut [u8]) {
    let Some(hidden) = SECRETS.get() else { return };
    for secret in hidden.read().unwrap_or_else(PoisonError::into_inner).iter() {
        let found: Vec<usize> = memchr::memmem::find_iter(bytes, secret).collect();
        for at in found {
            bytes[at..at + secret.len()].fill(b'*');
        }
    }
}

/// Returns whether a character is escaped. Control characters could imitate additional lines, or overwrite others.
fn must_escape(c: char, lines: Lines) -> bool {
    match c {
        '\n' => lines != Lines::Many,
        '\u{1b}' => lines != Lines::Coloured,
        '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    }
}

/// Writes masked text to `W`. Every write must be a complete text, as those of log events are.
pub struct Masked<W>(pub W, pub Lines);

impl<W: Write> Write for Masked<W> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let whole = String::from_utf8_lossy(text);
        self.0.write_all(printable(&whole, self.1).as_bytes())?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Prints panics like errors. The standard hook would print the whole message, which may quote content of a record, for
/// example if a string was cut at the wrong byte.
pub fn watch_panics() {
    std::panic::set_hook(Box::new(|panic| super::eprint_line(&panic_message(panic))));
}

fn panic_message(panic: &PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let location = panic
        .location()
        .map_or_else(String::new, |location| format!(" at {}:{}", location.file(), location.line()));
    let thread = std::thread::current();
    let mut message = format!(
        "error: the thread {} panicked{location}: {}; this is a bug in alerttrail, please report it",
        thread.name().unwrap_or("without a name"),
        unquoted(text.unwrap_or_default())
    );
    let trace = std::backtrace::Backtrace::capture();
    if trace.status() == std::backtrace::BacktraceStatus::Captured {
        // Writing into memory does not fail.
        write!(message, "\n{trace}").ok();
    }
    message
}

/// Returns the text before the first quotation mark, because anything may follow it.
fn unquoted(text: &str) -> &str {
    text.split(['`', '"', '\'', '\n']).next().unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_in_every_spelling() {
        hide(
            [
                "mask-test-s3cr3t",
                "mask-test-\"quo\\ted\"\n",
                "mask-test-s3cr3t-and-more",
                "abc",
            ]
            .into_iter(),
        );
        let mut out = Vec::new();
        let mut masked = Masked(&mut out, Lines::One);
        write!(masked, "x").unwrap();
        for text in [
            "sasl.password = mask-test-s3cr3t, abc\n",
            "with mask-test-s3cr3t-and-more\n",
            "{\"reason\":\"mask-test-\\\"quo\\\\ted\\\"\\n\"}\n",
        ] {
            masked.write_all(text.as_bytes()).unwrap();
        }
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "xsasl.password = ***, abc\nwith ***\n{\"reason\":\"***\"}\n");
    }

    #[test]
    fn secrets_in_bytes_are_masked_with_the_same_length() {
        hide(["mask-test-covered"].into_iter());
        let mut bytes = b"\x0a\x11mask-test-covered\xff\x0a\x11mask-test-covered".to_vec();
        cover(&mut bytes);
        assert_eq!(bytes, b"\x0a\x11*****************\xff\x0a\x11*****************");
    }

    #[test]
    fn invisible_characters_are_escaped() {
        let hostile = "a\nb\r\u{1b}[31mc\u{9b}d\u{202e}e\0é\t\n";
        assert_eq!(
            printable(hostile, Lines::One),
            "a\\nb\\r\\u{1b}[31mc\\u{9b}d\\u{202e}e\\u{0}é\\t\n"
        );
        assert!(printable(hostile, Lines::Coloured).contains("b\\r\u{1b}[31mc\\u{9b}"));
        assert!(printable(hostile, Lines::Many).starts_with("a\nb\\r\\u{1b}"));
    }

    #[test]
    fn a_panic_quotes_no_secret() {
        let cut = "start byte index 1 is not a char boundary; it is inside 'é' (bytes 0..2) of `é record`";
        assert_eq!(unquoted(cut), "start byte index 1 is not a char boundary; it is inside");
        assert_eq!(unquoted("called `Result::unwrap()` on an `Err` value: \"record\""), "called");
        assert_eq!(
            unquoted("index out of bounds: the len is 1 but the index is 2"),
            "index out of bounds: the len is 1 but the index is 2"
        );
    }
}
