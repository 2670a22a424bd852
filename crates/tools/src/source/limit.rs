//! Limits on what is read from a file into memory at once.

use std::io::{self, BufRead, Read as _};

/// The longest record, in bytes. It is three times the largest message that Event Hubs accepts (20 MiB).
pub const MAX_RECORD_BYTES: usize = 64 << 20;
/// The longest JSON text that begins with a bracket, in bytes, on one line or on several. It may hold many records, and
/// is read into memory as a whole.
pub const MAX_DOCUMENT_BYTES: usize = 512 << 20;
/// Approximate size of a chunk in bytes.
pub(super) const CHUNK: usize = 1 << 20;
/// The number of bytes that are kept of a longer text.
const HEAD: usize = 64 << 10;

/// A record or document in a file that exceeds its limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TooLong {
    /// Its length in bytes.
    pub length: u64,
    /// The limit that it exceeds.
    pub limit: usize,
    /// Its first bytes.
    pub head: Vec<u8>,
}

/// Something that follows the messages of a chunk and is not a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Rest {
    /// A record or document that exceeds its limit.
    TooLong(TooLong),
    /// The beginning of a record that is still being written.
    Unfinished,
}

impl TooLong {
    /// Describes a text that begins with `bytes` and whose next `more` bytes were skipped.
    pub(super) fn new(bytes: &[u8], more: u64) -> Self {
        Self {
            length: bytes.len() as u64 + more,
            limit: max_length(bytes),
            head: bytes.get(..HEAD).unwrap_or(bytes).to_vec(),
        }
    }

    /// Returns the reason as a sentence, without any content.
    pub fn sentence(&self) -> String {
        let Self { length, limit, .. } = self;
        match *limit == MAX_DOCUMENT_BYTES {
            true => format!(
                "the JSON document has {length} bytes, and the limit for one is {limit}; write one record per line instead"
            ),
            false => format!("the record has {length} bytes, and the limit for one in a file is {limit}"),
        }
    }
}

/// Returns the limit for a line or document that begins with `text`.
fn max_length(text: &[u8]) -> usize {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    match text.trim_ascii_start().first() {
        Some(b'{' | b'[') => MAX_DOCUMENT_BYTES,
        _ => MAX_RECORD_BYTES,
    }
}

/// Reads up to the end of the line that begins at `begin` in `bytes`. A line that exceeds its limit is removed from
/// `bytes`, and the rest of it is skipped.
pub(super) fn finish_line(reader: &mut dyn BufRead, bytes: &mut Vec<u8>, begin: usize) -> io::Result<Option<TooLong>> {
    loop {
        let line = bytes.get(begin..).unwrap_or_default();
        let (length, before) = (line.len(), bytes.len());
        // The steps double, so that the limit is computed only a few times.
        let step = (length + HEAD).min(max_length(line).saturating_sub(length) + 1);
        let read = (&mut *reader).take(step as u64).read_until(b'\n', bytes)?;
        if read == 0 || bytes.get(before..).is_some_and(|new| new.ends_with(b"\n")) {
            return Ok(None);
        }
        let line = bytes.get(begin..).unwrap_or_default();
        if line.len() > max_length(line) {
            let more = skip_line(reader)?;
            let long = TooLong::new(line, more);
            bytes.truncate(begin);
            return Ok(Some(long));
        }
    }
}

/// Reads the rest of the file, up to the limit for a document. Returns whether the file ended there.
pub(super) fn finish(reader: &mut dyn BufRead, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let remaining = MAX_DOCUMENT_BYTES.saturating_sub(bytes.len()) as u64;
    let read = (&mut *reader).take(remaining + 1).read_to_end(bytes)?;
    Ok(read as u64 <= remaining)
}

/// Skips the rest of a line. Returns the number of bytes before its end.
fn skip_line(reader: &mut dyn BufRead) -> io::Result<u64> {
    skip(reader, |buffer| memchr::memchr(b'\n', buffer))
}

/// Skips the rest of the file. Returns the number of bytes.
pub(super) fn skip_all(reader: &mut dyn BufRead) -> io::Result<u64> {
    skip(reader, |_| None)
}

/// Skips up to the place that `end` finds, or to the end of the file.
fn skip(reader: &mut dyn BufRead, end: impl Fn(&[u8]) -> Option<usize>) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            buffer => buffer?,
        };
        let (length, end) = (buffer.len(), end(buffer));
        if let Some(end) = end {
            reader.consume(end + 1);
            return Ok(skipped + end as u64);
        }
        if length == 0 {
            return Ok(skipped);
        }
        reader.consume(length);
        skipped += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a line of `length` bytes, and another line.
    fn line(length: usize, byte: u8) -> impl BufRead {
        io::BufReader::new(io::repeat(byte).take(length as u64).chain(&b"\nnext\n"[..]))
    }

    #[test]
    fn a_line_is_read_up_to_its_limit() {
        let mut bytes = b"before\n".to_vec();
        let mut reader = line(MAX_RECORD_BYTES, b' ');
        assert_eq!(finish_line(&mut reader, &mut bytes, 7).unwrap(), None);
        assert_eq!(bytes.len(), 7 + MAX_RECORD_BYTES + 1);
        bytes.truncate(7);
        let long = finish_line(&mut line(3 * MAX_RECORD_BYTES, 0), &mut bytes, 7)
            .unwrap()
            .unwrap();
        assert_eq!(
            (long.length, long.limit, long.head.len()),
            (3 * MAX_RECORD_BYTES as u64, MAX_RECORD_BYTES, HEAD)
        );
        assert_eq!(bytes, b"before\n");
        assert!(
            long.sentence()
                .starts_with("the record has 201326592 bytes, and the limit for one in a file is 67108864")
        );
    }

    #[test]
    fn a_line_after_one_that_is_too_long_is_read() {
        let mut bytes = Vec::new();
        let mut reader = line(2 * MAX_RECORD_BYTES, b'x');
        assert!(finish_line(&mut reader, &mut bytes, 0).unwrap().is_some());
        assert_eq!(finish_line(&mut reader, &mut bytes, 0).unwrap(), None);
        assert_eq!(bytes, b"next\n");
        assert_eq!(finish_line(&mut reader, &mut bytes, 5).unwrap(), None, "the end");
        assert_eq!(bytes, b"next\n");
    }

    #[test]
    fn a_line_that_begins_with_a_bracket_may_be_longer() {
        let mut bytes = b"\xef\xbb\xbf [".to_vec();
        assert_eq!(
            finish_line(&mut line(2 * MAX_RECORD_BYTES, b'1'), &mut bytes, 0).unwrap(),
            None
        );
        assert_eq!(bytes.len(), 5 + 2 * MAX_RECORD_BYTES + 1);
        let mut bytes = b"{".to_vec();
        let long = finish_line(&mut line(MAX_DOCUMENT_BYTES, b'1'), &mut bytes, 0)
            .unwrap()
            .unwrap();
        assert_eq!(long.length, MAX_DOCUMENT_BYTES as u64 + 1);
        assert!(long.sentence().ends_with("write one record per line instead"));
        let mut bytes = b"[".to_vec();
        assert!(finish(&mut line(100, b'1'), &mut bytes).unwrap());
        assert!(!finish(&mut line(MAX_DOCUMENT_BYTES, b'1'), &mut bytes).unwrap());
    }
}
