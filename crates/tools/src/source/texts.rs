//! Splits the text of a file of JSON lines into messages. Most messages are lines; a JSON text that spans several
//! lines is one message too.
//!
//! Most lines are not parsed here. The first line of a longer text either does not end with a closing bracket, or the
//! line after it begins with a token that cannot begin a record. Only such lines are examined.

use std::io::{self, BufRead, Read as _};
use std::ops::Range;

use serde::de::IgnoredAny;

use super::detect::is_record;
use super::growing::Growth;
use super::limit::{self, MAX_DOCUMENT_BYTES};
use super::limit::{CHUNK, Rest};

/// Splits text, one chunk after another.
pub(super) struct Splitter {
    growth: Growth,
    /// The longest text on several lines, in bytes.
    limit: usize,
    /// The number of bytes that were examined to find that a line is a broken message. The limit applies to it too.
    wasted: usize,
    /// Whether a limit was exceeded. All further lines are messages.
    only_lines: bool,
    /// The beginning of a text that belongs to the next chunk.
    carried: Vec<u8>,
}

/// The message that begins with a line.
#[derive(PartialEq, Eq, Debug)]
enum Message {
    /// The line.
    Line,
    /// The line, but that was only found after all of the text was examined.
    BrokenLine,
    /// A text on several lines, up to this offset.
    Text(usize),
    /// More bytes are needed to tell.
    Incomplete,
}

impl Splitter {
    /// Creates the splitter for a file that is written in this way.
    pub(super) fn new(growth: Growth) -> Self {
        Self {
            growth,
            limit: MAX_DOCUMENT_BYTES,
            wasted: 0,
            only_lines: false,
            carried: Vec::new(),
        }
    }

    /// Returns the bytes with which the next chunk begins.
    pub(super) fn take_carried(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.carried)
    }

    /// Returns the ranges of the messages in `bytes`, which are whole lines. Reads more lines if the first message
    /// continues in them. Keeps a later message that is incomplete for the next chunk.
    pub(super) fn split(
        &mut self,
        reader: &mut dyn BufRead,
        bytes: &mut Vec<u8>,
        rest: &mut Option<Rest>,
    ) -> io::Result<Vec<Range<usize>>> {
        let (mut messages, mut begin, mut is_end) = (Vec::new(), 0, rest.is_some());
        while begin < bytes.len() {
            let text = bytes.get(begin..).unwrap_or_default();
            let line = memchr::memchr(b'\n', text).unwrap_or(text.len());
            let message = match !self.only_lines && may_continue(text, line, reader, is_end)? {
                true => message(text, line, is_end, self.growth),
                false => Message::Line,
            };
            let end = match message {
                Message::Line => line,
                Message::BrokenLine => {
                    // Each of many broken lines could be the beginning of all the text after it.
                    self.wasted += text.len();
                    self.only_lines = self.wasted > self.limit;
                    line
                }
                Message::Text(end) => end,
                Message::Incomplete if begin > 0 => {
                    self.carried = bytes.split_off(begin);
                    break;
                }
                Message::Incomplete if bytes.len() > self.limit => {
                    self.only_lines = true;
                    continue;
                }
                Message::Incomplete => {
                    is_end = !extend(reader, bytes, rest, self.limit)? || rest.is_some();
                    continue;
                }
            };
            messages.push(begin..begin + end);
            begin += end + line_end(text.get(end..).unwrap_or_default());
        }
        Ok(messages)
    }
}

/// Reads more lines, so many that `bytes` doubles in size. Returns whether there were any.
fn extend(reader: &mut dyn BufRead, bytes: &mut Vec<u8>, rest: &mut Option<Rest>, limit: usize) -> io::Result<bool> {
    let before = bytes.len();
    let step = before.max(CHUNK).min(limit.saturating_sub(before) + 1);
    (&mut *reader).take(step as u64).read_to_end(bytes)?;
    if bytes.len() > before && !bytes.ends_with(b"\n") {
        let line = memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1);
        *rest = limit::finish_line(reader, bytes, line)?.map(Rest::TooLong);
    }
    Ok(bytes.len() > before)
}

/// Returns the length of the white space up to the end of the line, or 0 if the line contains something else.
fn line_end(text: &[u8]) -> usize {
    let blank = text
        .iter()
        .take_while(|byte| byte.is_ascii_whitespace() && **byte != b'\n')
        .count();
    match text.get(blank) {
        None => blank,
        Some(b'\n') => blank + 1,
        Some(_) => 0,
    }
}

