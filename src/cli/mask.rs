//! The last thing that happens to a text before it is printed: secrets become stars, and control characters are spelled out.
//!
//! No text of the program's own holds a secret. But librdkafka's are passed on, with `debug` set there are very many of them, and what stands in
//! them is decided elsewhere: its own list of what is secret does not know values that only this configuration says are.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::panic::PanicHookInfo;
use std::sync::{OnceLock, PoisonError, RwLock};

/// What stands instead of a secret.
const STARS: &str = "***";
/// A shorter secret is none, and would be found in every text.
const SHORTEST: usize = 4;

/// The spellings of every secret, the longest first: one may be part of another.
static SECRETS: OnceLock<RwLock<Vec<String>>> = OnceLock::new();

/// From now on these are not printed.
pub(super) fn hide<'s>(secrets: impl Iterator<Item = &'s str>) {
    let mut hidden = SECRETS
        .get_or_init(RwLock::default)
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    for secret in secrets.filter(|secret| secret.len() >= SHORTEST) {
        // As it is, as `Debug` and as JSON would write it.
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

/// What a text may hold besides what can be seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lines {
    /// Nothing but the end of its one line.
    One,
    /// The same, and the escapes that colour it for a terminal; those of its content have been spelled out before.
    Coloured,
    /// The ends of its lines.
    Many,
}

/// The text as it may be printed.
pub(super) fn printable(text: &str, lines: Lines) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    if let Some(hidden) = SECRETS.get() {
        for secret in hidden.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), STARS));
            }
        }
    }
    let body = text.strip_suffix('\n').unwrap_or(&text);
    if !body.contains(|c| is_spelled(c, lines)) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in body.chars() {
        if is_spelled(c, lines) {
            // Writing into memory does not fail.
            write!(out, "{}", c.escape_default()).ok();
        } else {
            out.push(c);
        }
    }
    out.push_str(&text[body.len()..]);
    Cow::Owned(out)
}

/// Puts as many stars in the place of every secret: what the bytes are part of keeps its lengths.
#[cfg(feature = "otel")]
pub(super) fn cover(bytes: &mut [u8]) {
    let Some(hidden) = SECRETS.get() else { return };
    for secret in hidden.read().unwrap_or_else(PoisonError::into_inner).iter() {
        let found: Vec<usize> = memchr::memmem::find_iter(bytes, secret).collect();
        for at in found {
            bytes[at..at + secret.len()].fill(b'*');
        }
    }
}

/// Characters that do something other than be seen: they could imitate further lines, or write over others.
fn is_spelled(c: char, lines: Lines) -> bool {
    match c {
        '\n' => lines != Lines::Many,
        '\u{1b}' => lines != Lines::Coloured,
        '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    }
}

/// Prints to `W` what may be printed. Every write must be a whole text, as those of the log's events are.
pub(super) struct Masked<W>(pub(super) W, pub(super) Lines);

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

/// Panics are said as errors are. The standard hook would print all of the message, and that of a string cut at the wrong byte, for one,
/// quotes the string.
pub(super) fn watch_panics() {
    std::panic::set_hook(Box::new(|panic| super::say(&last_words(panic))));
}

fn last_words(panic: &PanicHookInfo<'_>) -> String {
    let payload = panic.payload();
    let text = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = panic
        .location()
        .map_or_else(String::new, |place| format!(" at {}:{}", place.file(), place.line()));
    let thread = std::thread::current();
    let mut words = format!(
        "error: the thread {} panicked{place}: {}; this is a fault of the program, please report it",
        thread.name().unwrap_or("without a name"),
        unquoted(text.unwrap_or_default())
    );
    let trace = std::backtrace::Backtrace::capture();
    if trace.status() == std::backtrace::BacktraceStatus::Captured {
        // Writing into memory does not fail.
        write!(words, "\n{trace}").ok();
    }
    words
}

/// What stands before the first quotation: behind it anything may be.
fn unquoted(text: &str) -> &str {
    text.split(['`', '"', '\'', '\n']).next().unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_stars_however_they_are_spelled() {
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

    #[cfg(feature = "otel")]
    #[test]
    fn secrets_inside_of_bytes_are_as_many_stars() {
        hide(["mask-test-covered"].into_iter());
        let mut bytes = b"\x0a\x11mask-test-covered\xff\x0a\x11mask-test-covered".to_vec();
        cover(&mut bytes);
        assert_eq!(bytes, b"\x0a\x11*****************\xff\x0a\x11*****************");
    }

    #[test]
    fn what_cannot_be_seen_is_spelled_out() {
        let hostile = "a\nb\r\u{1b}[31mc\u{9b}d\u{202e}e\0é\t\n";
        assert_eq!(
            printable(hostile, Lines::One),
            "a\\nb\\r\\u{1b}[31mc\\u{9b}d\\u{202e}e\\u{0}é\\t\n"
        );
        assert!(printable(hostile, Lines::Coloured).contains("b\\r\u{1b}[31mc\\u{9b}"));
        assert!(printable(hostile, Lines::Many).starts_with("a\nb\\r\\u{1b}"));
    }

    #[test]
    fn a_panic_does_not_quote() {
        let cut = "start byte index 1 is not a char boundary; it is inside 'é' (bytes 0..2) of `é record`";
        assert_eq!(unquoted(cut), "start byte index 1 is not a char boundary; it is inside");
        assert_eq!(unquoted("called `Result::unwrap()` on an `Err` value: \"record\""), "called");
        assert_eq!(
            unquoted("index out of bounds: the len is 1 but the index is 2"),
            "index out of bounds: the len is 1 but the index is 2"
        );
    }
}