/// Returns the length of what may stand between JSON texts: white space, byte order marks and record separators.
fn separators(text: &[u8]) -> usize {
    let mut rest = text;
    loop {
        rest = match rest {
            [byte, rest @ ..] if byte.is_ascii_whitespace() || *byte == 0x1e => rest,
            [0xef, 0xbb, 0xbf, rest @ ..] => rest,
            _ => return text.len() - rest.len(),
        };
    }
}

/// Returns whether the first line of `text` may be the beginning of a longer JSON text, without parsing it.
fn may_continue(text: &[u8], line: usize, reader: &mut dyn BufRead, is_end: bool) -> io::Result<bool> {
    let (line, after) = text.split_at_checked(line).unwrap_or((text, &[]));
    let begin = separators(line);
    if !matches!(line.get(begin), Some(b'{' | b'[')) {
        return Ok(false);
    }
    if !line.trim_ascii_end().ends_with(b"}") && !line.trim_ascii_end().ends_with(b"]") {
        return Ok(true);
    }
    let first = |text: &[u8]| text.iter().copied().find(|byte| !byte.is_ascii_whitespace());
    let next = match first(after) {
        None if !is_end => loop {
            match reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                buffer => break first(buffer?),
            }
        },
        next => next,
    };
    Ok(matches!(next, Some(b',' | b']' | b'}')))
}

/// Returns the message that begins with the first line of `text`. `is_end` says that no more text follows.
fn message(text: &[u8], line: usize, is_end: bool, growth: Growth) -> Message {
    let mut at = 0;
    let error = loop {
        at += separators(text.get(at..).unwrap_or_default());
        if at >= line {
            return Message::Line;
        }
        match parse(text, at) {
            Ok(end) if end > line => return Message::Text(end),
            Ok(end) => at = end,
            Err(error) => break error,
        }
    };
    let next = line + separators(text.get(line..).unwrap_or_default());
    match error {
        None if !is_end => return Message::Incomplete,
        // Nothing could continue the line.
        Some(error) if error <= next => return Message::Line,
        _ if growth == Growth::ByAppending || next >= text.len() => return Message::BrokenLine,
        _ => {}
    }
    match is_followed_by_a_record(text, next) {
        true => Message::Line,
        // The decoder splits the broken text.
        false => broken_text(text, line, is_end),
    }
}

/// Returns where the JSON text that begins at `at` ends, or else the offset of the error, or `None` if the text is
/// truncated.
fn parse(text: &[u8], at: usize) -> Result<usize, Option<usize>> {
    let text = text.get(at..).unwrap_or_default();
    let mut stream = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    match stream.next() {
        Some(Ok(_)) => Ok(at + stream.byte_offset()),
        Some(Err(error)) if !error.is_eof() => {
            let mut ends = memchr::memchr_iter(b'\n', text);
            let line = match error.line() {
                0 | 1 => 0,
                line => ends.nth(line - 2).map_or(text.len(), |end| end + 1),
            };
            Err(Some(at + line + error.column().saturating_sub(1)))
        }
        _ => Err(None),
    }
}

/// Returns whether a whole record begins at `at`, and it is not an element of an array or a member of an object.
fn is_followed_by_a_record(text: &[u8], at: usize) -> bool {
    let begins = matches!(text.get(at), Some(b'{' | b'['));
    begins
        && parse(text, at).is_ok_and(|end| {
            let after = text.get(end..).unwrap_or_default();
            !matches!(after.get(separators(after)), Some(b',' | b']' | b'}'))
        })
}

/// Returns the message that is a broken text on several lines. It ends at the bracket that closes it, or where a line
/// is a whole record that cannot be a part of it. If it may consist of several broken lines, its first line is a
/// message.
fn broken_text(text: &[u8], line: usize, is_end: bool) -> Message {
    let (mut open, mut is_string, mut is_escaped) = (Vec::new(), false, false);
    // Whether another line begins with a bracket, without indentation.
    let mut has_inner = false;
    for (index, byte) in text.iter().enumerate() {
        if *byte == b'\n' {
            // A string does not contain line ends.
            is_string = false;
            is_escaped = false;
            let after = text.get(index + 1..).unwrap_or_default();
            if index >= line && is_whole_line(after, is_end) {
                return match has_inner || index == line {
                    true => Message::BrokenLine,
                    false => Message::Text(index + 1),
                };
            }
            has_inner |= index >= line && matches!(after.first(), Some(b'{' | b'['));
            continue;
        }
        if is_string {
            is_string = is_escaped || *byte != b'"';
            is_escaped = !is_escaped && *byte == b'\\';
            continue;
        }
        let opening = match byte {
            b'"' => {
                is_string = true;
                continue;
            }
            b'{' | b'[' => {
                open.push(*byte);
                continue;
            }
            b'}' => b'{',
            b']' => b'[',
            _ => continue,
        };
        // A bracket that closes nothing is part of what is broken.
        if let Some(depth) = open.iter().rposition(|byte| *byte == opening) {
            open.truncate(depth);
            if open.is_empty() && index > line {
                return Message::Text(index + 1);
            }
        }
    }
    let is_object = text.get(separators(text)) == Some(&b'{');
    match is_end {
        // The decoder finds no records in an object that is truncated.
        true if has_inner && is_object => Message::BrokenLine,
        true => Message::Text(text.len()),
        false => Message::Incomplete,
    }
}

/// Returns whether the first line of `text` is a whole record, and not an element of an array or a member of an object.
fn is_whole_line(text: &[u8], is_end: bool) -> bool {
    let (line, after) = match memchr::memchr(b'\n', text) {
        Some(end) => text.split_at_checked(end).unwrap_or((text, &[])),
        None => (text, [].as_slice()),
    };
    let is_separate = match after.get(separators(after)) {
        None => is_end,
        Some(next) => !matches!(next, b',' | b']' | b'}'),
    };
    is_separate && is_record(line.trim_ascii())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use proptest::prelude::*;

    use super::*;
    use crate::decode::{Decoded, Decoder, Settings};
    use crate::source::file::FileSource;

    /// Returns the messages of a file with this text.
    fn read(text: &str) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().write_all(text.as_bytes()).unwrap();
        let mut source = FileSource::open(file.path(), |raw| raw).unwrap();
        let (mut messages, mut bytes, mut next) = (Vec::new(), Vec::new(), 0);
        while let Some(chunk) = source.next_chunk().unwrap() {
            for (number, message) in chunk.messages() {
                assert!(number >= next, "the numbers increase");
                next = number + 1;
                messages.push(String::from_utf8(message.to_vec()).unwrap());
            }
            assert_eq!(chunk.position().unwrap().offset, bytes.len() as u64);
            bytes.extend_from_slice(chunk.bytes());
        }
        assert!(bytes == text.as_bytes(), "no byte is lost");
        messages
    }

    /// Returns the numbers of usable records and of dead letters.
    fn count(text: &str) -> (usize, usize) {
        let mut decoder = Decoder::new(Settings::default());
        let (mut records, mut dead_letters) = (0, 0);
        for message in read(text) {
            decoder.decode(Some(message.as_bytes()), &mut |item| match item.what {
                Decoded::Rejected(_) => dead_letters += 1,
                _ => records += 1,
            });
        }
        (records, dead_letters)
    }

    const LINE: &str = r#"{"RawEventData":{"CreationTime":"2026-03-01T10:00:00","Data":{"cid":"x"}}}"#;

    fn pretty(text: &str) -> String {
        serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(text).unwrap()).unwrap()
    }

    #[test]
    fn a_text_on_several_lines_may_follow_lines() {
        let (one, array) = (pretty(LINE), pretty(&format!("[{LINE},{LINE}]")));
        for (first, second, records) in [(LINE, one.as_str(), 2), (LINE, &array, 3), (&format!("[{LINE}]"), &array, 3)] {
            for between in ["\n", "", "\n\u{feff}", "\u{feff}", "\r\n\r\n", "\n\u{1e}"] {
                for last in ["", "\n", LINE, &format!("\n{LINE}\n{one}\n{LINE}")] {
                    let text = format!("{first}{between}{second}{last}");
                    let records = records + last.matches("RawEventData").count();
                    assert_eq!(count(&text), (records, 0), "{text}");
                }
            }
        }
        assert_eq!(
            read("{}\n{\n\"a\": 1\n}\n[\n2]{}\n{}"),
            ["{}", "{\n\"a\": 1\n}", "[\n2]", "{}", "{}"]
        );
        assert_eq!(read("{}\n[1\n,{}]\n{\"a\":[{}\n]}\n"), ["{}", "[1\n,{}]", "{\"a\":[{}\n]}"]);
    }

    #[test]
    fn a_broken_line_between_lines_is_one_dead_letter() {
        for broken in [
            r#"{"a":"#,
            r#"{"a":1"#,
            r#"{"a":1,"#,
            r#"{"a":"x"#,
            r#"{"a":["#,
            r#"{"a":{"b":1},"#,
            r#"{"RawEventData":{"CreationTime":"2026-03-01T10:00:00","Data":{"cid":"x"}}"#,
            "[",
            "{",
            "]",
            "{\"a\":x",
        ] {
            for next in [LINE, &pretty(LINE)] {
                let text = format!("{LINE}\n{broken}\n{next}\n{LINE}\n{next}\n");
                assert_eq!(count(&text), (4, 1), "{text}");
            }
            assert_eq!(
                read(&format!("{LINE}\n{broken}\n{LINE}\n{LINE}\n")),
                [LINE, broken, LINE, LINE]
            );
            assert_eq!(count(&format!("{LINE}\n{broken}\n{LINE}")), (2, 1), "{broken}");
            assert_eq!(count(&format!("{LINE}\n{broken}")), (1, 1), "{broken}");
        }
        let many = format!("{LINE}\n{}{LINE}\n", "{\"a\":{\"b\":1},\n".repeat(1_000));
        assert_eq!(count(&many), (2, 1_000));
    }

    #[test]
    fn a_broken_record_in_a_text_on_several_lines_is_one_dead_letter() {
        for bad in ["{\"a\": nope}", "{\n\"a\": nope\n}", "{\"a\": \"\n}"] {
            let array = format!("[\n  {},\n  {bad},\n  {LINE}\n]", pretty(LINE));
            let text = format!("{LINE}\n{array}\n{}\n{LINE}\n", pretty(LINE));
            assert_eq!(count(&text), (5, 1), "{text}");
        }
        let truncated = format!("{LINE}\n[\n  {},\n  {{\n    \"a\": 1", pretty(LINE));
        assert_eq!(count(&truncated), (2, 1));
    }

    #[test]
    fn texts_continue_across_chunks() {
        let one = pretty(&format!("[{}]", [LINE; 37].join(",")));
        let text = format!("{LINE}\n{}", format!("{one}\n").repeat(1_000));
        assert!(text.len() > 3 << 20);
        assert_eq!(read(&text).len(), 1_001);
        let filler = format!("\"{}\"", "x".repeat(CHUNK - 10));
        let last = "{\"a\":[{\"b\":1}\n]}";
        assert!(
            read(&format!("{filler}\n{last}\n")) == [&filler, last],
            "only the next chunk has the second line"
        );
        let long = pretty(&format!("[{}]", vec![LINE; 40_000].join(",")));
        assert!(long.len() > 3 << 20);
        assert_eq!(read(&format!("{LINE}\n{long}{LINE}\n{long}\n")), [LINE, &long, LINE, &long]);
    }

    #[test]
    fn a_text_over_the_limit_is_read_as_lines() {
        let mut splitter = Splitter::new(Growth::Unknown);
        splitter.limit = 10;
        let (mut bytes, mut rest) = (b"[\n1,\n".to_vec(), None);
        let mut reader = io::BufReader::new(&b"2,\n3,\n4,\n5,\n6\n]\n{}\n"[..]);
        let messages = splitter.split(&mut reader, &mut bytes, &mut rest).unwrap();
        assert_eq!(messages.len(), 4, "the other lines are still to be read");
        assert!(splitter.only_lines && splitter.carried.is_empty() && rest.is_none());
    }

    #[test]
    fn many_broken_lines_are_not_examined_again_and_again() {
        let mut splitter = Splitter::new(Growth::Unknown);
        splitter.limit = 1_000;
        let (mut bytes, mut rest) = ("{\"a\":\n".repeat(100).into_bytes(), None);
        let messages = splitter.split(&mut io::empty(), &mut bytes, &mut rest).unwrap();
        assert_eq!((messages.len(), splitter.only_lines), (100, true));
    }

    proptest! {
        #[test]
        fn every_whole_record_is_used(parts in prop::collection::vec((0_usize..8, any::<bool>()), 1..12)) {
            let whole = [
                LINE.to_owned(),
                pretty(LINE),
                pretty(&format!("[{LINE},{LINE}]")),
                format!("{{\"records\":[{LINE},\n{LINE}\n]}}"),
            ];
            let broken = ["{\"a\":1,", "{\"a\":\"x", "{\"a\":{\"b\":1}", "{\"a\":"];
            let (mut text, mut records, mut damaged) = (format!("{LINE}\n"), 1, 0);
            for (part, is_carriage_return) in parts {
                let part = whole.get(part).map_or_else(|| broken[part - whole.len()], String::as_str);
                records += part.matches("RawEventData").count();
                damaged += usize::from(broken.contains(&part));
                text += part;
                text += if is_carriage_return { "\r\n" } else { "\n" };
            }
            let (found, dead_letters) = count(&text);
            prop_assert_eq!(found, records, "{}", text);
            // Adjacent broken lines may share a dead letter.
            prop_assert!(dead_letters <= damaged && (dead_letters > 0) == (damaged > 0), "{}: {}", dead_letters, text);
        }
    }
}
